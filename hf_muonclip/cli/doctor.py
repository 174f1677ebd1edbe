"""The command `hf-muonclip doctor`: report before a run what it would refuse, and what may surprise."""

import argparse
import contextlib
import io
import json
import platform
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .named_model import load_model, quiet

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..inspection.findings import Finding
    from ..inspection.inspect import Inspection
    from ..inspection.machine import Machine, Package

_DOCTOR = """\
Say what a run would meet: versions, devices, Accelerate's default config and, with MODEL, its attention layout, what
Muon and AdamW would update, and what will be refused or go otherwise than expected, with the way out. Reads a model's
config alone, no weights."""
_DOCTOR_HELP = """\
--json writes one object:
  versions   {hf_muonclip, python}
  packages   [{name, installed: version or null, least: version or null, optional, too_old}]
  rl         the same of what the extra [rl] asks for, or null where the installed metadata does not know it
  hardware   {device, names: of accelerators, multiplies_bfloat16, threads, newton_schulz: "bfloat16" | "float32"}
  attention  {implementation: whether it can run here}
  launcher   Accelerate's default config, or null
  model      null, or what `hf-muonclip inspect --json` writes
  findings   [{level: "refused" | "warning" | "note", what, way_out}]

exit codes: 0 nothing will be refused, 1 something will, 2 usage"""
_LABEL = 16  # columns of what stands on the left
_STYLES = {"refused": "bold red", "warning": "yellow", "note": "cyan"}


def add_doctor_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `doctor` to the parser's commands."""
    doctor = commands.add_parser(
        "doctor",
        help="check versions, devices and a model, and report what a run would refuse",
        description=_DOCTOR,
        epilog=_DOCTOR_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    doctor.add_argument(
        "model", metavar="MODEL", nargs="?", help="Hub id, local folder, path of a config.json, or kimi-k2"
    )
    doctor.add_argument(
        "--adapter", metavar="FOLDER", help="folder of the PEFT adapter that the model will be trained with"
    )
    doctor.add_argument("--json", action="store_true", help="write one JSON object, see below")
    doctor.add_argument("--trust-remote-code", action="store_true", help="let code that comes with the model run")
    doctor.set_defaults(run=run_doctor)


def run_doctor(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    if arguments.adapter and not arguments.model:
        return _usage("--adapter needs a model to adapt: hf-muonclip doctor MODEL --adapter FOLDER")
    with contextlib.redirect_stdout(sys.stderr):
        from rich.console import Console

        from ..inspection.findings import gravest_first
        from ..inspection.inspect import inspect_model
        from ..inspection.machine import read_machine
        from ..inspection.model_findings import model_findings

        machine = read_machine()
        findings, inspection = list(machine.findings), None
        if arguments.model:
            with quiet(False):
                model = load_model(arguments.model, trust_remote_code=arguments.trust_remote_code)
            if arguments.adapter:
                try:
                    model = with_adapter(model, arguments.adapter)
                except (ImportError, OSError, ValueError, TypeError) as error:
                    return _usage(f"--adapter {arguments.adapter} cannot be put on {arguments.model}: {error}")
            inspection = inspect_model(arguments.model, model)
            findings += model_findings(inspection, machine.compiles)
        findings = gravest_first(findings)
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(machine, inspection, findings)) + "\n")
    elif sys.stdout.isatty():
        show(machine, inspection, findings, Console(file=sys.stdout))
    else:
        plain = Console(file=io.StringIO(), width=100)
        with plain.capture() as written:
            show(machine, inspection, findings, plain)
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in written.get().splitlines())
    sys.stdout.flush()
    return 1 if any(finding.level == "refused" for finding in findings) else 0


def with_adapter(model: Any, folder: str) -> Any:
    """Return the model with the layers of a PEFT adapter, on the meta device as the model is.

    Args:
        model: on the meta device.
        folder: a folder with adapter_config.json, or a Hub id.

    Raises:
        ImportError: PEFT is not installed.
        OSError: there is no adapter.
        ValueError: the adapter does not fit the model.
    """
    import torch
    from peft import PeftConfig, get_peft_model

    config: Any = PeftConfig.from_pretrained(folder)
    config.inference_mode = False  # as it is trained, not as it was saved
    with torch.device("meta"):
        return get_peft_model(model, config)


def _usage(reason: str) -> int:
    sys.stderr.write(f"hf-muonclip: {reason}\n")
    return 2


def as_json(machine: "Machine", inspection: "Inspection | None", findings: "list[Finding]") -> dict[str, Any]:
    """Return the facts as one JSON object; `hf-muonclip doctor --help` documents the keys."""
    import torch

    from ..inspection import inspect as inspections
    from ..optim.newton_schulz import preferred_dtype

    hardware = machine.hardware
    return {
        "versions": dict(_own_versions()),
        "packages": [_as_json(package) for package in machine.packages],
        "rl": None if machine.rl is None else [_as_json(package) for package in machine.rl],
        "hardware": {
            "device": hardware.device,
            "names": list(hardware.names),
            "multiplies_bfloat16": hardware.multiplies_bfloat16,
            "threads": hardware.threads,
            "newton_schulz": str(preferred_dtype(torch.device(hardware.device))).removeprefix("torch."),
        },
        "attention": machine.attention,
        "launcher": machine.launcher,
        "model": None if inspection is None else inspections.as_json(inspection),
        "findings": [{"level": f.level, "what": f.what, "way_out": f.way_out} for f in findings],
    }


def _as_json(package: "Package") -> dict[str, Any]:
    return {
        "name": package.name,
        "installed": package.installed,
        "least": package.least,
        "optional": package.optional,
        "too_old": package.is_too_old,
    }


def show(machine: "Machine", inspection: "Inspection | None", findings: "list[Finding]", console: "Console") -> None:
    """Write a diagnosis to a terminal, or as plain text into a pipe."""
    from rich.text import Text

    console.print(Text(", ".join(f"{name} {version}" for name, version in _own_versions()), style="bold"))
    console.print(_section("Versions"), _versions(machine), highlight=False)
    console.print(_section("Machine"), _facts(dict(machine.facts)), highlight=False)
    if inspection is not None:
        console.print(_section(f"Model {inspection.source}"), _facts(_of_model(inspection)), highlight=False)
    counts = Counter(finding.level for finding in findings)
    if findings:
        console.print(_section("Findings"), *(_finding(finding) for finding in findings), sep="\n", highlight=False)
    verdict = f"{counts['refused']} will be refused" if counts["refused"] else "Nothing will be refused"
    said = f"{verdict}. Warnings: {counts['warning']}, notes: {counts['note']}."
    console.print(Text(f"\n{said}", style=_STYLES["refused"] if counts["refused"] else "bold green"))
    if inspection is None:
        console.print(Text("Name a model to check it too: hf-muonclip doctor MODEL", style="dim"))


def _own_versions() -> list[tuple[str, str]]:
    from .. import __version__

    return [("hf_muonclip", __version__), ("python", platform.python_version())]


def _section(title: str) -> "RenderableType":
    from rich.text import Text

    return Text(f"\n{title}", style="bold", no_wrap=True, overflow="ellipsis")


def _versions(machine: "Machine") -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=_LABEL)
    for package in machine.packages:
        asked = [f"{package.least} or newer"] * bool(package.least) + ["optional"] * package.optional
        shown = Text(package.installed or "not installed", style="" if package.installed else "dim")
        if package.is_too_old:
            shown.append(" too old", style=_STYLES["refused"])
        grid.add_row(f"  {package.name}", shown, Text(", ".join(asked), style="dim"))
    return grid


def _facts(facts: Mapping[str, str]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=_LABEL, no_wrap=True)
    grid.add_column(overflow="fold")
    for label, said in facts.items():
        grid.add_row(Text(f"  {label}"), Text(said))  # as it stands: "[rl]" is no markup
    return grid


def _of_model(inspection: "Inspection") -> dict[str, str]:
    from ..inspection.display import clip_in_words

    model, plan = inspection.model, inspection.plan
    config: Any = getattr(model, "config", None)
    weights = sum(parameter.numel() for parameter in model.parameters())
    facts = {"class": f"{type(model).__name__} ({inspection.model_type}), {weights:,} weights"}
    implementation = getattr(config, "_attn_implementation", None)
    if implementation:
        facts["attention"] = f"{implementation} unless the run asks for another"
    kinds: Counter[str] = Counter()
    for layout in inspection.layout.values():
        heads = f"{layout.num_attention_heads} heads, {layout.num_key_value_heads} kv heads"
        query, _ = clip_in_words(layout)
        clipped = "monitored" if layout.granularity == "monitored" else f"clipped by {layout.granularity}, {query}"
        kinds[f"{layout.kind}, {heads}; {clipped}"] += 1
    facts["layout"] = "\n".join(f"{count} x {kind}" for kind, count in kinds.items()) or "none"
    sizes = dict(model.named_parameters())
    for algorithm, label in (("muon", "Muon"), ("adamw", "AdamW")):
        names = [planned.name for planned in plan if planned.algorithm == algorithm]
        facts[label] = _counted(names, sizes, weights)
    if inspection.frozen:
        facts["frozen"] = _counted(inspection.frozen, sizes, weights)
    return facts


def _counted(names: list[str], sizes: Mapping[str, Any], weights: int) -> str:
    held = sum(sizes[name].numel() for name in names)
    return f"{len(names)} parameters, {held:,} weights ({held / weights:.1%})"


def _finding(finding: "Finding") -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=9, no_wrap=True)
    grid.add_column(overflow="fold")
    said = Text(finding.what)
    if finding.way_out:
        said.append(f"\n-> {finding.way_out}", style="green")
    grid.add_row(Text(f"  {finding.level}"[:9], style=_STYLES[finding.level]), said)
    return grid
