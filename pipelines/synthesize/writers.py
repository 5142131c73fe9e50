"""Example inputs and statements that policies write, with several attempts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from ...core import Conversation, Message, Problem, UserError
from ...golds import CodeTests
from ...verifiers.programs.forms import public_test_texts
from ..refine.answer_cache import FAULTS, Answer, AnswerCache
from . import examples, statements
from .examples import Value
from .rows import Row, entry_point_of, program_of

RETRY_TEMPERATURE = 0.7
"""Temperature of all attempts after the first one, which is at 0. Our choice."""


class Function(NamedTuple):
    """The function of a problem."""

    program: str
    """The solution, as a complete program."""
    entry_point: str
    """Name of the function."""


@dataclass(slots=True)
class Statement:
    """The statement of a problem, or why it has none."""

    text: str = ""
    """The accepted statement; empty if there is none."""
    prompt: str = ""
    """The prompt of the problem with this statement."""
    refused: list[str] = field(default_factory=list)
    """Why the other answers are refused."""
    faults: int = 0
    """Attempts that ended in a fault of the server."""

    @property
    def is_final(self) -> bool:
        """False if a fault left a problem without a statement: another run may write one."""
        return bool(self.text) or not self.faults

    def row(self, id: str) -> dict[str, object]:
        """Returns the line of the problem in `statements.jsonl`."""
        result = {"statement": self.text} if self.text else {"left_out": self.refused[-1]}
        return {"id": id, **result, "refused": self.refused}

    def posed(self, row: Row) -> Row:
        """Returns the row, with this statement as its prompt."""
        return {**row, "prompt": [Message(role="user", content=self.prompt)]}


def write_examples(ask: AnswerCache, uri: str, problems: Mapping[str, Problem], attempts: int) -> dict[str, list[list[Value]]]:
    """Returns the argument lists that a policy writes, by the problem's id. There may be none for a problem.

    Args:
        ask: sends the prompts.
        uri: URI of the policy.
        problems: problems with solutions, by id.
        attempts: maximum number of answers for each problem, until one has an argument list.

    Raises:
        UserError: faults of the server left a problem without argument lists. The other answers are stored.
    """
    functions = {id: _function(problem) for id, problem in problems.items()}
    prompts = {id: examples.prompt(*function) for id, function in functions.items()}
    found: dict[str, list[list[Value]]] = {}
    faults: Counter[str] = Counter()

    def is_usable(id: str, answer: Answer) -> bool:
        faults[id] += answer.fault
        found[id] = examples.read_written(answer.text, functions[id].entry_point)
        return bool(found[id])

    _ask(ask, uri, "examples", prompts, attempts, is_usable)
    if count := sum(faults[id] for id in prompts if not found[id]):  # the tests of these problems would be final
        raise UserError(FAULTS.format(count=count, uri=uri))
    return found


def write_statements(
    ask: AnswerCache, uri: str, problems: Mapping[str, Problem], rows: Sequence[Row], attempts: int
) -> dict[str, Statement]:
    """Returns the statements that a policy writes, by the problem's id. Some may not be final because of faults.

    Args:
        ask: sends the prompts.
        uri: URI of the policy.
        problems: the problems, by id.
        rows: the rows with tests.
        attempts: maximum number of answers for each problem, until one is accepted.
    """
    functions = {row["id"]: _function(problems[row["id"]]) for row in rows}
    tests = {row["id"]: public_test_texts(cast(CodeTests, row["answer"])) for row in rows}
    prompts = {id: statements.prompt(*function, tests[id]) for id, function in functions.items()}
    found = {id: Statement() for id in prompts}

    def is_accepted(id: str, answer: Answer) -> bool:
        if answer.fault:
            found[id].faults += 1
            return False
        if flaw := statements.flaw(answer, *functions[id]):
            found[id].refused.append(flaw)
            return False
        found[id].text = statements.read(answer)
        found[id].prompt = statements.problem_text(found[id].text, *functions[id], tests[id])
        return True

    _ask(ask, uri, "statement", prompts, attempts, is_accepted)
    return found


def _function(problem: Problem) -> Function:
    return Function(program_of(problem), entry_point_of(problem) or "")


def _ask(
    ask: AnswerCache,
    uri: str,
    what: str,
    prompts: Mapping[str, Conversation],
    attempts: int,
    is_accepted: Callable[[str, Answer], bool],
) -> None:
    """Sends all prompts together, then again those whose answer is not accepted.

    Args:
        ask: sends the prompts.
        uri: URI of the policy.
        what: part of the keys of the answers.
        prompts: the prompts, by the problem's id.
        attempts: maximum number of answers for each problem.
        is_accepted: called with the problem's id and each answer.
    """
    waiting = [*prompts]
    for number in range(attempts):
        requests = [(f"{id}/{what}/{number}", prompts[id]) for id in waiting]
        answers = ask(uri, requests, RETRY_TEMPERATURE if number else 0.0, allow_faults=True)
        waiting = [id for id, answer in zip(waiting, answers, strict=True) if not is_accepted(id, answer)]
