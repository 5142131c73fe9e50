"""Rules for sending API keys to servers."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold.core import Sampling, UserError
from tenfold.policies import identity
from tenfold.policies.openai import OpenAIPolicy
from tenfold.policies.server import keys
from tenfold.texts import without_secrets

from .servers import answer

ASKED = [[{"role": "user", "content": "hi"}]]


class Server(ThreadingHTTPServer):
    """Records the headers of requests. Replies, redirects to `elsewhere`, or sends `refusal` with status 401."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.headers: list[dict[str, str]] = []
        self.elsewhere = self.refusal = ""
        self.port = self.server_port

    def url(self, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.server_port}/v1"

    @property
    def sent(self) -> str:
        return json.dumps(self.headers)


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers.append(dict(self.headers))
        status = 307 if self.server.elsewhere else 401 if self.server.refusal else 200
        body = json.dumps({"error": {"message": self.server.refusal}} if self.server.refusal else answer("yes")).encode()
        self.send_response(status)
        if self.server.elsewhere:
            self.send_header("Location", self.server.elsewhere)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    """Two servers, and environment variables with keys."""
    for name in ("OPENAI_BASE_URL", "TENFOLD_KEYS"):
        monkeypatch.delenv(name, raising=False)
    for name in ("OPENAI_API_KEY", "LAB_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, f"sk-secret-{name}")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway-Key: sk-secret-gateway\nAuthorization: Bearer sk-secret-custom")
    both = Server(), Server()
    for one in both:
        threading.Thread(target=one.serve_forever, args=(0.01,), daemon=True).start()
    yield both
    for one in both:
        one.shutdown()
        one.server_close()


def ask(policy: Any) -> str:
    return policy.generate(ASKED, 1, Sampling(max_tokens=4))[0][0].text


def test_a_server_in_a_uri_gets_no_key_by_default(servers: tuple[Server, Server]) -> None:
    assert ask(tenfold.load_policy(f"openai:m?base_url={servers[0].url()}")) == "yes"
    assert "secret" not in servers[0].sent


@pytest.mark.parametrize("name", ["LAB_KEY", "OPENAI_API_KEY", "AWS_SECRET_ACCESS_KEY", "HOME"])
def test_a_uri_cannot_read_a_variable_without_permission(servers: tuple[Server, Server], name: str) -> None:
    with pytest.raises(UserError, match=f"the key in {name} is not sent to 127.0.0.1:.*TENFOLD_KEYS=") as error:
        tenfold.load_policy(f"openai:m?base_url={servers[0].url()}&api_key_env={name}")
    assert "\n" not in str(error.value)
    assert not servers[0].headers


@pytest.mark.parametrize("host", ["127.0.0.1", "http://127.0.0.1:{port}", "other.lab,127.0.0.1:{port}", "127.0.0.1:{port}"])
def test_a_key_is_sent_to_allowed_servers(servers: tuple[Server, Server], host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_KEYS", f"OPENAI_API_KEY=llm.lab LAB_KEY={host.format(port=servers[0].port)}")
    ask(tenfold.load_policy(f"openai:m?base_url={servers[0].url()}&api_key_env=LAB_KEY"))
    assert "secret-LAB_KEY" in servers[0].sent
    ask(tenfold.load_policy(f"openai:m?base_url={servers[0].url()}"))
    assert "secret-OPENAI_API_KEY" not in servers[0].sent


def test_the_settings_file_allows_servers_too(
    servers: tuple[Server, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_CONFIG", str(tmp_path))
    (tmp_path / "keys").write_text("# the laboratory's keys\nLAB_KEY=127.0.0.1  # a judge\n")
    ask(tenfold.load_policy(f"openai:m?base_url={servers[0].url()}&api_key_env=LAB_KEY"))
    assert "secret-LAB_KEY" in servers[0].sent
    (tmp_path / "keys").write_text("LAB_KEY 127.0.0.1\n")
    with pytest.raises(UserError, match="must contain NAME=HOST"):
        tenfold.load_policy(f"openai:m?base_url={servers[0].url()}&api_key_env=LAB_KEY")


def test_the_server_in_openai_base_url_gets_the_key(servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", servers[0].url())
    monkeypatch.delenv("OPENAI_CUSTOM_HEADERS")
    ask(tenfold.load_policy("openai:m"))
    assert "Bearer sk-secret-OPENAI_API_KEY" in servers[0].sent
    ask(tenfold.load_policy(f"openai:m?base_url={servers[1].url()}"))
    assert "secret" not in servers[1].sent


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("sk-secret\r\n", "Bearer sk-secret"),
        (" sk-secret", "Bearer sk-secret"),
        ("sk\n-secret", "the key in LAB_KEY has a line break"),
        ("sk-secret–", "the key in LAB_KEY has a line break or a character that is not ASCII"),
        ("", r"set \$LAB_KEY to a key, or omit api_key_env="),
    ],
)
def test_a_key_is_cleaned_or_rejected_without_its_value(
    servers: tuple[Server, Server], value: str, result: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENFOLD_KEYS", "LAB_KEY=127.0.0.1")
    monkeypatch.setenv("LAB_KEY", value)
    if result.startswith("Bearer"):
        ask(tenfold.load_policy(f"openai:m?base_url={servers[0].url()}&api_key_env=LAB_KEY"))
        assert [headers["Authorization"] for headers in servers[0].headers] == [result]
        return
    with pytest.raises(UserError, match=result) as error:
        tenfold.load_policy(f"openai:m?base_url={servers[0].url()}&api_key_env=LAB_KEY")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_key_is_sent_after_a_redirection(servers: tuple[Server, Server], host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = servers
    monkeypatch.setenv("TENFOLD_KEYS", f"LAB_KEY=127.0.0.1:{first.port}")
    monkeypatch.delenv("OPENAI_CUSTOM_HEADERS")
    first.elsewhere = f"{second.url(host)}/chat/completions"
    assert ask(tenfold.load_policy(f"openai:m?base_url={first.url()}&api_key_env=LAB_KEY")) == "yes"
    assert "secret-LAB_KEY" in first.sent
    assert "secret" not in second.sent


def test_errors_mention_the_withheld_key_without_its_value(
    servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers[0].refusal = "Incorrect API key: sk-secret-OPENAI_API_KEY; see http://u:secret@127.0.0.1/?token=secret"
    with pytest.raises(UserError, match=r"401.*the key in OPENAI_API_KEY is not sent there") as error:
        ask(OpenAIPolicy("m", servers[0].url(), max_retries=0))
    assert "u:secret" not in str(error.value)
    assert "token=secret" not in str(error.value)
    monkeypatch.setenv("TENFOLD_KEYS", "OPENAI_API_KEY=127.0.0.1")
    with pytest.raises(UserError, match="401") as error:
        ask(OpenAIPolicy("m", servers[0].url(), max_retries=0))
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("bound", "address", "goes"),
    [
        ("llm.lab", "https://llm.lab/v1", True),
        ("LLM.lab", "http://llm.LAB.:8000/v1", True),
        ("llm.lab:8000", "http://llm.lab/v1", False),
        ("https://llm.lab", "http://llm.lab/v1", False),
        ("https://llm.lab", "https://llm.lab:8443/v1", False),
        ("[::1]:80", "http://[::1]/v1", True),
        ("llm.lab", "https://llm.lab.evil.org/v1", False),
        ("llm.lab", "https://evil-llm.lab/v1", False),
        ("lab", "https://llm.lab/v1", False),
    ],
)
def test_hosts_are_matched_exactly(bound: str, address: str, goes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_KEYS", f"LAB_KEY={bound}")
    assert keys.may_receive("LAB_KEY", keys.server_of(address)) == goes


@pytest.mark.parametrize("address", ["https://api.openai.com/v1", "http://api.openai.com/v1", "https://api.openai.com:8443"])
def test_openais_key_is_sent_to_openai_over_https_only(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "TENFOLD_KEYS"):
        monkeypatch.delenv(name, raising=False)
    assert keys.may_receive("OPENAI_API_KEY", keys.server_of(address)) == (address == "https://api.openai.com/v1")


@pytest.mark.parametrize(
    "uri",
    [
        "openai:m?base_url=http://lab:hunter2@127.0.0.1:9/v1",
        "openai:m?base_url=http://hunter2@127.0.0.1:9/v1",
        "openai:m?base_url=http%3A%2F%2Flab%3Ahunter2%40127.0.0.1%3A9%2Fv1",
        "openai:m?base_url=http://api.openai.com:hunter2@127.0.0.1:9",
        "openai:m?base_url=http://127.0.0.1:9/v1?api-key=hunter2",
        "openai:m?base_url=http%3A%2F%2F127.0.0.1%3A9%2Fv1%3Faccess_token%3Dhunter2",
        "openai:m?api_key=hunter2",
    ],
)
def test_a_key_in_a_uri_is_rejected_and_redacted(uri: str) -> None:
    for use in (tenfold.load_policy, identity.policy_identity):
        with pytest.raises(UserError, match="put the key in an environment variable") as error:
            use(uri)
        assert "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "jsonl:train.jsonl?prompt=question&limit=100",
        "openai:m?base_url=http://localhost:8000/v1&api_key_env=LAB_KEY",
        "max_tokens=512 leaves no room; tokenizer=x",
        "17% of a@b.c; 3 = 3",
    ],
)
def test_text_without_secrets_is_unchanged(text: str) -> None:
    assert without_secrets(text) == text
