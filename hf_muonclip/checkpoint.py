"""Resume mixture-of-experts models: load what the Trainer saved in another form than the model holds in memory.

transformers 5 keeps all experts of a layer in one tensor and saves them one by one. `from_pretrained` joins them again;
`Trainer.train(resume_from_checkpoint=...)` and `load_best_model_at_end` do not: they call `load_state_dict`, which
leaves the experts as they are and warns (https://github.com/huggingface/transformers/issues/48805).
"""

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

_MARK = "_loads_saved_form"


def load_saved_form(model: nn.Module) -> None:
    """Let `model.load_state_dict` take a complete state dict in the form that `save_pretrained` writes. Idempotent.

    A state dict in the form of the model itself passes unchanged, so this is harmless where transformers converts.
    """
    if isinstance(model, PreTrainedModel) and not loads_saved_form(model):
        untyped: Any = model
        untyped.register_load_state_dict_pre_hook(_convert_)
        setattr(model, _MARK, True)


def loads_saved_form(model: nn.Module) -> bool:
    """Tell whether `load_saved_form` was called with the model."""
    return hasattr(model, _MARK)


def _convert_(model: PreTrainedModel, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Replace the saved form by the form in memory. In place.

    Raises:
        ValueError: the state dict has not all weights of the model, so experts would be lost.
    """
    foreign = state_dict.keys() - model.state_dict().keys()
    if prefix or not foreign:
        return
    from_pretrained: Any = type(model).from_pretrained
    loaded, info = from_pretrained(
        None, config=model.config, state_dict=dict(state_dict), dtype=model.dtype, output_loading_info=True
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise ValueError(
            f"a checkpoint must hold all weights; {len(missing)} are missing, {missing[0]} for one, and {min(foreign)} "
            "is not known. Resume a checkpoint of this model that is one file, or load it with from_pretrained."
        )
    state_dict.clear()
    state_dict.update(loaded.state_dict())
