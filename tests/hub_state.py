"""What a Hub keeps in memory: repositories with their commits and files, accounts, and what shall go wrong."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

LFS_SUFFIXES = (".safetensors", ".bin", ".png")


@dataclass(frozen=True)
class Account:
    """Who a token belongs to, and what it may do."""

    user: str
    role: str = "write"
    organizations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Blob:
    """A file of a commit."""

    content: bytes
    is_lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        return text.encode()

    @property
    def git_oid(self) -> str:
        stored = self.pointer if self.is_lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    def entry(self, path: str) -> dict[str, Any]:
        entry = {"type": "file", "path": path, "oid": self.git_oid, "size": len(self.content)}
        if self.is_lfs:
            lfs = {"oid": self.sha256, "size": len(self.content), "pointerSize": len(self.pointer)}
            entry["lfs"] = lfs
        return entry


@dataclass(frozen=True)
class Commit:
    """A state of all files."""

    oid: str
    parent: str | None
    title: str
    files: dict[str, Blob]


@dataclass
class Repository:
    """A model repository."""

    private: bool
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    def commit(self, ref: str, title: str, files: dict[str, Blob], parent: str | None = None) -> Commit:
        listing = json.dumps([title, parent, sorted((path, blob.git_oid) for path, blob in files.items())])
        commit = Commit(hashlib.sha1(listing.encode()).hexdigest(), parent, title, files)
        self.commits[commit.oid] = commit
        self.refs[ref] = commit.oid
        return commit

    def find(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))

    @property
    def head(self) -> Commit:
        return self.commits[self.refs["main"]]

    def history(self, revision: str = "main") -> list[str]:
        """Titles of the commits, newest first."""
        titles, commit = [], self.find(revision)
        while commit is not None:
            titles.append(commit.title)
            commit = self.commits.get(commit.parent or "")
        return titles


@dataclass
class Fault:
    """What shall go wrong with the next requests whose "METHOD /path" matches."""

    route: re.Pattern[str]
    times: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    break_after: int | None = None  # bytes of the request's body, then the connection is reset
    lose_answer: bool = False  # the request is carried out, and nobody hears of it
    meanwhile: Callable[[], None] | None = None  # done just before the request is carried out


class RefusalError(Exception):
    """An error answer."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": message}
        self.headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
