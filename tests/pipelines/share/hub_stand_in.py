"""A server on this machine that speaks the hub's HTTP API as far as `huggingface_hub` uses it for a push and a pull."""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_" + "a1B2" * 9
LFS_BYTES = 100_000
"""Files of at least this size, and those of safetensors, go through LFS."""
KINDS = {"models": "model", "datasets": "dataset"}


@dataclass
class Repository:
    private: bool
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)

    def commit(self, tree: dict[str, bytes]) -> str:
        sha = hashlib.sha1(repr((len(self.commits), sorted(tree))).encode()).hexdigest()
        self.commits.append((sha, tree))
        return sha

    @property
    def tree(self) -> dict[str, bytes]:
        return self.commits[-1][1]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        return self.commits[-1] if revision == "main" else next((each for each in self.commits if each[0] == revision), None)


@dataclass
class Hub:
    """State of the server. `faults` maps a pattern of "METHOD path" to what happens instead: a status, or "break"."""

    url: str = ""
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    ranges: list[str] = field(default_factory=list)

    def repository(self, name: str, kind: str = "model") -> Repository:
        return self.repositories[kind, name]

    def fault(self, asked: str) -> Any:
        for pattern, actions in self.faults.items():
            if actions and re.search(pattern, asked):
                return actions.pop(0)
        return None


def is_lfs(path: str, content: bytes) -> bool:
    return path.endswith(".safetensors") or len(content) >= LFS_BYTES


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        self.serve()

    do_POST = do_PUT = do_HEAD = do_GET

    def serve(self) -> None:
        path = unquote(urlsplit(self.path).path)
        asked = f"{self.command} {path}"
        self.hub.asked.append(asked)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.hub.fault(asked)
        if isinstance(fault, int):
            return self.reply({"error": f"refused: {self.headers.get('Authorization')}"}, fault)
        if fault == "break" and self.command != "GET":
            self.close_connection = True
            return self.connection.close()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}" and "/objects/" not in path:
            return self.reply({"error": "Invalid credentials in Authorization header"}, 401)
        for pattern, call in ROUTES:
            if match := re.fullmatch(pattern, asked):
                return call(self, body, fault, *match.groups())
        return self.reply({"error": f"unknown {asked}"}, 404)

    def reply(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(content)

    def found(self, kind: str, name: str) -> Repository | None:
        repository = self.hub.repositories.get((KINDS[kind], name))
        if repository is None:
            self.reply({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        return repository

    def create(self, body: bytes, fault: Any) -> None:
        asked = json.loads(body)
        name, kind = f"{asked['organization']}/{asked['name']}", asked.get("type", "model")
        if (kind, name) in self.hub.repositories:
            return self.reply({"error": "You already created this repo", "url": f"{self.hub.url}/{name}"}, 409)
        self.hub.repositories[kind, name] = Repository(asked.get("visibility") == "private")
        self.hub.repositories[kind, name].commit({".gitattributes": b""})
        prefix = "datasets/" if kind == "dataset" else ""
        return self.reply({"url": f"{self.hub.url}/{prefix}{name}"})

    def info(self, body: bytes, fault: Any, kind: str, name: str, revision: str | None = None) -> None:
        if repository := self.found(kind, name):
            commit = repository.at(revision or "main")
            if commit is None:
                return self.reply({"error": "no revision"}, 404, {"X-Error-Code": "RevisionNotFound"})
            self.reply({"id": name, "sha": commit[0], "private": repository.private, "siblings": [], "tags": []})

    def listing(self, body: bytes, fault: Any, kind: str, name: str, revision: str) -> None:
        if repository := self.found(kind, name):
            commit = repository.at(revision)
            assert commit
            rows = []
            for path, content in sorted(commit[1].items()):
                row = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
                if is_lfs(path, content):
                    row["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
                rows.append(row)
            self.reply(rows)

    def preupload(self, body: bytes, fault: Any, kind: str, name: str, revision: str) -> None:
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") or each["size"] >= LFS_BYTES else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(body)["files"]
        ]
        self.reply({"files": files})

    def batch(self, body: bytes, fault: Any, name: str) -> None:
        objects = []
        for each in json.loads(body)["objects"]:
            row = {"oid": each["oid"], "size": each["size"]}
            if each["oid"] not in self.hub.objects:
                row["actions"] = {"upload": {"href": f"{self.hub.url}/objects/{each['oid']}"}}
            objects.append(row)
        self.reply({"transfer": "basic", "objects": objects})

    def put(self, body: bytes, fault: Any, oid: str) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self.reply({"error": "hash"}, 400)
        self.hub.objects[oid] = body
        return self.reply({})

    def commit(self, body: bytes, fault: Any, kind: str, name: str, revision: str) -> None:
        if not (repository := self.found(kind, name)):
            return None
        lines = [json.loads(line) for line in body.splitlines()]
        if lines[0]["value"].get("parentCommit") not in (None, repository.commits[-1][0]):
            return self.reply({"error": "the branch has moved"}, 412)
        tree = dict(repository.tree)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                tree[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                tree[value["path"]] = self.hub.objects[value["oid"]]
            else:
                del tree[value["path"]]
        sha = repository.commit(tree)
        return self.reply({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"})

    def resolve(self, body: bytes, fault: Any, prefix: str | None, name: str, revision: str, path: str) -> None:
        repository = self.hub.repositories["dataset" if prefix else "model", name]
        commit = repository.at(revision)
        assert commit
        content, begun = commit[1][path], 0
        if asked := self.headers.get("Range"):
            self.hub.ranges.append(f"{path} {asked}")
            begun = int(asked.removeprefix("bytes=").rstrip("-"))
        part = content[begun:]
        self.send_response(206 if begun else 200)
        self.send_header("Content-Length", str(len(part)))
        if begun:
            self.send_header("Content-Range", f"bytes {begun}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if fault == "break":
            self.wfile.write(part[: len(part) // 2])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.shutdown(2)
        self.wfile.write(part)
        return None

    def validate(self, body: bytes, fault: Any) -> None:
        self.reply({"errors": [], "warnings": []})


_NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = (
    (r"POST /api/repos/create", Handler.create),
    (r"POST /api/validate-yaml", Handler.validate),
    (rf"GET /api/(models|datasets)/{_NAME}", Handler.info),
    (rf"GET /api/(models|datasets)/{_NAME}/revision/([\w.-]+)", Handler.info),
    (rf"GET /api/(models|datasets)/{_NAME}/tree/([\w.-]+)", Handler.listing),
    (rf"POST /api/(models|datasets)/{_NAME}/preupload/([\w.-]+)", Handler.preupload),
    (rf"POST /api/(models|datasets)/{_NAME}/commit/([\w.-]+)", Handler.commit),
    (rf"POST /(?:datasets/)?{_NAME}\.git/info/lfs/objects/batch", Handler.batch),
    (r"PUT /objects/(\w+)", Handler.put),
    (rf"GET /(datasets/)?{_NAME}/resolve/(\w+)/(.+)", Handler.resolve),
)


@contextlib.contextmanager
def running() -> Iterator[Hub]:
    """Serves until the block ends."""
    hub = Hub()
    handler = type("OfHub", (Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
