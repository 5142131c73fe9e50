"""Sources of documents, and the stage that writes them into shards."""

import json
import os
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

import tenfold
from tenfold.core import UserError
from tenfold.pipelines.corpus import documents, shards
from tenfold.pipelines.recipe.recipe import Recipe
from tenfold.pipelines.stage import Context


def gathered(folder: Path, *sources: str, **settings: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    folder.mkdir(exist_ok=True)
    stage = documents.Documents.model_validate({"kind": "documents", "name": "d", "sources": sources} | settings)
    metrics = stage.run(Context(folder, "micro:", 0, {}, lambda *a, **k: None))
    return list(shards.rows(shards.list_shards(folder))), metrics


def test_files_rows_and_problems_become_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the first")
    rows = [{"text": "the second", "id": 7}, {"text": "the third", "domain": "web", "source": "here"}]
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pyarrow.parquet.write_table(pyarrow.table({"body": ["the fourth"]}), tmp_path / "c.parquet")
    found, metrics = gathered(
        tmp_path / "out",
        f"text:{tmp_path}/*.txt?domain=books",
        f"jsonl:{tmp_path}/b.jsonl",
        f"parquet:{tmp_path}/c.parquet?text=body",
        "problems:generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=1&seed=1",
    )
    assert [(row["text"], row["domain"]) for row in found[:4]] == [
        ("the first", "books"),
        ("the second", "text"),
        ("the third", "web"),
        ("the fourth", "text"),
    ]
    assert found[1]["source"].endswith("b.jsonl#7")
    assert found[2]["source"] == "here"
    assert found[4]["domain"] == "problems"
    assert "=" in found[4]["text"].splitlines()[-1]
    assert metrics["documents"] == 5
    assert len({row["id"] for row in found}) == 5


def test_unreadable_documents_are_counted_and_the_others_are_kept(tmp_path: Path) -> None:
    long = json.dumps({"text": "x" * 99}).encode()
    lines = [b'{"text": "good"}', b'{"text": "\xff"}', b"no json", b'{"text": ""}', b'{"text": null}', long]
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join([*lines, b'{"text": "half \\ud83d a pair"}', b""]))
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    found, metrics = gathered(tmp_path / "out", f"jsonl:{tmp_path}/rows.jsonl", f"text:{tmp_path}/*.txt", max_characters=50)
    assert [row["text"] for row in found] == ["good", "half \ufffd a pair"]
    skipped = [source["skipped"] for source in metrics["sources"]]
    assert skipped == [{"no text": 3, "empty": 1, "too long": 1}, {"no UTF-8": 1}]


def test_documents_of_rows_with_one_source_have_different_ids(tmp_path: Path) -> None:
    for name in ("a", "b"):
        rows = [{"text": f"{name}{number}", "title": f"title {name}{number}", "source": "wiki"} for number in range(2)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, _ = gathered(tmp_path / "out", f"jsonl:{tmp_path}/*.jsonl", f"jsonl:{tmp_path}/a.jsonl?text=title&limit=1")
    assert [row["text"] for row in found] == ["a0", "a1", "b0", "b1", "title a0"]
    assert {row["source"] for row in found} == {"wiki"}
    assert len({row["id"] for row in found}) == 5
    again, _ = gathered(tmp_path / "again", f"jsonl:{tmp_path}/a.jsonl?text=title&limit=2")
    assert again[0]["id"] == found[4]["id"], "an option that only selects documents changes no id"


def test_options_that_select_the_rows_are_part_of_their_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    splits = {"train": [{"text": "one"}], "test": [{"text": "two"}]}
    monkeypatch.setattr(datasets, "load_dataset", lambda *arguments, split, **options: splits[split])
    found, _ = gathered(tmp_path / "out", *(f"hf:lab/rows?split={split}&domain=web" for split in splits))
    assert [row["source"] for row in found] == ["hf:lab/rows?split=train#0", "hf:lab/rows?split=test#0"]


@pytest.mark.parametrize(
    "missing", [{"id": None}, {"id": float("nan")}, {"id": " "}, {"source": None}, {"source": float("nan")}]
)
def test_a_row_without_an_id_is_named_by_its_number(tmp_path: Path, missing: dict[str, Any]) -> None:
    lines = (json.dumps({"text": f"text {number}"} | missing) + "\n" for number in range(2))
    (tmp_path / "r.jsonl").write_text("".join(lines))
    found, _ = gathered(tmp_path / "out", f"jsonl:{tmp_path}/r.jsonl")
    assert [row["source"].rpartition("/")[2] for row in found] == ["r.jsonl#0", "r.jsonl#1"]


def test_generated_rows_have_the_ids_and_the_text_of_the_named_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "def rows(size):\n    return [{'body': f'text {n}', 'key': f'k{n}', 'source': None} for n in range(size)]\n"
    (tmp_path / "lab_documents.py").write_text(code + "def texts():\n    return ['a text']\n")
    monkeypatch.syspath_prepend(tmp_path)
    uri = "generate:lab_documents:rows?size=2&text=body&id=key"
    assert list(documents.read(uri)) == [(f"{uri}#k{n}", f"text {n}", "text") for n in range(2)]
    with pytest.raises(UserError, match="row 1: expected a problem or a mapping of columns, got str"):
        list(documents.read("generate:lab_documents:texts"))


def test_texts_as_bytes_are_decoded_and_missing_texts_are_skipped(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({"text": ["été".encode(), b"\xff"]}), tmp_path / "r.parquet")
    (tmp_path / "r.jsonl").write_text('{"text": "one"}\n{"title": "no text"}\n{"text": NaN}\n')
    found, metrics = gathered(tmp_path / "out", f"parquet:{tmp_path}/r.parquet", f"jsonl:{tmp_path}/r.jsonl")
    assert [row["text"] for row in found] == ["été", "one"]
    assert [source["skipped"] for source in metrics["sources"]] == [{"no UTF-8": 1}, {"no text": 2}]


def test_a_problem_without_a_solution_is_a_document_with_its_answer(tmp_path: Path) -> None:
    rows = [{"question": "2 + 2?", "answer": "4", "worked": worked} for worked in ("It is 4.", None, " ", float("nan"))]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, metrics = gathered(tmp_path / "out", f"problems:jsonl:{tmp_path}/r.jsonl?solution=worked")
    assert [row["text"] for row in found] == ["2 + 2?\nIt is 4.", *["2 + 2?\n4"] * 3]
    assert metrics["sources"][0]["skipped"] == {}


def test_files_of_a_pattern_are_each_read_once(tmp_path: Path) -> None:
    for number in range(4):
        lines = (json.dumps({"text": f"text {number}/{row}"}) + "\n" for row in range(3))
        (tmp_path / f"{number}.jsonl").write_text("".join(lines) + "no json\n")
    found, metrics = gathered(tmp_path / "out", f"jsonl:{tmp_path}/*.jsonl")
    assert [row["text"] for row in found] == [f"text {number}/{row}" for number in range(4) for row in range(3)]
    assert metrics["documents"] == len({row["id"] for row in found}) == 12
    assert metrics["sources"][0]["skipped"] == {"no text": 4}
    # A killed stage reads only the files without counts.
    (tmp_path / "out" / "000-00002.json").unlink()
    for number in range(4):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps({"text": f"new {number}"}) + "\n")
    again, _ = gathered(tmp_path / "out", f"jsonl:{tmp_path}/*.jsonl")
    assert [row["text"] for row in again] == [*(row["text"] for row in found[:6]), "new 2", *(row["text"] for row in found[9:])]


def test_a_run_resumes_only_with_the_same_files(lab: Path) -> None:
    for name, lines in (
        ("part-0", ""),
        ("part-1", json.dumps({"text": "one"}) + "\n"),
        ("part[2]", json.dumps({"text": "two"})),
    ):
        (lab / f"{name}.jsonl").write_text(lines)
    stage = {"kind": "documents", "name": "gathered", "sources": ["jsonl:part-*.jsonl", "jsonl:part[2].jsonl"]}
    recipe = Recipe.model_validate({"name": "corpus", "policy": "micro:", "stages": [stage]})
    tenfold.run(recipe, "out", quiet=True)
    assert [row["text"] for row in shards.rows(shards.list_shards(lab / "out/gathered"))] == ["one", "two"]
    (lab / "out/gathered/stage.json").unlink()
    (lab / "part-2.jsonl").write_text(json.dumps({"text": "late"}))
    with pytest.raises(UserError, match=r"gathered was started with file jsonl:part-\*\.jsonl="):
        tenfold.run(recipe, "out", quiet=True)


def test_installed_python_files_are_a_source_of_documents() -> None:
    code = list(documents.read("python:code?of=stdlib&limit=5"))
    assert all(source.startswith("python:stdlib/") and domain == "code" for source, _, domain in code)
    assert code == list(documents.read("python:code?of=stdlib&limit=5")), "the sample is deterministic"
    assert next(documents.read("python:documentation?of=stdlib"))[0].startswith("python:topics/")
    few = list(documents.read("python:documentation?of=stdlib&characters=20000"))
    assert 0 < sum(len(text or "") for _, text, _ in few) <= 20000


def test_docstrings_of_packages_keep_their_indentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "m.py").write_text('def f():\n    """\n    Usage:\n        f()\n    """\n')
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"stdlib": str(tmp_path / "none"), "purelib": str(tmp_path)})
    found = list(documents.read("python:documentation?of=packages"))
    assert found == [("python:packages/m.py:doc", "f\n\nUsage:\n    f()", "text")]


def test_a_killed_stage_resumes_at_the_incomplete_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": f"{name}{n}"}) + "\n" for n in range(9)))
    sources = [f"jsonl:{tmp_path}/{name}.jsonl" for name in ("a", "b")]
    monkeypatch.setattr(shards, "SHARD_CHARACTERS", 6)
    whole, _ = gathered(tmp_path / "whole", *sources)
    real, written = shards.write, []

    def killed(*arguments: Any) -> None:
        written.append(real(*arguments))  # type: ignore[func-returns-value]
        if len(written) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(shards, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        gathered(tmp_path / "again", *sources)
    monkeypatch.setattr(shards, "write", real)
    again, _ = gathered(tmp_path / "again", *sources)
    assert again == whole


def test_a_kill_while_counts_are_written_leaves_no_incomplete_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')

    def killed(handle: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            gathered(tmp_path / "out", f"jsonl:{tmp_path}/a.jsonl")
    found, _ = gathered(tmp_path / "out", f"jsonl:{tmp_path}/a.jsonl")
    assert [row["text"] for row in found] == ["one"]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp:somewhere", "expected a URI that starts with text:, jsonl:"),
        ("jsonl:nowhere.jsonl", "there is no file nowhere.jsonl"),
        ("text:nowhere/*.txt", "no file matches this pattern"),
        ("parquet:nowhere/*.parquet", "no file matches this pattern"),
        ("jsonl:titles.jsonl", "row 1: no column 'text'; use one of title"),
        ("python:perl", "expected python:code or python:documentation"),
        ("python:code?size=3", "unknown option 'size'; use one of of, domain, limit, characters"),
        ("python:code?limit=many", "limit: expected an integer of at least 0, got 'many'"),
    ],
)
def test_an_invalid_source_raises_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("titles.jsonl").write_text('{"title": "one"}\n{"text": "two"}\n')
    stage = documents.Documents.model_validate({"kind": "documents", "name": "d", "sources": [uri]})
    with pytest.raises(UserError, match=message.replace("*", r"\*")):
        stage.check()
