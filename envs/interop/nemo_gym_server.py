"""Any environment of this package as a resources server of NeMo Gym.

    from tenfold.envs.interop.nemo_gym_server import rows, server_class

    rows("tenfold/ChainSum-v0")                             # rows of a data file
    server_class("tenfold/ChainSum-v0").run_webserver()     # the program of the server; needs the package nemo-gym

One turn (the default): NeMo Gym's `simple_agent` calls `/seed_session` and `/verify`. A verdict without a score has
`mask_sample` true, which leaves the sample out; its `failure_kind` is "tenfold:fault" or "tenfold:undecided", and its reward of
0 is not counted. Several turns (`several_turns=True`): NeMo Gym's `gymnasium_agent` calls `/reset` and `/step`. It has no mask.
A verdict without a score is an error of the request, which ends the rollout without a reward.

The text that is judged and the verdict are those of a rollout.
"""

import asyncio
import collections
import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from ...core import Completion, UserError, Verdict, message_text
from ...policies.chat import tools
from ...policies.play import games
from .. import registry
from .episodes import MAX_TURNS, begin, take_turn

FIELD = "tenfold_problem"
"""Field of a row with the index of its problem."""
MAX_SESSIONS = 1_000
"""Number of episodes at once. With one more, the one that was used least recently is closed. Our choice."""

Row = Mapping[str, Any]


class NoScore(Exception):
    """The verdict has no score, or the request cannot be answered."""


def rows(id: str, agent: str = "", **options: object) -> Iterator[dict[str, object]]:
    """Yields a row for each problem of an environment, for the data file of an agent.

    Args:
        id: id of the environment.
        agent: name of the agent in NeMo Gym's configuration; empty: the rows name none.
        **options: arguments that differ from those of the registration.

    Raises:
        UserError: there is no such environment, it has no list of problems, or a problem has no prompt.
    """
    with contextlib.closing(registry.make(id, **options)) as environment:
        count = games.count_problems(environment)
        if not count:
            raise UserError(f"{id} has no list of problems")
        for index in range(count):
            problem_id, messages = games.prompt_of(environment, index, id)
            asked = [_turn(message["role"], message_text(message)) for message in tools.as_text(messages)]
            row: dict[str, object] = {"responses_create_params": {"input": asked}, FIELD: index, "id": problem_id}
            if agent:
                row["agent_ref"] = {"type": "responses_api_agents", "name": agent}
            yield row


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role if role in ("system", "assistant") else "user", "content": content}


def turn_of(response: Row) -> Completion:
    """Returns the policy's turn in an object of the Responses API: the text of its last message.

    Reasoning is an item of its own, and not a part of the turn.

    Args:
        response: the object.
    """
    said = ""
    for item in response.get("output") or ():
        if item.get("type", "message") == "message":
            content = item.get("content") or ""
            texts = [content] if isinstance(content, str) else [part.get("text") or "" for part in content]
            said = "".join(texts)
    cut = (response.get("incomplete_details") or {}).get("reason") == "max_output_tokens"
    return Completion(said, "length" if cut else "stop")


class Sessions:
    """The episodes of an environment that a server plays. It may be called from several threads."""

    def __init__(self, id: str, options: Mapping[str, object] | None = None, max_turns: int = MAX_TURNS):
        """Creates the environment once, so that a mistake in its id is found at the start.

        Args:
            id: id of the environment.
            options: arguments that differ from those of the registration.
            max_turns: limit of the policy's turns in an episode.

        Raises:
            UserError: there is no such environment, or it does not accept these options.
        """
        self.id, self.options, self.max_turns = id, dict(options or {}), max_turns
        self._lock = threading.Lock()
        self._games: collections.OrderedDict[str, games.Game] = collections.OrderedDict()
        registry.make(id, **self.options).close()

    def reset(self, session: str, row: Row) -> None:
        """Begins an episode.

        Args:
            session: NeMo Gym's id of the session.
            row: the row of the problem.

        Raises:
            NoScore: the row names no problem, or the environment fails.
        """
        self.end(session)
        game = self._begin(row)
        if game.verdict is not None:
            game.environment.close()
            raise NoScore(_reason(game.verdict))
        with self._lock:
            self._games[session] = game
            dropped = [self._games.popitem(last=False)[1] for _ in range(len(self._games) - MAX_SESSIONS)]
        for old in dropped:
            old.environment.close()

    def step(self, session: str, response: Row) -> tuple[str | None, float, bool, dict[str, object]]:
        """Passes a turn of the policy to the environment.

        Args:
            session: NeMo Gym's id of the session.
            response: object of the Responses API with the turn.

        Returns:
            The reply, the reward of this step, true if the episode has ended, and further data. The rewards of an episode
            sum to its score.

        Raises:
            NoScore: there is no such episode, or its verdict has no score.
        """
        with self._lock:
            game = self._games.get(session)
            if game is not None:
                self._games.move_to_end(session)
        if game is None:
            raise NoScore("there is no such episode: call /reset first")
        before = game.rewards
        take_turn(game, turn_of(response))
        if game.verdict is None:
            return game.transcript.messages[-1]["content"], game.rewards - before, False, {}
        self.end(session)
        if game.verdict.score is None:
            raise NoScore(_reason(game.verdict))
        return None, game.verdict.score - before, True, {"tenfold": _as_data(game.verdict)}

    def verify(self, row: Row, response: Row) -> dict[str, object]:
        """Returns the fields of an answer of `/verify` on a response to a problem of one turn.

        Args:
            row: the row of the problem.
            response: object of the Responses API with the response.

        Raises:
            NoScore: the row names no problem.
        """
        game = self._begin(row)
        try:
            if game.verdict is None:
                take_turn(game, turn_of(response))
        finally:
            game.environment.close()
        if game.verdict is None:
            return _masked("tenfold:turns", f"{self.id} has several turns: start its server with several_turns=True")
        if game.verdict.score is None:
            return _masked(f"tenfold:{game.verdict.status}", _reason(game.verdict)) | {"tenfold": _as_data(game.verdict)}
        return {"reward": float(game.verdict.score), "mask_sample": False, "tenfold": _as_data(game.verdict)}

    def end(self, session: str) -> None:
        """Ends an episode, if there is one.

        Args:
            session: NeMo Gym's id of the session.
        """
        with self._lock:
            game = self._games.pop(session, None)
        if game is not None:
            game.environment.close()

    def _begin(self, row: Row) -> games.Game:
        index = row.get(FIELD)
        if isinstance(index, bool) or not isinstance(index, int):
            raise NoScore(f"the row has no {FIELD}: make the data file with tenfold.envs.interop.nemo_gym_server.rows")
        environment = registry.make(self.id, **self.options)
        try:
            return begin(environment, index, self.max_turns)
        except UserError as error:
            environment.close()
            raise NoScore(str(error)) from None


def _as_data(verdict: Verdict) -> dict[str, object]:
    return {"status": str(verdict.status), "method": verdict.method, "reason": verdict.reason}


def _reason(verdict: Verdict) -> str:
    return f"{verdict.status} ({verdict.method}): {verdict.reason}"


def _masked(kind: str, reason: str) -> dict[str, object]:
    return {"reward": 0.0, "mask_sample": True, "failure_kind": kind, "failure_reason": reason[:2000]}


def server_class(
    id: str, options: Mapping[str, object] | None = None, *, several_turns: bool = False, max_turns: int = MAX_TURNS
) -> Any:
    """Returns the class of a resources server.

    Args:
        id: id of the environment.
        options: arguments that differ from those of the registration.
        several_turns: true for a server with `/reset` and `/step`, false for one with `/seed_session` and `/verify`.
        max_turns: limit of the policy's turns in an episode.

    Raises:
        UserError: the package nemo-gym is not installed, or there is no such environment.
    """
    try:
        from nemo_gym.base_resources_server import BaseVerifyRequest, BaseVerifyResponse, SimpleResourcesServer
        from pydantic import ConfigDict
        from resources_servers.gymnasium import GymnasiumServer
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("nemo_gym", "resources_servers"):
            raise
        raise UserError("a resources server of NeMo Gym needs the package nemo-gym: pip install 'nemo-gym>=0.4'") from error

    sessions = Sessions(id, options, max_turns)

    class VerifyRequest(BaseVerifyRequest):  # type: ignore[misc, unused-ignore]
        model_config = ConfigDict(extra="allow")

    class VerifyResponse(BaseVerifyResponse):  # type: ignore[misc, unused-ignore]
        model_config = ConfigDict(extra="allow")
        mask_sample: bool = False

    class OneTurn(SimpleResourcesServer):  # type: ignore[misc, unused-ignore]
        ray_enabled: ClassVar[bool] = False

        async def verify(self, body: VerifyRequest) -> VerifyResponse:
            found = await asyncio.to_thread(sessions.verify, body.model_extra or {}, body.response.model_dump())
            return VerifyResponse(**(body.model_dump() | found))

    class SeveralTurns(GymnasiumServer):  # type: ignore[misc, unused-ignore]
        ray_enabled: ClassVar[bool] = False

        async def reset(self, metadata: Row, session_id: str | None = None) -> tuple[None, dict[str, object]]:
            await asyncio.to_thread(sessions.reset, str(session_id), metadata)
            return None, {}

        async def step(
            self, action: Any, metadata: Row, session_id: str | None = None
        ) -> tuple[str | None, float, bool, bool, dict[str, object]]:
            text, reward, ended, info = await asyncio.to_thread(sessions.step, str(session_id), action.model_dump())
            return text, reward, ended, False, info

    return SeveralTurns if several_turns else OneTurn
