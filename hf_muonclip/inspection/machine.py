"""The machine that a run would start on: installed versions, devices, and what Accelerate is set to."""

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch
from accelerate.commands.config import config_args  # type: ignore[import-untyped]
from packaging.requirements import Requirement
from packaging.version import Version
from transformers.utils import import_utils

from ..optim.newton_schulz import preferred_dtype
from .findings import Finding

_SHOWN = ("torch", "transformers", "accelerate", "trl", "peft", "deepspeed", "datasets")
RL = "rl"  # the extra of hf_muonclip.rl
_ATTENTION = {  # beside eager and sdpa, which torch always has -> transformers' own question
    "flex_attention": "is_torch_flex_attn_available",
    "flash_attention_2": "is_flash_attn_2_available",
    "flash_attention_3": "is_flash_attn_3_available",
    "kernels from the Hub": "is_kernels_available",
}
# What reading a configuration that somebody wrote by hand may raise.
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, config_args.yaml.YAMLError)


@dataclass(frozen=True)
class Package:
    """An installed or absent package.

    Attributes:
        name: name on the package index.
        installed: its version, or None.
        least: the lowest version that hf_muonclip's own metadata asks for, or None if it asks for none.
        optional: whether hf_muonclip works without it.
    """

    name: str
    installed: str | None
    least: str | None
    optional: bool

    @property
    def is_too_old(self) -> bool:
        """Whether a version below the lowest is installed."""
        return bool(self.installed and self.least) and Version(str(self.installed)) < Version(str(self.least))


@dataclass(frozen=True)
class Hardware:
    """What torch computes on here.

    Attributes:
        device: "cpu", "cuda", "mps", "xpu" and so on: where a Trainer would put the model.
        names: names of the accelerators; empty on a CPU.
        multiplies_bfloat16: whether the device has instructions for it.
        threads: torch's threads on the CPU.
    """

    device: str
    names: tuple[str, ...]
    multiplies_bfloat16: bool
    threads: int


@dataclass(frozen=True)
class Machine:
    """Everything that is known without a model.

    Attributes:
        packages: packages with their versions.
        rl: what the extra [rl] asks for; None where the installed metadata does not know it.
        hardware: what torch computes on.
        attention: {implementation: whether it can run here}.
        launcher: Accelerate's default configuration, or None if there is none.
        compiles: whether that configuration turns torch.compile on.
        facts: (label, sentence) about hardware and launcher.
        findings: what will be refused or may surprise.
    """

    packages: list[Package]
    rl: list[Package] | None
    hardware: Hardware
    attention: dict[str, bool]
    launcher: dict[str, Any] | None
    compiles: bool
    facts: list[tuple[str, str]]
    findings: list[Finding]


def read_machine() -> Machine:
    """Read versions, hardware and launcher of this process."""
    packages, rl, hardware = read_packages(), read_extra(RL), read_hardware()
    launcher, unreadable = read_launcher()
    findings = [
        Finding(
            "warning" if package.optional else "refused",
            f"{package.name} must be {package.least} or newer; {package.installed} is installed.",
            f'pip install --upgrade "{package.name}>={package.least}"',
        )
        for package in {package.name: package for package in [*packages, *(rl or [])]}.values()
        if package.is_too_old
    ]
    findings += [*_of_hardware(hardware), *unreadable, *of_launcher(launcher or {})]
    attention = attention_implementations()
    facts = [
        *_hardware_facts(hardware),
        ("attention", _attention_in_words(attention)),
        ("launcher", _launched(launcher)),
        (f"extra [{RL}]", _extra_in_words(RL, rl)),
    ]
    return Machine(packages, rl, hardware, attention, launcher, _compiles(launcher or {}), facts, findings)


def read_packages() -> list[Package]:
    """Return the versions that matter, hf_muonclip's requirements first."""
    asked = {requirement.name: requirement for requirement in _requirements()}
    return [_package(name, asked.get(name)) for name in _SHOWN]


def read_extra(name: str) -> list[Package] | None:
    """Return what an extra of hf_muonclip asks for here, or None if the installed metadata does not know it."""
    asked = [r for r in _requirements() if r.marker and r.marker.evaluate({"extra": name})]
    return [_package(requirement.name, requirement) for requirement in asked] or None


def _package(name: str, requirement: Requirement | None) -> Package:
    try:
        installed: str | None = metadata.version(name)
    except metadata.PackageNotFoundError:
        installed = None
    if requirement is None:
        return Package(name, installed, None, True)
    least = next((one.version for one in requirement.specifier if one.operator == ">="), None)
    return Package(name, installed, least, "extra ==" in str(requirement.marker))


def _requirements() -> list[Requirement]:
    """Return what hf_muonclip's own metadata asks for; nothing if it runs from a checkout that was not installed."""
    try:
        return [Requirement(line) for line in metadata.requires("hf_muonclip") or []]
    except metadata.PackageNotFoundError:
        return []


def _extra_in_words(name: str, packages: list[Package] | None) -> str:
    install = f'pip install "hf_muonclip[{name}]"'
    if packages is None:
        return f"not known to the installed hf_muonclip; install it again: {install}"
    found = ", ".join(f"{package.name} {package.installed}" for package in packages if package.installed)
    lacking = ", ".join(package.name for package in packages if not package.installed)
    if not lacking:
        return f"installed: {found}"
    return f"{f'in part: {found}' if found else 'not installed'}; missing: {lacking}. {install}"


def read_hardware() -> Hardware:
    """Return the hardware that torch computes on."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        cpu = torch.device("cpu")
        return Hardware("cpu", (), preferred_dtype(cpu) == torch.bfloat16, torch.get_num_threads())
    name: Any = getattr(torch.get_device_module(accelerator), "get_device_name", lambda index: accelerator.type)
    names = tuple(str(name(index)) for index in range(torch.accelerator.device_count()))
    native = accelerator.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    return Hardware(accelerator.type, names, native, torch.get_num_threads())


def torch_build() -> str:
    """Return the backend that torch was built for."""
    if torch.version.hip:
        return f"built for ROCm {torch.version.hip}"
    return f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"


def attention_implementations() -> dict[str, bool]:
    """Return {attention implementation of transformers: whether it can run here}."""
    # A transformers that is too old for hf_muonclip is to be told so, and may lack some of the questions.
    asked = {name: bool(getattr(import_utils, question, bool)()) for name, question in _ATTENTION.items()}
    return {"eager": True, "sdpa": True, **asked}


def _attention_in_words(attention: Mapping[str, bool]) -> str:
    absent = [name for name, here in attention.items() if not here]
    words = ", ".join(name for name, here in attention.items() if here)
    return f"{words}; not installed: {', '.join(absent)}" if absent else words


def _hardware_facts(hardware: Hardware) -> list[tuple[str, str]]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = f"torch threads: {hardware.threads}, usable cores: {cores}"
    capability = torch.backends.cpu.get_cpu_capability()
    devices = ", ".join(dict.fromkeys(hardware.names))
    shown = f"{len(hardware.names)} x {devices} ({hardware.device})" if hardware.names else "CPU alone"
    dtype = str(preferred_dtype(torch.device(hardware.device))).removeprefix("torch.")
    can = "multiplies bfloat16" if hardware.multiplies_bfloat16 else "has no instructions for bfloat16"
    return [
        ("torch", f"{torch.__version__}, {torch_build()}"),
        ("devices", shown),
        ("CPU", f"{platform.machine()}, {capability}; {threads}"),
        ("Newton–Schulz", f'{dtype} (ns_dtype="auto"): the {hardware.device.upper()} {can}'),
    ]


def _of_hardware(hardware: Hardware) -> list[Finding]:
    found = []
    if hardware.device == "cpu" and torch.version.cuda:
        found.append(
            Finding(
                "warning",
                f"torch is {torch_build()} and sees no GPU; training will run on the CPU.",
                "Look at nvidia-smi and at CUDA_VISIBLE_DEVICES.",
            )
        )
    elif hardware.device == "cpu" and shutil.which("nvidia-smi"):
        found.append(
            Finding(
                "warning",
                f"This machine has NVIDIA's driver, and torch is {torch_build()}; training will run on the CPU.",
                "Install torch's build for CUDA: https://pytorch.org/get-started/locally.",
            )
        )
    elif hardware.device != "cpu" and not hardware.multiplies_bfloat16:
        found.append(
            Finding(
                "warning",
                f"{hardware.names[0]} emulates bfloat16, in which Newton–Schulz computes there. That is slow.",
                'Pass ns_dtype="float32".',
            )
        )
    return found


def read_launcher() -> tuple[dict[str, Any] | None, list[Finding]]:
    """Return what `accelerate config` wrote, or None; and a finding if that cannot be read."""
    path = config_args.default_config_file
    if not os.path.isfile(path):
        return None, []
    try:
        return config_args.load_config_from_file(path).to_dict(), []
    except _UNREADABLE as error:
        way_out = "Write it again with `accelerate config`, or pass --config_file to accelerate launch."
        return None, [Finding("warning", f"Accelerate cannot read {path}: {error}", way_out)]


def _launched(launcher: Mapping[str, Any] | None) -> str:
    if launcher is None:
        return "Accelerate has no default config: pass --config_file to accelerate launch"
    said = {
        "distributed_type": f"{launcher.get('distributed_type')}{_fsdp_version(launcher)}",
        "num_processes": launcher.get("num_processes"),
        "mixed_precision": launcher.get("mixed_precision"),
        "torch.compile": "on" if _compiles(launcher) else "off",
    }
    return "Accelerate's default config: " + ", ".join(f"{name} {value}" for name, value in said.items())


def _fsdp_version(launcher: Mapping[str, Any]) -> str:
    if launcher.get("distributed_type") != "FSDP":
        return ""
    return f" {(launcher.get('fsdp_config') or {}).get('fsdp_version', 1)}"  # Accelerate's own default


def _compiles(launcher: Mapping[str, Any]) -> bool:
    dynamo = launcher.get("dynamo_config") or {}
    return str(next((dynamo[key] for key in dynamo if key.endswith("backend")), "NO")).upper() != "NO"


def of_launcher(launcher: Mapping[str, Any]) -> list[Finding]:
    """Return findings about a configuration of Accelerate.

    Args:
        launcher: the configuration's fields, as in the YAML file.
    """
    found = []
    if _fsdp_version(launcher) == " 1":
        found.append(
            Finding(
                "refused",
                "Muon needs parameters with their own shapes; Accelerate's default config shards with FSDP1, which "
                "flattens them.",
                "Set fsdp_version: 2 as in examples/accelerate_configs/fsdp2.yaml; `accelerate to-fsdp2` converts a "
                "config.",
            )
        )
    if launcher.get("distributed_type") == "DEEPSPEED":
        found.append(
            Finding(
                "refused",
                "MuonClip needs whole matrices; Accelerate's default config starts DeepSpeed, which flattens them.",
                "Train with FSDP2, or with DeepSpeed's own Muon and callbacks=[DeepSpeedClipCallback()] for the clip.",
            )
        )
    spread = {
        key.removeprefix("parallelism_config_"): v for key, v in (launcher.get("parallelism_config") or {}).items()
    }
    if (spread.get("sp_size") or 1) > 1:
        found.append(
            Finding(
                "refused",
                "The max logit of a head is over all keys of its sequence; sp_size > 1 (Ulysses) hides those of other "
                "ranks.",
                "Use tp_size or cp_size, or pass qk_clip_threshold=None for Muon alone.",
            )
        )
    if (spread.get("cp_size") or 1) > 1:
        found.append(
            Finding(
                "warning",
                "Under context parallel (cp_size > 1) each layer gathers the keys of all ranks to be measured.",
                "Leave attention uncompiled, and do not pack documents.",
            )
        )
    return found
