"""Parts of the environments of BFCL-V4 with several responses: problems, the two modes, calls and replies."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gymnasium

from ...core import Info, Message, Problem, UserError
from ...policies.chat import tools
from ...responses import without_thinking
from ...verifiers.calls import formats
from ...verifiers.calls.call import Malformed
from ..problems import sources
from ..text import Text, as_problems, check_system, with_system
from . import calls, texts

MAX_STEPS = 20
"""Responses with calls in a user turn. The leaderboard's `MAXIMUM_STEP_LIMIT`."""
Step = tuple[str, float, bool, bool, dict[str, Any]]
"""What `gymnasium.Env.step` returns."""


class BFCLConversation(gymnasium.Env[str, str]):
    """Base class of these environments.

    `mode="prompt"` has the functions in the system turn, and reads calls in Python as `calls.py` describes. `mode="tools"`
    declares them in the tool format of the model (`policies/chat/tools.py`), and reads all formats of
    `verifiers/calls/formats.py`.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(self, problems: str | Sequence[Problem | Mapping[str, object]], mode: str, system: str | None):
        """Loads the problems.

        Args:
            problems: a problem URI, or a list of `Problem`s or rows.
            mode: "prompt" or "tools".
            system: text to put before the system turn.

        Raises:
            UserError: an argument is invalid, or the package bfcl-eval is not installed.
        """
        check_system(system)
        if mode not in ("prompt", "tools"):
            raise UserError(f"mode: expected prompt or tools, got {mode!r:.80}")
        self.problems = sources.load(problems) if isinstance(problems, str) else as_problems(problems)
        self.mode, self.system = mode, system
        self.observation_space = self.action_space = Text()
        self.problem: Problem | None = None
        self.functions: dict[str, texts.Declaration] = {}
        self.tool_calls = 0

    def _declared(self, functions: Iterable[Mapping[str, object]], messages: Sequence[Message]) -> tuple[Message, ...]:
        """Returns a prompt with the functions that are available in the first turn."""
        declared = [dict(each) for each in functions]
        if self.mode == "tools":
            messages = with_system(self.system, messages) if self.system else messages
            return tuple(tools.joined([*map(texts.tool, declared)], messages))
        return with_system("\n\n".join(filter(None, (self.system, texts.system_prompt(declared)))), messages)

    def _calls(self, response: str) -> list[str]:
        """Returns the calls of a response as text; empty if it has none that can be read."""
        try:
            if self.mode == "prompt":
                return calls.in_prompt_mode(without_thinking(response))
            declared = {name: each["parameters"]["properties"] for name, each in self.functions.items()}
            return [calls.of_data(call.name, call.arguments) for call in formats.calls_in(response, declared)]
        except (Malformed, ValueError, RecursionError):  # also for values that are too long or nested too deeply
            return []

    def _replied(self, called: Sequence[str], results: Sequence[str]) -> Step:
        """Returns the reply with the results of calls."""
        if self.mode == "tools":
            return "\n".join(results), 0.0, False, False, dict(Info(role="tool", tool_calls=self.tool_calls))
        said = [{"role": "tool", "name": call, "content": result} for call, result in zip(called, results, strict=True)]
        return repr(said), 0.0, False, False, dict(Info(role="user", tool_calls=self.tool_calls))
