"""Rewards of several weighted parts."""

import pickle
from pathlib import Path

import pytest

import tenfold
from tenfold import Problem, Status, UserError, Verdict, cli
from tenfold.core import Message, Part
from tenfold.envs import identity
from tenfold.verifiers import load

SUM = Problem("sum", (Message(role="user", content="1 + 1?"),), "2", "")
PARTS = [
    {"name": "math", "weight": 1, "form": "any"},
    {"name": "format", "weight": 0.5, "tags": ["think", "answer"]},
    {"name": "length", "weight": 0.5, "free": 100, "limit": 200, "part": "short"},
]
RIGHT = "<think>1 + 1</think><answer>2</answer>"


def test_the_score_is_the_weighted_mean_of_the_parts() -> None:
    verifier = load(PARTS)
    assert verifier(SUM, RIGHT).score == 1
    assert verifier(SUM, "<answer>2</answer>").score == 0.75
    long = verifier(SUM, f"<think>{'1 + 1 = 2. ' * 9}</think><answer>3</answer>")
    assert long.score == pytest.approx(0.25 + 0.25 * (200 - 137) / 100, abs=0.02)
    assert [part.name for part in long.parts] == ["math", "format", "short"]
    assert [part.score for part in long.parts][:2] == [0, 1]
    assert "math 0" in long.reason
    assert "format 1" in long.reason


def test_the_verdict_holds_each_part_with_its_weight_and_reason() -> None:
    part = load(PARTS)(SUM, "<answer>2</answer>").parts[1]
    assert part == Part("format", 0.0, 0.5, "format", "<think> occurs 0 times, expected once")


@pytest.mark.parametrize(("status", "score"), [(Status.FAULT, None), (Status.UNDECIDED, None), (Status.TIMEOUT, 0.0)])
def test_a_part_without_a_score_leaves_the_verdict_without_one(status: Status, score: float | None) -> None:
    def judge(problem: Problem, response: str) -> Verdict:
        return Verdict(status, score, "lab", "why", ("I cannot tell",))

    verdict = load(["math", judge])(SUM, "2")
    assert verdict.score == (None if score is None else 0.5)
    assert verdict.status == (status if score is None else Status.SCORED)
    assert [part.score for part in verdict.parts] == [1, score]
    assert verdict.judge_messages == ("I cannot tell",)


def test_a_function_may_be_a_part() -> None:
    def polite(response: str) -> bool:
        return "please" in response

    verifier = load([{"name": "math", "weight": 3}, polite])
    assert verifier(SUM, "2").score == 0.75
    assert verifier.options == {"math": {"weight": 3, "form": "worked_out"}, "polite": {"weight": 1}}
    assert verifier.with_options(math={"weight": 1}).options["math"] == {"weight": 1, "form": "worked_out"}


def test_changed_options_of_a_function_change_the_identity() -> None:
    def near(gold: str, answer: str, tolerance: float = 0.0) -> bool:
        return abs(float(gold) - float(answer)) <= tolerance

    first, second = (identity.of_verifier([{"name": near, "tolerance": each}]) for each in (0.1, 0.2))
    assert first != second


@pytest.mark.usefixtures("lab")
def test_an_empty_list_of_parts_is_no_verifier() -> None:
    tenfold.register("lab/NoParts-v0", problems=[SUM], verifier=[])
    with pytest.raises(UserError, match="the list of parts is empty"):
        tenfold.make("lab/NoParts-v0")


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("<think>1 + 1</think>\n<answer>2</answer>\n", 1),
        ("<answer>2</answer><think>1 + 1</think>", 0),
        ("<think>1 + 1<answer>2</think></answer>", 0),
        ("<think><answer>2</answer></think>", 0),
        ("<think>1 + 1</think><answer>2</answer><answer>3</answer>", 0),
        ("<think>1 + 1</think> so <answer>2</answer>", 0),
    ],
)
def test_tags_follow_each_other(response: str, score: int) -> None:
    assert load("format")(SUM, response).score == score


def test_letters_of_japanese() -> None:
    assert load({"name": "language", "language": "ja"})(SUM, "コーヒーが好きです。人々").score == 1


def test_an_environment_with_a_weighted_reward_is_identified_by_all_parts() -> None:
    tenfold.register("lab/Weighted-v0", problems="reasoning_gym:chain_sum?size=4", verifier=PARTS)
    env = tenfold.make("lab/Weighted-v0")
    env.reset(seed=0)
    found = identity.of_environment("lab/Weighted-v0")
    assert found["verifier"] == "weighted"
    assert found["verifier math weight"] == "1.0"
    assert found["verifier short limit"] == "200"
    assert pickle.loads(pickle.dumps(load(PARTS)))(SUM, RIGHT).score == 1


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"name": "maths"}], "no verifier named 'maths'"),
        ([{"weight": 1}], "expected a list of {name: ..., weight: ...}"),
        ([{"name": "math", "weight": 0}], "the weight of 'math' must be a positive number"),
        ([{"name": "math", "weight": "much"}], "the weight of 'math' must be a positive number"),
        ([{"name": "math", "weight": float("nan")}], "the weight of 'math' must be a positive number"),
        (["math", "math"], "two parts are called 'math'; give one of them another name with part: NAME"),
        ([{"name": "math", "shape": "any"}], "the verifier has no option 'shape'"),
        ([{"name": "math", 1: "any"}], "the verifier has no option '1'"),
        ([], "the list of parts is empty"),
        ([{"name": "length", "free": 9000}], "the verifier length needs integers 0 <= free < limit, got free=9000, limit=8000"),
        ([{"name": "length", "free": "9"}], "the verifier length needs integers"),
        ([{"name": "format", "tags": 3}], "the verifier format needs tags that differ, as names without < and >"),
        ([{"name": "format", "tags": []}], "the verifier format needs tags that differ"),
        ([{"name": "format", "tags": ["answer", "answer"]}], "the verifier format needs tags that differ"),
        ([{"name": "format", "tags": ["<answer>"]}], "the verifier format needs tags that differ"),
        ([{"name": "language", "language": "de"}], "option language: expected one of ar"),
    ],
)
def test_a_malformed_declaration_is_one_line(parts: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(parts)


def test_a_store_keeps_the_parts(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "lab_parts.py").write_text(
        f"import tenfold\ntenfold.register('lab/Parts-v0', problems='reasoning_gym:chain_sum?size=2', verifier={PARTS!r})\n"
    )
    command = ["rollout", "lab_parts:lab/Parts-v0", "--policy", "scripted:<think>.</think><answer>7</answer>", "--samples", "1"]
    assert cli.main([*command, "--out", "e.jsonl"]) == 0
    first = (lab / "e.jsonl").read_text()
    assert first.count('"name": "format", "score": 1.0, "weight": 0.5') == 2
    assert cli.main([*command, "--out", "e.jsonl"]) == 0
    assert (lab / "e.jsonl").read_text() == first
