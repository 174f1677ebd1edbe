"""Prepare `trainer.train(resume_from_checkpoint=...)` before any callback is called.

If the newest checkpoint is not whole, an older one is resumed. Experts are saved in another form than they are held in:
the model, also one that `model_init` makes, is prepared to load it. And a finished run is not trained on: within an
epoch, the Trainer would take one more step before it checks whether any is left.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..common.loggers import get_logger
from ..common.patching import PatchedMethod
from ..common.ranks import num_ranks
from .resume_experts import load_saved_form
from .whole_checkpoint import checkpoints_in, warn_of_torn, why_not_whole

logger = get_logger(__name__)

_STATE = "trainer_state.json"


def resume_well(callback: TrainerCallback) -> None:
    """Let every Trainer with the callback resume as this module describes, until the callback is gone."""
    _train.start(callback)
    _save_model.start(callback)


def _holds_callback(trainer: Trainer) -> bool:
    return any(callback in _train for callback in trainer.callback_handler.callbacks)


def _train_on(
    train: Callable[..., Any], trainer: Trainer, resume_from_checkpoint: Any = None, *args: Any, **kwargs: Any
) -> Any:
    if not _holds_callback(trainer):
        return train(trainer, resume_from_checkpoint, *args, **kwargs)
    if trainer.model is not None:
        load_saved_form(trainer.model)
    if resume_from_checkpoint:
        resume_from_checkpoint = _whole(str(trainer.args.output_dir), resume_from_checkpoint)
    with _new_models_load_saved_form(trainer), _no_step_after_the_last(trainer):
        return train(trainer, resume_from_checkpoint, *args, **kwargs)


def _whole(output_dir: str, asked: Any) -> Any:
    """Return the checkpoint to resume, the same on all ranks. Collective: call on every rank.

    Args:
        output_dir: the Trainer's output folder.
        asked: True for the newest one, or a path.

    Returns:
        The path; `asked` itself if there is no checkpoint, which the Trainer reports.

    Raises:
        ValueError: the requested checkpoint is not whole, or none is.
    """
    candidates = checkpoints_in(output_dir)
    lacks = {str(path): why_not_whole(path) for path in candidates}
    if asked is not True:
        lacks[str(asked)] = why_not_whole(asked)
    lacks = _of_all_ranks(lacks)
    whole = [str(path) for path in candidates if not lacks[str(path)]]
    if asked is not True:
        if not lacks[str(asked)]:
            return asked
        others = f"The newest that is whole is {whole[0]}." if whole else f"{output_dir} holds none that is whole."
        raise ValueError(f"a checkpoint to resume must be whole; {asked} is not: {lacks[str(asked)]}. {others}")
    for path in candidates:
        if whole and str(path) == whole[0]:
            return whole[0]
        warn_of_torn(path, lacks[str(path)])
    if candidates:
        newest = candidates[0]
        raise ValueError(
            f"a checkpoint to resume must be whole; none in {output_dir} is. {newest.name}: {lacks[str(newest)]}. "
            "Start without resume_from_checkpoint."
        )
    return asked


def _of_all_ranks(lacks: dict[str, str]) -> dict[str, str]:
    """Return what each checkpoint lacks on any rank: folders need not be shared between machines."""
    if num_ranks() == 1:
        return lacks
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, lacks)
    for rank, other in enumerate(gathered):
        for path in lacks:
            lacks[path] = lacks[path] or (f"on rank {rank}, {other[path]}" if other.get(path) else "")
    return lacks


@contextmanager
def _new_models_load_saved_form(trainer: Trainer) -> Iterator[None]:
    """Let models that `model_init` makes load the saved form."""
    make: Any = trainer.model_init
    if make is None:
        yield
        return

    @functools.wraps(make)
    def make_and_prepare(*args: Any, **kwargs: Any) -> Any:
        model = make(*args, **kwargs)
        load_saved_form(model)
        return model

    trainer.model_init = make_and_prepare
    try:
        yield
    finally:
        trainer.model_init = make


@contextmanager
def _no_step_after_the_last(trainer: Trainer) -> Iterator[None]:
    """Give the loop no batches once all steps are taken, as when a finished run is resumed."""
    own: Any = trainer
    take = own.get_batch_samples
    overridden = own.__dict__.get("get_batch_samples")

    def take_unless_finished(*args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step < trainer.state.max_steps:
            return take(*args, **kwargs)
        logger.warning(
            "The run had finished at step %d of %d when it was resumed; no step is taken. To train on, raise max_steps "
            "or num_train_epochs.",
            trainer.state.global_step,
            trainer.state.max_steps,
        )
        trainer.control.should_training_stop = True
        return [], None

    own.get_batch_samples = take_unless_finished
    try:
        yield
    finally:
        if overridden is None:
            del own.get_batch_samples
        else:
            own.get_batch_samples = overridden


def _save_marked(save: Callable[..., Any], trainer: Trainer, output_dir: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Save a model; if that overwrites an older checkpoint, first remove the file that marks it as whole."""
    if output_dir is not None and trainer.args.should_save and _holds_callback(trainer):
        folder = Path(output_dir)
        if folder.name == f"{PREFIX_CHECKPOINT_DIR}-{trainer.state.global_step}":
            (folder / _STATE).unlink(missing_ok=True)
    return save(trainer, output_dir, *args, **kwargs)


_train = PatchedMethod(Trainer, "train", _train_on)
_save_model = PatchedMethod(Trainer, "save_model", _save_marked)
