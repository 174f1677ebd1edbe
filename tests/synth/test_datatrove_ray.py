"""On a real Ray cluster of two workers: the files of one process bit for bit, also when a worker is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import address, completion, serving
from rule_generator import passage_of

pytest.importorskip("ray", reason="pip install ray")
pytest.importorskip("datatrove")

ROOT = Path(__file__).parents[2]
FILES, PER_FILE = 4, 3
TEXT = "The {number} ships left the harbour of Oslo in 18{number}. They came back after 3 days with copper."


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(FILES):
        texts = [TEXT.format(number=PER_FILE * number + place + 12) for place in range(PER_FILE)] + [""]
        lines = [json.dumps({"text": text}) for text in texts]
        (folder / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def reply(request: dict[str, Any]) -> tuple[int, Any]:
    text = passage_of(request["messages"]).replace("left the", "set off from the").replace("came back", "returned")
    body = completion(text.replace("18", "17", 1) if "1813" in text else text)
    body["choices"][0]["finish_reason"] = "stop"
    return 200, {**body, "usage": {"prompt_tokens": 40, "completion_tokens": len(text.split())}}


def rephrase(documents: Path, output: Path, url: str, *more: str) -> str:
    command = [sys.executable, ROOT / "examples" / "synth" / "rephrase_on_ray.py", documents, output]
    settings = ["--server", url, "--model", "m", "--cache", output.with_suffix(".sqlite"), "--time", "300", *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    result = subprocess.run(
        [str(part) for part in [*command, *settings]],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert result.returncode == 0, result.stderr[-4000:]
    return result.stdout.splitlines()[-1]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.jsonl"))}


def workers() -> set[int]:
    """Return Ray's worker processes that run tasks of datatrove; each has a child of that name, which does the work."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            if path.read_bytes().startswith(b"ray::RankWorker"):
                status = path.with_name("status").read_text()
                parents[int(path.parent.name)] = int(status.partition("PPid:")[2].split()[0])
    return {process for process, parent in parents.items() if parent not in parents}


@pytest.mark.slow
def test_two_workers_write_what_one_process_writes_also_when_one_is_killed(documents: Path, tmp_path: Path) -> None:
    lock, killed = threading.Lock(), []

    def killing(request: dict[str, Any]) -> tuple[int, Any]:
        with lock:
            deadline = time.monotonic() + 60
            while not killed and time.monotonic() < deadline:  # the first waits for the other worker
                own = sorted(workers() - known)
                if len(own) == 2:
                    killed.append(own[0])
                    os.kill(own[0], signal.SIGKILL)
                time.sleep(0.1)
        return reply(request)

    known = workers()  # of another cluster of this machine
    with serving(reply) as server:
        told = rephrase(documents, tmp_path / "one", address(server), "--here")
    with serving(killing) as server:
        assert rephrase(documents, tmp_path / "ray", address(server)) == told
    assert len(killed) == 1
    found = content(tmp_path / "one")
    assert [*found] == [f"{kind}/{rank:05d}.jsonl" for kind in ("dropped", "kept") for rank in range(FILES)]
    assert [text.count(b"\n") for text in found.values()] == [2, 1, 1, 1, 2, 3, 3, 3]
    assert content(tmp_path / "ray") == found
