"""The walls between folders, and what `import hf_muonclip` costs."""

import ast
import graphlib
import itertools
import json
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import hf_muonclip
from hf_muonclip import hub, rl, synth

PACKAGE = "hf_muonclip"
ROOT = Path(__file__).parents[1]
# What each folder may import beside itself, the standard library and, unless it stands in LIBRARIES, any library; "" is
# the package's own folder. A folder that another may import never imports that one.
WALLS = {
    "common": "",
    "models": "common",
    "optim": "common",
    "attention": "common",
    "": "common models optim attention",
    "runs": "common optim attention root",
    "kimi_k2": "common optim attention runs",
    "export": "common models kimi_k2",
    "evaluation": "common export",
    "hub": "common models runs kimi_k2 export evaluation root",
    "trainer": "common models optim attention runs kimi_k2 export hub root",
    "rl": "common optim evaluation trainer",
    "synth": "common",
    "inspection": "common models optim attention root",
    "cli": "common attention kimi_k2 optim runs hub inspection synth root",
}
LIBRARIES = {"common": "torch transformers", "optim": "torch", "attention": "torch transformers"}
MATH_GRADER = f"{PACKAGE}.common.graders.math_grader"  # loaded in worker processes alone
TRITON_KERNELS = {
    f"{PACKAGE}.optim.symmetric_matmul_triton",
    f"{PACKAGE}.attention.capture.max_logits_triton",
}
MEETING_PLACES = (
    "muon_clip",
    "clip",
    "projection_views",
    "inspection",
)  # of the optimizer and of attention; the second changes neither
MODULES_IN_THE_ROOT = 8
FRONT_DOORS = {PACKAGE, f"{PACKAGE}.__main__"}  # which lead into any room


def module_paths() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    paths = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


MODULES = module_paths()
PACKAGES = {module for module, path in MODULES.items() if path.name == "__init__.py"}


def imports(source: str, module: str, is_package: bool, modules: Collection[str]) -> Iterator[str]:
    """Yield the dotted name of every module that `source` imports anywhere, also inside functions.

    `from package import name` counts as `package.name` where that is a module, and as `package` where it is not.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = module.split(".")
                anchor = anchor[: len(anchor) - node.level + is_package]
                base = ".".join([*anchor, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in modules else base


def is_inside(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def folder_of(name: str) -> str:
    """Return which folder of the package a module is in; "" of the package's own."""
    parts = name.split(".")
    return parts[1] if len(parts) > 2 or (len(parts) == 2 and name in PACKAGES) else ""


def violations(source: str, module: str, is_package: bool = False, modules: Collection[str] = MODULES) -> list[str]:
    """Return what stands in `source`, the text of `module`, against the walls."""
    found = set(imports(source, module, is_package, modules))
    own = {name for name in found if is_inside(name, PACKAGE)}
    foreign = {name.partition(".")[0] for name in found - own} - sys.stdlib_module_names
    if module in TRITON_KERNELS:
        foreign -= {"triton"}
    if module == MATH_GRADER:
        foreign -= {"math_verify", "sympy"}
    folder = folder_of(module)
    said = []
    if folder in LIBRARIES:
        allowed = LIBRARIES[folder].split()
        said += [f"{folder}/ imports {allowed} alone, not {name}" for name in sorted(foreign - set(allowed))]
    if module in FRONT_DOORS:
        return said
    allowed = [folder, *("" if name == "root" else name for name in WALLS[folder].split())]
    said += [f"{folder}/ does not import {name}" for name in sorted(own) if folder_of(name) not in allowed]
    columns = {folder_of(name) for name in own} & {"optim", "attention"}
    if len(columns) == 2 and module.split(".")[1] not in MEETING_PLACES:
        said.append(f"the optimizer and attention meet in {MEETING_PLACES} only")
    return said


@pytest.mark.parametrize("module", MODULES)
def test_module_respects_the_walls(module: str) -> None:
    path = MODULES[module]
    assert violations(path.read_text(encoding="utf-8"), module, path.name == "__init__.py") == []


def test_the_walls_stand_around_every_folder_and_let_nobody_through_both_ways() -> None:
    assert {folder_of(module) for module in MODULES} == set(WALLS)
    for folder, allowed in WALLS.items():
        for other in allowed.split():
            assert (folder or "root") not in WALLS["" if other == "root" else other].split()


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {}
    for module in MODULES.keys() - FRONT_DOORS:
        path = MODULES[module]
        source = path.read_text(encoding="utf-8")
        graph[module] = set(
            imports(source, module, path.name == "__init__.py", MODULES)
        ) & MODULES.keys() - FRONT_DOORS - {module}
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(f"an import circle: {error.args[1]}")


def test_the_root_stays_small() -> None:
    assert len(list((ROOT / PACKAGE).glob("*.py"))) <= MODULES_IN_THE_ROOT


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hf_muonclip.optim.muon", "import transformers"),
        ("hf_muonclip.optim.muon", "def step():\n    from transformers.models import llama"),
        ("hf_muonclip.optim.muon", "import triton"),
        ("hf_muonclip.optim.newton_schulz", "import triton.language as tl"),
        ("hf_muonclip.optim.symmetric_matmul_triton", "import transformers"),
        ("hf_muonclip.optim.muon", "from .. import attention"),
        ("hf_muonclip.optim.muon", "from ..attention.qk_clip import qk_clip_"),
        ("hf_muonclip.optim.muon", "from hf_muonclip.config import MuonClipConfig"),
        ("hf_muonclip.optim.muon", "from hf_muonclip import MuonClip"),
        ("hf_muonclip.optim.distributed.sharding", "from ...models import kind"),
        ("hf_muonclip.attention.capture.max_logits", "import triton"),
        ("hf_muonclip.attention.qk_clip", "from ..optim.muon import Muon"),
        ("hf_muonclip.attention.qk_clip", "from .. import optim"),
        ("hf_muonclip.attention.qk_clip", "import hf_muonclip.muon_clip"),
        ("hf_muonclip.attention.qk_clip", "import accelerate"),
        ("hf_muonclip.trainer.callback", "from ..optim.muon import Muon\nfrom ..attention import qk_clip_"),
        ("hf_muonclip.muon_clip", "from .trainer.callback import MuonClipCallback"),
        ("hf_muonclip.export.save", "from ..hub.push import push_to_hub"),
        ("hf_muonclip.trainer.entry_points", "from ..rl import KimiRLTrainer"),
        ("hf_muonclip.cli.doctor", "from ..rl.config import KimiRLConfig"),
        ("hf_muonclip.synth.run", "from ..rl.rewards.spec import Spec"),
        ("hf_muonclip.rl.trainer", "from ..synth import Rephraser"),
    ],
)
def test_a_breach_is_seen(module: str, source: str) -> None:
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hf_muonclip.optim.muon", "import math\nimport torch.distributed\nfrom .newton_schulz import newton_schulz"),
        ("hf_muonclip.optim.newton_schulz", "def multiply():\n    from . import symmetric_matmul_triton"),
        ("hf_muonclip.optim.symmetric_matmul_triton", "import torch\nimport triton.language as tl"),
        (
            "hf_muonclip.attention.qk_clip",
            "from transformers import PreTrainedModel\nfrom .head_layout import HeadLayout",
        ),
        ("hf_muonclip.muon_clip", "from .optim.muon import Muon\nfrom .attention import qk_clip_"),
        ("hf_muonclip.trainer.callback", "from transformers import Trainer\nfrom ..muon_clip import MuonClip"),
    ],
)
def test_what_is_allowed_is_not_called_a_breach(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_relative_imports_resolve_from_packages_and_modules() -> None:
    modules = {"hf_muonclip.attention.qk_clip", "hf_muonclip.config"}
    source = "from . import qk_clip, missing\nfrom ..config import MuonClipConfig"
    expected = ["hf_muonclip.attention.qk_clip", "hf_muonclip.attention", "hf_muonclip.config"]
    assert list(imports(source, "hf_muonclip.attention", True, modules)) == expected
    assert list(imports(source, "hf_muonclip.attention.head_layout", False, modules)) == expected


def test_the_package_declares_what_it_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9_-]", requirement)[0] for requirement in requirements}
    for module, path in MODULES.items():
        found = imports(path.read_text(encoding="utf-8"), module, path.name == "__init__.py", MODULES)
        foreign = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {PACKAGE}
        if module.startswith(f"{PACKAGE}.rl.environments.verifiers"):
            foreign -= {"verifiers", "mcp"}  # which no extra can bring beside openenv
        if module.startswith(f"{PACKAGE}.synth.datatrove_"):
            foreign -= {"datatrove", "dill", "multiprocess"}  # who has a pipeline has datatrove, which needs them
        if module == f"{PACKAGE}.synth.report.embeddings":
            foreign -= {"sentence_transformers"}  # who names such a model has it
        assert foreign <= declared, f"{module} imports {foreign - declared}, which pyproject.toml does not name"


def loaded_after(*codes: str, extra_paths: tuple[Path, ...] = ()) -> list[set[str]]:
    """Run codes in a fresh process, one after the other; return the names of all modules loaded after each."""
    path = os.pathsep.join([*map(str, extra_paths), str(ROOT), os.environ.get("PYTHONPATH", "")])
    script = "\n".join(f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))" for code in codes)
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return [set(json.loads(line)) for line in process.stdout.splitlines() if line.startswith("[")]


def test_importing_the_package_is_cheap(tmp_path: Path) -> None:
    heavy = ("trl", "peft", "datasets", "matplotlib")
    for name in heavy:  # stand-ins, so that an import is noticed whether or not the real one is installed
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / f"{name}-99.0.dist-info").mkdir()
        (tmp_path / f"{name}-99.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n"
        )
    loaded, with_matplotlib = loaded_after(f"import {PACKAGE}", "import matplotlib", extra_paths=(tmp_path,))
    assert PACKAGE in loaded
    assert loaded.isdisjoint({*heavy, "transformers.trainer"})
    assert "matplotlib" in with_matplotlib


def test_the_command_line_is_cheap() -> None:
    """Its help comes at once: every command loads what it needs when it runs."""
    (loaded,) = loaded_after(f"import {PACKAGE}.cli; assert {PACKAGE}.cli.main(['push', '--help']) == 0")
    assert f"{PACKAGE}.cli.push" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "huggingface_hub", "rich"})


@pytest.fixture(scope="module")
def loaded_on_the_way() -> tuple[set[str], ...]:
    """What a process without triton loads for the optimizer, with the first use of a public name, and for training."""
    return tuple(
        loaded_after(
            f"""
import sys
import torch
sys.modules["triton"] = None  # an import fails
import {PACKAGE}, {PACKAGE}.optim.muon, {PACKAGE}.optim.parameters.param_groups
{PACKAGE}.optim.newton_schulz.newton_schulz(torch.ones(2, 3, 3))
""",
            f"""
assert "{PACKAGE}.trainer.callback" not in sys.modules
assert {PACKAGE}.MuonClipCallback.__name__ == "MuonClipCallback"
""",
            f"{PACKAGE}.MuonClipCallback(); {PACKAGE}.muonclip, {PACKAGE}.attach",
            f"import {PACKAGE}.kimi_k2",
        )
    )


def test_the_optimizer_runs_without_triton_and_transformers(loaded_on_the_way: tuple[set[str], ...]) -> None:
    loaded = loaded_on_the_way[0]
    assert f"{PACKAGE}.optim.newton_schulz" in loaded
    assert loaded.isdisjoint(TRITON_KERNELS)
    assert loaded.isdisjoint({"transformers", "accelerate", f"{PACKAGE}.attention", f"{PACKAGE}.muon_clip"})


def test_public_names_load_on_first_use(loaded_on_the_way: tuple[set[str], ...]) -> None:
    assert f"{PACKAGE}.trainer.callback" in loaded_on_the_way[1]
    assert "transformers" in loaded_on_the_way[1]


def test_training_loads_what_training_needs(loaded_on_the_way: tuple[set[str], ...]) -> None:
    """Checkpoints, cards, evaluation and the Hub's client load when a push or a card begins."""
    loaded = loaded_on_the_way[2]
    assert f"{PACKAGE}.trainer.callback" in loaded
    beside = {folder_of(name) for name in loaded & MODULES.keys()}
    assert "matplotlib" not in loaded_on_the_way[3]  # nor for the recipe
    assert beside == {"", "attention", "common", "models", "optim", "runs", "trainer"}


def test_a_wing_loads_its_libraries_on_first_use_and_says_which_is_missing() -> None:
    code = f"""
try:
    {PACKAGE}.rl.KimiRLTrainer
except ImportError as error:
    assert "hf_muonclip[rl]" in str(error)
else:
    raise AssertionError
"""
    before, after = loaded_after(f"import {PACKAGE}.rl", f"import sys; sys.modules['trl'] = None\n{code}")
    assert before.isdisjoint({"torch", "trl", "datasets"})
    assert f"{PACKAGE}.rl" in after


def test_a_run_is_followed_without_transformers() -> None:
    """The live view comes at once."""
    (loaded,) = loaded_after(f"import {PACKAGE}.runs.follower, {PACKAGE}.runs.terminal")
    assert f"{PACKAGE}.runs.run" in loaded
    assert loaded.isdisjoint({"transformers", "matplotlib"})


@pytest.mark.parametrize("package", [hf_muonclip, hub, rl, synth], ids=lambda package: package.__name__)
def test_public_names_are_sorted_and_resolve(package: ModuleType) -> None:
    assert list(package.__all__) == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018


@pytest.mark.parametrize("package", [hf_muonclip, hub, rl, synth], ids=lambda package: package.__name__)
def test_no_public_name_is_that_of_a_module_whose_import_would_replace_it(package: ModuleType) -> None:
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & {*package.__all__}
