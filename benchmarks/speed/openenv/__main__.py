"""Steps per second of `tenfold serve`, over many sessions, with a verifier that answers at once.

    python -m tenfold.benchmarks.speed.openenv [--sessions 64] [--steps 20000] [--rounds 3]

The server is a process of its own, and this process plays all sessions. Each episode is a reset and a step. The baseline is the
same number of episodes of the environment itself, in this process. Processor times say what two free cores would reach: the
server is one thread at a time, and so is this client.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect

from ....envs import registry
from .environment import ID

RESPONSE = "The answer is 7. " * 20


async def play(connection: ClientConnection, episodes: int) -> None:
    """Plays episodes of one session."""
    for number in range(episodes):
        await connection.send(json.dumps({"type": "reset", "data": {"index": number % 100}}))
        await connection.recv()
        await connection.send(json.dumps({"type": "step", "data": {"text": RESPONSE}}))
        answer = json.loads(await connection.recv())
        if answer["data"]["reward"] not in (0.0, 1.0):
            raise RuntimeError(f"no reward: {answer}")


async def through(url: str, sessions: int, steps: int) -> float:
    """Returns the seconds for a number of steps, over all sessions."""
    address = f"ws{url.removeprefix('http')}/ws"
    connections = await asyncio.gather(*(connect(address, compression=None, proxy=None) for _ in range(sessions)))
    await asyncio.gather(*(play(each, 2) for each in connections))
    started = time.perf_counter()
    await asyncio.gather(*(play(each, steps // sessions) for each in connections))
    seconds = time.perf_counter() - started
    await asyncio.gather(*(each.close() for each in connections))
    return seconds


def processor_seconds(pid: int) -> float:
    """Returns the processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def itself(steps: int) -> float:
    """Returns the seconds for a number of steps of the environment itself."""
    environment = registry.make(ID)
    started = time.perf_counter()
    for number in range(steps):
        environment.reset(options={"problem": number % 100})
        environment.step(RESPONSE)
    return time.perf_counter() - started


def main() -> None:
    """Prints steps per second through the server, and of the environment itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=64, help="sessions at once (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=20_000, help="steps of a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; medians count (default: %(default)s)")
    arguments = parser.parse_args()
    steps = arguments.steps // arguments.sessions * arguments.sessions
    command = [sys.executable, "-m", "tenfold.cli", "serve", f"tenfold.benchmarks.speed.openenv.environment:{ID}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split("  ")[0]
            asyncio.run(through(url, arguments.sessions, 10 * arguments.sessions))  # imports, threads, environments
            before = processor_seconds(server.pid), time.process_time()
            served = [asyncio.run(through(url, arguments.sessions, steps)) for _ in range(arguments.rounds)]
            spent = processor_seconds(server.pid) - before[0], time.process_time() - before[1]
        finally:
            server.terminate()
    own = [itself(steps) for _ in range(arguments.rounds)]
    print(f"through the server: {steps / statistics.median(served):8,.0f} steps/s over {arguments.sessions} sessions")
    print(f"        the slowest: {steps / max(served):8,.0f} steps/s")
    milliseconds = [1000 * seconds / steps / arguments.rounds for seconds in spent]
    print(f"     processor time: {milliseconds[0]:.2f} ms a step of the server, {milliseconds[1]:.2f} ms of the client")
    print(f" without the server: {steps / statistics.median(own):8,.0f} steps/s")


if __name__ == "__main__":
    main()
