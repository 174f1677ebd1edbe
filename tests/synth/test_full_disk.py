"""On a disk that is really full, whenever that is: an error that names the file, and nothing lost or paid for twice.

The disk is a small one in memory, mounted in a namespace of the user's own.
"""

import gc
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rule_generator import RuleGenerator
from test_synth_run import DOCUMENTS, rephraser, rows_of, write_documents

from hf_muonclip.synth import CachedGenerator, run_rephrasing

SIZE = 512 * 1024
MOUNT = ["unshare", "--user", "--map-root-user", "--mount"]


class Noting(RuleGenerator):
    """The same by its name; notes what it is paid for elsewhere than on the disk, and writes texts that fill it."""

    def __init__(self) -> None:
        super().__init__()
        self.paid: list[int] = []

    def _answer(self, chat: Any, seed: int) -> Any:
        self.paid.append(seed)
        return super()._answer(chat, seed)


def fill(disk: Path) -> None:
    """Run with less and less room, and with all of it after each failure; print what happened."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", disk], check=True)
    documents = write_documents(disk.parent)
    whole = rephraser(Noting())
    run_rephrasing([documents], disk.parent / "whole", whole, documents_per_shard=5)
    expected, said = rows_of(disk.parent / "whole"), []
    for free in [*range(0, 163_841, 20_480), SIZE]:
        generator = Noting()
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(SIZE - free))
        try:
            run_rephrasing(
                [documents], disk / "out", rephraser(CachedGenerator(generator, disk / "cache")), documents_per_shard=5
            )
            failed = None
        except OSError as error:
            failed = str(error)
        shards = rows_of(disk / "out") if (disk / "out").exists() else []
        gc.collect()
        ballast.unlink()
        lost = len(generator.paid)
        again = rephraser(CachedGenerator(generator, disk / "cache"))
        progress = run_rephrasing([documents], disk / "out", again, documents_per_shard=5)
        said.append(
            {
                "failed": failed,
                "shards": len(shards),
                "shards_right": shards == expected[: len(shards)],
                "rows_right": rows_of(disk / "out") == expected,
                "documents": progress.documents,
                "paid_twice": len(generator.paid) - len({*generator.paid}),
                "paid_before": lost,
                "left": sorted(path.name for path in (disk / "out").iterdir() if "part-" not in path.name),
            }
        )
        del again
        gc.collect()  # or a deleted cache that is still open takes room
        for path in disk.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(json.dumps(said))


def test_a_full_disk_is_an_error_that_names_the_file_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        not shutil.which("unshare")
        or subprocess.run([*MOUNT, "mount", "-t", "tmpfs", "x", disk], check=False).returncode
    ):
        pytest.skip("this system lets no user mount a disk of his own")
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    code = f"from pathlib import Path; from test_full_disk import fill; fill(Path({str(disk)!r}))"
    result = subprocess.run(
        [*MOUNT, sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    named = set()
    for one in found:
        assert one["shards_right"], one
        assert one["rows_right"], one
        assert one["documents"] == DOCUMENTS
        assert one["left"] == [".lock", "manifest.json", "seconds.log"]
        assert one["paid_twice"] <= 1  # the answer under way, which the cache could not take
        if one["failed"]:
            named.update(re.findall(r"cache|manifest\.json|seconds\.log|part-\d+\.parquet", one["failed"]))
            assert str(disk) in one["failed"], one
    assert named >= {"cache", "manifest.json"}, named
    assert found[-1]["failed"] is None
    assert {one["shards"] for one in found if one["failed"]} >= {0}
