"""Answers kept by what was asked, so that nothing is paid for twice: in a run, after a kill, in the next run."""

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .generator import Chat, Generated, Generator, OnAnswer, Refused, check_same_number

_PATIENCE = 60.0  # seconds that a process waits for another one's write
_TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID"


class CachedGenerator:
    """A `Generator` that asks another one only what it was never asked.

    An answer's name is a hash of the generator's identity, the chat and the seed. Each is written as soon as it is
    there, in a transaction of its own, so that a process that is killed loses what was not yet answered and nothing
    else. Several processes may share a cache; two that ask the same at the same time both pay, and one answer is kept.
    Equal chats with equal seeds in one batch are asked once.

    Args:
        generator: what answers.
        path: of an SQLite file, made where there is none; on a disk of this machine, for SQLite's locks fail on some
            network file systems.

    Attributes:
        found: answers that were in the cache.
        asked: answers that the generator gave.
    """

    def __init__(self, generator: Generator, path: str | os.PathLike[str]) -> None:
        self.generator, self.path = generator, Path(path)
        self.found = self.asked = 0
        self._opened: tuple[int, sqlite3.Connection] | None = None
        self._lock = threading.Lock()

    @property
    def identity(self) -> str:
        """The generator's."""
        return self.generator.identity

    def generate(
        self, chats: Sequence[Chat], seeds: Sequence[int], on_answer: OnAnswer | None = None
    ) -> list[Generated | Refused]:
        """Return the answer to each chat, or why it gets none, in order. What is refused is asked again another time.

        Raises:
            GenerationError: the generator gave no answer; those that it gave before are kept.
            OSError: the cache cannot be read or written, such as on a full disk, or is damaged; what it held stays.
        """
        check_same_number(chats, seeds)
        identity = self.identity
        keys = [_key(identity, chat, seed) for chat, seed in zip(chats, seeds, strict=True)]
        found = self._read({*keys})
        known: dict[str, Generated | Refused] = {**found}
        self.found += sum(key in found for key in keys)
        missing: dict[str, int] = {}
        for place, key in enumerate(keys):
            if key in found:
                if on_answer is not None:
                    on_answer(place, found[key])
            else:
                missing.setdefault(key, place)
        wanted = [*missing.items()]

        def keep(number: int, answer: Generated) -> None:
            key, place = wanted[number]
            self._write(key, answer)
            known[key] = answer
            self.asked += 1
            if on_answer is not None:
                on_answer(place, answer)

        if wanted:
            places = [place for _, place in wanted]
            given = self.generator.generate(
                [chats[place] for place in places], [seeds[place] for place in places], keep
            )
            known |= {key: one for (key, _), one in zip(wanted, given, strict=True) if isinstance(one, Refused)}
        return [known[key] for key in keys]

    def __getstate__(self) -> dict[str, Any]:
        # Counts too are of this process: `Dataset.map` names results by what is here.
        return {**vars(self), "_opened": None, "_lock": None, "found": 0, "asked": 0}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = threading.Lock()

    def _read(self, keys: set[str]) -> dict[str, Generated]:
        found = {}
        with self._lock:
            for key in keys:
                row = self._execute("SELECT answer FROM answers WHERE key = ?", key)
                if row is not None:
                    try:
                        found[key] = Generated(**json.loads(row[0]))
                    except (ValueError, TypeError) as error:
                        raise OSError(
                            _damaged(self.path, f"it holds an answer that is none, {row[0]!r:.80}")
                        ) from error
        return found

    def _write(self, key: str, answer: Generated) -> None:
        with self._lock:
            self._execute("INSERT OR IGNORE INTO answers VALUES (?, ?)", key, json.dumps(asdict(answer)))

    def _execute(self, statement: str, *values: str) -> Any:
        try:
            return self._connection().execute(statement, values).fetchone()
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
                raise OSError(_damaged(self.path, str(error))) from error
            raise OSError(
                f"the response cache {self.path} cannot be used: {error}. What it held is still there; free the disk, "
                "or name another file."
            ) from error

    def _connection(self) -> sqlite3.Connection:
        process = os.getpid()
        if self._opened is None or self._opened[0] != process:  # a connection must not be used across a fork
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
            self._opened = (process, connection)
        return self._opened[1]


def _damaged(path: Path, found: str) -> str:
    return (
        f"the response cache {path} is damaged, or is none: {found}. It is left as it is. Repair it with sqlite3's "
        ".recover, or move it away or name another file: its answers are then paid for again."
    )


def _key(identity: str, chat: Chat, seed: int) -> str:
    asked = json.dumps([identity, chat, seed], sort_keys=True)
    return hashlib.sha256(asked.encode()).hexdigest()
