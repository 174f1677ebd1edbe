"""The model card of a trained checkpoint, written from the figures of the run itself.

A figure that the caller does not have is left out; nothing is invented. What kind of model it is, `kind_of` reads
from its class.
"""

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from torch import nn
from transformers import DeepseekV3Config, PreTrainedConfig

from ..common.wording import in_letters
from ..evaluation import EvaluationResult
from ..kimi_k2.presets import count_parameters
from ..models.kind import ModelKind, kind_of, own_class, uncompiled
from ..runs.figures import ClipFigures, RunFigures
from .markdown import as_text, capitalized, cell, duration, literal, one_line, table

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


_FOLDER = 'name = "."  # the folder of this card'


def render_model_card(
    model: nn.Module,
    title: str,
    *,
    description: str | None = None,
    load_from: str = ".",
    prompt: str | None = None,
    run: RunFigures | None = None,
    clip: ClipFigures | None = None,
    evaluations: Sequence[EvaluationResult] = (),
    pictures: Mapping[StrPath, str] | None = None,
    limitations: Sequence[str] = (),
    command: str | None = None,
    license: str | None = None,
    datasets: Sequence[str] = (),
    base_model: str | None = None,
    language: str | None = None,
) -> ModelCard:
    """Render the model card of a model trained with MuonClip.

    Task, loading code, tags and library follow from the model's class: see `models/kind.py`.

    Args:
        model: gives the kind, the architecture and the number of parameters; may be on the meta device, have PEFT's
            adapters, or be any module that a Trainer saves.
        title: the heading, and the model's name in the metadata.
        description: what this model is, in Markdown; follows one sentence about architecture and optimizer.
        load_from: where the printed code loads from: a repository's name, or "." for the folder of the card, which
            `push_to_hub` replaces by the name of the repository.
        prompt: prompt that the printed code continues, for a language model; without it, the code only loads the model.
        run: figures of the training run, as `figures_of_run` reads them.
        clip: figures of QK-Clip, from the same function.
        evaluations: what `hf_muonclip.evaluation` measured; they go into the card and its model-index. Those of
            benchmarks belong into `.eval_results` too, which `write_eval_results` writes.
        pictures: caption by path; the card shows them by file name. Pass the same mapping to `save_checkpoint`.
        limitations: one sentence each, in Markdown.
        command: the command that reproduces the model.
        license: the Hub's identifier, for example "apache-2.0".
        datasets: names on the Hub, for the metadata.
        base_model: name on the Hub of the model that this one was fine-tuned from; an adapter knows its own.
        language: ISO 639 code.

    Raises:
        UnknownKindError: nobody could load the model by its class, or an adapter by its base's name; a ValueError.
        ValueError: a prompt is given for a model that does not continue text.
    """
    run = run or RunFigures()
    title = one_line(title)
    model = uncompiled(model)
    kind = kind_of(model)
    base_model = kind.base_model or base_model
    if prompt is not None and not kind.continues_text:
        raise ValueError(f"prompt is for language models, got one for {kind.noun}; leave it out")
    of_tokens = kind.continues_text and run.token_loss
    sections = [
        (f"# {title}", _introduction(model, kind, run, clip, description, base_model)),
        ("## How to load", _loading_code(kind, load_from, prompt)),
        ("## Architecture", table(("Part", "Size"), _architecture(model))),
        (
            "## Training",
            _training(run, command, reads_tokens=getattr(model, "main_input_name", "input_ids") == "input_ids"),
        ),
        ("## QK-Clip", _clipping(clip) if clip else ""),
        ("## Pictures", _gallery(pictures or {})),
        ("## Evaluation", _evaluation(run, evaluations, of_tokens)),
        ("## Limitations", "\n".join(f"- {one_line(limitation)}" for limitation in limitations)),
        ("## Citation", _CITATIONS),
    ]
    body = "\n\n".join(f"{heading}\n\n{text}" for heading, text in sections if text)
    metadata = ModelCardData(
        language=language,
        license=license,
        library_name=kind.library_name,
        pipeline_tag=kind.pipeline_tag,
        base_model=base_model,
        datasets=list(datasets) or None,
        tags=["muonclip", "muon", "qk-clip", *kind.tags],
        co2_eq_emissions=_emissions(run, base_model),
        **_model_index(title, kind, run, evaluations, datasets, of_tokens),
    )
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n{body}\n")


def loading_from(card: str, repo_id: str) -> str:
    """Return a card's text whose code loads from a repository where it said the folder of the card."""
    return card.replace(f"\n{_FOLDER}\n", f"\nname = {literal(repo_id)}\n")


def _model_index(
    title: str,
    kind: ModelKind,
    run: RunFigures,
    evaluations: Sequence[EvaluationResult],
    datasets: Sequence[str],
    of_tokens: bool,
) -> dict[str, Any]:
    """Return the scores in the form that `ModelCardData` writes as model-index."""
    results = [entry for evaluation in evaluations for entry in evaluation.to_eval_results()]
    if run.dataset is not None and kind.pipeline_tag is not None:
        measured = {entry.metric_type for entry in results}
        scores = dict(run.eval_metrics)
        if run.eval_loss is not None and of_tokens:
            scores["perplexity"] = math.exp(run.eval_loss)
        results += [
            EvalResult(
                task_type=kind.pipeline_tag,
                dataset_type=datasets[0] if datasets else run.dataset,
                dataset_name=run.dataset,
                metric_type=name,
                metric_name=capitalized(name),
                metric_value=round(value, 4),
            )
            for name, value in scores.items()
            if name not in measured
        ]
    return {"model_name": title, "eval_results": results} if results else {}


def _emissions(run: RunFigures, base_model: str | None) -> dict[str, object] | None:
    """Return the Hub's `co2_eq_emissions`, in grams."""
    if run.emissions_grams is None:
        return None
    return {
        "emissions": round(run.emissions_grams, 4),
        "source": "codecarbon",
        "training_type": "fine-tuning" if base_model else "pre-training",
        "hardware_used": run.hardware or "unknown",
    }


def _introduction(
    model: nn.Module,
    kind: ModelKind,
    run: RunFigures,
    clip: ClipFigures | None,
    description: str | None,
    base_model: str | None,
) -> str:
    config = getattr(model, "config", None)
    size = f"{in_letters(sum(parameter.numel() for parameter in model.parameters()))} parameters"
    if isinstance(config, DeepseekV3Config):
        size += f", {in_letters(count_parameters(config)[1])} active per token"
    if kind.base_model is not None:
        trained_here = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        size += f", {in_letters(trained_here)} of them trained"
    origin = f", fine-tuned from `{base_model}`" if base_model else ""
    optimizer = str(run.optimizer.get("optimizer", "MuonClip"))
    clipping = clip is not None and math.isfinite(clip.threshold)
    kimi_k2 = "[Kimi K2](https://arxiv.org/abs/2507.20534)"
    if optimizer != "MuonClip":
        trained = optimizer + (
            f" and QK-Clip, by which {kimi_k2} keeps attention logits from growing" if clipping else ""
        )
    elif clipping:
        trained = (
            f"MuonClip, the optimizer of {kimi_k2}: Muon for the hidden matrices, AdamW for everything else, and "
            "QK-Clip to keep attention logits from growing"
        )
    else:
        trained = f"MuonClip, the optimizer of {kimi_k2}" + (", without its QK-Clip" if run.optimizer or clip else "")
    inner: Any = getattr(model, "get_base_model", lambda: model)()
    noun = kind.noun[0].upper() + kind.noun[1:]
    sentence = f"{noun} (`{own_class(inner).__name__}`, {size}){origin}, trained with {trained}."
    return "\n\n".join(filter(None, [sentence, description]))


def _architecture(model: nn.Module) -> dict[str, object]:
    """Return the sizes that the configuration names."""
    config = getattr(model, "config", None)
    if not isinstance(config, PreTrainedConfig):
        return {}

    def of(name: str) -> Any:
        try:
            value = getattr(config, name, None)
        except RuntimeError:  # of transformers, where layers differ and no one number is true
            return None
        return value if isinstance(value, int) else None  # a list where stages differ

    heads, kv_heads = of("num_attention_heads"), of("num_key_value_heads")
    attention = None if heads is None else f"{heads} heads"
    if isinstance(config, DeepseekV3Config):
        attention = (
            f"latent (MLA), {heads} heads of {config.qk_nope_head_dim} + {config.qk_rope_head_dim} dimensions, "
            f"compressed to {config.q_lora_rank or 'no'} for queries and {config.kv_lora_rank} for keys and values"
        )
    elif attention and kv_heads not in (None, heads):
        attention += f", {kv_heads} for keys and values"
    experts = of("n_routed_experts")
    shown = {
        "Layers": of("num_hidden_layers"),
        "Hidden size": of("hidden_size"),
        "Attention": attention,
        "Experts": experts
        and f"{experts} routed, {of('num_experts_per_tok')} per token, and {of('n_shared_experts') or 0} shared",
        "Vocabulary": of("vocab_size") and f"{of('vocab_size'):,}",
        "Context": of("max_position_embeddings") and f"{of('max_position_embeddings'):,} tokens",
        "Weights": str(next(model.parameters()).dtype).removeprefix("torch."),
    }
    return {name: value for name, value in shown.items() if value}


def _loading_code(kind: ModelKind, load_from: str, prompt: str | None) -> str:
    name = _FOLDER if load_from == "." else f"name = {literal(load_from)}"
    if prompt is None:
        lines = [*kind.imports, "", name, *kind.loading, f"print({kind.result})"]
    else:
        *others, last = kind.imports
        both = last.startswith("from transformers import ")
        lines = [
            *others,
            *([f"{last}, AutoTokenizer"] if both else [last, "from transformers import AutoTokenizer"]),
            "",
            name,
            "tokenizer = AutoTokenizer.from_pretrained(name)",
            *kind.loading,
            "",
            f'inputs = tokenizer({literal(prompt)}, return_tensors="pt", return_token_type_ids=False)',
            "output = model.generate(**inputs, max_new_tokens=40)",
            "print(tokenizer.decode(output[0], skip_special_tokens=True))",
        ]
    return "\n".join(["```python", *lines, "```"])


def _training(run: RunFigures, command: str | None, *, reads_tokens: bool) -> str:
    tokens = run.tokens if reads_tokens else None  # the Trainer counts whatever a model's main input holds
    speed = tokens / run.seconds if tokens and run.seconds else None
    rows = {
        "Data": run.dataset,
        "Tokens": None if tokens is None else in_letters(tokens),
        "Steps": None if run.steps is None else f"{run.steps:,}",
        "Time": None if run.seconds is None else duration(run.seconds),
        "Tokens per second": None if speed is None else f"{speed:,.0f}",
        "Hardware": run.hardware,
        "Emissions": None if run.emissions_grams is None else f"{run.emissions_grams:.3g} g of CO2-equivalent",
        "Seed": run.seed,
        "Training loss at the last log": None if run.train_loss is None else f"{run.train_loss:.3f}",
    }
    parts = [
        table(("Figure", "Value"), rows),
        table(("Optimizer setting", "Value"), run.optimizer),
        table(("Package", "Version"), run.versions),
        f"To train it again:\n\n```bash\n{command}\n```" if command else "",
    ]
    return "\n\n".join(filter(None, parts))


def _evaluation(run: RunFigures, evaluations: Sequence[EvaluationResult], of_tokens: bool) -> str:
    losses = {"Before training": run.eval_loss_before, "After training": run.eval_loss}
    known = {when: loss for when, loss in losses.items() if loss is not None}
    parts = []
    if known or run.eval_metrics:
        data = f", {one_line(run.dataset)}" if run.dataset else ""
        what, unit = ("text", "; the loss is in nats per token") if known and of_tokens else ("data", "")
        parts.append(f"During training, on the run's evaluation {what}{data}{unit}.")
    if known and of_tokens:
        rows = [f"| {when} | {loss:.3f} | {math.exp(loss):,.2f} |" for when, loss in known.items()]
        parts.append("\n".join(["| | Loss | Perplexity |", "|---|---|---|", *rows]))
    elif known:
        parts.append(
            "\n".join(["| | Loss |", "|---|---|", *(f"| {when} | {loss:.3f} |" for when, loss in known.items())])
        )
    if run.eval_metrics:
        shown = {capitalized(name): f"{value:.4g}" for name, value in run.eval_metrics.items()}
        parts.append(table(("Score after training", "Value"), shown))
    if evaluations:
        parts.append("After training, on the finished model; ± is the standard error.")
        scores = [
            f"| {cell(evaluation.name)} | {cell(evaluation.data.name)} | {_score(evaluation)} | "
            f"{cell(', '.join(f'{name} {as_text(value)}' for name, value in evaluation.settings.items()))} |"
            for evaluation in evaluations
        ]
        parts.append("\n".join(["| Score | Data | Value | How |", "|---|---|---|---|", *scores]))
    return "\n\n".join(parts)


def _score(evaluation: EvaluationResult) -> str:
    error = evaluation.standard_error
    return f"{evaluation.value:.4g}" if error is None else f"{evaluation.value:.4g} ± {error:.2g}"


def _clipping(clip: ClipFigures) -> str:
    highest = "" if clip.highest_max_logit is None else f" The highest seen was {clip.highest_max_logit:.1f}."
    if not math.isfinite(clip.threshold):
        return f"Max logits were measured and nothing was clipped.{highest}"
    threshold = f"Threshold (tau): a maximum attention logit of {clip.threshold:g}."
    if clip.heads_clipped == 0:
        return f"{threshold}{highest} None of the {clip.heads} heads exceeded the threshold: nothing was clipped."
    share = clip.heads_clipped / clip.heads
    times = "" if clip.clips is None else f", {clip.clips:,} times in all"
    clipped = f" {clip.heads_clipped} of {clip.heads} heads ({share:.1%}) were clipped at least once{times}."
    return f"{threshold}{highest}{clipped}{_when(clip)}"


def _when(clip: ClipFigures) -> str:
    """Return in words when clipping began and when it ceased."""
    if clip.first_step is None or clip.last_step is None:
        return ""
    when = f" The first clip was at step {clip.first_step:,}, the last at step {clip.last_step:,}"
    if clip.steps is None:
        return f"{when}."
    silent = clip.steps - clip.last_step
    if silent == 0:
        return f"{when}, the end of the run: clipping had not ceased."
    return f"{when} of {clip.steps:,}: in the {silent:,} steps after it, no head exceeded the threshold."


def _gallery(pictures: Mapping[StrPath, str]) -> str:
    shown = [(quote(Path(path).name), one_line(caption)) for path, caption in pictures.items()]
    return "\n\n".join(f"![{re.sub(r'[][]', '', caption)}]({name})\n\n{caption}" for name, caption in shown)
