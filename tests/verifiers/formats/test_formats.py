"""Verifiers of answers in a given form."""

import json
import time
from typing import Any

import pytest

import tenfold
from tenfold.core import Problem, Status
from tenfold.verifiers import find

TEXT = {"name": "text", "case": False}


@pytest.mark.parametrize(
    ("gold", "response", "verifier", "score"),
    [
        ("12", "So \\boxed{12}.", "text", 1),
        ("12", "The answer is 12.", "text", 1),
        ("12", "12 or 13", "text", 0),
        ("12", "\\boxed{12} no, \\boxed{13}", "text", 0),
        ("olleh", "<answer> 'olleh' </answer>", "text", 1),
        ("olleh", "\\boxed{hello}", "text", 0),
        ("a, b, c", "\\boxed{[a,b , c]}", "text", 1),
        ("a, b, c", '\\boxed{"a", "b", "c"}', "text", 1),
        ("a, b, c", "\\boxed{a, c, b}", "text", 0),
        ("Ada, Ben", "\\boxed{ada, BEN}", TEXT, 1),
        ("Ada, Ben", "\\boxed{ada, BEN}", "text", 0),
        ("5", "\\boxed{5.}", "text", 1),
        ("5", "\\boxed{.5}", "text", 0),
        (".5", "\\boxed{5}", "text", 0),
        ("12", "The answer is 12.\n\nI hope this helps.", "text", 1),
        ("12", "The answer is 12.\n13", "text", 1),
        ("13", "The answer is 12.\n13", "text", 0),
        ("13", "So it is\n13", "text", 1),
        ("12", "<think>\\boxed{11}</think>The answer is 12.", "text", 1),
        ("11", "<think>\\boxed{11}</think>The answer is 12.", "text", 0),
        ("Ada", "<think>\\boxed{Ada}", "text", 0),
        ("Ada", "", "text", 0),
    ],
)
def test_text_is_compared_by_items(gold: str, response: str, verifier: Any, score: float) -> None:
    assert tenfold.verify(gold, response, verifier).score == score


@pytest.mark.parametrize("gold", ["", "letter", "...", "'", None, [1]])
def test_unreadable_gold_texts_are_reported(gold: object) -> None:
    assert find("text").invalid_gold(Problem("", (), gold, ""))
    assert tenfold.verify(gold, "x", "text").status == Status.UNDECIDED


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "count": {"type": "integer", "minimum": 0},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2},
        "note": {"type": ["string", "null"]},
    },
    "required": ["name", "count"],
    "additionalProperties": False,
}
VALUE = {"name": "x", "count": 3, "tags": ["a", "b"]}


@pytest.mark.parametrize(
    ("text", "score", "reason"),
    [
        (json.dumps(VALUE), 1, "valid"),
        ('{"tags": ["a", "b"], "count": 3.0, "name": "x"}', 1, "valid"),
        (f"Here:\n```json\n{json.dumps(VALUE, indent=2)}\n```\nDone.", 1, "valid"),
        (f"Here:\r\n```json\r\n{json.dumps(VALUE)}\r\n```\r\nDone.", 1, "valid"),
        (f"Here: ```json {json.dumps(VALUE)}```", 1, "valid"),
        (f"Here: ```{json.dumps(VALUE)}``` Done.", 1, "valid"),
        (f"```json\n{' ' * 30_000}{json.dumps(VALUE)}\n```", 1, "valid"),
        (f"```json\n[{'1,' * 60_000}1]\n```", 0, "more than 100,000 characters"),
        (f"\\boxed{{{json.dumps(VALUE)}}}", 1, "valid"),
        (f"<answer>{json.dumps(VALUE)}</answer>", 1, "valid"),
        (f"<think>{json.dumps(VALUE)}", 0, "not JSON"),
        (f"```json\n{json.dumps(VALUE)}\n```\nor\n```json\n{{}}\n```", 0, "lacks 'name'"),
        (json.dumps(VALUE | {"count": "3"}), 0, "$.count is not of type integer"),
        (json.dumps(VALUE | {"count": True}), 0, "$.count is not of type integer"),
        (json.dumps(VALUE | {"count": -1}), 0, "$.count is out of range"),
        (json.dumps(VALUE | {"count": 4}), 0, "$.count is 4, expected another value"),
        (json.dumps(VALUE | {"tags": ["b", "a"]}), 0, "$.tags[0] is 'b', expected another value"),
        (json.dumps(VALUE | {"tags": ["a", "c"]}), 0, "$.tags[1] is none of ['a', 'b']"),
        (json.dumps(VALUE | {"tags": ["a", "b", "a"]}), 0, "$.tags has 3 items"),
        (json.dumps(VALUE | {"note": None}), 0, "$ has other properties than expected: note"),
        (json.dumps(VALUE | {"more": 1}), 0, "$ has the additional property 'more'"),
        (json.dumps([VALUE]), 0, "$ is not of type object"),
        ('{"name": "x", "count": NaN}', 0, "NaN is not JSON"),
        (f'{{"name": "x", "count": {"9" * 5000}}}', 0, "not JSON"),
        ("{'name': 'x'}", 0, "not JSON"),
        (f"{json.dumps(VALUE)} {json.dumps(VALUE)}", 0, "not JSON"),
    ],
)
def test_json_must_be_valid_and_have_the_gold_values(text: str, score: float, reason: str) -> None:
    verdict = tenfold.verify({"schema": SCHEMA, "value": VALUE}, text, "json_schema")
    assert (verdict.status, verdict.score) == (Status.SCORED, score)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("gold", "reason"),
    [
        ("x", "the gold answer is not {schema"),
        ({"schema": {"pattern": "a"}, "value": 1}, "keywords that are not supported: pattern"),
        ({"schema": {"items": {"oneOf": []}}, "value": []}, "keywords that are not supported: oneOf"),
        ({"schema": SCHEMA, "value": {}}, "the gold value is not valid"),
        ({"schema": {"items": True}, "value": []}, "the schema contains True"),
        ({"schema": {"properties": {"a": False}}, "value": {}}, "the schema contains False"),
        ({"schema": {"properties": ["a"]}, "value": {}}, "another type than expected for properties"),
        ({"schema": {"minLength": "1"}, "value": 1}, "another type than expected for minLength"),
        ({"schema": {"required": 3}, "value": 1}, "another type than expected for required"),
        ({"schema": {"additionalProperties": "no"}, "value": {}}, "another type than expected for additionalProperties"),
        ({"schema": {"additionalProperties": {"oneOf": []}}, "value": {}}, "keywords that are not supported: oneOf"),
        ({"schema": {"additionalProperties": {"type": "integer"}}, "value": {"a": "x"}}, "$.a is not of type integer"),
    ],
)
def test_unreadable_gold_values_are_reported(gold: object, reason: str) -> None:
    assert reason in str(find("json_schema").invalid_gold(Problem("", (), gold, "")))
    assert tenfold.verify(gold, "{}", "json_schema").status == Status.UNDECIDED


def test_additional_properties_may_have_a_schema() -> None:
    gold = {"schema": {"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}}}
    gold |= {"value": {"a": "x", "b": 1}}
    assert tenfold.verify(gold, '{"a": "x", "b": 1}', "json_schema").score == 1
    assert "$.b is not of type integer" in tenfold.verify(gold, '{"a": "x", "b": "1"}', "json_schema").reason


def test_names_of_gold_properties_may_be_numbers() -> None:
    assert tenfold.verify({"schema": {}, "value": {1: "a"}}, '{"b": "a"}', "json_schema").score == 0


CODES = {"match": ["ab1", "cd22", "a0"], "reject": ["ab", "1a", "AB1", "ab1 "]}


@pytest.mark.parametrize(
    ("gold", "response", "score", "reason"),
    [
        ({"pattern": "[a-c]{2}\\d"}, "<answer>ab7</answer>", 1, "0 of 1"),
        ({"pattern": "[a-c]{2}\\d"}, "<answer>ab77</answer>", 0, "1 of 1"),
        ({"pattern": "[a-c]{2}\\d"}, "It is\nab7", 1, "0 of 1"),
        (CODES, "<answer>[a-z]+[0-9]+</answer>", 1, "0 of 3"),
        (CODES, "<answer>`[a-z]+\\d*`</answer>", 0, "1 others are".replace("1 others", "1 of 4 others")),
        (CODES, "\\boxed{[a-z]{1,2}\\d{1,2}}", 1, "0 of 3"),
        (CODES, "^[a-z]+\\d+$", 1, "0 of 3"),
        (CODES, "It is\n```\n[a-z]+\\d+\n```", 1, "0 of 3"),
        (CODES, "Not\n```\n[a-z]+\\d+\n```\nbut\n```\n[a-z]+\n```", 0, "3 of 3"),
        (CODES, "<answer>\n```regex\n[a-z]+\\d+\n```\n</answer>", 1, "0 of 3"),
        (CODES, "<answer>```[a-z]+\\d+```</answer>", 1, "0 of 3"),
        ({"pattern": "abc"}, "<answer>```abc\n```</answer>", 1, "0 of 1"),
        (CODES, "<answer>[a-z</answer>", 0, "not a regular expression"),
        (CODES, "<answer>(?P<a>x)(?P<a>y)</answer>", 0, "not a regular expression"),
        (CODES, "<answer>a{99999999999999999999}</answer>", 0, "not a regular expression"),
        (CODES, f"<answer>{'(' * 900}</answer>", 0, ""),
        (CODES, f"<answer>{'a' * 1001}</answer>", 0, "1001 characters"),
        (CODES, "", 0, "0 characters"),
    ],
)
def test_patterns_are_judged_by_their_matches(gold: object, response: str, score: float, reason: str) -> None:
    verdict = tenfold.verify(gold, response, "regex")
    assert verdict.status in (Status.SCORED, Status.TIMEOUT)
    assert verdict.score == score
    assert reason in verdict.reason


@pytest.mark.parametrize(
    "pattern", ["(a+)+b", "(a|a)*b", "(?:a?){60}a{60}b", "(.*)(.*)(.*)(.*)(.*)(.*)\\1b", "(?:(?:a{0,999}){999}){999}"]
)
def test_a_pattern_that_backtracks_is_ended(pattern: str) -> None:
    started = time.monotonic()
    gold = {"match": ["a" * 40 + "b"], "reject": ["a" * 5_000, "a" * 60]}
    verdict = tenfold.verify(gold, f"<answer>{pattern}</answer>", "regex")
    assert verdict.status in (Status.SCORED, Status.TIMEOUT)
    assert verdict.score in (0, 1)
    assert time.monotonic() - started < 60
    assert tenfold.verify(CODES, "<answer>[a-z]+[0-9]+</answer>", "regex").score == 1


@pytest.mark.parametrize(
    "gold", [{"pattern": "("}, {"match": []}, {"match": ["a"], "reject": [1]}, {"match": "a", "reject": "b"}, {"foo": 1}, None]
)
def test_unreadable_gold_patterns_are_reported(gold: object) -> None:
    assert find("regex").invalid_gold(Problem("", (), gold, ""))
    assert tenfold.verify(gold, "a", "regex").status == Status.UNDECIDED


def test_an_empty_gold_pattern_matches_no_given_text() -> None:
    assert tenfold.verify({"pattern": ""}, "a", "regex").score == 0


SHOP = {
    "schema": "CREATE TABLE shops (id INTEGER PRIMARY KEY, name TEXT, sales REAL);",
    "databases": [
        {"shops": [[1, "Corner", 2.5], [2, "Market", 10], [3, "Bridge", 10]]},
        {"shops": [[1, "Castle", 7], [2, "Market", 1], [3, "Corner", 9]]},
    ],
    "query": "SELECT name FROM shops WHERE sales > 5",
}
TOP = SHOP | {"query": "SELECT name, sales FROM shops ORDER BY sales DESC, name", "ordered": True}
ZERO = SHOP | {"databases": [{"shops": [[1, "Corner", 0.0]]}], "query": "SELECT sales FROM shops"}


@pytest.mark.parametrize(
    ("gold", "query", "score", "reason"),
    [
        (SHOP, "SELECT name FROM shops WHERE sales > 5", 1, ""),
        (SHOP, "Like this:\n```sql\nselect s.name as shop from shops s\nwhere not s.sales <= 5;\n```", 1, ""),
        (SHOP, "WITH big AS (SELECT * FROM shops WHERE sales > 5) SELECT name FROM big ORDER BY name", 1, ""),
        (SHOP, "SELECT 'Market' UNION ALL SELECT 'Bridge'", 0, "on database 2"),
        (SHOP, "SELECT name FROM shops WHERE sales >= 2.5", 0, "on database 1"),
        (SHOP, "SELECT name, id FROM shops WHERE sales > 5", 0, "on database 1"),
        (SHOP, "SELECT name FROM shops WHERE sales > 5 UNION ALL SELECT 'Market'", 0, "on database 1"),
        (TOP, "SELECT name, sales * 1.0 FROM shops ORDER BY 2 DESC, 1", 1, ""),
        (TOP, "SELECT name, sales FROM shops ORDER BY sales, name", 0, "on database 1"),
        (SHOP | {"databases": [{"shops": []}]}, "SELECT name FROM shops WHERE sales > 5", 1, ""),
        (SHOP | {"databases": [{"shops": []}]}, "SELECT count(*) FROM shops", 0, "on database 1"),
        (SHOP | {"databases": [{"shops": []}]}, "-- nothing", 0, "no query"),
        (SHOP | {"databases": [{"shops": []}]}, ";", 0, "no query"),
        (ZERO, "SELECT sales * -1 FROM shops", 1, ""),
        (ZERO, "SELECT sales - 1 FROM shops", 0, "on database 1"),
        (SHOP, "SELECT colour FROM shops", 0, "no such column"),
        (SHOP, "SELECT\n'colour FROM shops", 0, "unrecognized token: \"'colour"),
        (SHOP, "SELECT name FROM shops; DROP TABLE shops", 0, "SQLite"),
        (SHOP, "DELETE FROM shops", 0, "not authorized"),
        (SHOP, "INSERT INTO shops VALUES (9, 'x', 99)", 0, "not authorized"),
        (SHOP, "CREATE TABLE x AS SELECT name FROM shops", 0, "not authorized"),
        (SHOP, "ATTACH '/tmp/x.db' AS x", 0, "not authorized"),
        (SHOP, "VACUUM INTO '/tmp/tenfold-test.db'", 0, "authorization denied"),
        (SHOP, "PRAGMA table_info(shops)", 0, "not authorized"),
        (SHOP, "SELECT name FROM pragma_table_info('shops')", 0, "not authorized"),
        (SHOP, "SELECT load_extension('x')", 0, "not authorized"),
        (SHOP, "SELECT hex(zeroblob(900000000))", 0, "too big"),
        (SHOP, "SELECT hex(randomblob(9))", 0, "not authorized"),
        (SHOP, "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n", 0, "more than 0.5 s"),
        (SHOP, "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n", 0, "10,000 rows"),
        (SHOP, "\ud800", 0, ""),
        (SHOP, "\0SELECT name FROM shops", 0, ""),
        (SHOP, "", 0, "0 characters"),
        (SHOP, "SELECT " + "(" * 4_000, 0, ""),
    ],
)
def test_queries_are_judged_by_their_results(gold: object, query: str, score: float, reason: str) -> None:
    verdict = tenfold.verify(gold, query, "sql")
    assert verdict.status in (Status.SCORED, Status.TIMEOUT), verdict
    assert verdict.score == score, verdict
    assert reason in verdict.reason
    assert "\n" not in verdict.reason


@pytest.mark.parametrize(
    "wrong",
    [
        {"query": "SELECT x"},
        {"query": "DROP TABLE shops"},
        {"query": "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"},
        {"query": 5},
        {"schema": "ATTACH '/tmp/tenfold-test.db' AS x;"},
        {"schema": ["x"]},
        {"databases": [{"shops": [[1]]}]},
        {"databases": [{"shops": [1]}]},
        {"databases": [{"shops": 1}]},
        {"databases": [{"cities": [[1]]}]},
        {"databases": [[1]]},
        {"databases": {"shops": []}},
    ],
)
def test_an_unreadable_gold_query_is_undecided(wrong: dict[str, object]) -> None:
    assert tenfold.verify(SHOP | wrong, "SELECT 1", "sql").status == Status.UNDECIDED
    assert tenfold.verify("SELECT 1", "SELECT 1", "sql").status == Status.UNDECIDED


@pytest.mark.parametrize("verifier", ["text", "json_schema", "regex", "sql"])
def test_the_time_is_linear_in_the_response(verifier: str) -> None:
    golds: dict[str, object] = {"text": "a", "json_schema": {"schema": SCHEMA, "value": VALUE}, "regex": CODES, "sql": SHOP}
    for unit in ("```json\n", "<answer>", "</answer>", "\\boxed{", "\\text{", "{", " ", "\n", "a, "):
        started = time.process_time()
        assert tenfold.verify(golds[verifier], unit * (1_000_000 // len(unit)), verifier).score == 0
        assert time.process_time() - started < 5
