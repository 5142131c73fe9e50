"""The index of the stored episodes: it grows with the files, and notices files that are written again."""

import json
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tenfold.pipelines.view import schema
from tenfold.pipelines.view.index import Index

from .small_runs import Answer, Run, Site, episode, lines, step_episode

AT = "/api/runs/r0/stages/filter"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "runs/small", {"filter": "filter", "grpo": "grpo"})
    run.begin("filter")
    run.begin("grpo")
    return run


def texts(site: Site, at: str = AT, **query: object) -> list[str]:
    """Returns the texts of all episodes, sorted."""
    return sorted(row["start"] for row in site.get(f"{at}/episodes", limit=1000, **query)["rows"])


def test_episodes_that_a_run_adds_are_found(run: Run, serve: Callable[..., Site]) -> None:
    run.store("filter", [episode(0, 0, "first")])
    site = serve(run.folder).indexed()
    assert texts(site) == ["first"]
    run.store("filter", [episode(0, 1, "second", 0.0)])
    site.until(lambda: texts(site) == ["first", "second"])
    assert site.get(f"{AT}/problems")["rows"][0]["mean"] == 0.5
    assert site.get(f"{AT}/groups")["rows"][0]["scores"] == [1.0, 0.0]


def test_a_line_counts_when_it_is_complete(run: Run, serve: Callable[..., Site]) -> None:
    path = run.store("filter", [episode(0, 0, "first")])
    line = json.dumps(episode(0, 1, "second")).encode() + b"\n"
    with path.open("ab") as file:
        file.write(line[:100])
    site = serve(run.folder).indexed()
    assert texts(site) == ["first"]
    with path.open("ab") as file:
        file.write(line[100:])
    site.until(lambda: texts(site) == ["first", "second"])


def test_a_repeated_episode_counts_once_the_later_one(run: Run, serve: Callable[..., Site]) -> None:
    run.episodes("grpo", [step_episode(1, 0, 0, "before"), step_episode(1, 0, 1, "kept")], "host-9.jsonl")
    site = serve(run.folder).indexed()
    run.episodes("grpo", [step_episode(1, 0, 0, "after", 0.0)], "host-1.jsonl")
    at = "/api/runs/r0/stages/grpo"
    site.until(lambda: texts(site, at) == ["after", "kept"])
    assert texts(site, at, text="before") == []
    assert site.get(f"{at}/groups", step=1)["rows"][0]["mean"] == 0.5


def shrink(path: Path) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))


def replace(path: Path) -> None:
    other = path.with_name("new")
    other.write_text(path.read_text().splitlines()[0] + "\n" + lines([episode(0, 0, "other")]))
    os.replace(other, path)


def rewrite_in_place(path: Path) -> None:
    """Writes a longer file with another start, as a resume does."""
    with path.open("r+") as file:
        first = file.readline()
        file.seek(0)
        file.write(first + lines([episode(0, 0, "other"), *(episode(7, n, "other") for n in range(20))]))


@pytest.mark.parametrize(
    ("change", "expected"), [(shrink, ["text 0"]), (replace, ["other"]), (rewrite_in_place, ["other"] * 21)]
)
def test_a_file_that_is_written_again_is_read_again(
    run: Run, serve: Callable[..., Site], change: Callable[[Path], None], expected: list[str]
) -> None:
    path = run.store("filter", [episode(0, sample, f"text {sample}") for sample in range(5)])
    site = serve(run.folder).indexed()
    assert len(texts(site)) == 5
    number = site.get(f"{AT}/episodes", sample=4)["rows"][0]["number"]
    change(path)
    site.until(lambda: texts(site) == expected)
    assert texts(site, text="text") == [text for text in expected if "text" in text]
    assert site.client.get(f"{AT}/episodes/{number}").status_code in (200, 404)  # never a fault


def test_a_file_that_is_removed_has_no_episodes(run: Run, serve: Callable[..., Site]) -> None:
    path = run.store("filter", [episode(0, 0, "first")])
    site = serve(run.folder).indexed()
    path.unlink()
    site.until(lambda: texts(site) == [])


def test_a_second_server_continues_the_index_and_a_damaged_one_is_made_again(run: Run, serve: Callable[..., Site]) -> None:
    run.store("filter", [episode(0, 0, "first")])
    serve(run.folder).indexed().close()
    index = schema.path_of((run.folder / "filter").resolve())
    run.store("filter", [episode(0, 1, "second")])
    site = serve(run.folder).indexed()
    site.until(lambda: texts(site) == ["first", "second"])
    site.close()
    schema.remove(index)
    index.write_bytes(b"not an index" * 1000)
    site = serve(run.folder).indexed()
    site.until(lambda: texts(site) == ["first", "second"])
    site.close()
    with sqlite3.connect(index) as db:
        db.execute("PRAGMA user_version = 99")
    site = serve(run.folder).indexed()
    site.until(lambda: texts(site) == ["first", "second"])


def test_an_index_that_is_removed_while_the_server_runs_is_made_again(run: Run, serve: Callable[..., Site]) -> None:
    run.store("filter", [episode(0, 0, "first")])
    site = serve(run.folder).indexed()
    schema.remove(schema.path_of((run.folder / "filter").resolve()))
    site.until(lambda: texts(site) == ["first"])
    run.store("filter", [episode(0, 1, "second")])
    site.until(lambda: texts(site) == ["first", "second"])


def test_two_servers_use_one_index(run: Run, serve: Callable[..., Site]) -> None:
    run.store("filter", [episode(0, 0, "first")])
    sites = [serve(run.folder).indexed(), serve(run.folder).indexed()]
    for number in range(1, 4):
        run.store("filter", [episode(0, number, f"text {number}")])
        for site in sites:
            site.until(lambda site=site, number=number: len(texts(site)) == number + 1)
    schema.remove(schema.path_of((run.folder / "filter").resolve()))
    run.store("filter", [episode(0, 4, "last")])
    for site in sites:
        site.until(lambda site=site: len(texts(site)) == 5)


def test_without_a_place_for_the_index_the_run_says_so(
    run: Run, serve: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.store("filter", [episode(0, 0, "first")])
    site = serve(run.folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "file"))
    assert site.get(f"{AT}/episodes")["rows"] == []
    site.until(lambda: "the index cannot be" in site.get("/api/runs/r0")["indexing_error"])
    assert "the index cannot be" in site.error(f"{AT}/episodes/1")[1]


def test_an_answer_says_that_not_all_episodes_are_indexed(
    run: Run, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.store("filter", [episode(0, 0, "first")])
    monkeypatch.setattr("tenfold.pipelines.view.server.WAIT", 0)
    extend, may_go_on = Index.extend, threading.Event()
    monkeypatch.setattr(Index, "extend", lambda self: may_go_on.wait() and extend(self))
    site = serve(run.folder)
    try:
        assert site.get(f"{AT}/episodes")["incomplete"]
    finally:
        may_go_on.set()
    site.until(lambda: "incomplete" not in site.get(f"{AT}/episodes"))
    assert texts(site) == ["first"]


def test_nothing_is_written_to_the_run(run: Run, serve: Callable[..., Site]) -> None:
    run.store("filter", [episode(0, 0, "first")])
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    site = serve(run.folder).indexed()
    for path in ("episodes", "groups", "problems", "histogram", "episodes/1"):
        site.get(f"{AT}/{path}")
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before


BROKEN: list[bytes] = [
    b"",
    b"not JSON",
    b'{"torn',
    b"[1, 2]",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"problem": 1}',
    json.dumps(episode(0, 1, "x") | {"problem": 10**30}).encode(),
    json.dumps(episode(0, 1, "x") | {"problem": True}).encode(),
    json.dumps(episode(0, 1, "x") | {"tokens": 1.5}).encode(),
    json.dumps(episode(0, 1, "x") | {"messages": {"role": "user"}}).encode(),
    json.dumps(episode(0, 1, "x") | {"messages": [1]}).encode(),
    json.dumps(episode(0, 1, "x") | {"verdict": []}).encode(),
    json.dumps(episode(0, 1, "x", float("nan"))).encode(),
    json.dumps(episode(0, 1, "x", float("inf"))).encode(),
]


def test_lines_of_another_form_are_left_out(run: Run, serve: Callable[..., Site]) -> None:
    path = run.store("filter", [episode(0, 0, "first")])
    with path.open("ab") as file:
        file.write(b"\n".join(BROKEN) + b"\n" + lines([episode(0, 2, "last")]).encode())
    site = serve(run.folder).indexed()
    assert texts(site) == ["first", "last"]
    assert site.get(f"{AT}/episodes")["broken"] == len(BROKEN) - 1  # an empty line is none


HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "'); DROP TABLE rows; --",
    "\x00\x01\x1b[31m",
    "\ud800 alone",
    "\u202e reversed \u2028 \u2029",
    "\U0001f600" * 300,
    "é" * 1000,
    '"' * 50,
    "𠀀𠀁",
]


def test_any_text_is_found_and_answered_as_text(run: Run, serve: Callable[..., Site]) -> None:
    rows = [episode(0, number, text) | {"problem_id": text, "finish_reason": text} for number, text in enumerate(HOSTILE)]
    run.episodes("grpo", rows)
    site = serve(run.folder).indexed()
    at = "/api/runs/r0/stages/grpo"
    listed = site.get(f"{at}/episodes")
    expected = [text.replace("\ud800", "\ufffd") for text in HOSTILE]
    assert [row["start"] for row in listed["rows"]] == [text[:200] for text in expected]
    for row, text in zip(listed["rows"], expected, strict=True):
        assert site.get(f"{at}/episodes/{row['number']}")["messages"][1]["content"] == text
        query = {"text": text, "finish": row["finish"]}
        assert site.client.get(f"{at}/episodes", params=query).status_code in (200, 400)


def test_many_hostile_episodes_are_listed_in_pages(run: Run, serve: Callable[..., Site]) -> None:
    rows = [step_episode(n % 7, n % 1000, n, HOSTILE[n % 10] + str(n), n % 3 / 2) for n in range(12_000)]
    run.episodes("grpo", rows)
    site = serve(run.folder).indexed()
    at = "/api/runs/r0/stages/grpo"
    whole = site.get(f"{at}/episodes", offset=11_990)
    assert (whole["total"], len(whole["rows"])) == (12_000, 10)
    many = site.get(f"{at}/episodes", min_score=0)
    assert (many["total"], many["total_at_least"]) == (10_000, True)
    assert site.get(f"{at}/episodes", step=6)["total"] == len(range(6, 12_000, 7))


def test_a_huge_row_is_answered_and_a_larger_one_is_left_out(
    run: Run, serve: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = "x" * 10_000_000 + " end"
    path = run.store("filter", [episode(0, 0, huge), episode(0, 1, "small")])
    site = serve(run.folder).indexed()
    (row,) = site.get(f"{AT}/episodes", text="end")["rows"]
    assert len(row["start"]) == 200
    assert site.get(f"{AT}/episodes/{row['number']}")["messages"][1]["content"] == huge
    site.close()
    schema.remove(schema.path_of((run.folder / "filter").resolve()))
    monkeypatch.setattr("tenfold.pipelines.view.stores.MAX_LINE", 1_000_000)
    site = serve(run.folder).indexed()
    assert texts(site) == ["small"]
    assert path.stat().st_size > 10_000_000


NAMES = [b"\xff\xfe.jsonl", b"'; DROP TABLE rows; --.jsonl", b"<script>.jsonl", "\u202ename.jsonl".encode(), b"a\nb.jsonl"]


def test_files_with_any_name_are_read_or_left_out(run: Run, serve: Callable[..., Site]) -> None:
    folder = run.folder / "grpo/episodes"
    folder.mkdir()
    for number, name in enumerate(NAMES):
        with open(os.fsencode(folder) + b"/" + name, "w") as file:
            file.write(lines([step_episode(1, 0, number, f"text {number}")]))
    (folder / "folder.jsonl").mkdir()
    os.mkfifo(folder / "pipe.jsonl")
    site = serve(run.folder).indexed()
    assert texts(site, "/api/runs/r0/stages/grpo") == [f"text {number}" for number in range(1, len(NAMES))]
    assert site.get("/api/runs/r0")["indexing_error"] == ""


def test_calls_of_tools_are_part_of_the_messages(run: Run, serve: Callable[..., Site]) -> None:
    row: Answer = episode(0, 0, "")
    call = {"type": "function", "function": {"name": "search", "arguments": {"query": "weather"}}}
    row["messages"] = [*row["messages"][:1], {"role": "assistant", "content": "", "tool_calls": [call]}]
    run.store("filter", [row])
    site = serve(run.folder).indexed()
    (found,) = site.get(f"{AT}/episodes", text="weather")["rows"]
    assert site.get(f"{AT}/episodes/{found['number']}")["messages"][1]["tool_calls"] == [call]
