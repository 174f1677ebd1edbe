"""A trained model as a folder that the Hub and inference engines read: weights, configuration, tokenizer, model card.

`save_checkpoint` writes the folder and proves it: it appears under its name only after every tensor came back from it
bit for bit through `AutoModelForCausalLM`.
"""

import copy
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import torch
from huggingface_hub import ModelCard
from safetensors import SafetensorError
from transformers import AutoTokenizer, DeepseekV3Config, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

StrPath = str | os.PathLike[str]


def save_checkpoint(
    model: PreTrainedModel,
    folder: StrPath,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    card: ModelCard | None = None,
    pictures: Iterable[StrPath] = (),
    max_shard_size: int | str = "5GB",
) -> Path:
    """Write a Hub-ready folder and prove that it loads.

    Weights are written as the architecture publishes them, the form that engines read: for DeepSeek-V3 and Kimi K2
    that is expert by expert (`mlp.experts.N.{gate,up,down}_proj.weight`). Everything goes into a hidden folder beside
    the target, which is renamed at the end, so that a half-written checkpoint never has the target's name. The proof
    loads the model a second time, on the CPU.

    Call it on one process, with the whole model in memory. The model and its configuration are not changed.

    Args:
        model: any causal language model of transformers.
        folder: must not exist, or be empty.
        tokenizer: saved beside the weights; its largest id must fit in the model's vocabulary.
        card: becomes README.md.
        pictures: files to copy into the folder; those that the card shows must be among them.
        max_shard_size: bytes, or text such as "5GB".

    Returns:
        The folder.

    Raises:
        FileExistsError: the folder holds something already.
        FileNotFoundError: a picture is not there.
        ValueError: the model is wrapped or carries adapters, the tokenizer does not fit, or the card shows a picture
            that is not given.
        RuntimeError: what was written does not load as the model that was given; nothing is left under the name.
    """
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
    target = Path(folder).resolve()
    _refuse_occupied(target)
    if tokenizer is not None:
        _refuse_large_tokenizer(tokenizer, model)
    pictures_by_name = _by_name(pictures)
    if card is not None and (missing := _pictures_shown(card) - set(pictures_by_name)):
        raise ValueError(
            f"Every picture that the card shows must be given, got {sorted(pictures_by_name)} without "
            f"{sorted(missing)}. Add them to pictures."
        )

    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        _write_model(model, staging, max_shard_size)
        if tokenizer is not None:
            tokenizer.save_pretrained(staging)
        for name, picture in pictures_by_name.items():
            if (staging / name).exists():
                raise ValueError(f"A picture must not have the name of a checkpoint file, got {name}. Rename it.")
            shutil.copyfile(picture, staging / name)
        if card is not None:
            card.save(staging / "README.md")
        _prove_checkpoint(staging, model, tokenizer)
        _refuse_occupied(target)
        if target.exists():
            target.rmdir()
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Path(folder)


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


def _refuse_large_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Raise ValueError if the tokenizer can produce an id that the model has no embedding for."""
    needed = max(tokenizer.get_vocab().values(), default=-1) + 1
    embeddings = model.get_input_embeddings().weight
    assert isinstance(embeddings, torch.Tensor)
    available = embeddings.shape[0]
    if needed > available:
        raise ValueError(
            f"The tokenizer's ids must fit in the model's vocabulary, got ids up to {needed - 1} and {available} "
            f"embeddings. Save the tokenizer that the model was trained with, or call "
            f"model.resize_token_embeddings({needed}) before training."
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


def _write_model(model: PreTrainedModel, folder: Path, max_shard_size: int | str) -> None:
    """Write weights, config.json and generation_config.json."""
    config = model.config
    model.config = copy.deepcopy(config)  # save_pretrained writes the dtype and the architecture into it
    try:
        model.save_pretrained(folder, max_shard_size=max_shard_size, save_original_format=True)
    finally:
        model.config = config
    path = folder / "config.json"
    written = json.loads(path.read_text(encoding="utf-8")) | _engine_fields(config)
    path.write_text(json.dumps(written, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _engine_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """Return what engines look up in config.json and transformers 5 does not write.

    vLLM loads the router's correction bias only where `topk_method` is "noaux_tc", and takes a missing `scoring_func`
    for softmax: without these fields it computes something else and says nothing. transformers' own DeepSeek-V3 has
    sigmoid scores and the bias built in, and makes every layer after the dense ones a mixture of experts.
    """
    if not isinstance(config, DeepseekV3Config):
        return {}
    rope: dict[str, Any] = dict(config.rope_parameters or {})
    theta, rope_type = rope.pop("rope_theta"), rope.pop("rope_type")
    return {
        "scoring_func": "sigmoid",
        "topk_method": "noaux_tc",
        "moe_layer_freq": 1,
        "rope_theta": theta,
        "rope_scaling": None if rope_type == "default" else {"type": rope_type} | rope,
    }


def _prove_checkpoint(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None) -> None:
    """Raise RuntimeError unless the folder loads as the model and the tokenizer that were saved."""
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        raise RuntimeError(f"The written checkpoint must load, but transformers says: {error}") from error
    reloaded, report = loaded
    problems = {what: sorted(map(str, names)) for what, names in report.items() if names}
    if problems:
        raise RuntimeError(f"Every tensor must load from the written checkpoint, but transformers reports {problems}.")
    restored = reloaded.state_dict()
    for name, tensor in model.state_dict().items():
        if name not in restored:
            raise RuntimeError(f"Every tensor must load from the written checkpoint, but {name} did not.")
        expected = tensor.detach().cpu().to(restored[name].dtype).contiguous()
        # Compared as bytes: a NaN equals itself there.
        same_shape = expected.shape == restored[name].shape
        if not same_shape or not torch.equal(_as_bytes(expected), _as_bytes(restored[name].contiguous())):
            raise RuntimeError(f"Every tensor must load bit for bit from the written checkpoint, but {name} did not.")
    if tokenizer is not None and AutoTokenizer.from_pretrained(folder).get_vocab() != tokenizer.get_vocab():
        raise RuntimeError("The tokenizer must load from the written checkpoint with its own vocabulary, but did not.")


def _as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)
