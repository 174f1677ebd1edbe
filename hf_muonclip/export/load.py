"""Load a checkpoint whole or not at all, in any form that Kimi K2 is published in, without remote code."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from ..common.loggers import get_logger
from .check import StrPath, build_config, build_form, compare_with_architecture, read_config
from .left_out import describe_left_out
from .stored_weights import Weight, weights_in
from .weight_headers import StoredTensor, read_headers

logger = get_logger(__name__)


def load_checkpoint(
    folder: StrPath, *, dtype: torch.dtype | None = None, device_map: str | dict[str, Any] | None = None
) -> PreTrainedModel:
    """Load a causal language model; every tensor comes from the folder, and what the folder holds beyond is named.

    For Kimi K2 that is each published form: FP8 in blocks (Kimi-K2-Base and -Instruct), INT4 experts in groups
    (Kimi-K2-Thinking), bfloat16 (Moonlight, and copies of Kimi K2), with `model_type` kimi_k2 or deepseek_v3. Quantized
    weights are dequantized in float32, one tensor at a time, and rounded once; code in the folder is not run.
    `save_checkpoint` writes the model as plain weights.

    Differs from `from_pretrained`, which warns of missing and unexpected tensors and goes on with random ones. What a
    class of transformers leaves out of its published form (layers for multi-token prediction: DeepSeek-V3, GLM-4.5) is
    left out here too, with a warning, since it will not be trained.

    Args:
        folder: the checkpoint's folder; `huggingface_hub.snapshot_download(repo)` gives one.
        dtype: dtype of the weights; by default config.json's. transformers keeps the router in float32.
        device_map: as for `from_pretrained`.

    Returns:
        The model in evaluation mode.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is incomplete, has tensors that its architecture does not have, or is quantized
            otherwise.
        RuntimeError: transformers could not use all that the folder holds.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}. Pass the folder of a checkpoint.")
    read_config(folder)
    config = build_config(folder)
    quantization = getattr(config, "quantization_config", None)
    for name in ("quantization_config", "auto_map"):  # neither is true of the model that is loaded
        if hasattr(config, name):
            delattr(config, name)
    form = build_form(folder, config)
    stored = read_headers(folder)
    weights = weights_in(folder, stored, quantization)
    left_out = compare_with_architecture(folder, {name: weight.shape for name, weight in weights.items()}, form)
    if said := describe_left_out(form, left_out):
        logger.warning("%s: %s", folder, said)
    with ExitStack() as stack:
        shards = {tensor.shard for tensor in stored.values()}
        files: dict[str, Any] = {shard: stack.enter_context(safe_open(folder / shard, "pt")) for shard in shards}
        for copy, kept in left_out.tied.items():
            both = [_Slice(weights[name], stored, files)[...] for name in (copy, kept)]
            if not torch.equal(*both):
                raise ValueError(
                    f"config.json says that {copy} and {kept} are one weight (tie_word_embeddings), but their values "
                    f"differ in {folder}. Set the field to false, or remove the one that was not trained."
                )
        from_pretrained: Any = type(form.model).from_pretrained
        model, report = from_pretrained(
            None,
            config=config,
            state_dict={name: _Slice(weights[name], stored, files) for name in form.tensors},
            dtype=dtype or config.dtype or torch.get_default_dtype(),
            device_map=device_map,
            output_loading_info=True,
        )
    if problems := {what: sorted(map(str, names)) for what, names in report.items() if names}:
        raise RuntimeError(f"transformers must use every tensor of {folder}, but reports {problems}.")
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    model.name_or_path = model.config._name_or_path = str(folder)
    loaded: PreTrainedModel = model
    return loaded


class _Slice:
    """A weight that is read on indexing, as transformers' loader indexes slices of safetensors."""

    def __init__(self, weight: Weight, stored: Mapping[str, StoredTensor], files: Mapping[str, Any]) -> None:
        self._weight, self._stored, self._files = weight, stored, files

    def __getitem__(self, index: Any) -> Tensor:
        return self._weight.read(lambda name: self._files[self._stored[name].shard].get_tensor(name))[index]
