"""A loopback Hugging Face Hub for models and data sets, spoken to by the real client library.

    hub = HubService()
    commit = hub.put("owner/name", {"config.json": b"{}", "model.safetensors": b"…"})      # repo_type="dataset" too
    with use_hub(hub, monkeypatch, tmp_path): hf_hub_download("owner/name", "config.json")

It speaks the addresses that downloading needs: `/api/…/revision/…`, `/api/…/tree/…` and `/…/resolve/…` with large
files behind a redirect, as on the Hub.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

LARGE = (".safetensors", ".pt", ".pth", ".bin", ".parquet")
"""Suffixes of files that the Hub keeps in its large file storage, behind a redirect."""


@dataclass(kw_only=True)
class _Repo:
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    gated: bool = False


class HubService:
    """Repositories in memory, served on a loopback port from the moment it is made until `stop`."""

    def __init__(self) -> None:
        self._repos: dict[tuple[str, str], _Repo] = {}
        self.requests: list[tuple[str, str]] = []
        """Method and path, in order."""
        self.tokens: list[str | None] = []
        """The `Authorization` of each request."""
        self.truncate: set[str] = set()
        """Names of files whose connection ends half-way."""
        self.corrupt: set[str] = set()
        """Names of files whose bytes are not those that were promised, at the same length."""
        self.broken = False
        """Answer everything with 500."""
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.storage = f"http://localhost:{self._http.server_port}"
        """Another host, as on the Hub: the client follows redirects to the Hub itself at once."""
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def put(
        self, repo: str, files: Mapping[str, bytes], *, repo_type: str = "model", ref: str = "main", gated: bool = False
    ) -> str:
        """Store a commit with these files and point `ref` at it; gives the commit's id, 40 hexadecimal digits."""
        kept = self._repos.setdefault((repo_type, repo), _Repo())
        listing = [repo, str(len(kept.commits)), *(f"{name} {_sha1(content)}" for name, content in files.items())]
        commit = _sha1("\n".join(listing).encode())
        kept.commits[commit] = dict(files)
        kept.refs[ref] = commit
        kept.gated = gated
        return commit

    def sent(self, name: str) -> int:
        """How often the content of file `name` was asked for, redirects not counted."""
        return sum(method == "GET" and path.rsplit("/", 1)[-1] == name for method, path in self.requests)

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, path: str, token: str | None) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of a request; a HEAD has the same, less the body."""
        if self.broken:
            return 500, {}, b"out of order"
        parts = [unquote(part) for part in urlsplit(path).path.strip("/").split("/")]
        if parts[0] == "cdn":
            return 200, {}, self._large(parts[1], parts[-1])
        if parts[0] == "api" and len(parts) > 3:
            return self._api(parts[1].removesuffix("s"), f"{parts[2]}/{parts[3]}", parts[4:], token)
        repo_type = "dataset" if parts[0] == "datasets" else "model"
        parts = parts[1:] if repo_type == "dataset" else parts
        if parts[2:3] != ["resolve"] or len(parts) < 5:
            return _refused(404, "EntryNotFound")
        return self._resolve(repo_type, f"{parts[0]}/{parts[1]}", parts[3], "/".join(parts[4:]), token)

    def _api(self, repo_type: str, repo: str, rest: list[str], token: str | None) -> tuple[int, dict[str, str], bytes]:
        found = self._find(repo_type, repo, rest[1] if len(rest) > 1 else "main", token)
        if not isinstance(found, str):
            return found
        files = self._repos[repo_type, repo].commits[found]
        if rest[:1] == ["tree"]:
            return _json([_entry(name, content) for name, content in sorted(files.items())])
        siblings = [{"rfilename": name} for name in sorted(files)]
        body = {"id": repo, "sha": found, "siblings": siblings, "private": False, "tags": [], "downloads": 0}
        return _json(body | {"likes": 0, "gated": self._repos[repo_type, repo].gated, "disabled": False})

    def _resolve(
        self, repo_type: str, repo: str, revision: str, name: str, token: str | None
    ) -> tuple[int, dict[str, str], bytes]:
        found = self._find(repo_type, repo, revision, token)
        if not isinstance(found, str):
            return found
        content = self._repos[repo_type, repo].commits[found].get(name)
        if content is None:
            status, headers, body = _refused(404, "EntryNotFound")
            return status, headers | {"X-Repo-Commit": found}, body
        headers = {"X-Repo-Commit": found, "ETag": f'"{_etag(name, content)}"'}
        if not name.endswith(LARGE):
            return 200, headers, content
        large = {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
        return 302, headers | large | {"Location": f"{self.storage}/cdn/{_etag(name, content)}/{Path(name).name}"}, b""

    def _find(
        self, repo_type: str, repo: str, revision: str, token: str | None
    ) -> str | tuple[int, dict[str, str], bytes]:
        """The commit, or the refusal."""
        kept = self._repos.get((repo_type, repo))
        if kept is None:
            return _refused(404 if token else 401, "RepoNotFound")
        if kept.gated and not token:
            return _refused(401, "GatedRepo")
        commit = kept.refs.get(revision, revision)
        return commit if commit in kept.commits else _refused(404, "RevisionNotFound")

    def _large(self, sha256: str, name: str) -> bytes:
        for repo in self._repos.values():
            for files in repo.commits.values():
                for content in files.values():
                    if hashlib.sha256(content).hexdigest() == sha256:
                        return bytes(len(content)) if name in self.corrupt else content
        raise KeyError(sha256)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubService

    def do_GET(self) -> None:
        token = self.headers.get("authorization")
        self.hub.requests.append((self.command, self.path))
        self.hub.tokens.append(token)
        status, headers, body = self.hub.answer(self.path, token)
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            short = self.path.rsplit("/", 1)[-1] in self.hub.truncate
            self.wfile.write(body[: len(body) // 2] if short else body)
            self.close_connection = short

    def do_HEAD(self) -> None:
        self.do_GET()

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client may go away
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        return


@contextmanager
def use_hub(hub: HubService, monkeypatch: pytest.MonkeyPatch, folder: Path, *, offline: bool = False) -> Iterator[None]:
    """Point the client library of this process, and those it starts, at `hub`, with its cache in `folder`.

    The library reads its variables once, when it is imported: its constants are set as well.
    """
    from huggingface_hub import constants

    cache = folder / "huggingface" / "hub"
    with monkeypatch.context() as patch:
        patch.setenv("HF_ENDPOINT", hub.url)
        patch.setenv("HF_HOME", str(cache.parent))
        patch.setenv("HF_HUB_OFFLINE", "1" if offline else "0")
        patch.setenv("HF_HUB_DISABLE_XET", "1")
        for name in ("HF_HUB_CACHE", "HF_TOKEN", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            patch.delenv(name, raising=False)
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "AGENT_HARNESSES_PATH", str(cache.parent / "agents.json"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(cache.parent / "token"))
        patch.setattr(constants, "HF_HUB_OFFLINE", offline)
        yield


def _json(body: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()


def _refused(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return status, {"X-Error-Code": code, "X-Error-Message": code}, b""


def _entry(name: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": _blob(content)}
    if name.endswith(LARGE):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


def _etag(name: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if name.endswith(LARGE) else _blob(content)


def _blob(content: bytes) -> str:
    return _sha1(b"blob %d\0" % len(content) + content)


def _sha1(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
