"""`NemoGym`: the rows of a data file as problems here, scored by a resources server of NeMo Gym over HTTP.

    tenfold.make("nemo_gym:http://localhost:8000?rows=train.jsonl")
    tenfold.make("nemo_gym:http://localhost:8000", rows="train.jsonl")

Nothing of NeMo Gym is needed here. A server with `/step` (its `GymnasiumServer`) plays several turns; any other one gets
`/seed_session` and `/verify`. A sample that the server masks (`mask_sample`) is a fault; it is undecided if the server's
`failure_kind` ends with ":undecided". An error of the server, a lost connection and a late answer are faults.
"""

import http.client
import http.cookiejar
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import gymnasium

from ... import disk, faults
from ...core import Info, Message, Problem, Status, UserError, Verdict
from ...policies.chat import tools
from ...responses import without_thinking
from ...texts import without_secrets, without_surrogates
from ..problems import rows as problem_rows
from ..text import TextEnv, prompt_messages

MAX_BYTES = 16_000_000
"""Largest answer of the server that is read. Our choice."""
MAX_TEXT = 1_000_000
"""Largest number of characters of a reply. Our choice."""
METHOD = "nemo_gym"

Row = Mapping[str, Any]


class ServerError(Exception):
    """The server did not answer, or its answer is not of the protocol."""


class NemoGym(TextEnv):
    """A `TextEnv` whose problems are rows of a data file. A server judges the responses."""

    def __init__(
        self,
        address: str,
        rows: str | None = None,
        template: str = "{prompt}",
        system: str | None = None,
        seconds: float = 600.0,
    ):
        """Reads the rows, and asks the server which paths it has.

        Args:
            address: http://HOST:PORT of the server, with ?rows=FILE unless `rows` is given.
            rows: JSONL file, as NeMo Gym's agents read it: each row has `responses_create_params`.
            template: see `TextEnv`.
            system: see `TextEnv`.
            seconds: time limit of an answer of the server.

        Raises:
            UserError: the address has no such form, the server does not answer, or a row cannot be used here.
        """
        url, _, query = address.partition("?")
        found = urllib.parse.parse_qs(query).get("rows", [])
        path = rows or (found[0] if found else None)
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise UserError(f"nemo_gym:{address}: expected the address of a server, such as nemo_gym:http://localhost:8000")
        if path is None:
            raise UserError(f"nemo_gym:{address}: name the data file of the server: rows=FILE, or ?rows=FILE in the id")
        if not seconds > 0:
            raise UserError(f"seconds: expected a number above 0, got {seconds!r:.80}")
        self.url, self.seconds = url.rstrip("/"), seconds
        self.rows = _read(path)
        problems = [_problem(self.url, index, row) for index, row in enumerate(self.rows)]
        try:
            paths = _Session(self.url, min(60.0, seconds)).get("/openapi.json").get("paths")
        except ServerError as error:
            raise UserError(f"nemo_gym:{self.url} cannot be used: {error}; start the server (ng_run)") from error
        self.has_turns = isinstance(paths, Mapping) and "/step" in paths and "/verify" not in paths
        super().__init__(problem_rows.with_distinct_ids(problems), self._judge, template, system)
        self._session: _Session | None = None
        self._asked: list[dict[str, object]] = []
        self._reward = 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Poses the problem of a row; see `TextEnv.reset`.

        Raises:
            ServerError: the server of an environment of several turns does not answer.
        """
        text, info = super().reset(seed=seed, options=options)
        self._session, self._reward = _Session(self.url, self.seconds), 0.0
        if self.has_turns:
            assert self.problem is not None
            first = self._session.post("/reset", self._row(self.problem)).get("observation")
            if isinstance(first, str) and first:
                said = Message(role="user", content=without_surrogates(first[:MAX_TEXT]))
                return f"{text}\n\n{said['content']}".strip(), info | {"messages": (*info["messages"], said)}
        return text, info

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Passes the response to the server."""
        if self.problem is None or self._session is None:
            raise gymnasium.error.ResetNeeded("call reset() before step()")
        problem = self.problem
        if self.has_turns:
            told = self._session.post("/step", {**self._row(problem), "response": _response(action)})
            self._reward += (reward := _number(told, "reward"))
            reply = told.get("observation")
            ended = bool(told.get("terminated") or told.get("truncated"))
            text = without_surrogates(reply[:MAX_TEXT]) if isinstance(reply, str) else ""
            if not ended:
                return text, reward, False, False, dict(Info(problem_id=problem.id))
            verdict = Verdict(Status.SCORED, self._reward, METHOD, "")
            self.problem = None
            return text, reward, True, False, dict(Info(problem_id=problem.id, verdict=verdict))
        return super().step(action)

    def _judge(self, problem: Problem, response: str) -> Verdict:
        """Returns the server's verdict on one response. The reward is the server's own, which may be above 1."""
        if self.has_turns:
            return Verdict(Status.FAULT, None, METHOD, "the server plays several turns: call reset() and step()")
        session = _Session(self.url, self.seconds)
        try:
            session.post("/seed_session", self._row(problem))
            told = session.post("/verify", {**self._row(problem), "response": _response(response)})
            if told.get("mask_sample"):
                kind, reason = str(told.get("failure_kind") or ""), str(told.get("failure_reason") or "the server masks it")
                status = Status.UNDECIDED if kind.endswith(":undecided") else Status.FAULT
                return Verdict(status, None, METHOD, without_secrets(" ".join(reason.split()))[:300])
            answer = told.get("extracted_answer")
            return Verdict(Status.SCORED, _number(told, "reward"), METHOD, "" if answer is None else str(answer)[:300])
        except ServerError as error:
            return Verdict(Status.FAULT, None, METHOD, str(error))

    def _row(self, problem: Problem) -> dict[str, object]:
        """Returns the row of a problem, with the prompt that the policy has got."""
        index = problem.meta["row"]
        assert isinstance(index, int)
        asked = prompt_messages(problem, self.template, self.system)
        said = [{"role": turn["role"], "content": turn["content"]} for turn in tools.as_text(asked)]
        row = self.rows[index]
        return {**row, "responses_create_params": {**row["responses_create_params"], "input": said}}


class _Session:
    """A session of a server: its cookies."""

    def __init__(self, url: str, seconds: float):
        self.url, self.seconds = url, seconds
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self._opener = urllib.request.build_opener(cookies, _NoRedirect)

    def get(self, path: str) -> Row:
        """Returns an answer. Raises `ServerError`."""
        return self._ask(urllib.request.Request(self.url + path))

    def post(self, path: str, body: Row) -> Row:
        """Sends JSON data, and returns the answer. Raises `ServerError`."""
        data = json.dumps(body, allow_nan=False).encode()
        return self._ask(urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}))

    def _ask(self, request: urllib.request.Request) -> Row:
        end, path = time.monotonic() + self.seconds, urllib.parse.urlsplit(request.full_url).path
        body = bytearray()
        try:
            with self._opener.open(request, timeout=self.seconds) as answer:
                while chunk := answer.read1(65_536):
                    body += chunk
                    if len(body) > MAX_BYTES:
                        raise ServerError(f"{path}: the answer has more than {MAX_BYTES:,} bytes")
                    if time.monotonic() > end:
                        raise ServerError(f"{path}: no answer in {self.seconds:g} seconds")
            told = json.loads(body)
        except urllib.error.HTTPError as error:
            said = " ".join(error.read(400).decode(errors="replace").split())
            raise ServerError(f"{path}: status {error.code} {without_secrets(said)[:200]}".strip()) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(f"{path}: {str(reason) or type(error).__name__}"[:300]) from None
        except (ValueError, RecursionError):
            raise ServerError(f"{path}: the answer is no JSON data") from None
        if not isinstance(told, Mapping):
            raise ServerError(f"{path}: the answer is no JSON object")
        return told


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: an answer of another server is not this server's."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def _number(told: Row, name: str) -> float:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ServerError(f"{name} is no finite number: {value!r:.80}")
    return float(value)


def _response(text: str) -> dict[str, object]:
    """Returns a turn of the policy as an object of the Responses API. Servers of policies set the reasoning aside."""
    part = {"type": "output_text", "text": without_thinking(text), "annotations": []}
    said = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": "tenfold",
        "status": "completed",
        "output": [said],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _read(path: str) -> list[Row]:
    """Returns the rows of a data file.

    Raises:
        UserError: the file cannot be read, or a row has no prompt of text.
    """
    found: list[Row] = []
    try:
        text = disk.expanded(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({faults.message(error)}): name a JSONL file of NeMo Gym") from None
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            asked = row["responses_create_params"]
            if asked.get("tools"):
                raise UserError(
                    f"{path}:{number}: the row has tools, which only NeMo Gym's agents call: run ng_collect_rollouts"
                )
            _turns(asked["input"])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise UserError(
                f"{path}:{number}: expected {{'responses_create_params': {{'input': ...}}, ...}} with text"
            ) from None
        found.append(row)
    if not found:
        raise UserError(f"{path} has no rows")
    return found


def _turns(asked: object) -> tuple[Message, ...]:
    """Returns the messages of a prompt. Raises ValueError if it has another form."""
    given = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
    if not isinstance(given, list) or not given:
        raise ValueError("no messages")
    turns = []
    for turn in given:
        content = turn["content"]
        if not isinstance(content, str):
            content = "".join(part["text"] for part in content)
        if turn["role"] not in ("system", "developer", "user", "assistant"):
            raise ValueError("another role")
        role = "system" if turn["role"] == "developer" else turn["role"]
        turns.append(Message(role=role, content=without_surrogates(content)))
    return tuple(turns)


def _problem(url: str, index: int, row: Row) -> Problem:
    id = next((row[name] for name in ("uuid", "id", "task_id") if isinstance(row.get(name), str | int)), index)
    return Problem(without_surrogates(str(id)), _turns(row["responses_create_params"]["input"]), "", url, {"row": index})
