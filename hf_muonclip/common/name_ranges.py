"""Names of layers, shorter: equal ones as one, "h.0-2,4.attn" for h.0.attn, h.1.attn, h.2.attn and h.4.attn."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def fold(items: Mapping[str, Any], star: bool = False) -> list[tuple[str, list[str]]]:
    """Fold names that differ in their layer numbers alone and whose values are equal.

    Args:
        items: {dotted name: value}.
        star: write "*" where all numbers that occur in this place are meant, and not their range.

    Returns:
        (folded name, its members) in the order of first members; "h.0-2,4.attn" for h.0, h.1, h.2 and h.4.
    """
    numbers: dict[tuple[str, ...], set[str]] = {}
    for name in items:
        tokens = tuple(name.split("."))
        for place, token in enumerate(tokens):
            if token.isdigit():
                numbers.setdefault(tokens[:place], set()).add(token)
    groups: list[tuple[tuple[str, ...], Any, list[str]]] = [
        (tuple(name.split(".")), value, [name]) for name, value in items.items()
    ]
    for place in range(max((len(tokens) for tokens, _, _ in groups), default=0) - 1, -1, -1):
        merged: dict[Any, list[tuple[tuple[str, ...], Any, list[str]]]] = {}
        for index, (tokens, value, members) in enumerate(groups):
            numbered = place < len(tokens) and tokens[place].isdigit()
            key = (tokens[:place], tokens[place + 1 :], value) if numbered else index
            merged.setdefault(key, []).append((tokens, value, members))
        groups = []
        for group in merged.values():
            tokens, value, _ = group[0]
            if len(group) > 1:
                found = [tokens[place] for tokens, _, _ in group]
                everything = star and set(found) == numbers[tokens[:place]]
                tokens = (*tokens[:place], "*" if everything else ranges(map(int, found)), *tokens[place + 1 :])
            groups.append((tokens, value, [name for _, _, members in group for name in members]))
    return [(".".join(tokens), members) for tokens, _, members in groups]


def fold_names(names: Sequence[str]) -> list[str]:
    """Return names that differ in their layer numbers alone as one."""
    return [name for name, _ in fold(dict.fromkeys(names))]


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as "0-4,6,8-9"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def layer_labels(names: Iterable[str]) -> list[str]:
    """Return "3" for "model.layers.3.self_attn"; names as they are where several or none of their parts are numbers.

    All of them as they are where labels would not be unique, as in an encoder beside a decoder.
    """
    names = list(names)
    numbers = [re.findall(r"\d+", name) for name in names]
    labels = [found[0] if len(found) == 1 else name for found, name in zip(numbers, names, strict=True)]
    return labels if len(set(labels)) == len(labels) else names
