"""Plays servers of `tenfold serve` with OpenEnv's own client; prints what it got as JSON.

This program runs in the Python of OpenEnv's environment, where tenfold is not installed: PROGRAM SUMS_URL JUDGED_URL TOOLS_URL.
"""

import asyncio
import importlib.metadata
import json
import sys
from typing import Any

from openenv.core import GenericEnvClient

SESSIONS = 200


async def one_turn(url: str, number: int) -> float:
    """Returns the reward of one response."""
    async with GenericEnvClient(base_url=url) as env:
        await env.reset(index=number % 2)
        return (await env.step({"text": f"It is {(42, 4, 5)[number % 3]}."})).reward


async def several_turns(url: str) -> list[Any]:
    """Returns rewards and ends of the turns of an episode, and the state after it."""
    async with GenericEnvClient(base_url=url) as env:
        await env.reset(seed=1)
        turns = [await env.step({"text": word}) for word in ("more", "more", "0.5")]
        return [[turn.reward for turn in turns], [turn.done for turn in turns], (await env.state())["step_count"]]


async def faults(url: str) -> dict[str, Any]:
    """Returns what the client gets for verdicts without a score, and for an exception."""
    found: dict[str, Any] = {}
    async with GenericEnvClient(base_url=url) as env:
        for word in ("fault", "undecided", "raise"):
            await env.reset()
            try:
                result = await env.step({"text": word})
                found[word] = [result.reward, result.done, result.observation["verdict"]["reason"]]
            except RuntimeError as error:
                found[word] = str(error).partition(";")[0]
        await env.reset()
        found["after"] = (await env.step({"text": "1"})).reward
    return found


async def tools(url: str) -> list[Any]:
    """Returns the result of a tool, and the reward of the answer."""
    async with GenericEnvClient(base_url=url) as env:
        await env.reset(index=0)
        listed = await env.step({"type": "list_tools"})
        result = await env.step({"type": "call_tool", "tool_name": "python", "arguments": {"code": "print(6 * 7)"}})
        answer = await env.step({"text": f"It is {result.observation['result'].strip()}."})
        return [listed.observation["tools"], result.observation["role"], result.done, answer.reward, answer.done]


async def main() -> None:
    """Plays all sessions at once."""
    sums, judged, with_tools = sys.argv[1:]
    rewards = asyncio.gather(*(one_turn(sums, number) for number in range(SESSIONS)))
    others = asyncio.gather(several_turns(judged), faults(judged), tools(with_tools))
    found = dict(zip(("several", "faults", "tools"), await others, strict=True))
    print(json.dumps({"version": importlib.metadata.version("openenv"), "rewards": await rewards, **found}))


if __name__ == "__main__":
    asyncio.run(main())
