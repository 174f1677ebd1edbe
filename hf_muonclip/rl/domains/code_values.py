"""Python values as JSON and back, so that a program's values are compared outside its process.

The source of this file also runs in the program's process; it imports only the standard library. Values are sent as
plain data, so that equality does not depend on a program's own classes.
"""

import json
import numbers
from typing import Any

_SEQUENCES: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}


class Opaque:
    """A value that is not plain data; equal to nothing."""


def encode(value: Any) -> str:
    """Return a value as JSON: None, bools, numbers, texts, bytes, and containers of them; others as opaque."""
    return json.dumps(_tagged(value))


def decode(text: str) -> Any:
    """Return the value that was encoded; an `Opaque` for one that is not plain data.

    Raises:
        ValueError: the text is not from `encode`.
    """
    try:
        return _plain(json.loads(text))
    except (TypeError, LookupError, RecursionError, OverflowError) as error:
        raise ValueError(f"no encoded value: {text[:80]!r}") from error


def _tagged(value: Any) -> list[Any]:
    if value is None or isinstance(value, bool):
        return ["constant", value]
    if isinstance(value, int):
        return ["int", hex(int(value))]
    if isinstance(value, float):
        return ["float", float.hex(float(value))]
    if isinstance(value, str):
        return ["str", str.__str__(value)]
    if isinstance(value, bytes | bytearray):
        return ["bytes", bytes(value).hex()]
    if isinstance(value, dict):
        return ["dict", [[_tagged(key), _tagged(item)] for key, item in dict.items(value)]]
    for name, kind in _SEQUENCES.items():
        if isinstance(value, kind):
            return [name, [_tagged(item) for item in kind.__iter__(value)]]
    if callable(getattr(value, "tolist", None)) and not isinstance(value, type):  # of NumPy
        return _tagged(value.tolist())
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        return ["complex", [float.hex(float(value.real)), float.hex(float(value.imag))]]
    if isinstance(value, numbers.Number):  # a fraction or a decimal number
        number: Any = value
        if float(number) == number:
            return ["float", float.hex(float(number))]
    return ["opaque", None]


def _plain(tagged: Any) -> Any:
    tag, value = tagged
    if tag == "constant" and (value is None or isinstance(value, bool)):
        return value
    if tag == "int":
        return int(value, 16)
    if tag == "float":
        return float.fromhex(value)
    if tag == "str" and isinstance(value, str):
        return value
    if tag == "bytes":
        return bytes.fromhex(value)
    if tag == "complex":
        return complex(*map(float.fromhex, value))
    if tag == "dict":
        return {_plain(key): _plain(item) for key, item in value}
    if tag in _SEQUENCES:
        return _SEQUENCES[tag](_plain(item) for item in value)
    if tag == "opaque":
        return Opaque()
    raise ValueError(f"no encoded value: {tag!r}")
