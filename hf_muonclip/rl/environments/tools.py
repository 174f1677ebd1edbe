"""Tools of an environment as methods that TRL and transformers can show to a model, made from their JSON schemas.

TRL takes every public method of an environment as a tool and reads its type hints and Google docstring at the first
generation. What it cannot read would raise there, so each method is tried here first.
"""

import inspect
import json
import keyword
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}
_NOT_TOOLS = {"reset", "get_reward"}  # methods that TRL calls itself
_DEEPEST = 4  # levels of nested arrays that become type hints
# Keys of a schema that type hints express, and keys that say nothing about values.
_EXPRESSED = {"type", "enum", "const", "anyOf", "oneOf", "items", "title", "description", "default"}


@dataclass(frozen=True)
class Tool:
    """One tool of an environment.

    Args:
        name: the environment's name of it.
        description: for the model.
        parameters: JSON schema of an object, whose properties are the arguments.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]


def as_text(value: Any) -> str:
    """Return a tool's result as the model sees it: texts unchanged, everything else as JSON.

    Chat templates would show lists as nothing, and dicts and None in Python's notation.
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def tool_method(tool: Tool, call: Callable[[Any, Tool, dict[str, Any]], str]) -> Callable[..., str]:
    """Return a method that calls `call(self, tool, arguments)` with the arguments that a model gave.

    Its name is the tool's, except that names that TRL does not take as tools ("reset", "get_reward" and those that
    begin with an underscore) are prefixed with "tool". Arguments whose names are not Python names are renamed for the
    model.

    Args:
        tool: the tool.
        call: gets the given arguments, under the tool's own names.

    Returns:
        The method; it raises TypeError if an argument is missing or unknown, which TRL reports to the model.

    Raises:
        ValueError: the schema cannot be shown to a model.
    """
    schema = _resolved(tool.parameters, tool.parameters.get("$defs") or tool.parameters.get("definitions") or {})
    properties: dict[str, Any] = schema.get("properties") or {}
    required = set(schema.get("required") or ())
    description, of_docstring = _parsed(tool.description)
    names = {_python_name(name): name for name in properties}
    if len(names) < len(properties):
        raise ValueError(
            f"the arguments of a tool must still differ when made Python names; {tool.name!r} has {[*properties]}."
        )
    parameters, lines = [], []
    for python_name, name in names.items():
        default = inspect.Parameter.empty if name in required else properties[name].get("default")
        hint = _hint(properties[name])
        parameters.append(
            inspect.Parameter(python_name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        )
        lines.append(f"    {python_name}: {_describe(properties[name], of_docstring.get(name) or name)}")
    signature = inspect.Signature(parameters, return_annotation=str)

    def method(self: Any, **arguments: Any) -> str:
        given = signature.bind(**arguments).arguments
        return call(self, tool, {names[name]: value for name, value in given.items()})

    first = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__ = exposed_name(tool.name)
    method.__qualname__ = method.__name__
    method.__doc__ = "\n".join([description or f"Call {tool.name}.", *(["", "Args:", *lines] if lines else [])])
    method.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": str}
    method.__signature__ = signature.replace(parameters=[first, *parameters])  # type: ignore[attr-defined]
    _try(method, tool, names, required)
    return method


def _try(method: Callable[..., str], tool: Tool, names: Mapping[str, str], required: set[str]) -> None:
    """Read the method as the chat template will."""
    from transformers.utils.chat_template_utils import get_json_schema

    try:
        shown = get_json_schema(method)["function"]
    except Exception as error:  # transformers raises several kinds
        raise ValueError(f"the tool {tool.name!r} cannot be shown to a model: {error}") from error
    found = shown["parameters"]
    if {*found["properties"]} != {*names} or {names[name] for name in found.get("required", [])} != required:
        raise ValueError(
            f"the tool {tool.name!r} cannot be shown to a model: its arguments {[*names.values()]}, of which "
            f"{sorted(required)} are required, would be read as {found}."
        )


def exposed_name(name: str) -> str:
    """Return the name under which the model sees a tool."""
    return f"tool_{name.lstrip('_')}" if name in _NOT_TOOLS or name.startswith("_") else name


def _python_name(name: str) -> str:
    python_name = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not python_name or python_name[0].isdigit():
        python_name = f"_{python_name}"
    return f"{python_name}_" if keyword.iskeyword(python_name) or python_name == "self" else python_name


def _resolved(schema: Any, definitions: Mapping[str, Any], seen: tuple[str, ...] = ()) -> Any:
    """Return the schema with its references replaced; a recursive one accepts any value."""
    if isinstance(schema, list):
        return [_resolved(part, definitions, seen) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    if isinstance(reference := schema.get("$ref"), str):
        name = reference.rsplit("/", 1)[-1]
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {} if name in seen else _resolved({**definitions.get(name, {}), **rest}, definitions, (*seen, name))
    return {
        key: _resolved(value, definitions, seen) for key, value in schema.items() if key not in ("$defs", "definitions")
    }


def _hint(schema: Any, depth: int = 0) -> Any:
    """Return the type hint of a schema, as far as transformers reads type hints."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return Any
    values = schema.get("enum") or ([schema["const"]] if "const" in schema else [])
    if values and all(isinstance(value, str | int | float | bool | None) for value in values):
        return Literal[tuple(values)]
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return Union[tuple(_hint(option, depth) for option in options)]  # noqa: UP007 (of a list)
    kind = schema.get("type")
    if isinstance(kind, list):
        return Union[tuple(_hint({**schema, "type": one}, depth) for one in kind)]  # noqa: UP007 (of a list)
    if kind == "array" and schema.get("items"):
        return list[_hint(schema["items"], depth + 1)]  # type: ignore[misc]
    return _TYPES.get(str(kind), Any)


def _describe(schema: Mapping[str, Any], otherwise: str) -> str:
    """Return a line about an argument, with its JSON schema if a type hint cannot express it."""
    text = str(schema.get("description") or otherwise)
    if not _is_expressed(schema):
        shown = {key: value for key, value in schema.items() if key not in ("title", "description")}
        text += f" JSON schema: {json.dumps(shown, ensure_ascii=False)}"
    return _one_line(text)


def _is_expressed(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return True
    inner = [schema.get("items"), *(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    return schema.keys() <= _EXPRESSED and all(_is_expressed(part) for part in inner)


def _parsed(description: str) -> tuple[str, dict[str, str]]:
    """Return a description's text about the tool, and its texts about arguments if it is a Google docstring."""
    from transformers.utils.chat_template_utils import parse_google_format_docstring

    text, arguments, _ = parse_google_format_docstring(inspect.cleandoc(description))
    return (_no_sections(text or "").strip(), arguments or {})


def _one_line(text: str) -> str:
    text = re.sub(r"\s+", " ", _no_sections(text)).strip()
    return re.sub(r"\(choices:", "(one of:", text, flags=re.IGNORECASE)  # transformers would read it as JSON


def _no_sections(text: str) -> str:
    """Return the text without headers of docstring sections."""
    return re.sub(r"\b(Args|Returns|Raises):", r"\1 -", text)
