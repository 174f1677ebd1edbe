"""What a model card is written with: tables and their cells, and numbers as people read them."""

import json
from collections.abc import Mapping


def table(heading: tuple[str, str], rows: Mapping[str, object]) -> str:
    """Return a table of two columns, without the rows that have no value; empty without any."""
    lines = [f"| {cell(name)} | {cell(value)} |" for name, value in rows.items() if value is not None]
    return "\n".join([f"| {heading[0]} | {heading[1]} |", "|---|---|", *lines]) if lines else ""


def one_line(text: str) -> str:
    """Return a text with its line breaks and repeated blanks as single blanks."""
    return " ".join(text.split())


def as_text(value: object) -> str:
    """Return a value as a card shows it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def cell(value: object) -> str:
    """Return a value as a table's cell holds it."""
    return one_line(as_text(value)).replace("|", "\\|")


def capitalized(name: str) -> str:
    """Return a metric's name as the first cell of a row: "accuracy" is "Accuracy", "rougeL" is "RougeL"."""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def literal(text: str) -> str:
    """Return a Python literal in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def duration(seconds: float) -> str:
    """Return a duration as people read it: 42 s, 8 min 12 s, 3 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
