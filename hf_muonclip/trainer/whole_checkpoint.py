"""Distinguish whole checkpoints of a Trainer from those of a process that was killed while it saved.

The Trainer writes checkpoints in place, weights first and `trainer_state.json` last, and
`resume_from_checkpoint=True` takes the newest folder, whatever it holds. Here a checkpoint is whole if that last file
is there and every file beside it was written to its end: the headers of safetensors give their length, what torch saves
is a zip archive whose directory comes last, an index names its shards, and the metadata of sharded states say how long
each part is. Nothing but headers is read.
"""

import json
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open

from ..common.loggers import get_logger

logger = get_logger(__name__)

_STATE = "trainer_state.json"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_RNG = re.compile(r"rng_state_(\d+)\.pth")
_RANKS_OF_OPTIMIZER = re.compile(r".*?(\d+)_mp_rank_\d+_optim_states\.pt")
# What torch.save wrote. Other files that end so, of a tokenizer for one, are not looked into.
_TORCH_FILES = re.compile(r".*\.(pt|pth)|(training_args|optimizer|adapter_model|pytorch_model.*)\.bin")
_WEIGHTS = re.compile(r"(adapter_model|model|pytorch_model.*)\.(safetensors|bin)(\.index\.json)?")


def last_whole_checkpoint(output_dir: str | Path) -> str | None:
    """Return the newest checkpoint that a Trainer can resume; None if there is none.

    As transformers' `get_last_checkpoint`, except that checkpoints which are not whole are skipped: a warning names
    each with what it lacks, and they stay as they are.

        trainer.train(resume_from_checkpoint=last_whole_checkpoint(args.output_dir))

    Beside a `MuonClipCallback`, `resume_from_checkpoint=True` takes the same one, and on several ranks the newest that
    is whole for all of them.

    Args:
        output_dir: the Trainer's output folder; it need not exist.

    Returns:
        Path of the folder `checkpoint-N` with the highest N among those that are whole.
    """
    for checkpoint in checkpoints_in(output_dir):
        if lacks := why_not_whole(checkpoint):
            warn_of_torn(checkpoint, lacks)
        else:
            return str(checkpoint)
    return None


def checkpoints_in(output_dir: str | Path) -> list[Path]:
    """Return a Trainer's checkpoints, the newest first."""
    folder = Path(output_dir)
    found = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    numbered = [(int(match[1]), path) for path in found if (match := _CHECKPOINT.fullmatch(path.name))]
    return [path for _, path in sorted(numbered, reverse=True)]


def warn_of_torn(checkpoint: Path, lacks: str) -> None:
    """Log which checkpoint is skipped, and why."""
    logger.warning(
        "%s is not whole and is skipped: %s. A save was probably interrupted; the folder is left as it is, and may "
        "be deleted.",
        checkpoint,
        lacks,
    )


def why_not_whole(checkpoint: str | Path) -> str:
    """Return what a Trainer's checkpoint lacks, in words; "" if it is whole.

    Args:
        checkpoint: a folder as the Trainer saves it, of a whole model or an adapter, by one rank or several, also with
            save_only_model=True, FSDP or DeepSpeed.
    """
    return next(_lacks(Path(checkpoint)), "")


def _lacks(folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        yield "there is no such folder"
        return
    if not (folder / _STATE).is_file():
        yield f"{_STATE} is missing, which is written last"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for file in files:
        name = str(file.relative_to(folder))
        if file.suffix == ".json":
            yield from _unless(_read_json, file, name)
        elif file.suffix == ".safetensors":
            yield from _unless(_open_safetensors, file, name)
        elif _TORCH_FILES.fullmatch(file.name):
            yield from _unless(_open_zip, file, name)
    yield from _missing_weights(folder, files)
    yield from _missing_states(folder)
    yield from _missing_ranks(folder, files)


def _unless(read: Callable[[Path], object], file: Path, name: str) -> Iterator[str]:
    """Yield that a file is damaged, if it cannot be read."""
    try:
        read(file)
    except (OSError, ValueError, SafetensorError, zipfile.BadZipFile) as error:
        yield f"{name} ({file.stat().st_size:,} bytes) is cut off or damaged ({error})"


def _read_json(file: Path) -> None:
    json.loads(file.read_text(encoding="utf-8"))


def _open_safetensors(file: Path) -> None:
    with safe_open(file, "pt"):  # compares the header with the file's length
        pass


def _open_zip(file: Path) -> None:
    with zipfile.ZipFile(file):  # reads the directory at its end
        pass


def _missing_weights(folder: Path, files: Sequence[Path]) -> Iterator[str]:
    """Yield that weights are missing: all of them, shards that an index lists, or parts of sharded states."""
    found = any(_WEIGHTS.fullmatch(file.name) for file in files)
    for index in (file for file in files if file.name.endswith(".index.json")):
        try:
            listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError, TypeError):
            yield f"{index.name} lists no shards"
            continue
        missing = sorted(shard for shard in set(listed.values()) if not (index.parent / shard).is_file())
        if missing:
            yield f"{len(missing)} of the shards in {index.name} are missing, {missing[0]} for one"
    # Written by torch.distributed.checkpoint: every rank its files, then .metadata.
    for part in sorted({file.parent for file in files if file.suffix == ".distcp" or file.name == ".metadata"}):
        found |= part.name.startswith("pytorch_model")
        yield from _missing_distributed(part)
    latest = folder / "latest"  # DeepSpeed's, which names the folder of the states and is written after them
    states = sorted({file.parent for file in files if file.name.endswith("_model_states.pt")})
    if states or latest.is_file():
        found = True
        tag = latest.read_text(encoding="utf-8").strip() if latest.is_file() else ""
        if not tag or folder / tag not in states:
            yield f"latest, which names DeepSpeed's states, {'names none that are there' if tag else 'is missing'}"
    if not found:
        yield "it holds no weights"


def _missing_distributed(part: Path) -> Iterator[str]:
    from torch.distributed.checkpoint.filesystem import FileSystemReader

    if not (part / ".metadata").is_file():
        yield f"{part.name}/.metadata is missing, which is written last"
        return
    try:
        stored_parts = FileSystemReader(part).read_metadata().storage_data or {}
    except (pickle.UnpicklingError, EOFError, AttributeError, ImportError, IndexError) as error:  # as pickle warns
        yield f"{part.name}/.metadata is cut off or damaged ({error})"
        return
    ends: dict[str, int] = {}
    for stored in stored_parts.values():
        ends[stored.relative_path] = max(ends.get(stored.relative_path, 0), stored.offset + stored.length)
    for name, end in sorted(ends.items()):
        size = (part / name).stat().st_size if (part / name).is_file() else 0
        if size < end:
            yield f"{part.name}/{name} has {size:,} of {end:,} bytes"


def _missing_states(folder: Path) -> Iterator[str]:
    """Yield what is missing beside the weights of a checkpoint with an optimizer; save_only_model=True saves none."""
    has = {name: (folder / name).is_file() for name in ("optimizer.pt", "optimizer.bin", "scheduler.pt")}
    has_rng = any(folder.glob("rng_state*.pth"))
    sharded = any(folder.glob("optimizer_*/.metadata"))
    optimizer = has["optimizer.pt"] or has["optimizer.bin"] or sharded
    if (folder / "latest").is_file():
        return  # DeepSpeed holds the optimizer, and often the schedule
    if has["scheduler.pt"] and not optimizer:
        yield "there is scheduler.pt, but no optimizer.pt"
    if optimizer and not has["scheduler.pt"]:
        yield "there is an optimizer's state, but no scheduler.pt"
    if (optimizer or has["scheduler.pt"]) and not has_rng:
        yield "there is an optimizer's state, but no rng_state.pth"


def _missing_ranks(folder: Path, files: Iterable[Path]) -> Iterator[str]:
    """Yield that a rank has not written its file: the first one does not wait for the others."""
    of_rng = {int(match[1]) for file in files if (match := _RNG.fullmatch(file.name))}
    of_optimizer = {int(match[1]) for file in files if (match := _RANKS_OF_OPTIMIZER.fullmatch(file.name))}
    for ranks, what in ((of_rng, "rng_state_{}.pth"), (of_optimizer, "the optimizer's state of rank {}")):
        expected = set(range(max(ranks, default=-1) + 1))
        if ranks and ranks is of_rng:
            expected |= set(range(_world_size(folder)))
        if missing := sorted(expected - ranks):
            yield f"{what.format(missing[0])} is missing"


def _world_size(folder: Path) -> int:
    """Return the number of ranks that saved the checkpoint, if a MuonClipCallback recorded it; else 0."""
    try:
        state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        return int(state["stateful_callbacks"]["MuonClipCallback"]["attributes"]["exported_run"]["world_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
