"""Answers about the episodes of a stage."""

import statistics
from collections.abc import Callable
from pathlib import Path

import pytest

from .small_runs import Run, Site, episode, step_episode

AT = "/api/runs/r0/stages/grpo"
TEXTS = ["2 + 2 = 4", "It is five", "Wait, \\boxed{4}", "共有17个"]
SCORES = [1.0, 0.0, 1.0, None]


@pytest.fixture
def site(tmp_path: Path, serve: Callable[..., Site]) -> Site:
    """A GRPO stage with three steps, two problems and four samples."""
    run = Run(tmp_path / "runs/small", {"grpo": "grpo"})
    run.begin("grpo", normalize_by_std=True)
    for step in (1, 2, 3):
        rows = [
            step_episode(step, problem, sample, f"{TEXTS[sample]} in step {step}", SCORES[sample] if problem else 1.0)
            for problem in (0, 1)
            for sample in range(4)
        ]
        rows[-1]["finish_reason"] = "length"
        run.episodes("grpo", rows)
    return serve(tmp_path / "runs").indexed()


def test_a_page_of_episodes_has_what_a_list_shows(site: Site) -> None:
    found = site.get(f"{AT}/episodes", limit=2)
    assert (found["total"], len(found["rows"])) == (24, 2)
    assert found["facets"] == {"status": {"scored": 21, "fault": 3}, "finish": {"stop": 21, "length": 3}}
    first = found["rows"][0]
    assert (first["step"], first["problem"], first["problem_id"], first["sample"]) == (1, 0, "sums/0", 0)
    assert (first["score"], first["status"], first["method"], first["turns"]) == (1.0, "scored", "exact", 1)
    assert (first["start"], first["prompt"]) == ("2 + 2 = 4 in step 1", "Problem 0: 2 + 2 = ?")


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"step": 2}, 8),
        ({"problem": 1}, 12),
        ({"sample": 3, "step": 1}, 2),
        ({"attempt": 0, "problem": 1}, 12),
        ({"attempt": 1}, 0),
        ({"status": "fault"}, 3),
        ({"finish": "length"}, 3),
        ({"finish": "unknown"}, 0),
        ({"min_score": 0.5}, 18),
        ({"max_score": 0.5}, 3),
        ({"min_tokens": 24}, 6),
        ({"max_tokens": 17}, 6),
        ({"text": "boxed", "problem": 1}, 3),
        ({"text": "BOXED wait"}, 6),
        ({"text": "wait five"}, 0),
        ({"text": '"is five"'}, 6),
        ({"text": '"five is"'}, 0),
        ({"text": "box"}, 6),
        ({"text": "有17"}, 6),
        ({"text": "七"}, 0),
        ({"text": "step 3", "step": 3}, 8),
        ({"text": 'AND OR NOT "" NEAR( ^x* five'}, 0),
    ],
)
def test_filters_select_episodes(site: Site, query: dict[str, object], count: int) -> None:
    found = site.get(f"{AT}/episodes", **query)
    assert (found["total"], len(found["rows"])) == (count, count)
    assert sum(found["facets"]["status"].values()) == count


@pytest.mark.parametrize("sort", ["score", "-score", "tokens", "-tokens", "step", "number"])
def test_pages_in_an_order_are_the_whole_in_that_order(site: Site, sort: str) -> None:
    name = sort.removeprefix("-")
    pages = [site.get(f"{AT}/episodes", sort=sort, offset=offset, limit=7)["rows"] for offset in range(0, 24, 7)]
    rows = [row for page in pages for row in page]
    assert len({row["number"] for row in rows}) == 24
    values = [row[name] for row in rows if row[name] is not None]
    assert values == sorted(values, reverse=sort.startswith("-"))


@pytest.mark.parametrize(
    "query",
    [
        {"step": "x"},
        {"limit": "-1"},
        {"limit": "5000"},
        {"min_score": "nan"},
        {"offset": "1e9"},
        {"sort": "1; DROP"},
        {"text": "!?"},
    ],
)
def test_an_invalid_parameter_is_an_error_in_one_line(site: Site, query: dict[str, object]) -> None:
    status, text = site.error(f"{AT}/episodes", **query)
    assert status == 400
    assert next(iter(query)) in text or "limit" in text
    assert "\n" not in text


def test_an_episode_has_its_messages_and_its_verdict(site: Site) -> None:
    (row,) = site.get(f"{AT}/episodes", text="boxed", step=2, problem=1)["rows"]
    found = site.get(f"{AT}/episodes/{row['number']}")
    assert row.items() <= found.items()
    assert [turn["role"] for turn in found["messages"]] == ["user", "assistant"]
    assert found["messages"][1]["content"] == "Wait, \\boxed{4} in step 2"
    assert (found["verdict"]["score"], found["gold"]) == (1.0, None)
    assert site.error(f"{AT}/episodes/999")[0] == 404
    assert site.error(f"{AT}/episodes/x")[0] == 400


def test_the_advantage_is_that_of_grpo_in_the_group(site: Site) -> None:
    rows = site.get(f"{AT}/episodes", step=1, problem=1)["rows"]
    scores = [score for score in SCORES if score is not None]
    mean, deviation = statistics.fmean(scores), statistics.stdev(scores)
    for row in rows:
        expected = None if row["score"] is None else pytest.approx((row["score"] - mean) / deviation, rel=1e-4)
        assert row["advantage"] == expected
    assert {row["advantage"] for row in site.get(f"{AT}/episodes", step=1, problem=0)["rows"]} == {0.0}


def test_groups_are_those_of_a_step_and_by_default_of_the_last(site: Site) -> None:
    last = site.get(f"{AT}/groups")
    assert (last["step"], last["steps"], last["total"]) == (3, [1, 2, 3], 2)
    assert site.get(f"{AT}/groups", step=1)["step"] == 1
    same, different = last["rows"]
    assert (same["scores"], same["mean"], same["zero_variance"]) == ([1.0] * 4, 1.0, True)
    assert (different["scores"], different["zero_variance"]) == (SCORES, False)
    assert different["finishes"] == ["stop", "stop", "stop", "length"]
    numbers = different["numbers"]
    assert [site.get(f"{AT}/episodes/{number}")["score"] for number in numbers] == SCORES
    assert [site.get(f"{AT}/episodes/{number}")["advantage"] for number in numbers] == different["advantages"]
    assert site.get(f"{AT}/groups", offset=1, limit=1)["rows"] == [different]


def test_problems_have_their_mean_in_each_step(site: Site) -> None:
    found = site.get(f"{AT}/problems", sort="rate")
    assert [row["problem"] for row in found["rows"]] == [1, 0]
    assert found["rows"][0]["mean"] == pytest.approx(2 / 3)
    assert found["rows"][0]["by_step"] == [[step, pytest.approx(2 / 3)] for step in (1, 2, 3)]
    assert site.get(f"{AT}/problems", min_rate=0.9, max_rate=1)["total"] == 1
    assert [row["problem"] for row in site.get(f"{AT}/problems", text="Problem 1")["rows"]] == [1]


def test_histograms_count_problems_and_episodes(site: Site) -> None:
    rates = site.get(f"{AT}/histogram", of="rate")
    assert (len(rates["edges"]), sum(rates["counts"]), rates["counts"][6], rates["counts"][9]) == (11, 2, 1, 1)
    assert sum(site.get(f"{AT}/histogram", of="rate", step=2)["counts"]) == 2
    scores = site.get(f"{AT}/histogram", of="score")
    assert (scores["counts"][0], scores["counts"][-1]) == (3, 18)
    tokens = site.get(f"{AT}/histogram", of="tokens", step=1)
    assert sum(tokens["counts"]) == 8
    assert tokens["edges"][0] <= 15 < tokens["edges"][-1]
    assert site.error(f"{AT}/histogram", of="reward")[0] == 400


def test_a_bar_has_the_problems_between_its_edges(tmp_path: Path, serve: Callable[..., Site]) -> None:
    """Also those whose mean is an edge, such as 3 of 10."""
    run = Run(tmp_path / "runs/small", {"filter": "filter"})
    run.begin("filter")
    run.store("filter", [episode(problem, k, "4", float(k < problem)) for problem in range(11) for k in range(10)])
    run.store("filter", [episode(20, k, "4", score) for k, score in enumerate((0.1, 0.2, 0.6))])
    site = serve(tmp_path / "runs").indexed()
    at = "/api/runs/r0/stages/filter"
    bars = site.get(f"{at}/histogram", of="rate")
    assert bars["counts"] == [1, 1, 1, 2, 1, 1, 1, 1, 1, 2]
    for low, high, count in zip(bars["edges"], bars["edges"][1:], bars["counts"], strict=False):
        most = high if high == 1 else high - 1e-6  # as the page asks
        assert site.get(f"{at}/problems", min_rate=low, max_rate=round(most, 6))["total"] == count
    assert site.get(f"{at}/problems", max_rate=0.3)["total"] == 5
    assert site.get(f"{at}/problems", text="PROBLEM 20")["total"] == 1


def test_a_filter_has_problems_with_the_unbiased_pass_rates_of_its_table(tmp_path: Path, serve: Callable[..., Site]) -> None:
    pandas = pytest.importorskip("pandas")
    run = Run(tmp_path / "runs/small", {"filter": "filter"})
    folder = run.begin("filter")
    run.store("filter", [episode(0, 0, "4"), episode(0, 1, "5", 0.0), episode(1, 0, "4")])
    pandas.DataFrame({"index": [0, 1], "pass_rate": [0.25, 1.0], "id": ["a", "b"]}).to_parquet(folder / "problems.parquet")
    site = serve(tmp_path / "runs").indexed()
    rows = site.get("/api/runs/r0/stages/filter/problems")["rows"]
    assert [(row["samples"], row["mean"], row["by_step"]) for row in rows] == [(2, 0.25, []), (1, 1.0, [])]
    listed = site.get("/api/runs/r0/stages/filter/episodes")["rows"]
    assert {(row["step"], row["advantage"]) for row in listed} == {(None, None)}
    assert site.get("/api/runs/r0/stages/filter/groups")["total"] == 2


def test_the_stores_of_a_stage_are_sources(tmp_path: Path, serve: Callable[..., Site]) -> None:
    run = Run(tmp_path / "runs/small", {"pairs": "sample_pairs"})
    run.begin("pairs")
    run.store("pairs", [episode(0, 0, "four")], "student.jsonl")
    run.store("pairs", [episode(0, 0, "4"), episode(0, 1, "4")], "teacher.jsonl")
    site = serve(tmp_path / "runs").indexed()
    found = site.get("/api/runs/r0/stages/pairs/episodes")
    assert (found["total"], found["sources"]) == (3, ["student", "teacher"])
    only = site.get("/api/runs/r0/stages/pairs/episodes", source="teacher")
    assert [row["source"] for row in only["rows"]] == ["teacher"] * 2
    assert site.get("/api/runs/r0/stages/pairs/groups")["total"] == 2
