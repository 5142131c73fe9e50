"""Problems from solutions alone: the `synthesize` stage with policies that write example inputs and statements."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import cli
from tenfold.core import Completion, Conversation, UserError
from tenfold.envs.problems import sources
from tenfold.pipelines.stage import OtherPolicy
from tenfold.pipelines.synthesize.synthesize import Synthesize
from tenfold.policies.scripted import ScriptedPolicy

pytestmark = pytest.mark.usefixtures("sandboxed")

CLIP = "def clip(number: int, top: int) -> int:\n    return min(max(number, -top), top)"
THIRD = "def third(text):\n    return text.split('-')[2].upper()"
NOW = "import time\n\ndef now() -> float:\n    return time.time()"
ROWS = [
    {"id": "clip", "solution": CLIP, "entry_point": "clip", "prompt": ""},
    {"id": "third", "solution": THIRD, "entry_point": "third"},
    {"id": "now", "solution": NOW, "entry_point": "now"},
]
STATEMENTS = {
    "clip": "Write clip(number, top). It returns the number, but at most top, and at least -top.",
    "third": "Write third(text). It returns the third of the parts between hyphens, in capital letters.",
}
CALLS: list[tuple[str, str]] = []
"""What was asked for which function."""


def writes(conversation: Conversation, seed: int) -> str:
    """Writes example inputs and statements. Its first statement about `third` lacks the name of the parameter."""
    text = conversation[-1]["content"]
    (name,) = re.search(r"def (\w+)\(", text).groups()  # type: ignore[union-attr]
    what = "statement" if "Write the statement" in text else "examples"
    CALLS.append((what, name))
    if what == "examples":
        return {"clip": "clip(3, 40)\nclip(-50, 7)", "third": "third('a-b-c')\nthird('2024-01-xy')"}.get(name, "None.")
    assert f"assert {name}(" in text, "the public tests are shown"
    first = CALLS.count((what, name)) == 1
    return STATEMENTS[name].replace("(text)", "") if name == "third" and first else STATEMENTS[name]


WRITER = f"call:{__name__}:writes"


def solves(conversation: Conversation, seed: int) -> str:
    """Solves `clip` half of the time, and always the other problem."""
    return THIRD if "third" in conversation[-1]["content"] else CLIP if seed % 2 else CLIP.replace("-top", "0")


def stage(**changes: Any) -> dict[str, Any]:
    settings = {"kind": "synthesize", "name": "made", "problems": "jsonl:functions.jsonl", "inputs_per_round": 12}
    return settings | {"example_writer": WRITER, "statement_writer": WRITER} | changes


def run(lab: Path, *stages: dict[str, Any], out: str = "run", rows: list[dict[str, str]] = ROWS) -> dict[str, Any]:
    """Runs stages, and returns the metrics of the first."""
    CALLS.clear()
    (lab / "functions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {"name": "r", "policy": f"call:{__name__}:solves", "modules": [__name__], "stages": list(stages)}
    (lab / "r.yaml").write_text(json.dumps(recipe))
    tenfold.run("r.yaml", out, quiet=True, trust=True)
    metrics: dict[str, Any] = json.loads((lab / out / stages[0]["name"] / "stage.json").read_text())["metrics"]
    return metrics


def lines(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def test_functions_become_problems_that_a_filter_can_sample(lab: Path) -> None:
    problems = "jsonl:{stage:made}/problems.jsonl"
    environment = {"environment": "tenfold/MBPP-v0", "options": {"problems": problems}}
    found = run(lab, stage(), {"kind": "filter", "name": "filter", "samples": 16, **environment})
    assert (found["problems"], found["with_examples"], found["with_tests"], found["with_statement"]) == (3, 2, 2, 2)
    assert found["statements_refused"] == {"does not name each parameter": 1}
    assert found["left_out"] == {"no tests: no input of the function has a stable output": 1}
    assert found["mean_mutation_score"] > 0.7
    said = Synthesize.model_validate(stage()).summary(found)
    assert re.match(
        r"tests for 2 of 3 problems, statements for 2; mean mutation score (0\.\d+|1\.000); left out: 1 no tests: ", said
    )
    assert lines("run/made/statements.jsonl") == [
        {"id": "clip", "statement": STATEMENTS["clip"], "refused": []},
        {"id": "third", "statement": STATEMENTS["third"], "refused": ["does not name each parameter"]},
    ]

    env = tenfold.make("tenfold/MBPP-v0", problems="jsonl:run/made/problems.jsonl")
    for index, solution in enumerate((CLIP, THIRD)):
        prompt, _ = env.reset(options={"problem": index})
        name = ROWS[index]["id"]
        assert prompt.startswith(f"{STATEMENTS[name]}\n\nThe function has this signature:\n\n```python\ndef {name}(")
        assert f"assert {name}(" in prompt
        assert prompt.endswith("Answer with the whole program in one ```python block.")
        assert env.step(solution)[1] == 1
        env.reset(options={"problem": index})
        assert env.step(f"def {name}(*given):\n    return None")[1] == 0

    filtered = json.loads(Path("run/filter/stage.json").read_text())["metrics"]
    assert (filtered["problems"], filtered["kept"]) == (2, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        ("A function.", "too short"),
        (f"{STATEMENTS['clip']}\n\n```python\n{CLIP}\n```", "contains a program"),
        (f"{STATEMENTS['clip']} That is min(max(number, -top), top).", "contains a line of the solution"),
        (" ".join([STATEMENTS["clip"]] * 3), "truncated"),
    ],
)
def test_a_problem_without_a_valid_statement_is_left_out(lab: Path, text: str, why: str) -> None:
    changes = {"example_writer": None, "max_attempts": 2, "max_tokens": 40}
    with pytest.raises(
        UserError, match=rf"made: none of 1 problems is left \(1 no statement: {why}\); see tests.jsonl and statements.jsonl"
    ):
        run(lab, stage(statement_writer=f"scripted:{text}", **changes), rows=ROWS[:1])
    assert lines("run/made/statements.jsonl") == [{"id": "clip", "left_out": why, "refused": [why, why]}]
    assert not Path("run/made/problems.jsonl").exists()


class Faulty(ScriptedPolicy):
    """A server that fails for prompts that `fails` accepts."""

    def __init__(self, fails: Callable[[str], bool]):
        super().__init__(writes)
        self.fails = fails

    def generate(self, conversations: Sequence[Conversation], *arguments: Any, **options: Any) -> list[list[Completion]]:
        rows = super().generate(conversations, *arguments, **options)
        return [
            [Completion("", "fault", error="no choices")] if self.fails(turns[-1]["content"]) else row
            for turns, row in zip(conversations, rows, strict=True)
        ]


@pytest.mark.parametrize(
    ("fails", "written"),
    [
        (lambda text: "def third" in text and "Write the statement" in text, ["clip"]),
        (lambda text: "def third" in text and "Write the statement" not in text, None),
    ],
)
def test_a_fault_of_a_server_is_no_reason_against_a_problem(
    lab: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[[str], bool], written: list[str] | None
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("tenfold.pipelines.launch.engines.load_policy", lambda uri, **_: Faulty(fails))
        with pytest.raises(UserError, match=r"3 answers of .* are faults of its server; run the same command again"):
            run(lab, stage(), rows=ROWS[:2])
    statements = Path("run/made/statements.jsonl")
    assert ([row["id"] for row in lines(str(statements))] if statements.exists() else None) == written
    assert not Path("run/made/problems.jsonl").exists()
    found = run(lab, stage(), rows=ROWS[:2])
    assert (found["with_examples"], found["with_statement"]) == (2, 2)
    assert {name for _, name in CALLS} == ({"third"} if written else {"clip", "third"})


RUBBISH = (
    "I cannot.",
    "clip(__import__('os').system('touch hit'), 1)",
    "clip(open('hit', 'w'), 1)",
    "[__import__('os').system('touch hit'), 1]",
    f"clip({'[' * 150}{']' * 150}, 1)",
    f"clip({'9' * 1_900}, 'x')",
    "clip('a', None)\nclip(1, 2, 3)\nclip(1e999, 1)",
    "clip(" * 300,
    "clip(10 ** 10 ** 10, 1)",
)


def test_rubbish_as_example_inputs_is_not_used_and_not_evaluated(lab: Path) -> None:
    rows = [{**ROWS[0], "id": f"clip {number}"} for number in range(len(RUBBISH))]
    found = run(lab, stage(example_writer=f"call:{__name__}:rubbish"), rows=rows)
    assert (found["with_tests"], found["with_examples"]) == (len(rows), 0)
    assert not Path("hit").exists()
    tests = [call for row in lines("run/made/problems.jsonl") for call in row["answer"]["calls"]]
    assert {type(argument) for call in tests for argument in call["arguments"]} == {int}


def rubbish(conversation: Conversation, seed: int) -> str:
    """Answers each prompt with other rubbish."""
    CALLS.append(("rubbish", ""))
    return RUBBISH[len(CALLS) % len(RUBBISH)]


def test_a_killed_run_asks_only_for_missing_answers_and_ends_equal(lab: Path) -> None:
    run(lab, stage(), out="whole")
    asked = Counter(CALLS)
    assert asked == {
        ("examples", "clip"): 1,
        ("examples", "third"): 1,
        ("examples", "now"): 3,
        ("statement", "clip"): 1,
        ("statement", "third"): 2,
    }
    files = {name: (lab / "whole/made" / name).read_bytes() for name in ("answers.jsonl", "tests.jsonl")}
    (lab / "killed/made").mkdir(parents=True)
    for name in ("recipe.yaml", "made/settings.json"):
        (lab / "killed" / name).write_bytes((lab / "whole" / name).read_bytes())
    answers = files["answers.jsonl"].splitlines(keepends=True)
    (lab / "killed/made/answers.jsonl").write_bytes(b"".join(answers[:-2]))
    (lab / "killed/made/tests.jsonl").write_bytes(files["tests.jsonl"][:-20])
    run(lab, stage(), out="killed")
    assert len(CALLS) == 2
    assert {what for what, _ in CALLS} == {"statement"}
    assert (lab / "killed/made/tests.jsonl").read_bytes() == files["tests.jsonl"]


def test_without_writers_the_settings_are_those_of_earlier_versions(lab: Path) -> None:
    plain = Synthesize.model_validate({"kind": "synthesize", "name": "made", "problems": "jsonl:functions.jsonl"})
    new = {"example_writer", "statement_writer", "max_attempts", "max_tokens", "batch_size"}
    assert not new & plain.model_dump(mode="json").keys()
    assert plain.summary({"problems": 3, "written": 2, "mean_mutation_score": None}) == "tests for 2 of 3 problems"


def test_the_cost_is_that_of_all_attempts_of_each_writer(lab: Path) -> None:
    (lab / "functions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    settings = {"limit": 2, "example_writer": "micro:", "max_attempts": 4, "max_tokens": 100}
    found = Synthesize.model_validate(stage(**settings)).cost()
    assert found.others == (OtherPolicy("micro:", 2 * 4, 800), OtherPolicy(WRITER, 2 * 4, 800))
    assert (found.samples, found.generated_tokens) == (16, 1_600)


def test_functions_need_a_policy_that_writes_statements(lab: Path) -> None:
    with pytest.raises(UserError, match="3 of the problems have no prompt, such as clip: set statement_writer"):
        run(lab, stage(statement_writer=None))
    assert not (lab / "run/made").exists()


def test_a_function_is_a_problem_without_tests(lab: Path) -> None:
    (lab / "f.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    problem = sources.load("jsonl:f.jsonl")[1]
    assert (problem.id, problem.answer, problem.meta["solution"]) == ("third", None, THIRD)
    with pytest.raises(UserError, match="3 of 3 problems cannot be used"):
        tenfold.make("tenfold/MBPP-v0", problems="jsonl:f.jsonl", invalid_gold="drop")


def test_the_recipe_for_real_models_says_what_a_dry_run_cannot_check(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "real/synthesis", "--dry-run"]) == 0
    said = capsys.readouterr().out
    for name in ("0.5b", "1.5b"):
        assert f"run `tenfold fetch qwen2.5-coder-{name}`" in said
    assert "problems is not checked: " in said
    assert cli.main(["run", "real/synthesis", "--out", "out"]) == 2
    assert "run `tenfold fetch qwen2.5-coder-1.5b`" in capsys.readouterr().err
    assert not Path("out/problems").exists(), "it fails before the first stage"
