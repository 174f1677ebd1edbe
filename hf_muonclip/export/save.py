"""A trained model as a folder that the Hub and inference engines read: weights, configuration, tokenizer, model card.

`save_checkpoint` writes the folder and verifies it: it appears under its name only after every tensor was read back
from it and found equal, bit for bit, to the model's.
"""

import re
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import torch
from huggingface_hub import ModelCard
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ..models.quantized_saves import ways_out
from ..models.trained_dtypes import describe_rounding, rounded_weights
from .check import StrPath, check_contents
from .engine_config import write_configs
from .saved_form import SavedForm
from .tokenizer_fit import count_ids, refuse_unfit_tokenizer
from .weight_writer import WeightWriter
from .writing_rank import WritingRank


def save_checkpoint(
    model: PreTrainedModel,
    folder: StrPath,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    card: ModelCard | None = None,
    pictures: Iterable[StrPath] = (),
    max_shard_size: int | str = "5GB",
    dtype: torch.dtype | None = None,
    model_type: Literal["deepseek_v3", "kimi_k2"] | None = None,
    allow_unused_ids: bool = False,
) -> Path:
    """Write a Hub-ready folder and verify it.

    Weights are written as the architecture publishes them, the form that engines read: for DeepSeek-V3 and Kimi K2
    that is expert by expert (`mlp.experts.N.{gate,up,down}_proj.weight`), with an index. Beyond the model, this takes
    the memory of one shard at most; a model that FSDP2 shards is gathered one tensor at a time. Everything goes into a
    hidden folder beside the target, renamed at the end, so that a half-written checkpoint never has the target's name.

    Warns, as `check_checkpoint` does, of what inference engines are known to read otherwise.

    Collective for a model that FSDP2 or tensor parallelism shards: call it on every rank, and the first one writes. Any
    other model is saved by the process that calls: under DDP, call it on one. The model and its configuration are not
    changed.

    Args:
        model: any causal language model of transformers, not quantized.
        folder: must not exist, or be empty.
        tokenizer: saved beside the weights, as tokenizer.json and with its chat template; it must fit the model's
            vocabulary.
        card: becomes README.md.
        pictures: files to copy into the folder; those that the card shows must be among them.
        max_shard_size: bytes, or text such as "5GB"; a tensor larger than it gets a shard of its own.
        dtype: dtype of floating-point weights on disk, torch.float32 or torch.bfloat16; None keeps each weight's own.
            What the class keeps in float32 is float32 always: DeepSeek-V3's router and its correction bias.
        model_type: the name of DeepSeek-V3's architecture in config.json. "deepseek_v3", the default, is read by every
            engine and by plain transformers; "kimi_k2" is what Kimi K2 says, and transformers reads it once
            `hf_muonclip.kimi_k2` is imported (before that, even AutoTokenizer fails on such a folder).
        allow_unused_ids: accept a vocabulary that exceeds the tokenizer's by more than padding.

    Returns:
        The folder.

    Raises:
        FileExistsError: the folder holds something already.
        FileNotFoundError: a picture is not there.
        ValueError: the model is wrapped, quantized or carries adapters, its weights were rounded since MuonClip trained
            them (as `evaluate()` with bf16_full_eval does) and `dtype` does not ask for that, an argument does not
            suit it, the tokenizer does not fit, or the card shows a picture that is not given.
        RuntimeError: what was written differs from the model; nothing is left under the folder's name.
    """
    form = _form_of(model)
    _refuse_rounded(model, dtype)
    state = form.state_of(model)
    ranks = WritingRank(state.values())
    writer = WeightWriter(form, state, dtype=dtype, max_shard_size=max_shard_size)
    target = Path(folder).resolve()
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")

    def write_small_files() -> None:
        _refuse_occupied(target)
        pictures_by_name = _by_name(pictures)
        if tokenizer is not None:
            _refuse_tokenizer(tokenizer, model, allow_unused_ids=allow_unused_ids)
        if card is not None and (missing := _pictures_shown(card) - set(pictures_by_name)):
            raise ValueError(
                f"Every picture that the card shows must be given, got {sorted(pictures_by_name)} without "
                f"{sorted(missing)}. Add them to pictures."
            )
        staging.mkdir(parents=True)
        write_configs(model, staging, dtype=writer.main_dtype, model_type=model_type)
        if tokenizer is not None:
            tokenizer.save_pretrained(staging)
        for name, picture in pictures_by_name.items():
            if (staging / name).exists():
                raise ValueError(f"A picture must not have the name of a checkpoint file, got {name}. Rename it.")
            shutil.copyfile(picture, staging / name)
        if card is not None:
            card.save(staging / "README.md")

    def finish() -> None:
        _check_written(staging, tokenizer)
        _refuse_occupied(target)
        if target.exists():
            target.rmdir()
        staging.rename(target)

    try:
        ranks.write(write_small_files)
        writer.write(staging, ranks)
        writer.verify(staging, ranks)
        ranks.write(finish)
    finally:
        if ranks.is_writer:
            shutil.rmtree(staging, ignore_errors=True)
    return Path(folder)


def _form_of(model: PreTrainedModel) -> SavedForm:
    """Return the form of a model's architecture on disk; raise ValueError if the model cannot be saved in it."""
    if not isinstance(model, PreTrainedModel):
        raise ValueError(
            f"model must be a transformers PreTrainedModel, got {type(model).__name__}. Unwrap it first: "
            "accelerator.unwrap_model(model), or merge_and_unload() for a PEFT model."
        )
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ValueError(
            f"model must hold all of its weights itself, got {type(model).__name__} with adapters, and transformers "
            "would save the adapters alone. Merge them into the model first."
        )
    if getattr(model.config, "quantization_config", None) is not None:
        raise ValueError(
            f"model must hold plain weights, got {type(model).__name__} quantized by "
            f"{model.config.quantization_config}. {ways_out(model.config.quantization_config)}"
        )
    form = SavedForm(model.config)
    if not isinstance(model, type(form.model)):
        raise ValueError(
            f"model must be the class that AutoModelForCausalLM builds from its configuration, "
            f"{type(form.model).__name__}, so that others can load it without more code; got {type(model).__name__}. "
            "Copy its weights into one."
        )
    if offloaded := [name for name, tensor in model.state_dict().items() if tensor.is_meta]:
        raise ValueError(
            f"model must hold all of its weights in memory, but {len(offloaded)} of them are on the meta device, "
            f"{offloaded[0]} for one. Load it without offloading, or save it where its weights are."
        )
    expected, found = form.state_of(form.model), form.state_of(model)
    for name in sorted(expected.keys() | found.keys()):
        shapes = [tuple(state[name].shape) if name in state else None for state in (expected, found)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"model.config must describe the model's weights, but by it {name} has shape {shapes[0]}, and the "
                f"model has {shapes[1]}. Correct the configuration, or tie the weights as it says."
            )
    return form


def _refuse_rounded(model: PreTrainedModel, dtype: torch.dtype | None) -> None:
    """Raise ValueError if weights have been rounded since they were trained, unless that dtype is asked for."""
    if any(model.get_parameter(name).dtype != dtype for name in rounded_weights(model)):
        raise ValueError(
            f"A checkpoint must hold the weights that were trained, but {describe_rounding(model)}. Load the last "
            "checkpoint of the run and save that, or pass the dtype that they have now to save them so."
        )


def _refuse_occupied(target: Path) -> None:
    """Raise FileExistsError unless the target does not exist or is an empty folder."""
    if target.is_dir():
        found = sorted(entry.name for entry in target.iterdir())
        if not found:
            return
        shown = ", ".join(found[:5]) + (", ..." if len(found) > 5 else "")
        description = f"a folder with {len(found)} {'entry' if len(found) == 1 else 'entries'} ({shown})"
    elif target.exists():
        description = "a file"
    else:
        return
    raise FileExistsError(
        f"A checkpoint is written to a new or empty folder, but {target} is {description}. Choose another name, or "
        "move what is there."
    )


def _refuse_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, *, allow_unused_ids: bool) -> None:
    """Raise ValueError unless the tokenizer fits the model and can be saved as tokenizer.json."""
    embeddings = model.get_input_embeddings().weight
    assert isinstance(embeddings, torch.Tensor)
    refuse_unfit_tokenizer(count_ids(tokenizer), embeddings.shape[0], allow_unused_ids=allow_unused_ids)
    if not tokenizer.is_fast:
        raise ValueError(
            f"The tokenizer must be one that saves a tokenizer.json, which engines read, got {type(tokenizer).__name__}"
            ". Convert it first: transformers.convert_slow_tokenizer, or PreTrainedTokenizerFast(tokenizer_object=...)."
        )


def _by_name(pictures: Iterable[StrPath]) -> dict[str, Path]:
    """Return the pictures by file name; raise if one is missing or two have the same name."""
    by_name: dict[str, Path] = {}
    for picture in map(Path, pictures):
        if not picture.is_file():
            raise FileNotFoundError(f"Every picture must be a file, got {picture}. Draw it before saving.")
        if picture.name in by_name:
            raise ValueError(
                f"Pictures are copied into one folder and need different names, got {by_name[picture.name]} and "
                f"{picture}. Rename one."
            )
        by_name[picture.name] = picture
    return by_name


def _pictures_shown(card: ModelCard) -> set[str]:
    """Return the file names of the card's pictures; those with an address of their own are left out."""
    targets: list[str] = re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", card.text)
    return {unquote(target) for target in targets if "://" not in target}


def _check_written(staging: Path, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Raise RuntimeError unless the folder is complete and its tokenizer is the one that was given."""
    try:
        check_contents(staging, allow_unused_ids=True)
    except ValueError as error:
        raise RuntimeError(f"What was written must be a complete checkpoint, but is not. {error}") from error
    if tokenizer is not None and AutoTokenizer.from_pretrained(staging).get_vocab() != tokenizer.get_vocab():
        raise RuntimeError("The tokenizer must load from the written checkpoint with its own vocabulary, but did not.")
