"""The READMEs' commands and snippets do what they say, their links lead somewhere, and what they quote is said.

Each ```python block runs in a process of its own and a fresh folder; one that follows the comment `<!-- continues -->`
runs behind the blocks that it continues, in one namespace.
"""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from processes import Script, run_script_on_ranks

ROOT = Path(__file__).parents[1]
README, MESSAGES = ((ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "hf_muonclip/README.md"))
# Those whose snippets run; links are followed in all pages that people write or read.
READMES = (
    "README.md",
    "hf_muonclip/README.md",
    "hf_muonclip/attention/README.md",
    "hf_muonclip/kimi_k2/README.md",
    "hf_muonclip/optim/README.md",
    "hf_muonclip/rl/README.md",
    "hf_muonclip/runs/README.md",
    "hf_muonclip/synth/README.md",
    "hf_muonclip/trainer/README.md",
    "examples/accelerate_configs/README.md",
)
PAGES = (*READMES, "benchmarks/README.md", "examples/kimi_k2_from_scratch/README.md", "CONTRIBUTING.md")
PACKAGES = ("deepspeed", "peft", "trl")  # that a snippet may need and the package does not
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


def programs() -> list[tuple[str, str]]:
    return [(page, program) for page in READMES for program in chains((ROOT / page).read_text(encoding="utf-8"))]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "program"), programs(), ids=lambda text: text.strip().splitlines()[0].replace("README.md", "") or "."
)
def test_snippet_runs(page: str, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "snippet.py"
    for package in PACKAGES:
        if package in program and importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    if "deepspeed" not in program:
        script.write_text(program, encoding="utf-8")
        code, printed, errors = Script(script, folder=tmp_path).ended()
        assert code == 0, f"{program}\n{printed}\n{errors}"
        return
    # The text in front of it starts it with torchrun.
    assert "`torchrun --nproc-per-node 2 train.py`" in (ROOT / page).read_text(encoding="utf-8")
    script.write_text(
        f"from deepspeed_uncompiled import compile_nothing\ncompile_nothing()\n{program}", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(ROOT / "tests/distributed")
    run_script_on_ranks(2, script, folder=tmp_path)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    here = ROOT / page
    text = re.sub("<!--.*?-->", "", FENCE.sub("", here.read_text(encoding="utf-8")), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = here.parent / path if path else here
        assert target.exists(), f"{page} links {link}"
        assert not anchor or anchor in anchors(target), f"{page} links {link}"
    assert links or page == "CONTRIBUTING.md"


def strings_of_the_package() -> list[str]:
    """Return every piece of text in the package's source: string constants, and what f-strings say between values."""
    return [
        node.value
        for path in (ROOT / "hf_muonclip").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def quoted_messages() -> list[str]:
    (table,) = re.findall(r"<!-- messages -->\n(.*?)<!-- end of messages -->", MESSAGES, re.DOTALL)
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def distinctive_fragment(message: str) -> str:
    """Return the longest part of a quoted message between its "…"; a reader finds the row by it."""
    return max((part.strip() for part in message.split("…")), key=len)


def test_quoted_messages_are_messages_of_the_package() -> None:
    strings = strings_of_the_package()
    fragments = [distinctive_fragment(message) for message in quoted_messages()]
    assert fragments
    assert [fragment for fragment in fragments if not any(fragment in text for text in strings)] == []


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
