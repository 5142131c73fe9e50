"""A correct response to a problem, from its gold answer or its solution."""

from ..core import Problem


def gold_response(problem: Problem) -> str | None:
    """Returns a correct response: the gold answer if it is text, a number or a list, else the problem's solution.

    Answers of reasoning-gym are put into the tag that its own prompts ask for, because some have several lines.
    Returns None if the problem has no solution, as is the case for most instruction-following problems.
    """
    if isinstance(problem.answer, list) and problem.answer:
        return f"\\boxed{{{problem.answer[0]}}}"
    if isinstance(problem.answer, str) and problem.source.startswith("reasoning_gym:"):
        return f"<answer>{problem.answer}</answer>"
    if isinstance(problem.answer, str | int | float):
        return str(problem.answer)
    solution = problem.meta.get("solution")
    return None if solution is None else str(solution)
