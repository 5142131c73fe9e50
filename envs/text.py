"""`TextEnv`: an environment with one problem in each episode that scores the response with a verifier.

env = gymnasium.make("tenfold/ChainSum-v0")
prompt, info = env.reset(options={"problem": 3})
_, reward, terminated, _, info = env.step("41")
info["verdict"]        # Verdict(status=SCORED, score=1.0, method="exact", reason="41")
"""

import json
import math
import operator
import threading
import warnings
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import gymnasium
import numpy as np
from cachetools import LRUCache

from .. import verifiers
from ..core import Info, Message, Problem, UserError, Verdict, Verifier
from ..policies.chat import tools
from .problems import rows
from .problems import sources as problem_sources
from .problems.reasoning_gym import GeneratedProblems
from .problems.stored.problems import IndexedProblems
from .spaces import Text as Text

CHECKED = 10_000
"""Number of problems of a large source whose gold answers an environment checks. Our choice: it takes half a second."""
NAMED = 5
"""Number of problems that a message about unusable problems names."""


def prompt_messages(problem: Problem, template: str = "{prompt}", system: str | None = None) -> tuple[Message, ...]:
    """Returns the prompt of a problem: the system turn, then the problem's turns. The template applies to the last user turn.

    Without a user turn, the template applies to the last turn that is neither a tool's reply nor a tool call.

    Args:
        problem: the problem.
        template: text of the last user turn; `{prompt}` stands for its original text.
        system: text of the system turn. It comes before the text of the problem's own system turn.
    """
    turns = [turn.copy() for turn in problem.prompt]
    texts = [turn for turn in turns if turn["role"] != "tool" and "tool_calls" not in turn]
    # Answers of the policy, tool calls and replies of tools may follow the last user turn.
    if candidates := [turn for turn in texts if turn["role"] == "user"] or texts:
        candidates[-1]["content"] = template.replace("{prompt}", candidates[-1]["content"])
    return with_system(system, turns) if system else tuple(turns)


def template_defect(template: object, placeholder: str = "{prompt}") -> str | None:
    """Returns what is wrong with a template, in one line; None if it is a text with the placeholder."""
    if not isinstance(template, str):
        return f"expected a template, which is a text with {placeholder}, got {template!r:.80}"
    return None if placeholder in template else f"the template {template!r} does not contain {placeholder}: add it"


def check_system(system: object) -> None:
    """Checks the text of a system turn, which may be None.

    Raises:
        UserError: it is no text.
    """
    if system is not None and not isinstance(system, str):
        raise UserError(f"system: expected a text, got {system!r:.80}")


def with_system(system: str, messages: Sequence[Message]) -> tuple[Message, ...]:
    """Returns messages whose system turn starts with the text `system`. A missing system turn is added.

    Many chat templates reject or ignore a second system turn.
    """
    declared, turns = tools.split(messages)
    if turns and turns[0]["role"] == "system":
        system = f"{system}\n\n{turns.pop(0)['content']}"
    return tuple(tools.joined(declared, [Message(role="system", content=system), *turns]))


def observation(messages: Sequence[Message]) -> str:
    """Returns the prompt as the observation of an environment: the text of its turns, with the declared functions."""
    return "\n\n".join(message["content"] for message in tools.as_text(messages))


def problem_index(options: Mapping[str, Any] | None, problems: Sequence[object], rng: np.random.Generator) -> int:
    """Returns the index of the problem that `reset` selects: `options["problem"]`, or a random index.

    Args:
        options: the options of `reset`.
        problems: the problems. If an index is given, those after it are not read.
        rng: random number generator.

    Raises:
        UserError: there is no such problem, or no problem at all.
    """
    if not problems:
        raise UserError("there are no problems: give the environment at least one")
    given = (options or {}).get("problem")
    try:
        index = int(rng.integers(len(problems))) if given is None else operator.index(given)
    except TypeError:
        raise UserError(f"options: problem: expected an index, got {given!r:.80}") from None
    if index < 0 or not problems[index : index + 1]:
        raise UserError(f"there is no problem {index}: use an index from 0 to {len(problems) - 1}")
    return index


class Unusable(NamedTuple):
    """Problems that cannot be used."""

    indices: "array[int]"
    first: Sequence[str]
    """Ids of the first ones, with the reasons."""


def unusable(problems: Sequence[Problem], verifier: Verifier) -> Unusable:
    """Returns the problems that the source has marked, or whose gold answer the verifier cannot read."""
    indices, marked, unreadable = array("q"), list[str](), list[str]()
    for index, problem in enumerate(problems):
        if "invalid_gold" in problem.meta:
            reason, found = problem.meta["invalid_gold"], marked
        else:
            reason, found = verifier.invalid_gold(problem), unreadable
        if reason is not None:
            indices.append(index)
            if len(found) < NAMED:
                found.append(f"{problem.id}: {reason}")
    return Unusable(indices, [*marked, *unreadable][:NAMED])


def _unusable_of_large(problems: IndexedProblems, declared: verifiers.VerifierLike, verifier: Verifier) -> Unusable:
    """Returns the same for a large source. It is remembered, because a rollout makes an environment for each episode."""
    try:
        key = problems.version, json.dumps(declared, sort_keys=True)
    except TypeError:  # an object, which may change
        return unusable(problems, verifier)
    with _LOCK:
        if key not in _found:
            _found[key] = unusable(problems, verifier)
        return _found[key]


_LOCK = threading.Lock()
_found: LRUCache[tuple[str, str], Unusable] = LRUCache(16)


def _usable(
    problems: Sequence[Problem], declared: verifiers.VerifierLike, verifier: Verifier, invalid_gold: str, uri: str
) -> Sequence[Problem]:
    """Applies `invalid_gold`: returns the usable problems ("drop"), or warns and returns all ("warn").

    Args:
        problems: the problems.
        declared: the verifier as the user has given it.
        verifier: the verifier.
        invalid_gold: see `TextEnv`.
        uri: the URI of the problems, for errors; empty if there is none.

    Raises:
        UserError: `invalid_gold` is "error", or no problem is left.
    """
    if invalid_gold == "warn" and isinstance(problems, GeneratedProblems):
        return problems
    checked = problems
    if isinstance(problems, IndexedProblems):
        checked = problems[:CHECKED] if invalid_gold == "warn" else problems
        invalid = _unusable_of_large(checked, declared, verifier)
    else:
        invalid = unusable(problems, verifier)
    others = len(problems) - len(checked)
    unchecked = f"; the other {others:,} of this large source are not checked" if others else ""
    if not invalid.indices:
        if unchecked:
            can = f"{uri or 'problems'}: the first {len(checked):,} problems can be used"
            warnings.warn(f"{can}{unchecked}; invalid_gold=drop or error checks all", stacklevel=3)
        return problems
    more = "; ..." if len(invalid.indices) > len(invalid.first) else ""
    count = f"the first {len(checked)}" if others else f"{len(checked)}"
    named = f"{'; '.join(invalid.first)}{more}"
    message = f"{uri or 'problems'}: {len(invalid.indices)} of {count} problems cannot be used ({named})"
    if invalid_gold == "error" or (invalid_gold == "drop" and len(invalid.indices) == len(problems)):
        raise UserError(message)
    if invalid_gold == "drop":
        valid = np.delete(np.arange(len(problems)), np.frombuffer(invalid.indices, np.int64))
        return problems.at(valid) if isinstance(problems, IndexedProblems) else [problems[index] for index in valid.tolist()]
    warnings.warn(f"{message}{unchecked}; invalid_gold=drop drops these problems", stacklevel=3)
    return problems


def as_problems(given: Sequence[Problem | Mapping[str, object]]) -> Sequence[Problem]:
    """Returns problems that were given as rows. The id is that of the row, or the row's index; repeated ids get numbers.

    Raises:
        UserError: a row has no known format. The message names the row.
    """
    if not isinstance(given, Iterable):
        raise UserError(f"problems: expected a URI or a list of problems, got {given!r:.80}")
    if isinstance(given, IndexedProblems):
        return given
    given = given if isinstance(given, Sequence) else list(given)  # an iterator, or a data set of another library
    if all(isinstance(each, Problem) for each in given):
        return cast(Sequence[Problem], given)
    problems = []
    for index, each in enumerate(given):
        if not isinstance(each, Problem | Mapping):
            raise UserError(f"problems[{index}]: expected {{'question': ..., 'answer': ...}} or a Problem, got {each!r:.80}")
        problems.append(each if isinstance(each, Problem) else rows.problem_of(each, "problems", str(index), index + 1, {}))
    return rows.with_distinct_ids(problems)


@runtime_checkable
class SupportsScoreGroup(Protocol):
    """An environment that judges all samples of a problem together."""

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        """Returns verdicts on all responses to problem `index`, or None if each is judged alone."""
        ...


class TextEnv(gymnasium.Env[str, str]):
    """An environment in which each episode has one problem and one response.

    Observations and actions are text. `reset(options={"problem": i})` starts an episode with problem i, `reset()` with a
    random problem. In `info`, `messages` is the prompt as messages and `problem_id` the problem's id. `step` ends the episode:
    the reward is the verdict's score, and `info["verdict"]` is the verdict. For a verdict without a score the reward is NaN,
    not 0, because the response may be correct.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(
        self,
        problems: str | Sequence[Problem | Mapping[str, object]],
        verifier: verifiers.VerifierLike = "math",
        template: str = "{prompt}",
        system: str | None = None,
        invalid_gold: str = "warn",
    ):
        """Creates the environment.

        Args:
            problems: a problem URI (see `problems/sources.py`), or a list of `Problem`s or rows. A row has any format that the
                rows of a URI may have, such as {"question": ..., "answer": ...}.
            verifier: name of a verifier, "package.module:name", {"name": NAME, OPTION: VALUE}, a list of weighted verifiers
                (`verifiers/rewards/weighted.py`), a `Verifier`, or a function (`verifiers/rewards/calling.py`).
            template: text of the last user turn; `{prompt}` stands for its original text.
            system: text of the system turn, see `prompt_messages`.
            invalid_gold: what to do with problems that cannot be used, because the verifier cannot read the gold answer or the
                prompt is empty: "warn" keeps them with a warning (their verdicts are undecided), "drop" drops them, "error"
                raises an error. With "warn", problems of reasoning-gym are not checked, because they are generated only when
                they are posed. Of a large source, "warn" checks only the first `CHECKED` problems; a warning says so.

        Raises:
            UserError: the URI or the verifier's name is invalid, or the template lacks `{prompt}`.
        """
        if invalid_gold not in ("warn", "drop", "error"):
            raise UserError(f"invalid_gold: expected warn, drop or error, got {invalid_gold!r}")
        if wrong := template_defect(template):
            raise UserError(wrong)
        check_system(system)
        self.problems = problem_sources.load(problems) if isinstance(problems, str) else as_problems(problems)
        self.verifier = verifiers.load(verifier)
        uri = problems if isinstance(problems, str) else ""
        self.problems = _usable(self.problems, verifier, self.verifier, invalid_gold, uri)
        self.template, self.system = template, system
        self.observation_space = Text()
        self.action_space = Text()
        self.problem: Problem | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses problem `options["problem"]`; without this option, a random one."""
        super().reset(seed=seed)
        index = problem_index(options, self.problems, self.np_random)
        self.problem = self.problems[index]
        messages = prompt_messages(self.problem, self.template, self.system)
        text = observation(messages)
        return text, dict(Info(problem_id=self.problem.id, index=index, messages=messages))

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Scores the response and ends the episode."""
        if self.problem is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        problem, self.problem = self.problem, None
        verdict = self._judge(problem, action)
        reward = math.nan if verdict.score is None else verdict.score
        return "", reward, True, False, dict(Info(problem_id=problem.id, verdict=verdict))

    def _judge(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict on a response. Environments of other packages replace it: their scores may be above 1."""
        return self.verifier(problem, response)
