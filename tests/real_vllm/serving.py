"""A server of vLLM on this machine."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

OPTIONS = "--served-model-name micro --dtype float32 --max-model-len 256 --kv-cache-memory-bytes 67108864 --enforce-eager"


def served(model: Path, log: Path, options: str = "") -> Iterator[str]:
    """Yields the URI of the model on a server, which ends when the generator is closed."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *OPTIONS.split(), "--no-enable-chunked-prefill", *options.split()], stdout=output, stderr=output
        )
    try:
        while process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(1)
        assert process.poll() is None, log.read_text()[-3000:]
        yield f"openai:micro?base_url=http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)
