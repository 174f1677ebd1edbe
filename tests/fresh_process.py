"""Run code as a stranger would: in a process that has seen nothing of this one."""

import os
import subprocess
import sys
from pathlib import Path

import torch


def run_python(code: str, folder: Path) -> str:
    """Run code in a fresh process, offline, on the same package, with as many threads: the last bits depend on it."""
    return run_fresh("-c", code, folder=folder)


def run_fresh(*arguments: object, folder: Path) -> str:
    """Run `python *arguments` likewise, and return what it printed."""
    threads = str(torch.get_num_threads())
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": threads}
    environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
