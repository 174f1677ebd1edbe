"""The READMEs' tables of the package itself: settings, figures, presets and engine limits, from the code that has them.

`tables.py` writes them into the pages, between the markers that carry their names.
"""

import inspect
import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this checkout, whichever is installed

from hf_muonclip import MuonClip, MuonClipConfig
from hf_muonclip.export.engine_limits import ENGINE_LIMITS
from hf_muonclip.kimi_k2.presets import PRESETS, PURPOSES, count_parameters, kimi_k2_config
from hf_muonclip.optim.muon import Muon
from hf_muonclip.runs.figure_names import FIGURES

# What `TrainingArguments` gives where a Trainer is used.
FROM_TRAINER = {
    "lr": "`args.learning_rate`",
    "weight_decay": "`args.weight_decay`",
    "adamw_betas": "`args.adam_beta1` and `args.adam_beta2`",
    "adamw_eps": "`args.adam_epsilon`",
}


def markdown(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in (head, *rows)]
    return f"| {lines[0]} |\n|{'---|' * len(head)}\n" + "".join(f"| {line} |\n" for line in lines[1:])


def arguments_of(documented: type) -> dict[str, str]:
    """Return {argument: its text} of a Google-style docstring's Args."""
    section = inspect.getdoc(documented).partition("\nArgs:\n")[2].partition("\n\n")[0]
    return {name: " ".join(text.split()) for name, text in re.findall(r"^    (\w+): (.*(?:\n     .*)*)", section, re.M)}


def written(value: Any) -> str:
    """Return a default as code, with strings in double quotes and as few digits as say it."""
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{value:g}`" if isinstance(value, float) and value < 1e-3 else f"`{value!r}`"


def settings_table() -> str:
    """Return every keyword of `MuonClip` with its default and what the code says of it."""
    helps = {field.name: field.metadata["help"] for field in fields(MuonClipConfig)}
    texts = {**arguments_of(MuonClip), **arguments_of(Muon), **helps}
    parameters = list(inspect.signature(MuonClip).parameters.values())[1:]  # the first is the model
    rows = []
    for parameter in parameters:
        default = written(parameter.default)
        if parameter.name in FROM_TRAINER:
            default += f"; in a Trainer {FROM_TRAINER[parameter.name]}"
        text = texts[parameter.name]
        said = text if parameter.name in helps else text[0].upper() + text[1:]
        rows.append((f"`{parameter.name}`", default, said))
    head = ("Keyword of `MuonClip`, `muonclip`, `muonclip_factory`, `attach`", "Default", "What it does")
    return markdown(head, rows)


def figures_table() -> str:
    """Return every figure of a training log with its meaning."""
    return markdown(("Figure", "Meaning"), [(f"`{name}`", meaning) for name, meaning in FIGURES.items()])


def in_short(count: int) -> str:
    """Return a number of parameters in three digits, as "6.41M" or "1.13B"."""
    unit, size = next((unit, size) for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)) if count >= size)
    return f"{count / size:.3g}{unit}"


def presets_table() -> str:
    """Return every preset with its sizes, counted."""
    rows = []
    for name in PRESETS:
        config = kimi_k2_config(name)
        total, active = count_parameters(config)
        experts = f"{config.n_routed_experts}, {config.num_experts_per_tok}"
        rows.append((f'`"{name}"`', in_short(total), in_short(active), experts, PURPOSES[name]))
    return markdown(("Preset", "Parameters", "active per token", "experts, chosen", "for"), rows)


def limits_table() -> str:
    """Return what engines read otherwise than transformers."""
    rows = [(limit.setting, limit.engine, limit.effect, limit.way_out, limit.source) for limit in ENGINE_LIMITS]
    return markdown(("In config.json", "Engine", "What it does", "Way out", "Source"), rows)


BLOCKS = {
    "hf_muonclip/optim/README.md": {"settings": settings_table},
    "hf_muonclip/runs/README.md": {"figures": figures_table},
    "hf_muonclip/kimi_k2/README.md": {"presets": presets_table, "engine limits": limits_table},
}
