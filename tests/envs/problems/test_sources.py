import json
from pathlib import Path

import pandas
import pytest

from tenfold.core import Problem, UserError
from tenfold.envs.problems import sources

SOURCES = """
from tenfold.core import Problem
def needs(n, of=1): return range(n)
def nothing(): pass
def ready():
    for i in range(5): yield Problem(str(i), ({"role": "user", "content": "?"},), i, "here")
"""


def test_rows_of_a_file_become_problems(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "one", "question": "1+1?", "answer": 2}\n\n{"question": "2+2?", "answer": 4}\n')
    one, two = sources.load(f"jsonl:{tmp_path}/a.jsonl")
    assert (one.id, one.prompt, one.answer) == ("one", ({"role": "user", "content": "1+1?"},), 2)
    assert two.id == "a/1"


def test_options_select_columns_marks_and_ranges(tmp_path: Path) -> None:
    rows = [{"Body": f"{n}?", "Answer": f"it is {n} #### {n}"} for n in range(10)]
    pandas.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    loaded = sources.load(f"parquet:{tmp_path}/a.parquet?prompt=Body&answer=Answer&answer_after=%23%23%23%23&skip=2&limit=3")
    assert [problem.answer for problem in loaded] == ["2", "3", "4"]
    assert loaded[0].meta["solution"] == "it is 2 #### 2"


def test_a_prompt_may_be_a_conversation(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": turns, "answer": 2}))
    assert sources.load(f"jsonl:{tmp_path}/a.jsonl")[0].prompt == tuple(turns)


def test_parts_of_a_generator_are_disjoint() -> None:
    def prompts(part: str, seed: int) -> set[str]:
        return {
            p.prompt[0]["content"]
            for p in sources.load(f"reasoning_gym:chain_sum?part={part}&size=60&seed={seed}&max_digits=1")
        }

    train, held_out = prompts("train", 1), prompts("held_out", 2)
    assert len(train) == len(held_out) == 60
    assert not train & held_out


def test_equal_uris_give_equal_problems() -> None:
    one, other = (sources.load(f"reasoning_gym:gcd?{options}") for options in ("size=5&seed=3", "seed=3&size=5"))
    assert [(p.id, p.prompt, p.answer) for p in one] == [(p.id, p.prompt, p.answer) for p in other]


def test_a_changed_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, answer in (("one", 1), ("other", 2)):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        Path("rows.jsonl").write_text(f'{{"question": "?", "answer": {answer}}}\n')
        assert [p.answer for p in sources.load("jsonl:rows.jsonl")] == [answer]
    Path("rows.jsonl").write_text('{"question": "?", "answer": 1000}\n')
    assert sources.load("jsonl:rows.jsonl")[0].answer == 1000
    assert sources.load("jsonl:rows.jsonl") is sources.load("jsonl:rows.jsonl")


def test_a_function_of_the_user_is_a_source(lab: Path) -> None:
    (lab / "lab_rows.py").write_text("def rows(n=2):\n    for i in range(n): yield {'question': f'{i}?', 'answer': i}\n")
    assert [p.answer for p in sources.load("generate:lab_rows:rows?n=3")] == [0, 1, 2]


def test_skip_and_limit_apply_to_yielded_problems(lab: Path) -> None:
    (lab / "lab_sources.py").write_text(SOURCES)
    assert [p.id for p in sources.load("generate:lab_sources:ready?skip=1&limit=2")] == ["1", "2"]


def test_repeated_ids_of_yielded_problems_are_numbered(lab: Path) -> None:
    (lab / "lab_sources.py").write_text(SOURCES.replace("Problem(str(i)", "Problem('one'"))
    assert [p.id for p in sources.load("generate:lab_sources:ready?limit=3")] == ["one", "one#2", "one#3"]


CHAIN_SUMS = "generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions"


def test_chain_sums_have_worked_solutions() -> None:
    uri = f"{CHAIN_SUMS}?size=50&worked=0.5"
    solutions = [p.meta["solution"] for p in sources.load(uri)]
    assert 10 < sum("=" in solution for solution in solutions) < 40
    for problem in sources.load(uri):
        assert isinstance(problem, Problem)
        for line in problem.meta["solution"].split("\n"):
            left, _, right = line.partition("=")
            assert not right or eval(left) == int(right)  # the text is from tenfold, so eval is safe
        assert problem.meta["solution"].endswith(problem.answer)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("nowhere", "jsonl:, parquet:, hf:"),
        ("jsonl:missing.jsonl", "no file missing.jsonl"),
        ("jsonl:~no-such-user/rows.jsonl", "no file ~no-such-user/rows.jsonl"),
        ("jsonl:bad.jsonl", "bad.jsonl, line 2: not JSON"),
        ("jsonl:latin.jsonl", "latin.jsonl, line 1: not JSON"),
        ("jsonl:list.jsonl", "line 1: expected a JSON object, got list"),
        ("jsonl:empty.jsonl", "there are no problems"),
        ("jsonl:good.jsonl?promt=x", "unknown option 'promt'"),
        ("jsonl:good.jsonl?prompt=text", "no column 'text'; the columns are question, answer"),
        ("jsonl:good.jsonl?answer_after=%23%23", "row 1: the answer does not contain '##'"),
        ("jsonl:good.jsonl?limit=many", "limit: expected an integer of at least 0, got 'many'"),
        ("jsonl:good.jsonl?shuffle=-1", "shuffle: expected an integer of at least 0, got '-1'"),
        (f"jsonl:good.jsonl?limit={'9' * 5000}", "limit: expected an integer of at least 0"),
        ("parquet:good.jsonl", "not a parquet file"),
        ("parquet:damaged.parquet", "not a parquet file, or is damaged"),
        ("reasoning_gym:no_such_game", "reasoning-gym rejects these options"),
        ("reasoning_gym:chain_sum?no_such_option=1", "reasoning-gym rejects these options"),
        ("reasoning_gym:chain_sum?size=1000&max_terms=2&max_digits=1", "distinct problems; lower size"),
        ("reasoning_gym:chain_sum?size=0", "size: expected an integer >= 1, got 0"),
        ("reasoning_gym:chain_sum?part=test", "expected all, train or held_out"),
        ("generate:json:no_such_function", "cannot import"),
        ("generate:lab_sources:needs", "missing a required argument: 'n'; its arguments are (n, of=1)"),
        ("generate:lab_sources:needs?n=1&off=2", "unknown option 'off'"),
        ("generate:lab_sources:ready?size=2", "unknown option 'size'"),
        ("generate:lab_sources:nothing", "nothing must yield problems or rows, or return a list of them; got NoneType"),
        (f"{CHAIN_SUMS}?size=0", "size: expected an integer >= 1, got 0"),
        (f"{CHAIN_SUMS}?min_terms=5", "max_terms: expected an integer >= 5, got 4"),
        (f"{CHAIN_SUMS}?min_terms=few", "min_terms: expected an integer >= 2, got 'few'"),
        (f"{CHAIN_SUMS}?worked=half", "worked: expected a number from 0 to 1, got 'half'"),
        (f"{CHAIN_SUMS}?worked=50", "worked: expected a number from 0 to 1, got 50"),
        ("generate:lab_sources:needs?n=3", "row 1: expected a problem or a mapping of columns, got int"),
    ],
)
def test_a_user_error_is_one_line_with_a_remedy(lab: Path, uri: str, words: str) -> None:
    pandas.DataFrame({"question": [f"{number}?" for number in range(1000)], "answer": 1}).to_parquet(lab / "damaged.parquet")
    content = (lab / "damaged.parquet").read_bytes()
    (lab / "damaged.parquet").write_bytes(content[:100] + b"\xff" * 200 + content[300:])
    (lab / "good.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    (lab / "bad.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n{"question": \n')
    (lab / "list.jsonl").write_text("[1, 2]\n")
    (lab / "empty.jsonl").write_text("\n")
    (lab / "latin.jsonl").write_bytes('{"question": "Où?", "answer": "là"}\n'.encode("latin-1"))
    (lab / "lab_sources.py").write_text(SOURCES)
    with pytest.raises(UserError) as error:
        list(sources.load(uri))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
