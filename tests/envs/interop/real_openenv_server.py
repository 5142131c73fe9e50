"""Servers of OpenEnv's own package: an echo of messages, and a tool. Runs in the Python of OpenEnv's environment: KIND PORT."""

import sys
from typing import Any

import uvicorn
from fastmcp import FastMCP
from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation


class EchoAction(Action):
    """The policy's message."""

    message: str


class EchoObservation(Observation):
    """The echo."""

    prompt: str


class Echo(Environment):
    """Echoes two messages. The reward of the second is the share of a's in it."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self.turns = self.seed = 0

    def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> EchoObservation:
        self.turns, self.seed = 0, seed or 0
        return EchoObservation(prompt=f"Seed {seed}.")

    def step(self, action: EchoAction, timeout_s: float | None = None, **options: Any) -> EchoObservation:
        self.turns += 1
        if action.message == "raise":
            raise RuntimeError("it broke")
        reward = action.message.count("a") / max(1, len(action.message)) if self.turns == 2 else None
        return EchoObservation(prompt=f"{self.seed}: {action.message}", reward=reward, done=self.turns == 2)

    @property
    def state(self) -> State:
        return State(step_count=self.turns)


class Adding(MCPEnvironment):
    """Has a tool that adds. An episode ends with the second call."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        server = FastMCP("adding")

        @server.tool
        def add(a: int, b: int) -> int:
            """Adds two integers."""
            return a + b

        super().__init__(server)
        self.turns = 0

    def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> Observation:
        self.turns = 0
        return Observation(metadata={"task": "Add 2 and 3."})

    def step(self, action: Action, timeout_s: float | None = None, **options: Any) -> Observation:
        return self._after(super().step(action, timeout_s, **options))

    async def step_async(self, action: Action, timeout_s: float | None = None, **options: Any) -> Observation:
        return self._after(await super().step_async(action, timeout_s, **options))

    def _after(self, observation: Observation) -> Observation:
        if isinstance(observation, CallToolObservation):
            self.turns += 1
            observation.done = self.turns == 2
            observation.reward = 1.0 if self.turns == 2 else 0.0
        return observation

    def _step_impl(self, action: Action, timeout_s: float | None = None, **options: Any) -> Observation:
        return Observation()

    @property
    def state(self) -> State:
        return State(step_count=self.turns)


APPLICATIONS = {
    "echo": lambda: create_fastapi_app(Echo, EchoAction, EchoObservation, max_concurrent_envs=64),
    "adding": lambda: create_fastapi_app(Adding, CallToolAction, CallToolObservation, max_concurrent_envs=64),
}

if __name__ == "__main__":
    uvicorn.run(APPLICATIONS[sys.argv[1]](), port=int(sys.argv[2]), log_level="warning")
