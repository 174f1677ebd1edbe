"""Check that a folder is a complete checkpoint without loading its weights: it holds what its config.json promises.

Only headers are read, so that a terabyte takes seconds. `save_checkpoint` checks its own folder with it; call it before
a folder that came from elsewhere is pushed or served.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedConfig

from ..common.loggers import get_logger
from ..common.wording import some_of
from ..kimi_k2.model_type import register_kimi_k2
from .engine_limits import EngineLimit, limits_met
from .left_out import LeftOut, find_left_out, refuse_broken_promises
from .saved_form import SavedForm
from .stored_weights import weights_in
from .tokenizer_fit import count_ids_in, refuse_unfit_tokenizer
from .weight_headers import StoredTensor, read_headers, read_json

StrPath = str | os.PathLike[str]

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
UNFINISHED = (".partial", ".incomplete", ".tmp")
_NOT_UPLOADED = (".git", ".cache")  # huggingface_hub leaves them out as well

logger = get_logger(__name__)

register_kimi_k2()


@dataclass(frozen=True)
class Checkpoint:
    """A folder that holds a complete checkpoint.

    Attributes:
        folder: path of the folder.
        files: bytes by path in the folder, with "/" on every system; all but .git and .cache.
        shards: names of the files with weights, in order.
        tensors: number of tensors on disk.
        left_out: names of the tensors that transformers does not build, such as layers for multi-token prediction.
        parameters: number of weights that they stand for, the router's correction biases included.
        weight_bytes: bytes of all tensors, without headers.
        dtypes: elements on disk by dtype, as safetensors names it ("BF16", "F32"), the most frequent first.
        narrowed: names of tensors that the class keeps in float32 and the folder holds in fewer bits.
        engine_limits: what an inference engine is known to read otherwise than transformers; empty for most folders.
        model_type: as config.json says, "deepseek_v3" for one.
        architecture: the model class that config.json names.
        vocab_size: rows of the input embedding.
        tokenizer_size: largest token id + 1; None without a tokenizer.
        has_card: there is a README.md.
    """

    folder: Path
    files: dict[str, int]
    shards: tuple[str, ...]
    tensors: int
    left_out: tuple[str, ...]
    parameters: int
    weight_bytes: int
    dtypes: dict[str, int]
    narrowed: tuple[str, ...]
    engine_limits: tuple[EngineLimit, ...]
    model_type: str
    architecture: str
    vocab_size: int
    tokenizer_size: int | None
    has_card: bool


def check_checkpoint(folder: StrPath, *, allow_unused_ids: bool = False) -> Checkpoint:
    """Check that a folder is a complete checkpoint that transformers loads without remote code.

    Only headers of weights are read. Checked are: config.json names an architecture of transformers; every shard is
    there, whole and listed; the tensors and shapes are those that the architecture is published with; layers for
    multi-token prediction are there if config.json announces them (transformers does not build them, and their shapes
    are not compared); the tokenizer, if there is one, fits; nothing is pickled, brings code of its own, or is left over
    from an interrupted write.

    Two things only cause a warning, because transformers reads such a folder correctly: what an
    inference engine is known to ignore, misread or refuse (`engine_limits`; assert that it is empty before serving
    elsewhere), and tensors in fewer bits than the class keeps them in (`narrowed`).

    Args:
        folder: the folder of one model.
        allow_unused_ids: accept a vocabulary that exceeds the tokenizer's by more than padding.

    Returns:
        What the folder holds.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: one of the above does not hold.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. Pass the folder of a checkpoint.")
    if folder.resolve().name.endswith(UNFINISHED):
        raise ValueError(
            f"A checkpoint must be written to its end, but by its name {folder} is left from an interrupted write. "
            "Save the checkpoint again, and remove this folder."
        )
    return check_contents(folder, allow_unused_ids=allow_unused_ids)


def check_contents(folder: Path, *, allow_unused_ids: bool) -> Checkpoint:
    """Check a folder as `check_checkpoint` does, whatever its name."""
    files = list_files(folder)
    _refuse_foreign_files(folder, files)
    written = read_config(folder)
    _refuse_remote_code(folder, written, files)
    config = build_config(folder)
    form = build_form(folder, config)
    architecture = type(form.model).__name__
    if written.get("architectures") != [architecture]:
        raise ValueError(
            f"config.json must name the architecture of its model_type, because engines go by it: architectures = "
            f"[{architecture!r}] for {config.model_type}, got {written.get('architectures')} in {folder}. Correct it, "
            "or save the model with save_checkpoint."
        )
    stored = read_headers(folder)
    weights = weights_in(folder, stored, getattr(config, "quantization_config", None))
    shapes = {name: weight.shape for name, weight in weights.items()}
    left_out = compare_with_architecture(folder, shapes, form)
    refuse_broken_promises(folder, written, form, left_out)
    embedding: Any = form.model.get_input_embeddings().weight
    vocab_size = int(embedding.shape[0])
    tokenizer_size = count_ids_in(folder)
    if tokenizer_size is not None:
        refuse_unfit_tokenizer(tokenizer_size, vocab_size, allow_unused_ids=allow_unused_ids)
    dtypes: Counter[str] = Counter()
    for tensor in stored.values():
        dtypes[tensor.dtype] += prod(tensor.shape)
    narrowed = _narrowed(stored, form)
    if narrowed:
        logger.warning(
            "%s keeps %d tensors in float32 that are stored in %s (%s): what was trained in float32 is rounded. Save "
            "the model with save_checkpoint, before it is cast.",
            architecture,
            len(narrowed),
            stored[narrowed[0]].dtype,
            some_of(narrowed, 1),
        )
    engine_limits = limits_met(written)
    for limit in engine_limits:
        logger.warning("Correct in transformers, but not in every engine: %s.", limit)
    return Checkpoint(
        folder=folder,
        files=files,
        shards=tuple(sorted({tensor.shard for tensor in stored.values()})),
        tensors=len(stored),
        left_out=(*left_out.prediction, *left_out.ignored),
        parameters=sum(prod(shapes[name]) for name in form.tensors),
        weight_bytes=sum(tensor.nbytes for tensor in stored.values()),
        dtypes=dict(dtypes.most_common()),
        narrowed=narrowed,
        engine_limits=engine_limits,
        model_type=config.model_type,
        architecture=architecture,
        vocab_size=vocab_size,
        tokenizer_size=tokenizer_size,
        has_card="README.md" in files,
    )


def _narrowed(stored: Mapping[str, StoredTensor], form: SavedForm) -> tuple[str, ...]:
    return tuple(
        name for name in sorted(form.float32_names) if name in stored and stored[name].dtype in ("BF16", "F16")
    )


def list_files(folder: Path) -> dict[str, int]:
    """Return {path: bytes} of all files in a folder, except those in .git and .cache.

    Raises:
        ValueError: a link leads nowhere.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if relative.parts[0] in _NOT_UPLOADED or path.is_dir():
            continue
        if not path.is_file():
            raise ValueError(
                f"Every file of a checkpoint must be readable, but {path} is a link that leads nowhere. Download the "
                "folder again, or remove the link."
            )
        files[relative.as_posix()] = path.stat().st_size
    return files


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of config.json.

    Raises:
        ValueError: it is missing, not JSON, or says no model type.
    """
    path = folder / "config.json"
    if not path.is_file():
        is_adapter = (folder / "adapter_config.json").is_file()
        way_out = "Merge the adapters into their model first" if is_adapter else "If it was interrupted, save it again"
        raise ValueError(f"A checkpoint must have a config.json, got none in {folder}. {way_out}.")
    written = read_json(path)
    if not isinstance(written.get("model_type"), str):
        raise ValueError(
            f"config.json must say its model_type, got {written.get('model_type')!r} in {path}. Save the model with "
            "save_checkpoint or save_pretrained."
        )
    return written


def build_config(folder: Path) -> PreTrainedConfig:
    """Return the configuration in a folder.

    Raises:
        ValueError: transformers does not accept it.
    """
    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except (StrictDataclassError, ValueError, KeyError, OSError, TypeError) as error:
        raise ValueError(
            f"transformers must accept the config.json in {folder}, but says: {error} Correct the field that it names."
        ) from error
    return config


def build_form(folder: Path, config: PreTrainedConfig) -> SavedForm:
    """Return the tensors that the architecture of a configuration is published with.

    Raises:
        ValueError: no causal language model can be built from it.
    """
    try:
        return SavedForm(config)
    except (StrictDataclassError, ValueError, TypeError, RuntimeError, AttributeError, ZeroDivisionError) as error:
        raise ValueError(
            f"A causal language model must be buildable from the config.json in {folder}, but transformers says: "
            f"{error} Correct the field that it names."
        ) from error


def compare_with_architecture(folder: Path, shapes: Mapping[str, tuple[int, ...]], form: SavedForm) -> LeftOut:
    """Return what a folder holds beyond the tensors that its architecture is built with, and is published with.

    Raises:
        ValueError: a tensor is missing, has another shape, or is of neither kind.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in form.tensors.items()}
    what = f"the {type(form.model).__name__} of config.json"
    way_out = "Put the config.json back that these weights were saved with, or save the model again."
    if missing := expected.keys() - shapes.keys():
        raise ValueError(
            f"The weights must hold every tensor of {what}, but {len(missing)} of {len(expected)} "
            f"{'is' if len(missing) == 1 else 'are'} missing: {some_of(missing)} in {folder}. {way_out}"
        )
    left_out = find_left_out(form, shapes)
    if left_out.surplus:
        if left_out.beyond:
            way_out = (
                "If these are layers for multi-token prediction, config.json must announce them: write their number "
                "into num_nextn_predict_layers. Else put the config.json back that these weights were saved with."
            )
        raise ValueError(
            f"The weights must hold nothing but the tensors of {what}, got {len(left_out.surplus)} more: "
            f"{some_of(left_out.surplus)} in {folder}. {way_out}"
        )
    expected |= {copy: expected[kept] for copy, kept in left_out.tied.items()}
    if wrong := [name for name in expected if tuple(shapes[name]) != expected[name]]:
        raise ValueError(
            f"Every tensor must have the shape that {what} gives it, but {len(wrong)} of {len(expected)} "
            f"{'has' if len(wrong) == 1 else 'have'} another: {wrong[0]} must be {list(expected[wrong[0]])}, got "
            f"{list(shapes[wrong[0]])} in {folder}. {way_out}"
        )
    return left_out


def _refuse_foreign_files(folder: Path, files: Iterable[str]) -> None:
    """Raise ValueError for pickles, and for what an interrupted write or download leaves."""
    if unfinished := [name for name in files if any(part.endswith(UNFINISHED) for part in name.split("/"))]:
        raise ValueError(
            f"A checkpoint must be written to its end, but {some_of(unfinished)} in {folder} is left from an "
            "interrupted write. Save or download the checkpoint again, and remove what is left."
        )
    if pickles := [name for name in files if name.endswith(_PICKLES)]:
        raise ValueError(
            f"A checkpoint must hold nothing pickled, because unpickling runs code, got {some_of(pickles)} in "
            f"{folder}. Save the weights as safetensors, with save_checkpoint; the Trainer's own state (optimizer.pt, "
            "training_args.bin) stays where it is."
        )


def _refuse_remote_code(folder: Path, written: Mapping[str, Any], files: Mapping[str, int]) -> None:
    """Raise ValueError if a configuration points to code."""
    contents = {"config.json": written}
    if "tokenizer_config.json" in files:
        contents["tokenizer_config.json"] = read_json(folder / "tokenizer_config.json")
    for name, content in contents.items():
        if content.get("auto_map"):
            raise ValueError(
                f"A checkpoint must load without remote code, but {name} in {folder} has auto_map = "
                f"{content['auto_map']}. Load it with load_checkpoint, which needs no code for Kimi K2's forms, and "
                "save it with save_checkpoint."
            )
