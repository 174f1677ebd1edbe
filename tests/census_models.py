"""One tiny random model, with inputs, for every model type that the AutoModel classes of transformers know.

`census_configs.json` holds one type a line: the class, its configuration class, the configuration fields that make it
tiny and the inputs that its forward gets; `census_absent.json` holds the types that are missing there, each with its
reason. Where a type has heads of its own, they are 16 wide, and most hidden sizes are 64.

An input is described by one key that says what is drawn, and its shape:

* `tokens`: int64, at least 3 and below `below`; `put` overwrites each row from position 1 on with so many placeholders
  of each token (image, audio), in the order given;
* `mask`: int64 ones, but the last five positions of every row except the first are 0: padding on the right;
* `normal`, `uniform`: float32; `ones`, `zeros`: int64; `boxes`: int64, (..., 4), left, top, right, bottom;
* `value`: the nested list itself.

With `bool` the result is made boolean. A type without inputs in the file is a text model: see `_TEXT_INPUTS`.
"""

import json
import unittest
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel

InputSpec = dict[str, Any]

_HERE = Path(__file__).parent
_FIRST_PLAIN_TOKEN = 3  # after padding, beginning and end of text
_PADDED_POSITIONS = 5
_TEXT_INPUTS: dict[str, InputSpec] = {
    "input_ids": {"tokens": [2, 16], "below": 100},
    "attention_mask": {"mask": [2, 16]},
}


@dataclass(frozen=True)
class CensusEntry:
    """How one model type is built and called; the classes are names in the transformers namespace."""

    model_class: str
    config_class: str
    config: dict[str, Any]
    causal: bool  # a causal language model
    inputs: dict[str, InputSpec] = field(default_factory=lambda: _TEXT_INPUTS)


def _load_census() -> dict[str, CensusEntry]:
    entries = json.loads((_HERE / "census_configs.json").read_text(encoding="utf-8"))
    return {
        model_type: CensusEntry(
            entry["class"],
            entry["config_class"],
            entry["config"],
            entry.get("causal", False),
            entry.get("inputs", _TEXT_INPUTS),
        )
        for model_type, entry in entries.items()
    }


CENSUS: dict[str, CensusEntry] = _load_census()
CENSUS_ABSENT: dict[str, str] = json.loads((_HERE / "census_absent.json").read_text(encoding="utf-8"))


def skip_absent(model_type: str) -> None:
    """Raise `unittest.SkipTest`, by which a test is skipped, where the installed transformers lacks a type's class."""
    entry = CENSUS[model_type]
    for class_name in (entry.config_class, entry.model_class):
        if not hasattr(transformers, class_name):
            raise unittest.SkipTest(f"transformers {transformers.__version__} has no {class_name}")


def census_model(model_type: str, attn_implementation: str = "eager", **options: Any) -> PreTrainedModel:
    """Build the tiny model of a type in float32 and evaluation mode; the global seed stays untouched.

    Equal calls give equal weights. Parameters and buffers that transformers starts at all 0 or all 1 are moved away
    from there, as in `tiny_models.tiny_model`.

    Args:
        model_type: a key of `CENSUS`.
        attn_implementation: for the model and all models inside it.
        options: fields of its configuration that are set otherwise.

    Raises:
        unittest.SkipTest: as `skip_absent` does.
    """
    skip_absent(model_type)
    entry = CENSUS[model_type]
    # A configuration may keep the lists and nested dicts that it is given, and change them.
    fields = json.loads(json.dumps(entry.config)) | options
    config = getattr(transformers, entry.config_class)(**fields, attn_implementation=attn_implementation)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, entry.model_class)(config).float()
        with torch.no_grad():
            for tensor in model.state_dict().values():
                constant = tensor.is_floating_point() and bool((tensor == 0).all() or (tensor == 1).all())
                if constant and tensor.numel():
                    tensor.add_(0.1 * torch.randn_like(tensor))
    return model.eval()


def census_batch(model_type: str, model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the inputs of a type's forward on the model's device; the same every time.

    A text model gets (2, 16) `input_ids` and `attention_mask`, its second row padded on the right by five.
    """
    generator = torch.Generator().manual_seed(0)
    inputs = dict(CENSUS[model_type].inputs)
    if getattr(model.config, "add_cross_attention", False):  # an option: what an encoder would have said
        inputs["encoder_hidden_states"] = {"normal": [2, 7, model.config.hidden_size]}
    return {name: _draw(spec, generator).to(model.device) for name, spec in inputs.items()}


def _draw(spec: InputSpec, generator: torch.Generator) -> Tensor:
    match spec:
        case {"tokens": shape, "below": below}:
            drawn = torch.randint(_FIRST_PLAIN_TOKEN, below, shape, generator=generator)
            start = 1
            for token, count in spec.get("put", {}).items():
                drawn[..., start : start + count] = int(token)
                start += count
        case {"mask": shape}:
            drawn = torch.ones(shape, dtype=torch.int64)
            drawn[1:, -_PADDED_POSITIONS:] = 0
        case {"normal": shape}:
            drawn = torch.randn(shape, generator=generator)
        case {"uniform": shape}:
            drawn = torch.rand(shape, generator=generator)
        case {"ones": shape}:
            drawn = torch.ones(shape, dtype=torch.int64)
        case {"zeros": shape}:
            drawn = torch.zeros(shape, dtype=torch.int64)
        case {"boxes": shape}:
            corner = torch.randint(0, 50, (*shape, 2), generator=generator)
            drawn = torch.cat([corner, corner + torch.randint(1, 50, corner.shape, generator=generator)], dim=-1)
        case {"value": value}:
            drawn = torch.tensor(value)
        case _:
            raise ValueError(f"an input needs one of the keys that this module's docstring lists, got {spec}")
    return drawn.bool() if spec.get("bool") else drawn
