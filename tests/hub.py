"""A model hub on this machine: what huggingface_hub asks for, and ways in which it goes wrong.

It speaks the part of the protocol that downloads need: a revision resolved to its commit, the
tree of a commit with the hash of every file, and files by revision with ETag, X-Repo-Commit and
ranges; of models, and (pushed as `datasets/OWNER/NAME`) of data sets. Clients are real and run in
processes of their own, because huggingface_hub reads HF_ENDPOINT when it is imported.
"""

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hf_a_token_of_this_hub"
LARGE = (".safetensors", ".bin", ".parquet")
"""Files that the hub would keep in large-file storage, named by their sha256."""


@dataclass
class Repository:
    """Revisions (branches and tags) and the files of each commit."""

    revisions: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: bool = False


@dataclass
class Request:
    method: str
    path: str
    range: str | None
    status: int


class Hub:
    """The server, in a thread of its own; `requests` is what clients asked, in order."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[Request] = []
        self.cut: dict[str, int] = {}
        """Files whose next answer breaks off after so many bytes."""
        self.wrong: dict[str, int] = {}
        """Files whose next so many answers have another content than announced."""
        hub = self

        class Handler(_Handler):
            served = hub

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def push(self, name: str, folder: Path, revision: str = "main", **options: Any) -> str:
        """A folder's files as a commit of a repository; gives the commit."""
        files = {
            each.relative_to(folder).as_posix(): each.read_bytes()
            for each in folder.rglob("*") if each.is_file()
        }  # fmt: skip
        return self.push_files(name, files, revision, **options)

    def push_files(
        self, name: str, files: dict[str, bytes], revision: str = "main", **options: Any
    ) -> str:
        """Files by their paths as a commit of a repository; gives the commit."""
        repository = self.repositories.setdefault(name, Repository(**options))
        listed = sorted((path, sha256(content)) for path, content in files.items())
        commit = hashlib.sha1(json.dumps([name, revision, listed]).encode()).hexdigest()
        repository.revisions[revision] = commit
        repository.commits[commit] = files
        return commit

    def asked(self, ending: str, method: str = "GET") -> list[Request]:
        """The requests of a method whose path has this ending."""
        return [r for r in self.requests if r.path.endswith(ending) and r.method == method]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_POST(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        asked = urlsplit(self.path)
        parts = unquote(asked.path).strip("/").split("/")
        kind = parts[1] if parts[0] == "api" and len(parts) > 1 else parts[0]
        parts = parts[1:] if parts[0] == "api" else parts
        # A model's files have no kind in their address.
        parts = parts[1:] if kind in ("models", "datasets") else parts
        name, rest = "/".join(parts[:2]), parts[2:]
        name = f"datasets/{name}" if kind == "datasets" else name
        repository = self.served.repositories.get(name)
        if repository is None:
            return self.refuse(401, "RepoNotFound")
        match rest:
            case [] | ["revision", _]:
                commit = self.commit_of(repository, rest[1] if rest else "main")
                if commit is None:
                    return self.refuse(404, "RevisionNotFound")
                files = [{"rfilename": path} for path in repository.commits[commit]]
                told = {"id": name.removeprefix("datasets/"), "sha": commit, "siblings": files}
                return self.send(json.dumps({**told, "private": False, "tags": []}))
            case ["tree", revision, *folder]:
                commit = self.commit_of(repository, revision)
                if commit is None:
                    return self.refuse(404, "RevisionNotFound")
                whole = "recursive=true" in asked.query.lower()
                return self.send(json.dumps(_tree(repository.commits[commit], folder, whole)))
            case ["paths-info", revision]:
                commit = self.commit_of(repository, revision)
                if commit is None:
                    return self.refuse(404, "RevisionNotFound")
                listed = _tree(repository.commits[commit], [], True)
                wanted = self.paths()
                return self.send(json.dumps([e for e in listed if e["path"] in wanted]))
            case ["resolve", revision, *path]:
                return self.file(repository, revision, "/".join(path), with_body)
        return self.refuse(404, "EntryNotFound")

    def paths(self) -> list[str]:
        """The paths that a request of their details names."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if "json" in self.headers.get("Content-Type", ""):
            return list(json.loads(body)["paths"])
        return parse_qs(body)["paths"]

    def commit_of(self, repository: Repository, revision: str) -> str | None:
        commit = repository.revisions.get(revision, revision)
        return commit if commit in repository.commits else None

    def file(self, repository: Repository, revision: str, path: str, with_body: bool) -> None:
        commit = self.commit_of(repository, revision)
        if commit is None:
            return self.refuse(404, "RevisionNotFound")
        authorisation = self.headers.get("Authorization")
        if repository.gated and authorisation != f"Bearer {TOKEN}":
            return self.refuse(403 if authorisation else 401, "GatedRepo")
        content = repository.commits[commit].get(path)
        if content is None:
            return self.refuse(404, "EntryNotFound")
        announced = sha256(content) if path.endswith(LARGE) else git_sha1(content)
        headers = {"ETag": f'"{announced}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if with_body and self.served.wrong.get(path, 0):
            self.served.wrong[path] -= 1
            content = bytes(255 - each for each in content)
        start, status = 0, 200
        if asked := self.headers.get("Range"):
            start, status = int(asked.removeprefix("bytes=").split("-")[0]), 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return self.send(content[start:], status, headers, path, with_body)

    def send(
        self,
        content: str | bytes,
        status: int = 200,
        headers: dict[str, str] | None = None,
        path: str = "",
        with_body: bool = True,
    ) -> None:
        body = content.encode() if isinstance(content, str) else content
        self.note(status)
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not with_body:
            return
        cut = self.served.cut.pop(path, None)
        self.wfile.write(body if cut is None else body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.close_connection = True

    def refuse(self, status: int, code: str) -> None:
        self.note(status)
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def note(self, status: int) -> None:
        path = unquote(urlsplit(self.path).path)
        request = Request(self.command, path, self.headers.get("Range"), status)
        self.served.requests.append(request)

    def log_message(self, *_: object) -> None:
        pass


def _tree(files: dict[str, bytes], folder: list[str], whole: bool) -> list[dict[str, Any]]:
    """What a folder of a commit holds, and with `whole` what its folders do."""
    start = "".join(f"{each}/" for each in folder)
    entries: dict[str, dict[str, Any]] = {}
    for path, content in files.items():
        if not path.startswith(start):
            continue
        below = path.removeprefix(start).split("/")
        for depth in range(1, len(below) if whole else min(len(below), 2)):
            inner = start + "/".join(below[:depth])
            entries[inner] = {"type": "directory", "path": inner, "size": 0, "oid": git_sha1(b"")}
        if whole or len(below) == 1:
            entries[path] = _entry(path, content)
    return list(entries.values())


def _entry(path: str, content: bytes) -> dict[str, Any]:
    """One file of a tree, as the hub lists it."""
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_sha1(content)}
    if path.endswith(LARGE):
        entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 134}
    return entry


@dataclass
class Answer:
    """What a client's process said: a value, or the message of a ShapelibError."""

    value: Any
    error: str
    log: str


class Client:
    """Processes that use this hub with a cache of their own."""

    def __init__(self, hub: Hub, home: Path) -> None:
        self.hub, self.home = hub, home

    def environment(self, **more: str) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        return {
            **kept,
            "HF_ENDPOINT": self.hub.address,
            "HF_HOME": str(self.home),
            "NO_PROXY": "127.0.0.1",
            "COLUMNS": "120",
            **more,
        }

    def find(self, *words: str, allow_pickle: bool = False, **environment: str) -> Answer:
        """``find(*words)`` in a process of its own."""
        return self.find_each([words], allow_pickle, **environment)[0]

    def find_each(
        self, calls: list[tuple[str, ...]], allow_pickle: bool = False, **environment: str
    ) -> list[Answer]:
        """``find`` called so often in one process; each value is a source's fields and files."""
        asked = json.dumps([calls, allow_pickle])
        done = self.run([sys.executable, __file__, asked], **environment)
        assert done.returncode == 0, done.stderr
        return [Answer(*each, done.stderr) for each in json.loads(done.stdout)]

    def shapelib(self, *words: object, **environment: str) -> "subprocess.CompletedProcess[str]":
        code = "from shapelib.cli import main; main()"
        return self.run([sys.executable, "-c", code, *map(str, words)], **environment)

    def start(self, code: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=self.environment(),
        )  # fmt: skip

    def run(self, command: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment(**environment),
            timeout=120, check=False,
        )  # fmt: skip


def _find_each(calls: list[list[str]], allow_pickle: bool) -> list[tuple[Any, str]]:
    from shapelib.errors import ShapelibError
    from shapelib.models.sources import find

    found: list[tuple[Any, str]] = []
    for words in calls:
        try:
            source = find(*words, allow_pickle=allow_pickle)
        except ShapelibError as error:
            found.append((None, str(error)))
            continue
        fields = {**vars(source), "files": sorted(each.name for each in source.folder.iterdir())}
        found.append(({**fields, "torch": "torch" in sys.modules}, ""))
    return found


if __name__ == "__main__":
    logging.basicConfig(format="%(name)s: %(message)s")
    logging.getLogger("shapelib").setLevel(logging.INFO)
    print(json.dumps(_find_each(*json.loads(sys.argv[1])), default=str))
