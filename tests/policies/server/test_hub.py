"""The Hugging Face hub: one line without a connection, for an unknown name, and for a gated model."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import pytest
from huggingface_hub import constants

from tenfold import cli
from tenfold.policies.server import hub

REPLIES = {
    "entry": (404, "EntryNotFound"),
    "gated": (403, "GatedRepo"),
    "unknown": (404, "RepoNotFound"),
    "revision": (404, "RevisionNotFound"),
}


class Hub(BaseHTTPRequestHandler):
    """A server that refuses each name in its own way."""

    def do_GET(self) -> None:
        status, code = REPLIES[next((name for name in REPLIES if name in self.path), "unknown")]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Prints nothing."""


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:1")  # nothing listens there


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{running.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)  # made of the address on import
    yield address
    running.shutdown()
    running.server_close()


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Returns the error of a command, which is one line."""
    assert cli.main([*arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_a_model_without_a_connection(capsys: pytest.CaptureFixture[str]) -> None:
    command = ("rollout", "tenfold/ChainSum-v0", "--policy", "hf:lab/model", "--samples", "1")
    error = error_of(capsys, *command)
    assert (
        "the model lab/model is not in the cache, and 127.0.0.1 cannot be reached (Connection refused); connect, or " in error
    )
    assert error.endswith("use path:FOLDER\n")
    assert not constants.HF_HUB_OFFLINE, "the setting of the clients is restored"


def test_problems_without_a_connection(capsys: pytest.CaptureFixture[str]) -> None:
    error = error_of(capsys, "env", "play", "tenfold/ChainSum-v0", "--set", "problems=hf:lab/data")
    assert "hf:lab/data: the data set lab/data is not in the cache, and 127.0.0.1 cannot be reached" in error
    assert not datasets.config.HF_HUB_OFFLINE


def test_an_offline_setting_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not in the cache, and HF_HUB_OFFLINE is set" in error_of(
        capsys, "rollout", "tenfold/ChainSum-v0", "--policy", "hf:lab/model"
    )


@pytest.mark.parametrize("endpoint", ["localhost:8080", "http://127.0.0.1:port", "http://[::1"])
def test_an_invalid_address_of_the_hub_is_named(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    assert hub.unreachable() == "HF_ENDPOINT or the address of the proxy is not a URL"


def test_an_invalid_address_of_the_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://user:secret@127.0.0.1:port")
    monkeypatch.setenv("no_proxy", "")
    assert hub.unreachable() == "HF_ENDPOINT or the address of the proxy is not a URL"


def test_an_invalid_host_of_the_hub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://a..b")
    assert hub.unreachable() == "a..b cannot be reached (the name of the host is invalid)"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lab/unknown", "there is no model lab/unknown on {server}: correct the name, or set HF_TOKEN if it is private"),
        (
            "lab/gated",
            "the model lab/gated is gated: accept its terms on {server}, and set HF_TOKEN to a token of your account",
        ),
        ("lab/revision?revision=v9", "the model lab/revision does not have this revision; see {server}"),
        ("a/b/c", "there is no model a/b/c on {server}"),
    ],
)
def test_a_refusal_of_the_hub(server: str, capsys: pytest.CaptureFixture[str], name: str, words: str) -> None:
    error = error_of(capsys, "rollout", "tenfold/ChainSum-v0", "--policy", f"hf:{name}")
    assert words.format(server=server) in error


def test_a_file_that_a_model_does_not_have(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("rollout", "tenfold/ChainSum-v0", "--policy")
    error = error_of(capsys, *command, "gguf:hf:lab/entry/small.gguf")
    assert f"the model lab/entry does not have this file; see {server}" in error
    assert "there is no model lab/unknown on" in error_of(capsys, *command, "gguf:hf:lab/unknown/small.gguf")


def test_a_model_in_the_cache_needs_no_connection(tmp_path: Path) -> None:
    folder = tmp_path / "models--lab--model"
    (folder / "snapshots/1234").mkdir(parents=True)
    (folder / "snapshots/1234/config.json").write_text("{}")
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("1234")
    assert hub.download_model("lab/model") == folder / "snapshots/1234"
