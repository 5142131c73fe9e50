"""Layouts of multiple-choice prompts as benchmarks publish them, with the examples in the same user turn.

The `layout` of a task's `metadata` names one. The task's `template` then applies to its text.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tenfold.core import Message, Problem, UserError
from tenfold.envs.problems.choice_rows import listed

Layout = Callable[[Problem, Sequence[Problem]], str]
"""Returns the text of a problem after its few-shot examples."""


def supergpqa(problem: Problem, examples: Sequence[Problem]) -> str:
    """Returns a problem as `infer/data_loader.py` of github.com/SuperGPQA/SuperGPQA (commit 03a3e278), mode zero-shot."""
    question, options = question_and_options(problem)
    return f"{question}\n{listed(options)}\n"


def mmlu_pro(problem: Problem, examples: Sequence[Problem]) -> str:
    """Returns a problem as `evaluate_from_api.py` of github.com/TIGER-AI-Lab/MMLU-Pro (commit f418b116)."""
    subject = problem.meta.get("category", "")
    instruction = (
        f"The following are multiple choice questions (with answers) about {subject}. Think step by step and then output the "
        'answer in the format of "The answer is (X)" at the end.\n\n'
    )
    solved = (_mmlu_pro(example, str(example.meta["solution"]).removeprefix("A: ")) for example in examples)
    return instruction + "".join(solved) + _mmlu_pro(problem, "Let's think step by step.")


def _mmlu_pro(problem: Problem, answer: str) -> str:
    question, options = question_and_options(problem)
    given = [option for option in options if option != "N/A"]
    return f"Question: {question}\nOptions: {listed(given, '. ')}\nAnswer: {answer}\n\n"


LAYOUTS: Mapping[str, Layout] = {"supergpqa": supergpqa, "mmlu_pro": mmlu_pro}
"""The layouts by name."""


def laid_out(name: str, problem: Problem, solved: Sequence[Problem], fewshot: int) -> Problem:
    """Returns a problem whose prompt has the text of a layout.

    Args:
        name: one of `LAYOUTS`.
        problem: a multiple-choice problem.
        solved: problems with solutions. The first ones of the problem's category are its examples, without the problem itself.
        fewshot: largest number of examples.

    Raises:
        UserError: a problem has no options, or its category has no example.
    """
    category = problem.meta.get("category")
    others = [one for one in solved if one.meta.get("category") == category and one.prompt != problem.prompt]
    if fewshot and not others:
        raise UserError(f"{problem.id}: there is no few-shot example of its category {category!r}; set --fewshot 0")
    text = LAYOUTS[name](problem, others[:fewshot])
    return dataclasses.replace(problem, prompt=(Message(role="user", content=text),))


def question_and_options(problem: Problem) -> tuple[str, list[str]]:
    """Returns the question and the options of a multiple-choice problem, without their letters.

    Raises:
        UserError: it has no options.
    """
    answer = problem.answer
    options = [str(option) for option in answer.get("options", ())] if isinstance(answer, Mapping) else []
    text = problem.prompt[-1]["content"] if problem.prompt else ""
    question = text.removesuffix(f"\n\n{listed(options)}")
    if not options or question == text:
        raise UserError(f"{problem.id} has no list of options; this task needs multiple-choice problems")
    return question, options
