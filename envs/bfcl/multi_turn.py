"""`BFCLMultiTurn`: the multi-turn categories of the Berkeley Function-Calling Leaderboard, version 4.

    env = gymnasium.make("tenfold/BFCLMultiTurn-v0")
    prompt, info = env.reset(options={"problem": 0})
    reply, *_ = env.step("[cd(folder='document'), ls()]")

The protocol and the verdict are those of the leaderboard:

- A response that is a list of calls is answered with their results. Every other response ends the user's turn.
- After a turn with gold calls, the policy must have called something in this turn, the state of all services must equal the
  state after the gold calls, and the results of the gold calls of this turn must be among all results so far, each as often.
- A turn without gold calls is not judged, but what the policy calls in it is executed.
- The 21st response with calls in a user turn is executed and ends the episode. In the last turn, the turn is then judged as
  usual; in any other turn the score is 0.

The episode ends after the first turn that does not pass. The leaderboard plays the other turns, too; its verdict is the same.

`mode="prompt"` has the functions in the system turn, and reads calls in Python as `calls.py` describes. `mode="tools"` declares
them in the tool format of the model (`policies/chat/tools.py`), and reads all formats of `verifiers/calls/formats.py`.
Functions that a later turn adds are a text in both modes; with tools, the leaderboard adds them to the declarations.
"""

import ast
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import gymnasium

from ...core import Info, Problem, Status, UserError, Verdict
from ...golds import BFCLTurns
from ...verifiers.verifier import MAX_REASON_CHARACTERS
from ..text import observation, problem_index, prompt_messages
from . import calls, texts
from .conversation import MAX_STEPS, BFCLConversation, Step
from .problems import URI
from .services import Services, Stopped


class BFCLMultiTurn(BFCLConversation):
    """The environment; see the module's docstring."""

    def __init__(
        self,
        problems: str | Sequence[Problem | Mapping[str, object]] = URI,
        mode: str = "prompt",
        system: str | None = None,
    ):
        """Loads the problems.

        Args:
            problems: a problem URI, or a list of `Problem`s or rows, whose gold answers are `BFCLTurns`.
            mode: "prompt" or "tools".
            system: text to put before the system turn.

        Raises:
            UserError: an argument is invalid, or the package bfcl-eval is not installed.
        """
        super().__init__(problems, mode, system)
        self.services: Services | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts problem `options["problem"]`; without this option, a random one.

        Raises:
            UserError: there is no such problem, or its gold answer is malformed.
        """
        super().reset(seed=seed)
        self.close()
        index = problem_index(options, self.problems, self.np_random)
        problem = self.problems[index]
        if not isinstance(problem.answer, Mapping) or not BFCLTurns.__required_keys__ <= problem.answer.keys():
            raise UserError(f"problem {problem.id} is no multi-turn problem of BFCL-V4: its answer is not `BFCLTurns`")
        self.gold = cast(BFCLTurns, problem.answer)
        self.services = Services(self.gold["classes"], self.gold["config"], self.gold["long_context"])
        functions = [*self.gold["functions"], *(each for turn in self.gold["turns"] for each in turn["functions"])]
        self.functions = {str(each["name"]): cast(texts.Declaration, each) for each in functions}
        self.problem, self.turn, self.tool_calls = problem, 0, 0
        self.results: list[str] = []
        self.steps = 0
        messages = self._declared(self.gold["functions"], prompt_messages(problem))
        return observation(messages), dict(Info(problem_id=problem.id, index=index, messages=messages))

    def step(self, action: str) -> Step:
        """Executes the calls of a response, or ends the user's turn."""
        if self.problem is None or self.services is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        try:
            if called := self._calls(action):
                return self._execute(self.services, called)
            return self._end_turn(self.services)
        except Stopped as stopped:
            return self._end(f"the services were stopped: {stopped}", Status.TIMEOUT)

    def gold_move(self) -> str:
        """Returns the gold calls of the turn, or the last response of the turn. See `SupportsGoldMove`."""
        gold = self.gold["turns"][self.turn]["calls"]
        if self.steps or not gold:
            return "Done." if gold else "I cannot do this yet."
        made = [self._named(text) for text in gold]
        if self.mode == "prompt":
            return f"[{', '.join(calls.of_data(name, arguments) for name, arguments in made)}]"
        listed = [json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False) for name, arguments in made]
        return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in listed)

    def close(self) -> None:
        """Ends the services."""
        self.problem = None
        services, self.services = self.services, None
        if services is not None:
            services.close()

    def _execute(self, services: Services, called: Sequence[str]) -> Step:
        results = services.run(called)
        self.results += results
        self.steps += 1
        self.tool_calls += len(called)
        if self.steps > MAX_STEPS:
            if self.turn + 1 == len(self.gold["turns"]):
                return self._end_turn(services)
            return self._end(f"more than {MAX_STEPS} responses with calls in a turn")
        return self._replied(called, results)

    def _end_turn(self, services: Services) -> Step:
        assert self.problem is not None
        if defect := self._defect(services):
            return self._end(defect)
        self.turn += 1
        if self.turn == len(self.gold["turns"]):
            return self._end(None)
        self.steps = 0
        info = Info(problem_id=self.problem.id, tool_calls=self.tool_calls)
        return self.gold["turns"][self.turn]["user"], 0.0, False, False, dict(info)

    def _defect(self, services: Services) -> str | None:
        """Returns why the user's turn does not pass, or None."""
        gold = self.gold["turns"][self.turn]["calls"]
        if not gold:
            return None
        if not self.steps:
            return "no function was called"
        expected = services.run(gold, gold=True)
        if found := services.difference():
            return f"{found} has another value than after the gold calls"
        if missing := Counter(expected) - Counter(self.results):
            name = gold[expected.index(next(iter(missing)))].partition("(")[0]
            return f"the result of {name} was not read"
        return None

    def _end(self, defect: str | None, status: Status = Status.SCORED) -> Step:
        """Ends the episode.

        Args:
            defect: why the current turn does not pass; None if all turns have passed.
            status: status of the verdict.
        """
        assert self.problem is not None
        count, score = len(self.gold["turns"]), float(defect is None)
        reason = f"{count} of {count} turns" if defect is None else f"turn {self.turn + 1} of {count}: {defect}"
        verdict = Verdict(status, score, "bfcl_turns", reason[:MAX_REASON_CHARACTERS])
        info = Info(problem_id=self.problem.id, tool_calls=self.tool_calls, verdict=verdict)
        self.close()
        return "", score, True, False, dict(info)

    def _named(self, text: str) -> tuple[str, dict[str, object]]:
        """Returns a gold call with all its arguments by name."""
        name, positional, named = calls.parsed(text)
        parameters = self.functions[name]["parameters"]["properties"]
        arguments = dict(zip(parameters, positional, strict=False)) | named
        return name, {key: ast.literal_eval(value) for key, (_, value) in arguments.items()}
