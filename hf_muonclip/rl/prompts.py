"""What a dataset of prompts must and must not have, checked before the first completion is sampled."""

from collections.abc import Mapping
from typing import Any

from datasets import Dataset

from ..common.loggers import get_logger

logger = get_logger(__name__)

# Columns that TRL 1.16 does not pass to reward functions, passes twice, or overwrites with its own.
_NOT_A_COLUMN = {
    "completion": "TRL passes no such column to reward functions",
    "completion_ids": "TRL passes its own to reward functions",
    "completions": "TRL passes its own to reward functions",
    "prompts": "TRL passes its own to reward functions",
    "environments": "TRL passes its own to reward functions",
    "trainer_state": "TRL passes its own to reward functions",
    "log_extra": "TRL passes its own to reward functions",
    "log_metric": "TRL passes its own to reward functions",
}


def check_columns(name: str, dataset: Any, needs_prompt: bool) -> None:
    """Refuse a dataset with columns that TRL would silently misuse or fail on in the first step.

    Args:
        name: of the argument.
        dataset: a dataset, or a dict of several; only map-style ones are checked.
        needs_prompt: whether each row must have a prompt, because no environment gives one.

    Raises:
        ValueError: a column is missing or has a name that TRL uses itself.
    """
    if isinstance(dataset, Mapping):
        for key, one in dataset.items():
            check_columns(f"{name}[{key!r}]", one, needs_prompt)
    if not isinstance(dataset, Dataset):
        return
    if needs_prompt and "prompt" not in dataset.column_names:
        raise ValueError(
            f"{name} must have a column 'prompt'; it has {dataset.column_names}. Rename the one that holds them."
        )
    for column in dataset.column_names:
        if column in _NOT_A_COLUMN:
            raise ValueError(
                f"{name} must have no column {column!r}; {_NOT_A_COLUMN[column]}, and the dataset's would be lost. "
                f"Rename it, for example to 'given_{column}'."
            )


def check_batches(dataset: Any, prompts_per_batch: int) -> None:
    """Refuse a training set smaller than one batch, and warn of prompts that every pass leaves out.

    Args:
        dataset: the training set; only a map-style one is checked.
        prompts_per_batch: prompts per batch of completions.

    Raises:
        ValueError: the training set is smaller than one batch.
    """
    if not isinstance(dataset, Dataset):
        return
    if len(dataset) < prompts_per_batch:
        raise ValueError(
            f"train_dataset must fill one batch of {prompts_per_batch} prompts (generation_batch_size / "
            f"num_generations); it has {len(dataset)}. Lower per_device_train_batch_size or steps_per_generation, or "
            "add prompts."
        )
    if rest := len(dataset) % prompts_per_batch:
        logger.warning(
            "every pass through train_dataset leaves out %d of its %d prompts: they do not fill a batch of %d "
            "(generation_batch_size / num_generations).",
            rest,
            len(dataset),
            prompts_per_batch,
        )
