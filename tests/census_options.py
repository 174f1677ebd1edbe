"""Which options of a configuration act on the attention of its type, found by reading.

An option is a boolean, a word or a list of layer kinds that transformers' own base configuration does not have, and
that the attention modules of the tiny model read, the functions that they call, or the module around them. Booleans are
flipped; words take every other value that the code compares them with. Types whose attention is the same code but for
its name are asked once.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

from census_models import census_model
from torch import nn
from transformers import PretrainedConfig

from hf_muonclip.attention.modules.class_source import _of_class, _with_functions
from hf_muonclip.attention.modules.find import attention_modules

Options = dict[str, Any]
_LEFT_OUT = {"use_cache", "scale_attn_weights"}  # says what is returned; makes scores that no tau is meant for
_KINDS = re.compile(r'"((?:full|sliding|chunked|local|global)_attention)"')


def options_of(model_type: str, asked: set[tuple[str, str, str]]) -> Iterator[Options]:
    """Yield the options of one type that were not asked of the same code before.

    Args:
        model_type: a key of the census.
        asked: (code, field, value) of what was asked already; grows.
    """
    model = census_model(model_type)
    try:
        modules = attention_modules(model, run=False)
    except ValueError:
        return
    classes = {type(module) for module in modules.values()}
    around = {type(_parent(model, name)) for name in modules}
    code = "\n".join(sorted(_with_functions(cls) for cls in classes))
    outer = "\n".join(sorted(_of_class(cls) for cls in around - classes))
    for field, value in model.config.to_dict().items():
        slides = "sliding_attention" in (model.config.to_dict().get("layer_types") or ())
        if field == "sliding_window" and slides:  # which transformers does not build without a window
            continue
        if field in _LEFT_OUT or field in PretrainedConfig().to_dict():
            continue
        reads = re.search(rf"\bconfig\.{field}\b|\bself\.{field}\b|['\"]{field}['\"]", code)
        if reads is None and re.search(rf"\bconfig\.{field}\b", outer) is None:
            continue
        for other in _others(field, value, code + outer, classes):
            key = (_nameless(code, classes), field, str(other))
            if key not in asked:
                asked.add(key)
                sliding = "sliding_attention" in other if isinstance(other, list) else False
                needs_window = sliding and model.config.to_dict().get("sliding_window", 0) is None
                yield {field: other} | ({"sliding_window": 4, "use_sliding_window": True} if needs_window else {})


def _others(field: str, value: Any, code: str, classes: set[Any]) -> list[Any]:
    if isinstance(value, bool):
        return [not value]
    if field == "sliding_window":
        return [4 if value is None else None]
    if isinstance(value, str):
        compared = re.findall(rf"\b{field}\s*(?:==|!=|in|not in)\s*([\[(]?[^:\n]*)", code)
        words = {word for text in compared for word in re.findall(r"['\"](\w+)['\"]", text)}
        return sorted(words - {value})
    if field == "layer_types" and isinstance(value, list):
        files = "".join(inspect.getsource(sys.modules[cls.__module__]) for cls in classes)
        return [[kind] * len(value) for kind in sorted(set(_KINDS.findall(files))) if set(value) != {kind}]
    return []


def _parent(model: nn.Module, name: str) -> nn.Module:
    return model.get_submodule(name.rpartition(".")[0])


def _nameless(code: str, classes: set[Any]) -> str:
    """Return code without what stands before "Attention" in the names of its classes."""
    for cls in classes:
        prefix = re.match(r"([A-Z0-9]\w*?)(Text|Vision)?(Self|Cross|Multi)?(Attention|Attn)", cls.__name__)
        code = code.replace(prefix[1], "") if prefix is not None else code
    return code
