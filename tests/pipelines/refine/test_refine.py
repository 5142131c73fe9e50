"""Refinement of solutions and reconstruction of reasoning, with scripted policies of known quality."""

import dataclasses
import json
import random
import re
import weakref
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import Completion, Conversation, Message, Problem, UserError
from tenfold.envs.problems import sources as problem_sources
from tenfold.pipelines.recipe import runner
from tenfold.pipelines.refine import chains, prompts
from tenfold.pipelines.refine.answer_cache import Answer, AnswerCache
from tenfold.pipelines.refine.refine import Candidate, Refine, Work
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.verifiers import math

CALLS: list[str] = []


def adds_numbers(conversation: Conversation, seed: int) -> str:
    """Adds two numbers. A third of the candidates and two thirds of the revisions are correct. Judges correctly."""
    CALLS.append(text := conversation[-1]["content"])
    one, other = (int(number) for number in re.search(r"(\d+) and (\d+)", text).groups())  # type: ignore[union-attr]
    chance = random.Random(seed).random()
    if text.startswith("What must"):
        return "Here it is:\n- Is the sum right?\n2. Is it the last thing said?\nThat is all."
    if text.startswith("Judge"):
        correct = f"makes {one + other}." in text
        return json.dumps(dict.fromkeys(prompts.CRITERIA, 8 if correct else 3) | {"holds": [correct, True]})
    if text.startswith("Say in a few"):
        return "The sum is wrong. Add again."
    if "Summarise" in text:
        return "Add the two."
    if "full reasoning" in text:
        mention = "The given solution says so. " if chance < 0.3 else ""
        return (
            f"{mention}I add {one} and {other}, step by step, which is {one} + {other} = {one + other}. It makes {one + other}."
        )
    correct = chance < (2 / 3 if "An earlier solution" in text else 1 / 3)
    return f"It makes {one + other if correct else one + other + 1}."


def write(lab: Path, **changes: Any) -> Path:
    rows = [{"id": f"sum {n}", "question": f"What do {n} and {n + 3} make?", "answer": str(2 * n + 3)} for n in range(40)]
    (lab / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {
        "kind": "refine",
        "name": "refine",
        "problems": "jsonl:sums.jsonl",
        "verifier": "math",
        "chain_writer": POLICY,
    } | changes
    (lab / "refine.yaml").write_text(
        json.dumps({"name": "refine", "seed": 3, "policy": POLICY, "modules": [__name__], "stages": [stage]})
    )
    return lab / "refine.yaml"


POLICY = f"call:{__name__}:adds_numbers"


def metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "refine" / "stage.json").read_text())["metrics"]


def test_revision_makes_more_solutions_correct_and_chains_end_in_their_answers(lab: Path) -> None:
    runner.run(write(lab), out="run", trust=True)
    found = metrics(lab / "run")
    assert 0.2 < found["candidates_correct"] < 0.5
    assert found["correct_before"] < 0.7 < 0.85 < found["correct_after"]
    assert set(found["rounds"]) == {"0", "1", "2"}
    assert found["chains_discarded"].keys() == {"mentions the given answer"}
    problems = problem_sources.load("jsonl:run/refine/problems.jsonl?solution=solution")
    assert len(problems) == found["kept"]
    for problem in problems:
        assert math.verify(problem, problem.meta["solution"]).score == 1
        assert math.verify(problem, problem.meta["thinking"]).score == 1
        assert "given" not in problem.meta["thinking"]
    rows = [json.loads(line) for line in Path("run/refine/refined.jsonl").read_text().splitlines()]
    assert rows[0]["checklist"] == ["Is the sum right?", "Is it the last thing said?"]


def test_without_a_verifier_the_judges_checklist_decides(lab: Path) -> None:
    runner.run(write(lab, verifier=None, keep="checklist"), out="run", trust=True)
    found = metrics(lab / "run")
    assert found["correct_after"] is None
    assert found["fulfilled_before"] < 0.7 < found["fulfilled_after"]
    assert summary(found) == f"{found['kept']} usable solutions of 40 problems"


def summary(found: dict[str, Any]) -> str:
    return Refine.model_validate({"kind": "refine", "name": "refine", "problems": "jsonl:sums.jsonl"}).summary(found)


def without_checklist(conversation: Conversation, seed: int) -> str:
    """Judges correctly, but writes no checklist."""
    text = conversation[-1]["content"]
    if text.startswith("Judge"):
        return json.dumps(dict.fromkeys(prompts.CRITERIA, 3) | {"holds": []})
    return "It must be correct." if text.startswith("What must") else adds_numbers(conversation, seed)


def lenient(conversation: Conversation, seed: int) -> str:
    """Finds that every solution fulfils every item."""
    scores = json.dumps(dict.fromkeys(prompts.CRITERIA, 9) | {"holds": [True, True]})
    return scores if conversation[-1]["content"].startswith("Judge") else adds_numbers(conversation, seed)


def without_scores(conversation: Conversation, seed: int) -> str:
    """Gives scores that cannot be read."""
    return "8 of 10" if conversation[-1]["content"].startswith("Judge") else adds_numbers(conversation, seed)


@pytest.mark.parametrize(
    ("judge", "items"),
    [
        ("adds_numbers", "It does not fulfil:\n- Is the sum right?\n"),
        ("without_checklist", ""),
        ("lenient", ""),
        ("without_scores", "It must fulfil:\n- Is the sum right?\n- Is it the last thing said?\n"),
    ],
)
def test_a_critique_calls_items_unfulfilled_only_if_the_judge_found_them_so(lab: Path, judge: str, items: str) -> None:
    CALLS.clear()
    runner.run(write(lab, judge=f"call:{__name__}:{judge}", chain_writer=None, max_rounds=1), out="run", trust=True)
    critiques = [text for text in CALLS if text.startswith("Say in a few")]
    incorrect = [text for text in critiques if text.endswith("An automatic check finds its result wrong.")]
    assert incorrect
    for text in incorrect:
        assert re.search(r"Solution:\nIt makes \d+\.\n\n(.*)An automatic check", text, re.DOTALL)[1] == items  # type: ignore[index]


def reasons(conversation: Conversation, seed: int) -> str:
    """Reasons about the request before each answer."""
    return f"<think>The given solution may be wrong.</think>\n\n{adds_numbers(conversation, seed)}"


def test_the_reasoning_of_the_policies_is_not_in_prompts_and_chains(lab: Path) -> None:
    CALLS.clear()
    uri = f"call:{__name__}:reasons"
    runner.run(write(lab, writers=[uri], judge=uri, chain_writer=uri, temperature=0.5), out="run", trust=True)
    assert not [text for text in CALLS if "think>" in text]
    assert metrics(lab / "run")["kept"] > 20
    assert "think>" not in Path("run/refine/problems.jsonl").read_text()


def test_without_a_chain_writer_a_solution_keeps_its_reasoning(lab: Path) -> None:
    runner.run(write(lab, writers=[f"call:{__name__}:reasons"], chain_writer=None), out="run", trust=True)
    assert problem_sources.load("jsonl:run/refine/problems.jsonl?solution=solution")[0].meta["solution"].startswith("<think>")


def test_a_complete_solution_is_better_than_a_truncated_one_that_the_judge_prefers() -> None:
    truncated, complete = (
        Candidate("It is", "writer", truncated, scores=prompts.Scores(dict.fromkeys(prompts.CRITERIA, score), []))
        for truncated, score in ((True, 9.0), (False, 8.0))
    )
    assert Work(PROBLEM, candidates=[truncated, complete]).best is complete


def test_a_template_without_the_problem_is_refused(lab: Path) -> None:
    with pytest.raises(UserError, match=r"does not contain \{prompt\}: add it"):
        runner.run(write(lab, template="Solve it."), out="run", trust=True)


def test_the_prompt_of_a_revision_has_all_turns_of_the_problem() -> None:
    system: Message = {"role": "system", "content": "Answer in French."}
    conversation = prompts.revision(
        dataclasses.replace(PROBLEM, prompt=(system, *PROBLEM.prompt)), "Deux.", "Wrong.", "Q: {prompt}"
    )
    assert conversation[0] == system
    assert [turn["role"] for turn in conversation] == ["system", "user"]
    assert conversation[1]["content"].startswith("Q: What is 48 / 2 + 3?\n\nAn earlier solution:\nDeux.\n")


def test_the_summary_has_shares_of_correct_solutions_if_there_are_verdicts(lab: Path) -> None:
    runner.run(write(lab, chain_writer=None), out="run", trust=True)
    found = metrics(lab / "run")
    counts = f"{found['kept']} usable solutions of 40 problems"
    assert re.fullmatch(rf"{counts}; correct \d+% before revision, \d+% after", summary(found))
    assert summary(found | {"correct_before": None}) == counts, "all first candidates may be truncated"


def test_a_killed_run_resumes_without_repeating_prompts_and_ends_equal(lab: Path) -> None:
    runner.run(write(lab), out="whole", trust=True)
    whole = (lab / "whole/refine/answers.jsonl").read_bytes()
    (lab / "killed/refine").mkdir(parents=True)
    for name in ("recipe.yaml", "refine/settings.json"):
        (lab / "killed" / name).write_bytes((lab / "whole" / name).read_bytes())
    (lab / "killed/refine/answers.jsonl").write_bytes(half := whole[: len(whole) // 2])
    CALLS.clear()
    runner.run(write(lab), out="killed", trust=True)
    assert len(CALLS) == whole.count(b"\n") - half.count(b"\n") > 100
    assert (lab / "killed/refine/problems.jsonl").read_bytes() == (lab / "whole/refine/problems.jsonl").read_bytes()


def test_a_fault_of_a_server_is_asked_again_before_later_steps_use_it(tmp_path: Path) -> None:
    class Faulty(ScriptedPolicy):
        def generate(self, conversations: Any, *arguments: Any, **options: Any) -> list[list[Completion]]:
            return [
                [Completion("", "fault") if turns[-1]["content"] == "2" else Completion("well", "stop")]
                for turns in conversations
            ]

    def ask(policy: ScriptedPolicy) -> AnswerCache:
        return AnswerCache(tmp_path / "answers.jsonl", {}, lambda uri: policy, 16, 0, lambda done: None)

    prompts = [(number, [Message(role="user", content=number)]) for number in ("1", "2", "3")]
    with pytest.raises(UserError, match="1 answers of model are faults of its server; run the same command again"):
        ask(Faulty(""))("model", prompts, 0.0)
    assert [answer.text for answer in ask(ScriptedPolicy("again"))("model", prompts, 0.0)] == ["well", "again", "well"]


def test_no_usable_solution_is_an_error_with_its_reason(lab: Path) -> None:
    with pytest.raises(UserError, match=r"none of 40 problems has a usable solution \(40 do not meet keep: not_incorrect"):
        runner.run(write(lab, writers=["scripted:It makes 1000."], reviser="scripted:It makes 1000."), out="run", trust=True)


PROBLEM = Problem("p", ({"role": "user", "content": "What is 48 / 2 + 3?"},), "27", "test")
SOUND = "Half of 48 is 24. Then 24 + 3 = 27, and 48/2 = 24 checks. So the answer is 27."


TRUE_STEPS = (
    *(
        "1,000 + 500 = 1,500",
        "1{,}000 + 1 = 1{,}001",
        "250 * 4 = 1,000",
        "1,5 + 2 = 3,5",
        "2/3 = 0.666...",
        r"2/3 = 0.666\ldots",
    ),
    *("2 × 3 + 4 = 10", r"2 \times 3 + 4 = 10", "2 x 3 + 4 = 10", "12 ÷ 8 = 1.5", "2 + 4 = 3 × 2", "5 + 1 = 10 − 4"),
    *("x + 3 + 4 = 10", "x+ 3 + 4 = 10", r"\frac{1}{2} + 3 + 4 = 7.5", "1 + 2 + ... + 9 + 10 = 55", "We have 10\n- 3 + 4 = 7"),
    *(r"1/4 = 25\%", "1/4 = 25 percent", "7 + 8 = 3 (mod 12)", r"7 + 8 = 3 \pmod{12}", "8/3 = 2 remainder 2", "11/4 = 2 3/4"),
)
FALSE_STEPS = (
    *("1,000 + 500 = 1,600", "250 * 4 = 2,000", "2 × 3 + 4 = 11", r"2 \times 3 + 4 = 11", "12 ÷ 8 = 2.5", "10 − 4 = 5"),
    *("- 3 + 4 = 8\n- The next step.", "1. 3 + 4 = 8", "y = 2 + 3 = 6", "$3 + 4 = 8$", "3 + 4 = 8 apples", "3 + 4\n= 8"),
)


@pytest.mark.parametrize(
    ("chain", "flaw"),
    [
        (SOUND, None),
        ("10/3 = 3.33, which is of no use. 48 / 2 + 3 = 27, so the answer is 27.", None),
        ("At first I think 26. No: 24 + 3 is 27. The answer is 27.", None),
        ("Half of 48 is 24, and with 3 more it is 28. The answer is 28.", "ends in another answer"),
        ("The answer is 27. But no, it must be something else: the answer is 25.", "ends in another answer"),
        ("Half of 48 is 24, and 24 + 3 = 28, no matter: the answer is 27.", "false arithmetic"),
        ("48/2 = 23, and something is added, so in the end the answer is 27.", "false arithmetic"),
        ("1/0 = 5 makes no sense at all, but still the answer is 27.", "false arithmetic"),
        ("The given solution says that 24 + 3 = 27, so the answer is 27.", "mentions the given answer"),
        ("As stated in the solution, we halve and add. The answer is 27.", "mentions the given answer"),
        ("According to the summary we halve and then add three: 27.", "mentions the given answer"),
        ("We already know that it is 27, so let us see why it is 27.", "mentions the given answer"),
        ("27.", "too short"),
        ("48/2=24\n24+3=27", None),
        *((f"The steps are these:\n{step}\nThe answer is 27.", None) for step in TRUE_STEPS),
        *((f"The steps are these:\n{step}\nThe answer is 27.", "false arithmetic") for step in FALSE_STEPS),
    ],
)
def test_a_chain_is_kept_only_if_it_derives_the_answer(chain: str, flaw: str | None) -> None:
    assert chains.flaw(Answer(chain, truncated=False), PROBLEM, "It is 27.", math.verify) == flaw


def test_a_truncated_chain_is_discarded() -> None:
    assert chains.flaw(Answer(SOUND, truncated=True), PROBLEM, "It is 27.", math.verify) == "truncated"


def test_without_a_verifier_a_chain_must_have_the_solutions_answer() -> None:
    assert chains.flaw(Answer(SOUND, truncated=False), PROBLEM, "Halve, add.\nThe answer is 27.", None) is None
    assert chains.flaw(Answer(SOUND, truncated=False), PROBLEM, "The answer is 28.", None) == "ends in another answer"


def test_scores_are_read_only_from_an_object_of_the_expected_form() -> None:
    items = ["a", "b"]
    whole = json.dumps(dict.fromkeys(prompts.CRITERIA, 7) | {"holds": [True, False]})
    read = prompts.read_scores(f"<think>{{}}</think> I find:\n```json\n{whole}\n```", items)
    assert read is not None
    assert (read.mean, read.holds) == (7, [True, False])
    for bad in ("", "8 out of 10", whole.replace("7", "70"), whole.replace("[true, false]", "[true]"), "{" * 500):
        assert prompts.read_scores(bad, items) is None


def test_reconstructed_chains_become_training_examples(lab: Path) -> None:
    runner.run(write(lab), out="run", trust=True)
    uri = f"jsonl:{lab}/run/refine/problems.jsonl%3Fsolution=solution"
    examples = problem_sources.load(f"generate:tenfold.pipelines.refine.chains:chain_examples?problems={uri}")
    by_kind = {kind: [p for p in examples if p.id.endswith(kind)] for kind in ("/chain", "/summary")}
    assert len(by_kind["/chain"]) == len(by_kind["/summary"]) == metrics(lab / "run")["kept"]
    assert by_kind["/chain"][0].answer.startswith("I add")
    assert "full reasoning" in by_kind["/chain"][0].prompt[-1]["content"]


def test_problems_without_solution_or_thinking_are_no_examples_of_chains(tmp_path: Path) -> None:
    whole = {"id": "whole", "question": "2 + 2?", "answer": "4", "worked": "It is 4.", "reasons": "Two twice."}
    rows = [whole] + [whole | {name: missing} for name in ("worked", "reasons") for missing in (None, " ", float("nan"))]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    uri = f"jsonl:{tmp_path}/r.jsonl%3Fsolution=worked%26thinking=reasons"
    examples = problem_sources.load(f"generate:tenfold.pipelines.refine.chains:chain_examples?problems={uri}")
    assert [(example.id, example.answer) for example in examples] == [("whole/chain", "Two twice.")]


@pytest.mark.parametrize(("together", "maximum"), [(True, 2), (False, 1)])
def test_policies_are_in_memory_together_or_one_at_a_time(tmp_path: Path, together: bool, maximum: int) -> None:
    alive: weakref.WeakSet[ScriptedPolicy] = weakref.WeakSet()
    seen = []

    def load(uri: str) -> ScriptedPolicy:
        alive.add(policy := ScriptedPolicy(lambda conversation, seed: seen.append(len(alive)) or uri))
        return policy

    ask = AnswerCache(tmp_path / "answers.jsonl", {}, load, 8, 0, lambda done: None, together)
    for number, uri in enumerate(("judge", "writer", "judge")):
        assert ask(uri, [(str(number), [{"role": "user", "content": "?"}])], 0.0) == [Answer(uri, False)]
    assert max(seen) == maximum
