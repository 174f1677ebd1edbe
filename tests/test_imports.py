"""The walls between the two columns, and what `import hf_muonclip` costs."""

import ast
import itertools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import hf_muonclip
from hf_muonclip import hub

PACKAGE = "hf_muonclip"
ROOT = Path(__file__).parents[1]
OPTIMIZER_COLUMN = {
    f"{PACKAGE}.{name}"
    for name in (
        "newton_schulz",
        "symmetric_products",
        "triton_symmetric",
        "matrix_view",
        "matrix_batches",
        "muon_state",
        "forward_inputs",
        "forward_trace",
        "module_views",
        "adapter_views",
        "sharding",
        "added_groups",
        "frozen_parameters",
        "moments",
        "sharded_update",
        "replicated_update",
        "scattered_update",
        "unit_updates",
        "update_meter",
        "gradient_measures",
        "idle_matrices",
        "local_update",
        "rank_agreement",
        "rank_collectives",
        "update_rules",
        "muon",
        "muon_refusals",
        "output_heads",
        "param_groups",
        "setting_rules",
        "thread_per_batch",
    )
}
ATTENTION_COLUMN = f"{PACKAGE}.attention"
TRITON_KERNELS = {f"{PACKAGE}.triton_symmetric", f"{ATTENTION_COLUMN}.triton_max_logits"}
INSPECTION = f"{PACKAGE}.inspection"  # shows what both say of a model, and changes neither
MEETING_PLACE = f"{PACKAGE}.muon_clip"
NEUTRAL = {f"{PACKAGE}.patched_method"}  # knows the standard library alone, so every column may use it


def module_paths() -> dict[str, Path]:
    """Return every module of the package by its dotted name."""
    paths = {}
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


MODULES = module_paths()


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


def violations(source: str, module: str, is_package: bool = False, modules: Collection[str] = MODULES) -> list[str]:
    """Return what stands in `source`, the text of `module`, against the walls."""
    found = set(imports(source, module, is_package, modules))
    own = {name for name in found if is_inside(name, PACKAGE)}
    foreign = {name.partition(".")[0] for name in found - own} - sys.stdlib_module_names
    if module in TRITON_KERNELS:
        foreign -= {"triton"}
    said = []
    if module in OPTIMIZER_COLUMN:
        said += [f"the optimizer column imports torch alone, not {name}" for name in sorted(foreign - {"torch"})]
        said += [
            f"the optimizer column knows only itself, not {name}" for name in sorted(own - OPTIMIZER_COLUMN - NEUTRAL)
        ]
    elif is_inside(module, ATTENTION_COLUMN):
        said += [
            f"the attention column imports torch and transformers, not {name}"
            for name in sorted(foreign - {"torch", "transformers"})
        ]
        said += [
            f"the attention column knows only itself, not {name}"
            for name in sorted(own - NEUTRAL)
            if not is_inside(name, ATTENTION_COLUMN)
        ]
    elif module in NEUTRAL:
        said += [f"what every column may use knows the standard library alone, not {name}" for name in own | foreign]
    elif module not in (MEETING_PLACE, INSPECTION, PACKAGE):
        columns = {
            name in OPTIMIZER_COLUMN for name in own if name in OPTIMIZER_COLUMN or is_inside(name, ATTENTION_COLUMN)
        }
        if len(columns) == 2:
            said.append(f"the two columns meet in {MEETING_PLACE} only")
    return said


@pytest.mark.parametrize("module", MODULES)
def test_module_respects_the_walls(module: str) -> None:
    path = MODULES[module]
    assert violations(path.read_text(encoding="utf-8"), module, path.name == "__init__.py") == []


def test_the_walls_stand_around_existing_modules() -> None:
    assert MODULES.keys() >= OPTIMIZER_COLUMN
    assert ATTENTION_COLUMN in MODULES
    assert MEETING_PLACE in MODULES


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hf_muonclip.muon", "import transformers"),
        ("hf_muonclip.muon", "def step():\n    from transformers.models import llama"),
        ("hf_muonclip.muon", "import triton"),
        ("hf_muonclip.newton_schulz", "import triton.language as tl"),
        ("hf_muonclip.triton_symmetric", "import transformers"),
        ("hf_muonclip.attention.max_logits", "import triton"),
        ("hf_muonclip.muon", "from . import attention"),
        ("hf_muonclip.muon", "from .attention.qk_clip import qk_clip_"),
        ("hf_muonclip.muon", "from hf_muonclip.config import MuonClipConfig"),
        ("hf_muonclip.muon", "from hf_muonclip import MuonClip"),
        ("hf_muonclip.attention.qk_clip", "from ..muon import Muon"),
        ("hf_muonclip.attention.qk_clip", "from .. import param_groups"),
        ("hf_muonclip.attention.qk_clip", "import hf_muonclip.muon_clip"),
        ("hf_muonclip.attention.qk_clip", "import accelerate"),
        ("hf_muonclip.trainer", "from .muon import Muon\nfrom .attention import qk_clip_"),
    ],
)
def test_a_breach_is_seen(module: str, source: str) -> None:
    assert violations(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("hf_muonclip.muon", "import math\nimport torch.distributed\nfrom .newton_schulz import newton_schulz"),
        ("hf_muonclip.newton_schulz", "def multiply():\n    from .triton_symmetric import symmetric_baddbmm"),
        ("hf_muonclip.triton_symmetric", "import torch\nimport triton.language as tl"),
        (
            "hf_muonclip.attention.qk_clip",
            "from transformers import PreTrainedModel\nfrom .head_layout import HeadLayout",
        ),
        ("hf_muonclip.muon_clip", "from .muon import Muon\nfrom .attention import qk_clip_"),
        ("hf_muonclip.trainer", "from transformers import Trainer\nfrom .muon_clip import MuonClip"),
    ],
)
def test_what_is_allowed_is_not_called_a_breach(module: str, source: str) -> None:
    assert violations(source, module) == []


def test_relative_imports_resolve_from_packages_and_modules() -> None:
    modules = {"hf_muonclip.attention.qk_clip", "hf_muonclip.muon"}
    source = "from . import qk_clip, missing\nfrom ..muon import Muon"
    in_package = imports(source, "hf_muonclip.attention", True, modules)
    assert list(in_package) == ["hf_muonclip.attention.qk_clip", "hf_muonclip.attention", "hf_muonclip.muon"]
    in_module = imports(source, "hf_muonclip.attention.max_logits", False, modules)
    assert list(in_module) == ["hf_muonclip.attention.qk_clip", "hf_muonclip.attention", "hf_muonclip.muon"]


def test_the_package_declares_what_it_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^A-Za-z0-9_-]", requirement)[0] for requirement in requirements}
    for module, path in MODULES.items():
        found = imports(path.read_text(encoding="utf-8"), module, path.name == "__init__.py", MODULES)
        foreign = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - {PACKAGE}
        assert foreign <= declared, f"{module} imports {foreign - declared}, which pyproject.toml does not name"


def loaded_after(code: str, *extra_paths: Path) -> set[str]:
    """Run `code` in a fresh process and return the names of all modules that are loaded afterwards."""
    path = os.pathsep.join([*map(str, extra_paths), str(ROOT), os.environ.get("PYTHONPATH", "")])
    script = f"{code}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stdout.splitlines()[-1]))


def test_importing_the_package_is_cheap(tmp_path: Path) -> None:
    heavy = ("trl", "peft", "datasets", "matplotlib")
    for name in heavy:  # stand-ins, so that an import is noticed whether or not the real one is installed
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        (tmp_path / f"{name}-99.0.dist-info").mkdir()
        (tmp_path / f"{name}-99.0.dist-info" / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 99.0\n"
        )
    loaded = loaded_after(f"import {PACKAGE}", tmp_path)
    assert PACKAGE in loaded
    assert loaded.isdisjoint({*heavy, "transformers.trainer"})
    assert "matplotlib" in loaded_after(f"import {PACKAGE}, matplotlib", tmp_path)


def test_the_command_line_is_cheap() -> None:
    """Its help comes at once: every command loads what it needs when it runs."""
    loaded = loaded_after(f"import {PACKAGE}.cli; assert {PACKAGE}.cli.main(['push', '--help']) == 0")
    assert f"{PACKAGE}.hub.command" in loaded
    assert loaded.isdisjoint({"torch", "transformers", "huggingface_hub", "rich"})


def test_training_loads_no_client_of_the_hub() -> None:
    loaded = loaded_after(f"import {PACKAGE}.trainer, {PACKAGE}.hub")
    assert f"{PACKAGE}.hub.trainer_push" in loaded
    assert loaded.isdisjoint({f"{PACKAGE}.hub.push", f"{PACKAGE}.hub.client"})


def test_the_optimizer_column_runs_without_transformers() -> None:
    loaded = loaded_after(f"import {PACKAGE}.muon, {PACKAGE}.param_groups")
    assert f"{PACKAGE}.muon" in loaded
    assert loaded.isdisjoint({"transformers", "accelerate", ATTENTION_COLUMN, MEETING_PLACE})


def test_the_optimizer_column_runs_without_triton() -> None:
    code = f"""
import sys
import torch
sys.modules["triton"] = None  # an import fails
import {PACKAGE}, {PACKAGE}.muon, {PACKAGE}.param_groups
{PACKAGE}.newton_schulz.newton_schulz(torch.ones(2, 3, 3))
"""
    loaded = loaded_after(code)
    assert f"{PACKAGE}.newton_schulz" in loaded
    assert loaded.isdisjoint(TRITON_KERNELS)


def test_public_names_load_on_first_use() -> None:
    code = f"""
import sys
import {PACKAGE}
assert "{PACKAGE}.trainer" not in sys.modules
assert {PACKAGE}.MuonClipCallback.__name__ == "MuonClipCallback"
assert "{PACKAGE}.trainer" in sys.modules
"""
    assert "transformers" in loaded_after(code)


@pytest.mark.parametrize("package", [hf_muonclip, hub], ids=lambda package: package.__name__)
def test_public_names_are_sorted_and_resolve(package: ModuleType) -> None:
    assert list(package.__all__) == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018
