"""Tasks of inspect-ai for the tests, and what inspect-ai itself gives for responses to their samples.

python inspect_cases.py        # prints {task: [[sample, response, score], ...]} as JSON; needs inspect-ai
"""

import json
import math
import sys
import tempfile
import time

from inspect_ai import Task, eval, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import (
    Score,
    Scorer,
    Target,
    accuracy,
    answer,
    choice,
    exact,
    f1,
    includes,
    match,
    mean,
    model_graded_qa,
    pattern,
    scorer,
    value_to_float,
)
from inspect_ai.scorer import math as math_scorer
from inspect_ai.solver import (
    Generate,
    Solver,
    TaskState,
    chain_of_thought,
    generate,
    multiple_choice,
    prompt_template,
    solver,
    system_message,
)

SUMS = [Sample(input=f"What is {n} plus {n + 3}?", target=str(2 * n + 3), id=f"sum{n}") for n in range(5)]
CAPITALS = [
    Sample(input="The capital of France?", target="Paris"),
    Sample(input="A capital on the Rhine or the Spree?", target=["Bonn", "Berlin"]),
    Sample(input="The largest city of the United States?", target="New York City"),
]
OPTIONS = [
    Sample(input="Which is a prime?", choices=["4", "9", "7", "8"], target="C"),
    Sample(input="Which are even?", choices=["2", "3", "6"], target=["A", "C"]),
    Sample(input="Which is a metal?", choices=["iron", "wood"], target="A"),
]
FORMULAS = [
    Sample(input="One half as a number?", target="\\frac{1}{2}"),
    Sample(input="The roots of x^2 = 4?", target="\\{-2, 2\\}"),
    Sample(input="Twice the square root of two?", target="2\\sqrt{2}"),
]


@task
def sums_match(scale: int = 1) -> Task:
    solvers = [system_message("Reply briefly."), prompt_template("{prompt}\nANSWER: a number"), generate()]
    return Task(dataset=MemoryDataset(SUMS[: 5 * scale]), solver=solvers, scorer=match(numeric=True))


@task
def sums_begin() -> Task:
    return Task(dataset=SUMS, solver=[chain_of_thought(), generate()], scorer=match(location="begin"))


@task
def capitals_includes() -> Task:
    return Task(dataset=CAPITALS, scorer=includes())


@task
def capitals_exact() -> Task:
    return Task(dataset=CAPITALS, scorer=exact())


@task
def capitals_f1() -> Task:
    return Task(dataset=CAPITALS, scorer=f1())


@task
def capitals_answer() -> Task:
    return Task(dataset=CAPITALS, scorer=answer("line"))


@task
def sums_pattern() -> Task:
    return Task(dataset=SUMS, scorer=pattern(r"is (\d+)"))


@task
def options() -> Task:
    return Task(dataset=OPTIONS[::2], solver=multiple_choice(), scorer=choice())


@task
def several_options() -> Task:
    return Task(dataset=OPTIONS[1:2], solver=multiple_choice(multiple_correct=True), scorer=choice())


@task
def formulas() -> Task:
    return Task(dataset=FORMULAS, scorer=math_scorer())


@scorer(metrics=[mean()])
def lengths() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score | None:
        text = state.output.completion
        if "sleep" in text:
            time.sleep(3)
        if "raise" in text:
            raise ValueError("no length")
        if "unscored" in text:
            return Score.unscored(reason="cannot be scored")  # type: ignore[call-arg]
        return Score(value={"partial": "P", "yes": "yes", "nan": math.nan, "five": 5}.get(text, len(text) / 100))

    return score


@task
def own_scorer() -> Task:
    return Task(dataset=SUMS, scorer=lengths())


@scorer(metrics={"length": [mean()], "right": [accuracy()]})
def two_numbers() -> Scorer:
    async def score(state: TaskState, target: Target) -> Score:
        return Score(
            value={"length": len(state.output.completion) / 10, "right": "C" if target.text in state.output.completion else "I"}
        )

    return score


@task
def named_values() -> Task:
    return Task(dataset=SUMS, scorer=two_numbers())


@task
def two_scorers() -> Task:
    return Task(dataset=SUMS, scorer=[match(), includes()])


@task
def graded() -> Task:
    return Task(dataset=SUMS, scorer=model_graded_qa())


@task
def two_turns() -> Task:
    return Task(dataset=SUMS, solver=[generate(), generate()], scorer=match())


@task
def boxed_in() -> Task:
    return Task(dataset=SUMS, sandbox="docker", scorer=match())


@solver
def counting() -> Solver:
    calls = 0

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        nonlocal calls
        calls += 1
        state.user_prompt.text = f"{calls}. {state.user_prompt.text}"
        return await generate(state)

    return solve


@task
def other_prompts() -> Task:
    return Task(dataset=SUMS, solver=counting(), scorer=match())


SAME = (
    sums_match,
    sums_begin,
    sums_pattern,
    capitals_includes,
    capitals_exact,
    capitals_f1,
    capitals_answer,
    options,
    several_options,
)
"""Tasks whose scores are compared, besides `formulas`, which needs a parser of formulas, and `own_scorer`."""


def responses(sample: Sample) -> list[str]:
    """Returns right, wrong and odd responses to a sample."""
    first = sample.target if isinstance(sample.target, str) else sample.target[-1]
    letters = "".join(sample.target)
    forms = [
        "{}",
        "{}.",
        "ANSWER: {}",
        "The answer is {}.",
        "So it is {}, I think.",
        "**{}**",
        "\\boxed{{{}}}",
        "{} or 3",
        "not {}!",
    ]
    odd = [
        "",
        " ",
        "ANSWER:",
        "A",
        "ANSWER: A,C",
        "ANSWER: D",
        "is 3",
        "1,000.0",
        "paris",
        "a b c Berlin",
        "ANSWER: Z",
        "日本",
        "$3",
    ]
    return (
        [form.format(first) for form in forms] + odd + [f"ANSWER: {letters}", f"answer: {first.lower()}\n", f"{first} {first}"]
    )


def official() -> dict[str, list[tuple[int, str, object]]]:
    """Returns the scores of inspect-ai's own `eval`. Each response has a copy of its sample."""
    found: dict[str, list[tuple[int, str, object]]] = {}
    for make in (*SAME, formulas):
        made = make()
        pairs = [(index, text) for index, sample in enumerate(made.dataset) for text in responses(sample)]
        copies = [made.dataset[index].model_copy(deep=True, update={"id": None}) for index, _ in pairs]
        made.dataset = MemoryDataset(copies)
        outputs = [ModelOutput.from_content("mockllm", text) for _, text in pairs]
        for output in outputs:
            output.usage = ModelUsage()  # else the tokens are counted with a vocabulary that is loaded from the network
        model = get_model("mockllm/model", custom_outputs=outputs)
        with tempfile.TemporaryDirectory() as folder:
            (log,) = eval(made, model=model, display="none", log_dir=folder, max_samples=1, max_connections=1)
            assert log.status == "success", log.error and log.error.message
            samples = sorted(log.samples or [], key=lambda each: int(each.id))
        found[make.__name__] = []
        for (index, text), sample in zip(pairs, samples, strict=True):
            (score,) = (sample.scores or {}).values()
            assert sample.output.completion == text
            found[make.__name__].append((index, text, value_to_float()(score.value)))
    return found


if __name__ == "__main__":
    json.dump(official(), sys.stdout)
