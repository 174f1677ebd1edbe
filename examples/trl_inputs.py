"""What the TRL examples share: the model and dataset that their arguments name, or those that need no network."""

from collections.abc import Callable
from typing import Any

from datasets import Dataset, load_dataset
from finetune import load_smollm2
from trl import ModelConfig, ScriptArguments


def model_and_tokenizer(args: Any, model_args: ModelConfig) -> tuple[Any, Any]:
    """Return the named model for the trainer to load, as `args` then say how, or SmolLM2-135M-Instruct, loaded."""
    if model_args.model_name_or_path is None:
        return load_smollm2()
    given = {
        "revision": model_args.model_revision,
        "attn_implementation": model_args.attn_implementation,
        "dtype": model_args.dtype,
    }
    args.model_init_kwargs = {**given, **(args.model_init_kwargs or {})}
    return model_args.model_name_or_path, None


def train_dataset(script: ScriptArguments, own: Callable[[], Dataset]) -> Any:
    """Return the named dataset of the Hub or of a folder, or else the example's own."""
    if not script.dataset_name:
        return own()
    return load_dataset(
        script.dataset_name,
        script.dataset_config,
        split=script.dataset_train_split,
        streaming=script.dataset_streaming,
    )
