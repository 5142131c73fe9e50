"""`ToolsEnv`: episodes of several user turns in which the policy calls functions of services.

    env = gymnasium.make("tenfold/Tools-v0")
    prompt, info = env.reset(options={"problem": 3})
    reply, *_ = env.step('<tool_call>\\n{"name": "balance", "arguments": {"account": "savings"}}\\n</tool_call>')
    reply, reward, terminated, _, info = env.step("There are 420 euros in it.")

A response with calls is answered with their results, one line of JSON for each call (role `tool`). A response without a call
ends the user's turn. It is judged, and the next user turn follows. Calls may have any format that `verifiers/calls/formats.py`
reads.

A turn passes if

    the state of all services equals the state after the gold calls,
    the policy has seen the results that it must see (`must_see` of a gold call), in this or an earlier turn,
    and the response has the texts that the gold answer names (`says`). Numbers and times may be written in other forms.

The episode ends after the first turn that does not pass. The score is 1 if all turns pass, else 0; with `partial`, it is the
share of turns that pass. The verdict's reason names the turn that fails, and why. The gold answer (`ToolTurns` in `golds.py`):

    {"services": {"bank": {"accounts": {"savings": 420}}},      # the services, with the arguments of their constructors
     "functions": ["balance"],                                  # those of the first turn; default: all
     "turns": [{"calls": [{"name": "balance", "arguments": {"account": "savings"}}], "says": ["420"]},
               {"user": "Move 20 to checking.", "functions": ["transfer"], "calls": [...]}]}
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import gymnasium

from ... import named_code
from ...core import Info, Problem, Status, UserError, Verdict
from ...golds import ToolTurn, ToolTurns
from ...policies.chat import tools
from ...responses import without_thinking
from ...verifiers.calls import formats
from ...verifiers.calls.call import Malformed, ParsedCall
from ...verifiers.verifier import MAX_REASON_CHARACTERS
from ..problems import sources
from ..problems.parts import integer
from ..text import Text, as_problems, check_system, observation, problem_index, prompt_messages
from .kinds import KINDS
from .said import says
from .session import Result, Session, State, difference, failure

RULE = """\
The results come back to you. If the request is done, if it lacks something that you need, or if no function can do it, answer
without a call."""
"""When to call functions, and when to answer. Our choice."""
INSTRUCTION = f"""You can call functions. To call one or more, end your turn with a block for each:

<tool_call>
{{"name": "function", "arguments": {{"parameter": "value"}}}}
</tool_call>

{RULE}

The functions:
"""
"""Start of the system turn if the functions follow, one in each line. Our choice."""
MORE = "You can now also call these functions:\n"
"""Start of the text about functions that a later turn adds."""


class Expected(NamedTuple):
    """What the gold calls of a user turn lead to."""

    state: State
    """The state of all services after the turn."""
    results: Mapping[str, str]
    """The results that the policy must have seen, with the names of the gold calls."""


def expected(session: Session, functions: Sequence[str], turns: Sequence[ToolTurn]) -> list[Expected]:
    """Executes the gold calls of all turns.

    Args:
        session: the services in their initial state.
        functions: functions that are available in the first turn.
        turns: the turns.

    Raises:
        UserError: a gold call fails.
    """
    found, available = [], [*functions]
    for number, turn in enumerate(turns, start=1):
        available += turn.get("functions", ())
        before, results = session.state(), []
        for call in turn["calls"]:
            results.append(session.call(ParsedCall(call["name"], call["arguments"]), available))
            if results[-1].is_error:
                raise UserError(f"turn {number}: the gold call of {call['name']} fails: {results[-1].text}")
        state = session.state()
        gold = zip(turn["calls"], results, strict=True)
        seen = {result.text: call["name"] for call, result in gold if call.get("must_see", state == before)}
        found.append(Expected(state, seen))
    return found


class ToolsEnv(gymnasium.Env[str, str]):
    """The environment; see the module's docstring."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(
        self,
        problems: str | Sequence[Problem | Mapping[str, object]],
        services: Mapping[str, str | type] | None = None,
        max_calls: int = 12,
        partial: bool = False,
        describe: str = "json",
        instruction: str | None = None,
        system: str | None = None,
    ):
        """Loads the problems.

        Args:
            problems: a problem URI (see `envs/problems/sources.py`), or a list of `Problem`s or rows.
            services: further services by name: classes, or "package.module:Class". A problem names those that it needs.
            max_calls: limit of calls in a user turn. A response with further calls fails the turn.
            partial: if true, the score is the share of turns that pass.
            describe: form of the functions in the prompt. "json": JSON Schema as text; "line": names, types and a description,
                which takes about a quarter of the tokens and leaves out the descriptions of parameters; "template": as the
                chat template or the server describes tools (`policies/chat/tools.py`).
            instruction: text of the system turn, before the functions; default: `INSTRUCTION`, or `RULE` for "template".
            system: text to put before it.

        Raises:
            UserError: an argument is invalid.
        """
        check_system(system)
        integer("max_calls", max_calls, 1)
        if describe not in ("json", "line", "template"):
            raise UserError(f"describe: expected json, line or template, got {describe!r:.80}")
        self.problems = sources.load(problems) if isinstance(problems, str) else as_problems(problems)
        self.services = {**KINDS, **{name: _class(name, given) for name, given in (services or {}).items()}}
        self.max_calls, self.partial, self.describe = max_calls, partial, describe
        self.instruction = instruction if instruction is not None else RULE if describe == "template" else INSTRUCTION
        self.system = system
        self.observation_space = self.action_space = Text()
        self.problem: Problem | None = None
        self.tool_calls = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts problem `options["problem"]`; without this option, a random one.

        Raises:
            UserError: there is no such problem, or its gold answer cannot be executed.
        """
        super().reset(seed=seed)
        self.problem = None
        index = problem_index(options, self.problems, self.np_random)
        problem = self.problems[index]
        try:
            gold = _checked(problem.answer)
            self.session = Session(self.services, gold["services"])
            self.declared = self.session.declared()  # also of functions that are missing: their calls are calls, too
            self.available = list(gold.get("functions", self.session.functions))
            self.turns = gold["turns"]
            if unknown := {*self.available, *self._added()} - set(self.session.functions):
                raise UserError(f"no service has the function {min(unknown)}")
            self.expected = expected(Session(self.services, gold["services"]), self.available, self.turns)
        except UserError as error:
            raise UserError(f"problem {problem.id} is no problem of {type(self).__name__}: {error}") from error
        self._begin_turn(0)
        self.seen: set[str] = set()
        self.tool_calls = 0
        self.problem = problem
        by_template = self.describe == "template"
        instruction = self.instruction if by_template else self.instruction + self._described(self.available)
        messages = prompt_messages(problem, system="\n\n".join(filter(None, (self.system, instruction))))
        if by_template:
            declared = [self.session.functions[name][1].schema for name in self.available]
            messages = tuple(tools.joined(declared, messages))
        text = observation(messages)
        return text, dict(Info(problem_id=problem.id, index=index, messages=messages))

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Executes the calls of a response, or ends the user's turn."""
        if self.problem is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        calls: list[ParsedCall] | None = None
        reason = ""
        try:
            calls = formats.calls_in(action, self.declared)
        except Malformed as error:
            reason = f"the call cannot be read: {error}"
        if calls is None or calls:
            if self.calls_in_turn + len(calls or [reason]) > self.max_calls:
                return self._end(f"more than {self.max_calls} calls in a turn")
            return self._reply([self.session.call(call, self.available) for call in calls] if calls else [failure(reason)])
        if defect := self._defect(action):
            return self._end(defect)
        self.turn += 1
        if self.turn == len(self.turns):
            return self._end(None)
        self._begin_turn(self.turn)
        turn = self.turns[self.turn]
        added = f"\n\n{MORE}{self._described(turn['functions'])}" if turn.get("functions") else ""
        info = Info(problem_id=self.problem.id, tool_calls=self.tool_calls)
        return f"{turn['user']}{added}", 0.0, False, False, dict(info)

    def gold_move(self) -> str:
        """Returns the next gold call of the turn, or the last response of the turn. See `SupportsGoldMove`."""
        turn = self.turns[self.turn]
        if self.calls_in_turn < len(turn["calls"]):
            gold = turn["calls"][self.calls_in_turn]
            call = {"name": gold["name"], "arguments": gold["arguments"]}
            return f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>"
        return self.last_response()

    def last_response(self) -> str:
        """Returns a response that ends the turn after its gold calls."""
        turn = self.turns[self.turn]
        return " ".join(["Done." if turn["calls"] else "I cannot do this yet.", *turn.get("says", ())])

    def _begin_turn(self, number: int) -> None:
        self.turn, self.calls_in_turn = number, 0
        self.available += [name for name in self.turns[number].get("functions", ()) if name not in self.available]

    def _reply(self, results: Sequence[Result]) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.calls_in_turn += len(results)
        self.tool_calls += len(results)
        self.seen |= {result.text for result in results}
        return (
            "\n".join(result.text for result in results),
            0.0,
            False,
            False,
            dict(Info(role="tool", tool_calls=self.tool_calls)),
        )

    def _defect(self, response: str) -> str | None:
        """Returns why the user's turn does not pass, or None."""
        wanted = self.expected[self.turn]
        if found := difference(wanted.state, self.session.state()):
            return found
        if missing := [name for text, name in wanted.results.items() if text not in self.seen]:
            return f"the result of {missing[0]} was not read"
        response = without_thinking(response)
        if missing := [text for text in self.turns[self.turn].get("says", ()) if not says(response, text)]:
            return f"the response lacks {missing[0]!r}"
        return None

    def _end(self, defect: str | None) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Ends the episode.

        Args:
            defect: why the current turn does not pass; None if all turns have passed.
        """
        assert self.problem is not None
        count = len(self.turns)
        score = 1.0 if defect is None else self.turn / count if self.partial else 0.0
        reason = f"{count} of {count} turns" if defect is None else f"turn {self.turn + 1} of {count}: {defect}"
        verdict = Verdict(Status.SCORED, score, "tools", reason[:MAX_REASON_CHARACTERS])
        info = Info(problem_id=self.problem.id, tool_calls=self.tool_calls, verdict=verdict)
        self.problem = None
        return "", score, True, False, dict(info)

    def _added(self) -> set[str]:
        return {name for turn in self.turns for name in turn.get("functions", ())}

    def _described(self, names: Sequence[str]) -> str:
        """Returns functions, one in each line."""
        functions = [self.session.functions[name][1] for name in names]
        if self.describe == "line":
            return "\n".join(function.line for function in functions)
        return "\n".join(json.dumps(function.schema, ensure_ascii=False) for function in functions)


def _class(name: str, given: str | type) -> type:
    found = named_code.resolve(given) if isinstance(given, str) else given
    if not isinstance(found, type):
        raise UserError(f"services: {name}: expected a class or package.module:Class, got {given!r:.100}")
    return found


def _checked(answer: object) -> ToolTurns:
    """Returns a gold answer if it has the form. Raises `UserError`."""
    form = 'expected {"services": {NAME: STATE}, "turns": [{"user": ..., "calls": [{"name": ..., "arguments": ...}]}]}'
    if not isinstance(answer, Mapping) or not isinstance(answer.get("services"), Mapping):
        raise UserError(f"the gold answer has another form: {form}")
    turns = answer.get("turns")
    if not isinstance(turns, list | tuple) or not turns or not all(map(_is_turn, turns)):
        raise UserError(f"the gold answer has no turns, or a turn of another form: {form}")
    if not all(isinstance(turn.get("user"), str) for turn in turns[1:]):
        raise UserError(f"the gold answer has a turn without the user's text: {form}")
    if not _are_names(answer.get("functions", ())):
        raise UserError(f"the gold answer has functions of another form: {form}")
    return cast(ToolTurns, answer)


def _is_turn(turn: object) -> bool:
    if not isinstance(turn, Mapping) or not all(_are_names(turn.get(name, ())) for name in ("says", "functions")):
        return False
    calls = turn.get("calls")
    return isinstance(calls, list | tuple) and all(
        isinstance(call, Mapping) and isinstance(call.get("name"), str) and isinstance(call.get("arguments"), Mapping)
        for call in calls
    )


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
