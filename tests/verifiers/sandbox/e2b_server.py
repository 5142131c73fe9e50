"""A server with the parts of E2B's protocol that the SDK uses here: machines, files, and commands with standard input.

Its machines are folders of this computer and its commands are ordinary processes. `answer_with` makes it fail the next
requests. `lose_machines` makes it forget its machines, as the service does when their lifetime ends.
"""

import base64
import contextlib
import email.parser
import email.policy
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "e2b_" + "0" * 40


class Machine:
    """A machine: a folder and the processes that were started in it."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex[:20]
        self.folder = Path(tempfile.mkdtemp(prefix="e2b-machine-"))
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Server(ThreadingHTTPServer):
    """Starts to listen on a free port."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.machines: dict[str, Machine] = {}
        self.started = 0
        self.requests: list[str] = []
        self.failures: list[int] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer_with(self, *statuses: int) -> None:
        """Fails the next requests with these statuses."""
        self.failures += statuses

    def lose_machines(self) -> None:
        """Forgets all machines."""
        machines, self.machines = self.machines, {}
        for machine in machines.values():
            machine.stop()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores clients that have closed their connection."""


class Handler(BaseHTTPRequestHandler):
    """Handles one connection of the SDK."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, format: str, *arguments: Any) -> None:
        """Writes no log."""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_DELETE = do_GET

    def _answer(self) -> None:
        path, body = urlsplit(self.path).path.removeprefix("/v2"), self._body()
        self.server.requests.append(f"{self.command} {path}")
        if self.server.failures:
            status = self.server.failures.pop(0)
            return self._send(status, {"code": status, "message": "injected"})
        if path.startswith("/sandboxes"):
            return self._control(path, body)
        machine = self.server.machines.get(self.headers.get("E2b-Sandbox-Id", ""))
        if machine is None:
            return self._send(502, {"code": 502, "message": "The sandbox was not found"})
        if path == "/files":
            return self._files(machine, body)
        if path == "/process.Process/Start":
            return self._start(machine, json.loads(body[5:])["process"])
        if path == "/process.Process/SendInput":
            return self._input(machine, json.loads(body))
        return self._send(204 if path == "/health" else 501, None)

    def _control(self, path: str, body: bytes) -> None:
        if self.headers.get("X-API-Key") != KEY:
            return self._send(401, {"code": 401, "message": "Invalid API key"})
        name = path.removeprefix("/sandboxes").strip("/").split("/")[0]
        if self.command == "POST" and not name:
            machine = Machine()
            self.server.machines[machine.id] = machine
            self.server.started += 1
            reply = {"templateID": json.loads(body)["templateID"], "sandboxID": machine.id, "clientID": "here"}
            return self._send(201, {**reply, "envdVersion": "0.4.0", "envdAccessToken": "token", "domain": None})
        if name not in self.server.machines:
            return self._send(404, {"code": 404, "message": "no such sandbox"})
        if self.command == "DELETE":
            self.server.machines.pop(name).stop()
        return self._send(204, None)

    def _files(self, machine: Machine, body: bytes) -> None:
        head = b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n"
        parts = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body).iter_parts()
        named = parse_qs(urlsplit(self.path).query).get("path", [None])[0]
        written = []
        for part in parts:
            name = named or part.get_filename() or ""
            file = machine.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(part.get_payload(decode=True))  # type: ignore[arg-type]
            written.append({"name": file.name, "path": name, "type": "file"})
        self._send(200, written)

    def _start(self, machine: Machine, config: dict[str, Any]) -> None:
        """Sends a stream of events: start, output, end."""
        path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
        command = [config["cmd"], *(["-c", config["args"][-1]] if "args" in config else [])]
        process = subprocess.Popen(
            command,
            cwd=machine.folder,
            env={"PATH": path, "HOME": str(machine.folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        machine.processes[process.pid] = process
        self.send_response(200)
        self.send_header("Content-Type", "application/connect+json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        assert process.stdout is not None
        with contextlib.suppress(OSError), process:
            self._event({"event": {"start": {"pid": process.pid}}})
            while chunk := os.read(process.stdout.fileno(), 1 << 16):
                self._event({"event": {"data": {"stdout": base64.b64encode(chunk).decode()}}})
            code = process.wait()
            if machine.id in self.server.machines:
                self._event({"event": {"end": {"exitCode": code, "exited": True, "status": f"exit status {code}"}}})
                self._event({}, flag=2)
                self._chunk(b"")
        process.kill()
        self.close_connection = True

    def _event(self, message: dict[str, Any], flag: int = 0) -> None:
        text = json.dumps(message).encode()
        self._chunk(struct.pack(">BI", flag, len(text)) + text)

    def _chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def _input(self, machine: Machine, request: dict[str, Any]) -> None:
        process = machine.processes.get(request["process"]["pid"])
        if process is None or process.poll() is not None:
            return self._send(404, {"code": "not_found", "message": "no such process"})
        assert process.stdin is not None
        process.stdin.write(base64.b64decode(request["input"]["stdin"]))
        process.stdin.flush()
        return self._send(200, {})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status: int, content: Any) -> None:
        text = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
