"""What the code of a module says about its attention, where the module cannot be run.

The code of a module is its class, the classes above it, and the functions of their files that they call.
"""

import ast
import functools
import inspect
import re
import sys
from typing import Any, cast

from torch import nn
from torch.distributed.fsdp import FSDPModule

NAMED_ATTENTION = re.compile(r"(attention|attn|mla)(v\d)?$", re.IGNORECASE)
_FUSED = r"scaled_dot_product_attention|multi_head_attention_forward|flex_attention|flash_attn|ALL_ATTENTION_FUNCTIONS"
_SOFTMAX = re.compile(rf"[sS]oftmax|logsumexp|{_FUSED}")
_PRODUCT = re.compile(rf"matmul|bmm|einsum|\s@\s|{_FUSED}")
_ATTENDS = re.compile(_FUSED)
_OWN_SCORES = re.compile(r"[sS]oftmax\(|logsumexp\(|scaled_dot_product_attention\(")
_OTHER_SCORES = {  # in the code of a module that takes a softmax of something else than q·k
    "sampling_offsets": "samples at learned offsets",
    "torch.fft": "correlates in the frequency domain",
    "mra2_attention": "attends at several resolutions, in kernels of its own",
}
_LIBRARIES = ("torch.", "transformers.", "peft.")


def own_class(module: nn.Module) -> type[nn.Module]:
    """Return the class of a module, without what FSDP2's fully_shard puts in front of it."""
    classes = (base for base in type(module).__mro__ if issubclass(base, nn.Module))
    return next(base for base in classes if not issubclass(base, FSDPModule))


def calls_attention_interface(module: nn.Module) -> bool:
    """Return whether a module gets its attention function from transformers' attention interface."""
    return "get_interface" in _of_class(_class_of(module))


def names_attention_interface(module: nn.Module) -> bool:
    """Return whether a module may get its attention function from the interface, in one way or another."""
    return calls_attention_interface(module) or "ALL_ATTENTION_FUNCTIONS" in _of_class(_class_of(module))


def computes_own_scores(module: nn.Module) -> bool:
    """Return whether a module may attend without transformers' attention interface, at least behind an option."""
    return not calls_attention_interface(module) or _takes_own_scores(_class_of(module))


def may_attend(module: nn.Module) -> bool:
    """Return whether the code of a module reads as if it attends, by what it calls and what it is called."""
    if isinstance(module, nn.MultiheadAttention):
        return True
    if NAMED_ATTENTION.search(type(module).__name__) is None:
        return is_foreign(module) and _ATTENDS.search(_with_functions(_class_of(module))) is not None
    source = _with_functions(_class_of(module))
    return bool(_SOFTMAX.search(source) and _PRODUCT.search(source))


def other_scores(module: nn.Module) -> str:
    """Return what a module computes instead of a softmax over q·k, if its code is known for that; else ""."""
    source = _of_class(_class_of(module))
    return next((why for text, why in _OTHER_SCORES.items() if text in source), "")


def is_foreign(module: nn.Module) -> bool:
    """Return whether a module runs other code than that of torch, transformers and peft."""
    forward = module.__dict__.get("forward", type(module).forward)
    origins = (type(module).__module__, getattr(forward, "__module__", None) or "")
    return not all(origin.startswith(_LIBRARIES) for origin in origins)


def _class_of(module: nn.Module) -> Any:
    return cast(Any, type(module))


@functools.cache
def _takes_own_scores(cls: Any) -> bool:
    return _OWN_SCORES.search(_of_class(cls)) is not None


@functools.cache
def _of_class(cls: Any) -> str:
    """Return the source of a class and its bases up to nn.Module; text that matches every pattern if unreadable."""
    parts = []
    for base in _own_classes(cls):
        try:
            classes, _ = _definitions(base.__module__)
            parts.append(classes.get(base.__qualname__) or inspect.getsource(base))
        except (OSError, TypeError):
            parts.append("softmax matmul get_interface" if NAMED_ATTENTION.search(base.__name__) else "")
    return "\n".join(parts)


@functools.cache
def _with_functions(cls: Any) -> str:
    """Return the source of a class with that of the functions of its files that it names, and that those name."""
    parts = [_of_class(cls)]
    for base in _own_classes(cls):
        try:
            _, functions = _definitions(base.__module__)
        except (OSError, TypeError):
            continue
        found: dict[str, str] = {}
        reading = [_of_class(base)]
        while reading:
            words = set(re.findall(r"\w+", reading.pop()))
            named = [name for name in functions if name in words and name not in found]
            found |= {name: functions[name] for name in named}
            reading += [functions[name] for name in named]
        parts += found.values()
    return "\n".join(parts)


def _own_classes(cls: Any) -> list[Any]:
    """Return a class and its bases, without those of torch and transformers' base model."""
    return [
        base
        for base in cls.__mro__
        if base not in (nn.Module, object) and not base.__module__.startswith(("torch.", "transformers.modeling_utils"))
    ]


@functools.cache
def _definitions(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the source of every class and every function of a module.

    Parsed once, where `inspect.getsource` parses for every class.

    Raises:
        OSError, TypeError: the module has no source.
    """
    module = sys.modules.get(name)
    if module is None:
        raise OSError(f"{name} is not loaded")
    source = inspect.getsource(module)
    lines = source.splitlines(keepends=True)
    classes: dict[str, str] = {}
    functions: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            kind = classes if isinstance(node, ast.ClassDef) else functions
            kind[node.name] = "".join(lines[node.lineno - 1 : node.end_lineno])
    return classes, functions
