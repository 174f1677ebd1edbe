"""The model card of a trained checkpoint, written from the figures of the run itself.

A figure that the caller does not have is left out; nothing is invented.
"""

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from transformers import DeepseekV3Config, PreTrainedModel

from .kimi_k2.presets import count_parameters

StrPath = str | os.PathLike[str]

_CITATIONS = """```bibtex
@misc{kimi2025k2,
  title = {Kimi K2: Open Agentic Intelligence},
  author = {{Kimi Team}},
  year = {2025},
  eprint = {2507.20534},
  archivePrefix = {arXiv}
}
@misc{liu2025moonlight,
  title = {Muon is Scalable for LLM Training},
  author = {Liu, Jingyuan and Su, Jianlin and others},
  year = {2025},
  eprint = {2502.16982},
  archivePrefix = {arXiv}
}
@misc{jordan2024muon,
  title = {Muon: An optimizer for hidden layers in neural networks},
  author = {Jordan, Keller and others},
  year = {2024},
  url = {https://kellerjordan.github.io/posts/muon/}
}
```"""


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """What a training run measured and was given; the card leaves out what is None or empty.

    Attributes:
        dataset: its name, for people.
        tokens: trained on, counted once for each time that they were seen.
        steps: optimizer steps.
        seconds: of wall clock, for the training alone.
        tokens_per_second: of training.
        hardware: for example "2 CPU cores, AMD EPYC 9554".
        seed: of the run.
        train_loss: at the last step, in nats a token.
        eval_loss: after training, in nats a token; its exponential is the perplexity.
        eval_loss_before: of the same data before training, for a fine-tuned model.
        optimizer: settings by name.
        versions: of packages by name.
    """

    dataset: str | None = None
    tokens: int | None = None
    steps: int | None = None
    seconds: float | None = None
    tokens_per_second: float | None = None
    hardware: str | None = None
    seed: int | None = None
    train_loss: float | None = None
    eval_loss: float | None = None
    eval_loss_before: float | None = None
    optimizer: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ClipFigures:
    """What QK-Clip did in a run.

    Attributes:
        threshold: tau, in logits.
        heads: attention heads of the model.
        heads_clipped: those that were clipped at least once.
        first_step: at which any head was clipped; None if none was.
        last_step: at which any head was clipped; None if none was.
        highest_max_logit: over all heads and steps, before the clip.
    """

    threshold: float
    heads: int
    heads_clipped: int
    first_step: int | None = None
    last_step: int | None = None
    highest_max_logit: float | None = None


def render_model_card(
    model: PreTrainedModel,
    title: str,
    *,
    description: str | None = None,
    load_from: str = ".",
    prompt: str | None = None,
    run: RunFigures | None = None,
    clip: ClipFigures | None = None,
    pictures: Mapping[StrPath, str] | None = None,
    limitations: Sequence[str] = (),
    command: str | None = None,
    license: str | None = None,
    datasets: Sequence[str] = (),
    base_model: str | None = None,
    language: str | None = None,
) -> ModelCard:
    """Render the model card of a model trained with MuonClip.

    Args:
        model: gives the architecture and the number of parameters.
        title: the heading, and the model's name in the metadata.
        description: what this model is, in Markdown; follows one sentence about architecture and optimizer.
        load_from: where the printed code loads from: a repository's name, or "." for the folder of the card.
        prompt: what the printed code continues; without it, the code only loads the model.
        run: figures of the training run.
        clip: figures of QK-Clip.
        pictures: caption by path; the card shows them by file name. Pass the same mapping to `save_checkpoint`.
        limitations: one sentence each, in Markdown.
        command: reproduces the model.
        license: the Hub's identifier, for example "apache-2.0".
        datasets: names on the Hub, for the metadata.
        base_model: name on the Hub of the model that this one was fine-tuned from.
        language: ISO 639 code.
    """
    run = run or RunFigures()
    title = _one_line(title)
    sections = [
        (f"# {title}", _introduction(model, description, base_model)),
        ("## How to load", _loading_code(load_from, prompt)),
        ("## Training", _training(run, command)),
        ("## Evaluation", _evaluation(run)),
        ("## QK-Clip", _clipping(clip) if clip else ""),
        ("## Pictures", _gallery(pictures or {})),
        ("## Limitations", "\n".join(f"- {_one_line(limitation)}" for limitation in limitations)),
        ("## Citation", _CITATIONS),
    ]
    body = "\n\n".join(f"{heading}\n\n{text}" for heading, text in sections if text)
    metadata = _metadata(title, run, license, datasets, base_model, language)
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n")


def _metadata(
    title: str,
    run: RunFigures,
    license: str | None,
    datasets: Sequence[str],
    base_model: str | None,
    language: str | None,
) -> ModelCardData:
    results = None
    if run.eval_loss is not None and run.dataset is not None:
        results = [
            EvalResult(
                task_type="text-generation",
                dataset_type=datasets[0] if datasets else run.dataset,
                dataset_name=run.dataset,
                metric_type="perplexity",
                metric_name="Perplexity",
                metric_value=round(math.exp(run.eval_loss), 4),
            )
        ]
    return ModelCardData(
        language=language,
        license=license,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=base_model,
        datasets=list(datasets) or None,
        tags=["muonclip", "muon", "qk-clip"],
        model_name=title if results else None,
        eval_results=results,
    )


def _introduction(model: PreTrainedModel, description: str | None, base_model: str | None) -> str:
    size = f"{_count(model.num_parameters())} parameters"
    if isinstance(model.config, DeepseekV3Config):
        size += f", {_count(count_parameters(model.config)[1])} of them active for a token"
    origin = f", fine-tuned from `{base_model}`" if base_model else ""
    sentence = (
        f"A causal language model (`{type(model).__name__}`, {size}){origin}, trained with MuonClip, the optimizer of "
        "[Kimi K2](https://arxiv.org/abs/2507.20534): Muon for the hidden matrices, AdamW for everything else, and "
        "QK-Clip to keep attention logits from growing."
    )
    return "\n\n".join(filter(None, [sentence, description]))


def _loading_code(load_from: str, prompt: str | None) -> str:
    name = f"name = {_literal(load_from)}{'  # the folder of this card' if load_from == '.' else ''}"
    if prompt is None:
        lines = [
            "from transformers import AutoModelForCausalLM",
            "",
            name,
            "model = AutoModelForCausalLM.from_pretrained(name)",
            "print(model)",
        ]
    else:
        lines = [
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            name,
            "tokenizer = AutoTokenizer.from_pretrained(name)",
            "model = AutoModelForCausalLM.from_pretrained(name)",
            "",
            f'inputs = tokenizer({_literal(prompt)}, return_tensors="pt", return_token_type_ids=False)',
            "output = model.generate(**inputs, max_new_tokens=40)",
            "print(tokenizer.decode(output[0], skip_special_tokens=True))",
        ]
    return "\n".join(["```python", *lines, "```"])


def _training(run: RunFigures, command: str | None) -> str:
    rows = {
        "Data": run.dataset,
        "Tokens": None if run.tokens is None else _count(run.tokens),
        "Steps": None if run.steps is None else f"{run.steps:,}",
        "Time": None if run.seconds is None else _duration(run.seconds),
        "Tokens per second": None if run.tokens_per_second is None else f"{run.tokens_per_second:,.0f}",
        "Hardware": run.hardware,
        "Seed": run.seed,
        "Final training loss": None if run.train_loss is None else f"{run.train_loss:.3f}",
    }
    parts = [
        _table(("Figure", "Value"), rows),
        _table(("Optimizer setting", "Value"), run.optimizer),
        _table(("Package", "Version"), run.versions),
        f"To train it again:\n\n```bash\n{command}\n```" if command else "",
    ]
    return "\n\n".join(filter(None, parts))


def _evaluation(run: RunFigures) -> str:
    losses = {"Before training": run.eval_loss_before, "After training": run.eval_loss}
    rows = [f"| {when} | {loss:.3f} | {math.exp(loss):,.2f} |" for when, loss in losses.items() if loss is not None]
    if not rows:
        return ""
    table = "\n".join(["| | Loss | Perplexity |", "|---|---|---|", *rows])
    data = f", {_one_line(run.dataset)}" if run.dataset else ""
    return f"Measured on the run's evaluation text{data}; the loss is in nats a token.\n\n{table}"


def _clipping(clip: ClipFigures) -> str:
    threshold = f"Threshold: a maximum attention logit of {clip.threshold:g}."
    highest = "" if clip.highest_max_logit is None else f" The highest seen was {clip.highest_max_logit:.1f}."
    if clip.heads_clipped == 0:
        return f"{threshold}{highest} None of the {clip.heads} heads reached the threshold: nothing was clipped."
    share = clip.heads_clipped / clip.heads
    clipped = f" {clip.heads_clipped} of {clip.heads} heads ({share:.1%}) were clipped at least once"
    when = [
        f"first at step {clip.first_step:,}" if clip.first_step is not None else "",
        f"last at step {clip.last_step:,}" if clip.last_step is not None else "",
    ]
    return f"{threshold}{highest}{', '.join([clipped, *filter(None, when)])}."


def _gallery(pictures: Mapping[StrPath, str]) -> str:
    shown = [(quote(Path(path).name), _one_line(caption)) for path, caption in pictures.items()]
    return "\n\n".join(f"![{re.sub(r'[][]', '', caption)}]({name})\n\n{caption}" for name, caption in shown)


def _table(heading: tuple[str, str], rows: Mapping[str, object]) -> str:
    lines = [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items() if value is not None]
    return "\n".join([f"| {heading[0]} | {heading[1]} |", "|---|---|", *lines]) if lines else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cell(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return _one_line(text).replace("|", "\\|")


def _literal(text: str) -> str:
    """Return a Python literal in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _count(number: int) -> str:
    """Write a count as people read it: 950, 12.3K, 6.01M, 135M, 1.03T."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            digits = 0 if (scaled := number / limit) >= 100 else 1 if scaled >= 10 else 2
            return f"{scaled:.{digits}f}{unit}"
    return str(number)


def _duration(seconds: float) -> str:
    """Write a duration as people read it: 42 s, 8 min 12 s, 3 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
