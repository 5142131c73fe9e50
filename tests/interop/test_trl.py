"""TRL's door, called as TRL calls it. test_real_trl.py does the same through TRL itself."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import interop_environments as own
import pytest
from interop_pairs import CHOICE, CODE, MATH, NOTES, TOOL, Pair, pairs

import tenfold
from tenfold.core import Problem, Status, UserError, Verdict
from tenfold.envs.interop import trl
from tenfold.policies.checkpoints import checkpoint, stop_ids, tokenizer_of

PAIRS = pairs()


def of(id: str) -> list[Pair]:
    return [pair for pair in PAIRS if pair.id == id]


def messages(pair: Pair) -> list[dict[str, str]]:
    """Returns a response as TRL's completion: the policy's turns, with what a tool might have replied between them."""
    said: list[dict[str, str]] = []
    for turn in pair.turns:
        said += [{"role": "tool", "content": "?"}] if said else []
        said.append({"role": "assistant", "content": turn.text})
    return said


@pytest.fixture(scope="module")
def folder() -> Path:
    return checkpoint("micro:?hidden=64&layers=2")


@pytest.fixture(scope="module")
def sampled(folder: Path) -> Callable[[Pair], list[int]]:
    """Returns a function that gives a response as the tokens of a policy: with an end if the policy ended it."""
    tokenizer = tokenizer_of(folder)
    (end,) = stop_ids(folder, tokenizer)

    def tokens(pair: Pair) -> list[int]:
        said = [token for turn in pair.turns for token in tokenizer(turn.text, add_special_tokens=False)["input_ids"]]
        return said if pair.is_truncated else [*said, end]

    return tokens


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("id", own.IDS)
def test_every_completion_gets_the_score_of_the_suite(id: str, folder: Path, sampled: Callable[[Pair], list[int]]) -> None:
    expected = of(id)
    data = {row["problem"]: row for row in trl.dataset(id)}
    rows = [data[pair.problem] for pair in expected]
    rewards = trl.reward(id, model=folder)(
        prompts=[row["prompt"] for row in rows],
        completions=[messages(pair) for pair in expected],
        completion_ids=[sampled(pair) for pair in expected],
        problem=[row["problem"] for row in rows],
        problem_id=[row["problem_id"] for row in rows],
        trainer_state=[],
    )
    assert [*zip((pair.name for pair in expected), rewards, strict=True)] == [(pair.name, pair.score) for pair in expected]


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("id", own.IDS)
def test_texts_that_the_policy_ended_need_no_tokens(id: str) -> None:
    expected = [pair for pair in of(id) if not pair.is_truncated and len(pair.turns) == 1]
    reward = trl.reward(id)
    indices = [pair.problem for pair in expected]
    for completions in ([pair.turns[0].text for pair in expected], [messages(pair) for pair in expected]):
        assert reward([], completions, problem=indices) == [pair.score for pair in expected]


@pytest.mark.parametrize(
    ("turn", "score"),
    [
        ({"role": "assistant", "content": [{"type": "text", "text": "It is "}, {"type": "text", "text": "42."}]}, 1),
        ({"role": "assistant", "content": None}, 0),
        ({"role": "assistant"}, 0),
        ({"role": "user", "content": "It is 42."}, 0),
    ],
)
def test_a_message_may_have_parts_or_no_content(turn: trl.Turn, score: float) -> None:
    assert trl.reward(MATH)([], [[turn]], problem=[0]) == [score]


@pytest.mark.usefixtures("sandboxed")
def test_tool_calls_of_messages_are_turns() -> None:
    call: Any = {"type": "function", "function": {"name": "python", "arguments": {"code": "print(6)"}}}
    completion: list[trl.Turn] = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "6"},
        {"role": "assistant", "content": "It is 42."},
    ]
    assert trl.reward(TOOL)([], [completion], problem=[0]) == [1]
    assert trl.reward(TOOL)([], [completion[:1]], problem=[0]) == [0]


@pytest.mark.usefixtures("sandboxed")
def test_what_a_tool_replied_last_is_no_part_of_the_response(folder: Path) -> None:
    call = of(TOOL)[0].turns[0].text
    completion: list[trl.Turn] = [{"role": "assistant", "content": call}, {"role": "tool", "content": "\\boxed{42}"}]
    tokens = tokenizer_of(folder)(call + "\\boxed{42}", add_special_tokens=False)["input_ids"]
    assert trl.reward(TOOL, model=folder)([[]], [completion], [tokens], problem=[0]) == [0]
    answer: list[trl.Turn] = [{"role": "assistant", "content": "It is 0."}, completion[1]]
    assert trl.reward(MATH, model=folder)([[]], [answer], [tokens], problem=[0]) == [0]


class Broken(tenfold.TextEnv):
    """Cannot pose its second problem."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        if options and options["problem"] == 1:
            raise ConnectionError("the server of problems is down")
        return super().reset(seed=seed, options=options)


def test_a_problem_that_cannot_be_posed_is_left_out() -> None:
    import gymnasium

    gymnasium.registry.pop("conform/Broken-v0", None)
    rows = [{"question": "1+1", "answer": "2"}, {"question": "1+2", "answer": "3"}]
    tenfold.register("conform/Broken-v0", entry_point=Broken, problems=rows, verifier="math")
    rewards = trl.reward("conform/Broken-v0")([], ["2", "3", "4"], problem=[0, 1, 0], problem_id=["0", "1", "0"])
    assert rewards == [1, None, 0]


def test_reasoning_that_the_prompt_opened_is_no_answer(folder: Path, sampled: Callable[[Pair], list[int]]) -> None:
    reward = trl.reward(MATH, model=folder)
    draft = Pair(MATH, 0, "draft", (tenfold.Completion("It is \\boxed{42}", "length"),), 0)
    asked, opened = "What is 17 + 25?\n", "What is 17 + 25?\n<think>\n"
    found = [reward([prompt], [draft.turns[0].text], [sampled(draft)], problem=[0]) for prompt in (asked, opened)]
    assert found == [[1], [0]]


def test_a_data_set_has_the_prompts_of_the_environment() -> None:
    data = trl.dataset(MATH, 3)
    assert data.column_names == ["prompt", "problem", "problem_id"]
    assert data[2] == {"prompt": [{"role": "user", "content": "What is 120 + -45?"}], "problem": 2, "problem_id": "p2"}
    assert trl.dataset(MATH, [4, 1])["problem"] == [4, 1]
    assert len(trl.dataset(CHOICE)) == len(own.QUESTIONS)
    assert trl.dataset(MATH, 1, template="Sum: {prompt}")[0]["prompt"][0]["content"] == "Sum: What is 17 + 25?"
    assert trl.dataset(TOOL, 1)[0]["prompt"][0]["role"] == "system"


def test_mistakes_are_one_line() -> None:
    reward = trl.reward(MATH)
    with pytest.raises(UserError, match="has no column 'problem' with indices: make it with"):
        reward([], ["42"])
    with pytest.raises(UserError, match="is 'p1', but the data set has 'p2': give `dataset` and `reward`"):
        reward([], ["42", "42"], problem=[0, 1], problem_id=["p0", "p2"])
    with pytest.raises(UserError, match="there is no problem 99"):
        reward([], ["42"], problem=[99])
    with pytest.raises(UserError, match="there is no problem 99"):
        trl.dataset(MATH, [99])
    for call in (trl.reward, trl.dataset, trl.environment):
        with pytest.raises(UserError, match="no environment 'lab/None-v0'"):
            call("lab/None-v0")
    with pytest.raises(UserError, match="threads: expected a whole number of at least 1, got 0"):
        trl.reward(MATH, threads=0)


def test_the_share_without_a_reward_is_logged_under_the_name() -> None:
    logged: list[tuple[str, float]] = []
    reward = trl.reward(MATH, name="correct")
    completions = ["42", "42", "17", "4"]
    indices = [0, own.UNREADABLE, 1, own.UNREADABLE]
    assert reward([], completions, log_metric=lambda *metric: logged.append(metric), problem=indices) == [1, None, 1, None]
    assert (reward.__name__, logged) == ("correct", [("correct/without_reward", 0.5)])


class Comparing(tenfold.TextEnv):
    """The longest response of a group wins; a group whose responses are "down" cannot be judged."""

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        if "down" in responses:
            raise ConnectionError("the judge is down")
        longest = max(map(len, responses))
        return [Verdict(Status.SCORED, float(len(text) == longest), "longest", "") for text in responses]


@pytest.fixture
def comparing() -> str:
    import gymnasium

    id = "conform/Comparing-v0"
    gymnasium.registry.pop(id, None)
    answers = [{"question": "Say much.", "answer": "1"}, {"question": "Say more.", "answer": "2"}]
    tenfold.register(id, entry_point=Comparing, problems=answers, verifier=lambda problem, response: response != "")
    return id


def test_samples_that_are_compared_with_each_other_are_one_group(comparing: str) -> None:
    said = ["long", "short", "tiny but long", "longest of all"]
    assert trl.reward(comparing)([], said, problem=[0, 0, 1, 1]) == [0, 1, 0, 1]
    assert trl.reward(comparing)([], ["a", "bbb", "down", "c"], problem=[0, 0, 1, 1]) == [0, 1, None, None]


def fails_once(problem: Problem, response: str) -> float:
    """Judges a response, but fails in the first call with it."""
    if response not in CALLED:
        CALLED.add(response)
        raise ConnectionError("try again")
    return float(response == problem.answer)


CALLED: set[str] = set()


def test_a_fault_is_tried_again_and_then_left_out() -> None:
    assert trl.reward(MATH, verifier=fails_once)([], ["42", "wrong"], problem=[0, 0]) == [1, 0]
    always = trl.reward(NOTES)([], [own.BREAKS_JUDGE, "Short."], problem=[0, 0])
    assert always == [None, 1]


@pytest.mark.usefixtures("sandboxed")
@pytest.mark.parametrize("id", own.IDS)
def test_the_environment_of_the_factory_gives_the_same_rewards(id: str) -> None:
    played = trl.environment(id)()
    for pair in of(id):
        if pair.is_truncated:  # TRL passes no part of a tool call that was truncated
            continue
        played.reset(problem=pair.problem, problem_id=f"p{pair.problem}", prompt=[])
        replies = [played.respond(turn.text) for turn in pair.turns]
        assert played.get_reward() == pair.score, pair.name
        assert (replies[-1] == trl.NO_TURN_LEFT) == (pair.kind != "a call and no answer"), pair.name


@pytest.mark.usefixtures("sandboxed")
def test_the_environment_of_the_factory_replies() -> None:
    played = trl.environment(TOOL, max_turns=2)()
    assert played.get_reward() is None
    assert played.respond("42") == trl.NO_TURN_LEFT
    played.reset(problem=0)
    assert played.get_reward() == 0
    call = '<tool_call>\n{"name": "python", "arguments": {"code": "print(6 * 7)"}}\n</tool_call>'
    assert played.respond(call).strip() == "42"
    assert played.respond("It is 42.") == trl.NO_TURN_LEFT
    assert played.respond("It is 0.") == trl.NO_TURN_LEFT
    assert played.get_reward() == 1


def test_verdicts_do_not_wait_for_each_other() -> None:
    import threading

    both = threading.Barrier(2, timeout=60)

    def meets(problem: Problem, response: str) -> float:
        both.wait()
        return 1.0

    assert trl.reward(MATH, verifier=meets, threads=2)([], ["a", "b"], problem=[0, 1]) == [1, 1]


def test_a_reward_that_is_no_number_is_left_out() -> None:
    assert trl.reward(MATH, verifier=lambda problem, response: math.nan)([], ["42"], problem=[0]) == [None]


@pytest.mark.usefixtures("sandboxed")
def test_programs_are_judged_through_every_form() -> None:
    right, wrong = of(CODE)[0], of(CODE)[2]
    for form in (lambda pair: pair.turns[0].text, messages):
        assert trl.reward(CODE)([], [form(right), form(wrong)], problem=[0, 0]) == [1, 0]
