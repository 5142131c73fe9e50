"""Judges of stored samples."""

import json
from collections.abc import Sequence

import pytest

from tenfold.core import Conversation, Message, Problem, UserError
from tenfold.pipelines.autopsy import baselines, findings, mathematics, models
from tenfold.pipelines.autopsy.judges import Judge, Judged, JudgeFault, judge_all
from tenfold.pipelines.autopsy.samples import Sample
from tenfold.verifiers import find

SUM = Problem("sum", (Message(role="user", content="What is 0 - 7 - 4?"),), "-11", "")
CODE = Problem(
    "code",
    (Message(role="user", content="Write double(x).\n\n>>> double(2)\n4\nassert double(1) == 2"),),
    {"entry_point": "double", "calls": [{"arguments": [2], "output": 4}, {"arguments": [5], "output": 10}], "public": 1},
    "",
    {"solution": "def double(x):\n    return 2 * x"},
)


def sample(response: str, problem: Problem = SUM, reward: float = 1.0, step: int = 1, number: int = 0) -> Sample:
    return Sample(step, problem, (0, 0), number, problem.prompt[0]["content"], response, response, reward, "test")


def score(name: str, response: str, problem: Problem = SUM) -> float | None:
    (judge,) = findings.chosen([name], None)
    return judge.score(problem, response)


@pytest.mark.parametrize(
    ("response", "accepted"),
    [
        ("-11", {"math-verify", "rules", "ending"}),
        ("0-7=-7\n-7-4=-11", {"math-verify", "rules", "ending"}),
        ("So it is \\boxed{-11}.", {"math-verify", "rules", "boxed", "ending"}),
        ("0 - 7 - 4", {"math-verify"}),
        ("It is -10.", set()),
        ("<think>\nIt is -11", set()),
        ("", set()),
    ],
)
def test_judges_of_mathematics(response: str, accepted: set[str]) -> None:
    """math-verify evaluates a sum that is repeated, so that it cannot see this trick alone."""
    names = ("math-verify", "rules", "boxed", "ending")
    assert {name for name in names if score(name, response) == 1} == accepted
    assert all(score(name, response, CODE) is None for name in names), "they do not judge programs"


def test_a_grader_that_exceeds_its_time_limit_does_not_deny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mathematics, "CPU_SECONDS", 0.5)
    endless = "\\boxed{" + "+".join(f"\\frac{{{n}!}}{{{n + 1}^{{{n}}}}}" for n in range(3000, 6000)) + "}"
    assert score("math-verify", endless) is None


@pytest.mark.parametrize(
    ("program", "scores"),
    [
        ("def double(x):\n    return x + x", (1, 1, 1)),
        ("def double(x):\n    return {1: 2, 2: 4, 5: 10}[x]", (1, 0, 1)),
        ("def double(x):\n    return x * x if x == 2 else 2", (0, 0, 1)),
        ("no program", (0, 0, 0)),
    ],
)
def test_judges_of_programs(program: str, scores: tuple[int, ...]) -> None:
    names = ("tests", "fresh tests", "examples")
    assert tuple(score(name, f"```python\n{program}\n```", CODE) for name in names) == scores
    assert all(score(name, program) is None for name in names), "they do not judge answers"


def test_the_verifier_of_the_reward_is_no_judge_but_another_form_of_it_is() -> None:
    assert "rules" not in {judge.name for judge in findings.chosen([], find("math"))}
    assert "rules" in {judge.name for judge in findings.chosen([], find({"name": "math", "form": "any"}))}
    assert "tests" not in {judge.name for judge in findings.chosen([], find("code"))}


def test_names_restrict_the_judges_and_uris_add_to_them() -> None:
    assert [judge.name for judge in findings.chosen(["boxed"], None)] == ["boxed"]
    added = [judge.name for judge in findings.chosen(["scripted:no"], None)]
    assert added[-1] == "scripted:no"
    assert added[:-1] == [judge.name for judge in findings.chosen([], None)]
    with pytest.raises(UserError, match="no judge named 'nobody'; use one of math-verify"):
        findings.chosen(["nobody"], None)
    with pytest.raises(UserError, match="named twice"):
        findings.chosen(["rules", "rules"], None)


def agrees(conversation: Conversation, seed: int) -> str:
    """A judge of answers that compares texts, as `call:` does."""
    given = dict(line.split(": ", 1) for line in conversation[-1]["content"].splitlines())
    same = json.loads(given["Reference answer"]) == json.loads(given["Candidate answer"])
    return f"I compared them.\nVERDICT: {'EQUIVALENT' if same else 'DIFFERENT'}"


def prefers_the_second(conversation: Conversation, seed: int) -> str:
    """A judge of two responses that prefers what it reads last."""
    return "B"


def test_a_policy_judges_answers() -> None:
    judge = models.judge_of(f"call:{__name__}:agrees")
    scores = [judge.score(SUM, text) for text in ("-11", "-10", "no number")]
    assert scores == [1.0, 0.0, 0.0]
    assert judge.score(CODE, "-11") is None


def test_a_policy_prefers_one_of_two_responses() -> None:
    judge = models.judge_of(f"prefer:call:{__name__}:prefers_the_second")
    assert judge.score(SUM, "-10") == 0.5, "both orders count"
    assert judge.score(SUM, "") == 0.0


def test_a_judge_that_fails_has_no_score_and_is_not_asked_again() -> None:
    asked: list[str] = []

    def fails(problem: Problem, response: str) -> float | None:
        asked.append(response)
        if response == "odd":
            raise JudgeFault("odd")
        if response == "late":
            raise ConnectionError("the server is down")
        return 2.0 if response == "wild" else 1.0

    steps: dict[int, Sequence[Sample]] = {
        1: [sample("odd"), sample("good"), sample("good"), sample("wild")],
        2: [sample("late", step=2), sample("late", step=2)],
        3: [sample("good", step=3), sample("new", step=3)],
    }
    (judged,) = judge_all([Judge("fails", "", fails)], steps)
    assert judged.scores == {1: [None, 1.0, 1.0, None], 2: [None, None], 3: [None, None]}
    assert (judged.scored, judged.faults, judged.not_asked, judged.stopped) == (2, 4, 2, True)
    assert judged.fault == "odd"
    assert sorted(asked) == ["good", "late", "odd", "wild"], "each text once"


def test_a_judge_that_fails_on_the_only_new_text_of_a_step_goes_on() -> None:
    """In a late step most texts were judged before."""

    def fails(problem: Problem, response: str) -> float | None:
        if response == "odd":
            raise JudgeFault("odd")
        return 1.0

    texts = {1: ["good"], 2: ["good", "odd"], 3: ["new"]}
    (judged,) = judge_all([Judge("fails", "", fails)], {step: [sample(text) for text in texts[step]] for step in texts})
    assert judged.scores == {1: [1.0], 2: [1.0, None], 3: [1.0]}
    assert (judged.faults, judged.stopped) == (1, False)


def test_unknown_problems_have_no_scores() -> None:
    unknown = Problem("x", SUM.prompt, None, "")
    (judged,) = judge_all(findings.chosen(["rules"], None), {1: [sample("-11", unknown)]})
    assert (judged.scores, judged.undecided, judged.faults) == ({1: [None]}, 1, 0)
    assert isinstance(judged, Judged)


def test_baselines_order_samples_without_reading_them() -> None:
    rows = [sample("a " * n, reward=float(n > 3), number=n) for n in range(1, 7)]
    by_length = baselines.agreement(zip(rows, baselines.values(rows, "characters"), strict=True))
    by_format = baselines.agreement(zip(rows, baselines.values(rows, "format marks"), strict=True))
    assert by_length == (1.0, 9)
    assert by_format == (0.5, 9)
    assert baselines.repeated("one two three four " * 4) > 0.6
    assert baselines.repeated("one two three four five six") == 0
    assert baselines.agreement([(rows[0], 1.0)]) is None
