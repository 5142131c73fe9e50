"""The conformance suite through the server classes of the real nemo-gym, outward and inward."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold.core import Completion

own = pytest.importorskip("interop_environments")
suite = pytest.importorskip("interop_pairs")
pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("sandboxed")]


@pytest.fixture
def serve() -> Iterator[Callable[[str, bool], str]]:
    """Starts a server of NeMo Gym with an environment; returns its address."""
    import uvicorn
    from nemo_gym.base_resources_server import BaseResourcesServerConfig
    from nemo_gym.server_utils import ServerClient

    from tenfold.envs.interop.nemo_gym_server import server_class

    servers = []

    def start(id: str, several_turns: bool) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = BaseResourcesServerConfig(host="127.0.0.1", port=port, entrypoint="app.py", name="tenfold", domain="other")
        client = ServerClient.model_construct()
        made = server_class(id, several_turns=several_turns)(config=config, server_client=client)
        app = made.setup_webserver()
        made.setup_exception_middleware(app)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
        servers.append(server)
        threading.Thread(target=server.run, daemon=True).start()
        while not server.started:
            time.sleep(0.05)
        return f"http://127.0.0.1:{port}"

    yield start
    for server in servers:
        server.should_exit = True


def said(turn: Completion) -> dict[str, Any]:
    """Returns a turn as an object of the Responses API."""
    part = {"type": "output_text", "text": turn.text, "annotations": []}
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    whole = {"id": "r", "object": "response", "created_at": 0, "model": "m", "output": [message], "tools": []}
    return {**whole, "parallel_tool_calls": True, "tool_choice": "auto", **(cut if turn.finish_reason == "length" else {})}


@pytest.mark.parametrize("id", own.IDS)
def test_every_response_gets_the_score_of_the_suite(id: str, serve: Callable[..., str], tmp_path: Path) -> None:
    import json

    import httpx

    from tenfold.envs.interop.nemo_gym_server import rows

    several = id == suite.TOOL
    url = serve(id, several)
    data = [*rows(id)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in data))
    inward = tenfold.make(f"nemo_gym:{url}?rows={file}")
    for pair in (pair for pair in suite.pairs() if pair.id == id):
        row = data[pair.problem]
        with httpx.Client(base_url=url, timeout=60) as client:
            client.post("/reset" if several else "/seed_session", json=row).raise_for_status()
            found: float | None = 0.0
            for turn in pair.turns:
                answer = client.post("/step" if several else "/verify", json={**row, "response": said(turn)})
                if answer.status_code == 500:
                    found = None
                    break
                told = answer.json()
                assert found is not None
                found = None if told.get("mask_sample") else found + told["reward"]
                if not several or told["terminated"]:
                    break
        assert found == pair.score, (pair.name, "outward")
        if several and pair.score is None:
            continue  # the server answers with an error, which is a fault
        inward.reset(seed=pair.problem, options={"problem": pair.problem})
        rewards = 0.0
        for turn in pair.turns:
            _, reward, ended, _, info = inward.step(turn.scorable_text)
            rewards += float(reward)
            if ended:
                break
        assert (info["verdict"].score if "verdict" in info else rewards) == pair.score, (pair.name, "inward")
        assert pair.score is not None or info["verdict"].status == pair.status
