"""The README's commands and snippets do what they say.

Each ```python block runs in a process of its own and a fresh folder; one that follows the comment `<!-- continues -->`
runs behind the blocks that it continues, in one namespace.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from processes import run_script

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else ""
CONTINUES = "<!-- continues -->"
FENCE = re.compile(
    r"^(?P<continues>" + CONTINUES + r"\s*\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


def blocks(text: str, language: str) -> list[tuple[str, bool]]:
    """Return the fenced blocks of one language in order, each with whether it continues the one before."""
    return [(m["code"], bool(m["continues"])) for m in FENCE.finditer(text) if m["language"] == language]


def chains(text: str) -> list[str]:
    """Return the Python programs of a document: each snippet joined with the snippets that continue it."""
    programs: list[str] = []
    for code, continues in blocks(text, "python"):
        if continues and programs:
            programs[-1] += f"\n{code}"
        else:
            programs.append(code)
    return programs


def install_commands(script: str) -> list[str]:
    """Return every `pip install ...` of a shell script, without what joins it to its neighbours."""
    return [
        " ".join(shlex.split(line))
        for line in re.findall(r"(?:^|[&;])\s*(pip install [^&;\\\n#]+)", script, re.MULTILINE)
    ]


def setup_commands() -> list[str]:
    return [code for code, _ in blocks(README, "bash") if "venv" in code]


def test_a_continued_snippet_joins_the_one_before() -> None:
    text = f"```python\na = 1\n```\n```bash\nls\n```\n{CONTINUES}\n```python\nb = a\n```\n\n```python\nc = 1\n```\n"
    assert chains(text) == ["a = 1\n\nb = a\n", "c = 1\n"]


def test_the_readme_shows_python() -> None:
    assert chains(README)


@pytest.mark.slow
@pytest.mark.parametrize("program", chains(README), ids=lambda program: program.strip().splitlines()[0])
def test_snippet_runs(program: str, tmp_path: Path) -> None:
    script = tmp_path / "snippet.py"
    if "deepspeed" not in program:
        script.write_text(program, encoding="utf-8")
        code, printed = run_script(script, tmp_path)
        assert code == 0, f"{program}\n{printed}"
        return
    # The text in front of it starts it with torchrun.
    if importlib.util.find_spec("deepspeed") is None:
        pytest.skip("needs deepspeed")
    assert "`torchrun --nproc-per-node 2 train.py`" in README
    script.write_text(
        f"from deepspeed_uncompiled import compile_nothing\ncompile_nothing()\n{program}", encoding="utf-8"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/distributed"), *sys.path])}
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, f"{program}\n{process.stdout}\n{process.stderr}"


def test_two_commands_set_everything_up() -> None:
    main_job = [command for command in setup_commands() if "examples/pretrain_kimi_k2.py" in command]
    tests = [command for command in setup_commands() if re.search(r"\bpytest\b", command)]
    assert len(main_job) == len(tests) == 1
    for command in (*main_job, *tests):
        assert "python3 -m venv" in command
        # Before the package: otherwise its own torch>=2.9 would fetch another build.
        assert install_commands(command)[0] == "pip install torch==2.13.0"


def test_ci_installs_what_the_readme_installs() -> None:
    (tests,) = [command for command in setup_commands() if re.search(r"\bpytest\b", command)]
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert install_commands(ci) == install_commands(tests)
    assert len(install_commands(ci)) == 3
    assert "python3 -m venv" in ci
    assert re.search(r"^pytest\b", ci, re.MULTILINE)
