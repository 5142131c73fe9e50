"""`tenfold bench compare` with several folders."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from scipy import stats

from tenfold import cli
from tenfold.benchmarks.stats.scores import mcnemar

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>"
PLAYERS = """
def player(solved):
    def answer(conversation, seed):
        number = int(conversation[-1]["content"].split()[1])
        return "\\\\boxed{%d} HOSTILE" % (number if number in solved else 999)
    return answer
even, low, none = player(range(0, 30, 2)), player(range(15)), player(())
""".replace("HOSTILE", HOSTILE)


def run(*arguments: str) -> int:
    return cli.main(["bench", *arguments])


@pytest.fixture
def folders(lab: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Results of two policies, in bench/even and bench/low: one solves the even problems, the other problems 0 to 14."""
    rows = [{"id": f"p{number}", "question": f"Number {number} {HOSTILE}?", "answer": number} for number in range(30)]
    (lab / "numbers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (lab / "lab_players.py").write_text(PLAYERS)
    (lab / "numbers.yaml").write_text("problems: 'jsonl:numbers.jsonl'\nsamples: 2\nmax_tokens: 64\n")
    for name in ("even", "low"):
        measure(name, f"bench/{name}")
    capsys.readouterr()
    return lab


def measure(player: str, out: str, *options: str) -> None:
    command = ["--task", "numbers.yaml", "--policy", f"call:lab_players:{player}", "--out", out]
    assert run(*command, *options) == 0


def test_each_result_has_its_score_and_its_difference_from_the_first(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    measure("none", "bench/none")
    capsys.readouterr()
    assert run("compare", "bench/even", "bench/low", "bench/none") == 0
    printed = capsys.readouterr().out
    assert re.search(r"even +│ +50\.0 \[", printed)
    assert re.search(r"low - even +│ +\+0\.0 \[-\d+\.\d, \+\d+\.\d\] │ +30 │", printed)
    assert re.search(r"none - even +│ +-50\.0 \[-\d+\.\d, -\d+\.\d\] │ +30 │", printed)
    assert "low - even: paired interval over problems; 30 shared problems" in printed
    assert "McNemar" not in printed  # two samples per problem
    assert "caution" not in printed
    assert "solved by most samples of low, not of even: 7: p1, p3, p5, p7, p9, p11, p13" in printed
    assert "solved by most samples of even, not of none: 15: p0, p2, p4, p6, p8, p10, p12, p14, p16, p18, ..." in printed
    assert "page: compare.html" in printed


def test_one_sample_per_problem_gives_mcnemars_test(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("even", "none"):
        measure(name, f"greedy/{name}", "--greedy")
    capsys.readouterr()
    assert run("compare", "greedy") == 0
    assert "none - even: paired interval over problems; McNemar's exact test p = 6.1e-05" in capsys.readouterr().out


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 0), (3, 9), (12, 11)])
def test_mcnemars_p_value_is_that_of_the_binomial_test(gained: int, lost: int) -> None:
    pairs = [(0.0, 1.0)] * gained + [(1.0, 0.0)] * lost + [(1.0, 1.0)] * 5
    first, second = ({str(number): [pair[side]] for number, pair in enumerate(pairs)} for side in (0, 1))
    expected = stats.binomtest(lost, gained + lost).pvalue if gained + lost else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)
    assert mcnemar({"0": [0.5]}, {"0": [1.0]}) is None
    assert mcnemar({"0": [1.0, 0.0]}, {"0": [1.0, 1.0]}) is None
    assert mcnemar({"0": [None]}, {"0": [1.0]}) is None


def test_results_with_other_settings_are_shown_with_a_caution(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = (folders / "numbers.yaml").read_text()
    measure("even", "other/hot", "--temperature", "1", "--max-tokens", "32")
    measure("even", "other/seed", "--seed", "5")
    (folders / "numbers.jsonl").write_text("".join((folders / "numbers.jsonl").read_text().splitlines(True)[:20]))
    measure("even", "other/few")
    (folders / "numbers.yaml").write_text(task + "verifier: science\ntemplate: '{prompt} Think.'\n")
    measure("even", "other/verifier")
    capsys.readouterr()
    assert run("compare", "bench/even", "other") == 0
    printed = capsys.readouterr().out
    assert "hot - even: caution: not comparable: temperature 0.6 and 1.0, max_tokens 64 and 32\n" in printed
    assert "seed - even: caution: settings differ: seed 0 and 5\n" in printed
    assert "few - even: caution: not comparable: problems (20 of 30 and 20 are the same)\n" in printed
    assert "are the same), prompt template, verifier math and science\n" in printed
    assert "few - even: paired interval over problems; 20 shared problems" in printed


def test_the_stages_of_a_run_are_compared_in_the_order_of_its_recipe(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for run_name in ("x", "y"):
        measure("none", f"runs/{run_name}/before")
        measure("low", f"runs/{run_name}/after")
        (folders / "runs" / run_name / "recipe.yaml").write_text("stages: [{name: before}, {name: grpo}, {name: after}]\n")
    capsys.readouterr()
    assert run("compare", "runs/x") == 0
    assert re.search(r"after - before +│ +\+50\.0 \[", capsys.readouterr().out)
    assert run("compare", "stage:runs/x/after", "runs/y/after") == 0
    assert re.search(r"y/after - x/after +│ +\+0\.0 \[", capsys.readouterr().out)


def test_a_repeated_folder_has_a_number(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", "bench/even", "bench/low", "bench/low", "bench/low") == 0
    names = re.findall(r"^│ (\S.* - even) ", capsys.readouterr().out, re.MULTILINE)
    assert names == ["low - even", "low (2) - even", "low (3) - even"]


@pytest.mark.parametrize(
    "name", ["problem", "gold", "prompt", "meta", "samples", "role", "content", "score", "status", "method", "reason"]
)
def test_a_row_of_verdicts_without_a_field_is_an_error(folders: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    path = folders / "bench/low/numbers_avg2.scores.jsonl"
    first, *others = path.read_text().splitlines(keepends=True)
    row = json.loads(first)
    next(part for part in (row, row["prompt"][0], row["samples"][1]) if name in part).pop(name)
    path.write_text("".join([json.dumps(row) + "\n", *others]))
    assert run("compare", "bench/even", "bench/low") == 2
    printed = capsys.readouterr().err
    assert f"bench/low/numbers_avg2.scores.jsonl has an unexpected form (KeyError: '{name}')" in printed
    assert printed.count("\n") == 1


def test_folders_without_a_shared_task_give_one_error(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("chain_sum", "--policy", "scripted:7", "--limit", "3", "--samples", "2", "--out", "sums") == 0
    capsys.readouterr()
    assert run("compare", "bench/even", "sums") == 2
    message = capsys.readouterr().err
    assert message.startswith("error: even, sums: there is no task with two problems in common; name folders with")
    assert message.count("\n") == 1
    assert run("compare", "bench/even", "nowhere") == 2
    assert "nowhere contains no result" in capsys.readouterr().err
    (folders / "bench/low/numbers_avg2.scores.jsonl").write_text('{"a"')
    assert run("compare", "bench/even", "bench/low") == 2
    assert "bench/low/numbers_avg2.scores.jsonl is truncated" in capsys.readouterr().err
    (folders / "bench/low/numbers_avg2.scores.jsonl").unlink()
    assert run("compare", "bench/even", "bench/low") == 2
    assert "there is no bench/low/numbers_avg2.scores.jsonl: `tenfold bench rescore bench/low`" in capsys.readouterr().err
    assert run("rescore", "bench/low") == run("compare", "bench/even", "bench/low") == 0


class Page(HTMLParser):
    """The tags, the links and the text of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags, self.links, self.content = set[str](), list[str](), ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.content += data


def test_the_page_shows_all_flipped_problems_and_runs_no_script(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", "bench/even", "bench/low", "--out", "pages/pair.html") == 0
    assert "page: pages/pair.html" in capsys.readouterr().out
    page = Page(folders / "pages/pair.html")
    assert not page.tags & {"script", "img"}
    assert "default-src 'none'" in (folders / "pages/pair.html").read_text()
    assert page.content.count(f"user: Number 1 {HOSTILE}?") == 1
    assert len(re.findall("gold answer", page.content)) == 7 + 7
    assert "999 against 1" in page.content
    assert {"../bench/even/index.html", "../bench/low/index.html#numbers_avg2/1/0"} <= {*page.links}
    assert all((folders / "pages" / link.partition("#")[0]).is_file() for link in page.links)


def test_a_page_replaces_an_earlier_one_of_its_kind_and_no_other_file(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compare, leaderboard = ("compare", "bench/even", "bench/low", "--out"), ("leaderboard", "bench", "--out")
    for _ in range(2):
        assert run(*compare, "pair.html") == run(*leaderboard, "board.html") == 0
    (folders / "notes.html").write_text("<title>Comparison of my notes</title>")
    before = {path: path.read_bytes() for path in folders.glob("*.html")}
    capsys.readouterr()
    for command, out in ((compare, "notes.html"), (compare, "board.html"), (compare, "bench"), (leaderboard, "pair.html")):
        assert run(*command, out) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        kind = "Comparison of" if command == compare else "Leaderboard"
        words = f"exists and is not a page with a title '{kind}', so it is not replaced; choose another file with --out"
        assert printed.err == f"error: {out} {words}\n"
    assert before == {path: path.read_bytes() for path in folders.glob("*.html")}
