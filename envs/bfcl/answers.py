"""The agentic categories of BFCL-V4: the policy calls functions, then answers in a text that must contain a gold answer.

The protocol and the verdict are those of the leaderboard:

- A response with calls is answered with their results. The first other response is the answer and is judged.
- The answer passes if it contains one of the gold answers as whole words. Case and the characters `,./-_*^()` do not count, and
  single quotes count as double quotes.
- The 21st response with calls is executed and ends the episode without an answer. The score is 0.

`memory.py` and `web_search.py` are the environments.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast

import gymnasium

from ...core import Info, Message, Problem, Status, UserError, Verdict
from ...golds import BFCLAnswers
from ...responses import without_thinking
from ..text import observation, problem_index, prompt_messages
from . import texts
from .conversation import MAX_STEPS, BFCLConversation, Step
from .services import Stopped

_IGNORED = re.compile(r"[,./\-_*^()]")


def contains(response: str, answers: Sequence[str]) -> bool:
    """True if a response contains one of the answers, by the rules of the leaderboard; see the module's docstring."""
    text = _standard(response)
    return any(re.search(rf"\b{re.escape(_standard(answer))}\b", text) for answer in answers)


def _standard(text: str) -> str:
    return _IGNORED.sub("", text).lower().replace("'", '"')


class Service(Protocol):
    """Functions that the policy calls."""

    def run(self, texts: Sequence[str]) -> list[str]:
        """Executes calls; returns their results. See `calls.py` for the form of the calls."""
        ...

    def close(self) -> None:
        """Ends the service."""
        ...


class BFCLAgentic(BFCLConversation):
    """Base class of the environments. A problem without gold answers is a conversation, which is not judged."""

    def __init__(self, problems: str | Sequence[Problem | Mapping[str, object]], mode: str, system: str | None):
        """Loads the problems; see `BFCLConversation`."""
        super().__init__(problems, mode, system)
        self.service: Service | None = None

    @abstractmethod
    def _started(self, gold: BFCLAnswers, options: Mapping[str, Any]) -> tuple[Service, Sequence[Message]]:
        """Returns the service of an episode, and the messages that come before the problem's own.

        Args:
            gold: the gold answer of the problem.
            options: the options of `reset`.
        """

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts problem `options["problem"]`; without this option, a random one.

        Raises:
            UserError: there is no such problem, or its gold answer is malformed.
        """
        super().reset(seed=seed)
        self.close()
        index = problem_index(options, self.problems, self.np_random)
        problem = self.problems[index]
        if not isinstance(problem.answer, Mapping) or not BFCLAnswers.__required_keys__ <= problem.answer.keys():
            raise UserError(f"problem {problem.id} is no agentic problem of BFCL-V4: its answer is not `BFCLAnswers`")
        self.gold = cast(BFCLAnswers, problem.answer)
        self.functions = {str(each["name"]): cast(texts.Declaration, each) for each in self.gold["functions"]}
        self.service, messages = self._started(self.gold, options or {})
        self.problem, self.turn, self.steps, self.tool_calls = problem, 0, 0, 0
        messages = self._declared(self.gold["functions"], _joined(messages, prompt_messages(problem)))
        return observation(messages), dict(Info(problem_id=problem.id, index=index, messages=messages))

    def step(self, action: str) -> Step:
        """Executes the calls of a response, or takes it as the answer."""
        if self.problem is None or self.service is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        called = self._calls(action)
        if not called:
            return self._end_turn(action)
        try:
            results = self.service.run(called)
        except Stopped as stopped:
            return self._end(Verdict(Status.TIMEOUT, 0.0, "bfcl_answers", f"the service was stopped: {stopped}"))
        self.steps += 1
        self.tool_calls += len(called)
        if self.steps > MAX_STEPS:
            return self._end(self._verdict(False, f"more than {MAX_STEPS} responses with calls, and no answer"))
        return self._replied(called, results)

    def gold_move(self) -> str:
        """Returns the next right response. See `SupportsGoldMove`."""
        return repr({"answer": self.gold["answers"][0], "context": ""}) if self.gold["answers"] else "Noted."

    def close(self) -> None:
        """Ends the service."""
        self.problem = None
        service, self.service = self.service, None
        if service is not None:
            service.close()

    def _end_turn(self, action: str) -> Step:
        assert self.problem is not None
        turns = self.gold.get("turns", ())
        if self.turn < len(turns):
            self.turn, self.steps = self.turn + 1, 0
            info = Info(problem_id=self.problem.id, tool_calls=self.tool_calls)
            return turns[self.turn - 1], 0.0, False, False, dict(info)
        found = contains(without_thinking(action), self.gold["answers"])
        reason = "the response contains a gold answer" if found else "the response contains none of the gold answers"
        return self._end(self._verdict(found, reason))

    def _verdict(self, passes: bool, reason: str) -> Verdict:
        if not self.gold["answers"]:
            return Verdict(Status.UNDECIDED, None, "bfcl_answers", "a conversation is not judged")
        return Verdict(Status.SCORED, float(passes), "bfcl_answers", reason)

    def _end(self, verdict: Verdict) -> Step:
        assert self.problem is not None
        info = Info(problem_id=self.problem.id, tool_calls=self.tool_calls, verdict=verdict)
        self.close()
        return "", verdict.score or 0.0, True, False, dict(info)


def _joined(before: Sequence[Message], messages: Sequence[Message]) -> tuple[Message, ...]:
    """Returns messages after others; two system turns become one."""
    first, *rest = (*before, *messages)
    if rest and (first["role"], rest[0]["role"]) == ("system", "system"):
        first, *rest = Message(role="system", content=f"{first['content']}\n\n{rest[0]['content']}"), *rest[1:]
    return (first, *rest)
