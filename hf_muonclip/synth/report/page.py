"""The page of a rephrasing run: what a survey found in figures, examples and a picture, as one HTML file by itself."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...common.page_style import page_style
from ...common.wording import in_letters
from ..answer_checks import ALIKE, CAUSES
from ..run_folder import Counts, write_whole
from .differences import side_by_side
from .embeddings import LEXICAL, embedder_named
from .near_duplicates import Repeats
from .scatter import COLOURS, scatter_of
from .survey import KEPT, Example, OfStyle, Survey, survey

PAGE = "report.html"
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_FOLDERS = re.compile(r"(?<!\S)(?:\w+:/)?/[^\s]*/(?=[^\s/])")  # of a model or a server: nothing of this machine
_MOST_REASONS = 8
_MOST_REASON_CHARACTERS = 300


def write_report(folder: str | Path, *, price: Sequence[float] | None = None, embeddings: str = LEXICAL) -> Path:
    """Write report.html into the folder of a run, and return its path.

    Args:
        folder: output of `run_rephrasing`, of a run that has ended or not.
        price: of a million tokens read and of a million written; None shows no cost.
        embeddings: "lexical", or a model of sentence-transformers.

    Raises:
        ValueError: the folder holds no run, a shard is broken, or the embeddings cannot be made.
        OSError: the page cannot be written.
    """
    embed = embedder_named(embeddings)
    page = render_page(survey(folder), price=price, embeddings=embeddings, embed=embed)
    path = Path(folder, PAGE)
    write_whole(path, page.encode())
    return path


def render_page(
    found: Survey, *, price: Sequence[float] | None = None, embeddings: str = LEXICAL, embed: Any = None
) -> str:
    """Return the HTML of a run's page.

    Args:
        found: of its shards.
        price: of a million tokens read and of a million written; None shows no cost.
        embeddings: what the page calls them.
        embed: what makes them; None is what `embeddings` names.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("hf_muonclip.synth.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters |= {"count": lambda value: f"{value:,}", "share": share, "name": _words}
    names = sorted(found.styles)
    return environment.get_template("page.html.jinja").render(
        style=page_style(),
        folder=found.folder.resolve().name,
        status=_status(found),
        tiles=list(_tiles(found, price)),
        verdict=_verdict(found),
        kinds=_kinds(found),
        costs=list(_costs(found, price)),
        untimed=found.shards - found.timed_shards,
        styles=[_style(name, number, found.styles[name]) for number, name in enumerate(names)],
        repeats=[_repeats("documents", found.documents_alike), _repeats("kept rephrasings", found.kept_alike)],
        alike=ALIKE,
        picture=scatter_of(found.placed, names, embed or embedder_named(embeddings)),
        lexical=embeddings == LEXICAL,
        embeddings=_without_folders(embeddings),
        placed=len(found.placed),
        rephrasings=found.counts.causes.total(),
        settings=[(name, value) for name, value in _settings(found) if value],
    )


def share(part: float, whole: float) -> str:
    """Return a share in percent as people read it; a dash of nothing."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "<0.1%"
    return ">99.9%" if 99.9 < percent < 100 else f"{percent:.1f}%".replace(".0%", "%")


def lasting(seconds: float) -> str:
    """Return a duration as people read it: 0.42 s, 12.3 s, 3 min 20 s, 5 h 12 min."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def money(value: float) -> str:
    """Return an amount as people read it, a small one to three digits."""
    return f"{value:,.2f}" if value >= 1 or value == 0 else f"{value:.3g}"


def number(value: float) -> str:
    """Return a number to three digits, a large one whole: 0.0123, 12.3, 1,234."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cost(counts: Counts, price: Sequence[float]) -> float:
    """Return what tokens cost.

    Args:
        counts: of them.
        price: of a million tokens read and of a million written.
    """
    return (counts.prompt_tokens * price[0] + counts.new_tokens * price[1]) / 1e6


def _printable(value: Any) -> Any:
    """Return what the template shows: control characters, which HTML cannot hold, become U+FFFD."""
    return type(value)(_CONTROL.sub("\ufffd", value)) if isinstance(value, str) else value


def _without_folders(text: str) -> str:
    return _FOLDERS.sub("", text)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _status(found: Survey) -> str:
    shards = f"{found.shards:,} shard{'' if found.shards == 1 else 's'}"
    done = found.counts.documents
    if found.total is None:
        return f"{done:,} documents in {shards}"
    if done == found.total:
        return f"finished, {shards}"
    return f"not finished: {done:,} of {found.total:,} documents, {shards}"


def _tiles(found: Survey, price: Sequence[float] | None) -> Iterator[tuple[str, str, str]]:
    """Yield (name, value, remark)."""
    counts, rephrasings = found.counts, found.counts.causes.total()
    yield (
        "documents",
        f"{counts.documents:,}",
        f"{share(found.documents_kept, counts.documents)} with a kept rephrasing",
    )
    yield "rephrasings kept", share(counts.kept, rephrasings), f"{counts.kept:,} of {rephrasings:,}"
    yield "chunks kept", share(found.chunks_kept, found.chunks), f"{found.chunks_kept:,} of {found.chunks:,}"
    yield (
        "new tokens kept",
        share(counts.kept_tokens, counts.new_tokens),
        f"{in_letters(counts.kept_tokens)} of {in_letters(counts.new_tokens)}",
    )
    if found.timed.kept_tokens:
        each = lasting(1000 * found.seconds / found.timed.kept_tokens)
        yield "generation", each, "per 1,000 kept tokens"
    if price and counts.kept_tokens:
        yield "cost", money(cost(counts, price) / counts.kept_tokens * 1e6), "per million kept tokens"


def _verdict(found: Survey) -> str:
    counts = found.counts
    rephrasings = counts.causes.total()
    if not rephrasings:
        return "No shard is there yet: the run has done nothing that stays, or it had no documents."
    said = f"{share(counts.kept, rephrasings)} of the rephrasings are kept."
    if not counts.dropped:
        return said
    cause, count = max(((cause, n) for cause, n in counts.causes.items() if cause), key=lambda pair: pair[1])
    said += f" Most of what was dropped, {share(count, counts.dropped)}, is {_words(cause)}"
    if cause == "unfaithful" and found.checks:
        check, failed = found.checks.most_common(1)[0]
        said += f', above all by the check "{_words(check)}" ({share(failed, count)} of these)'
    return said + "."


def _kinds(found: Survey) -> list[dict[str, Any]]:
    """Return what became of rephrasings: kept, then each cause, the most frequent first, with the gate's checks."""
    counts, rephrasings = found.counts, found.counts.causes.total()
    kinds = []
    for cause in [KEPT, *(cause for cause, _ in counts.causes.most_common() if cause)]:
        count = counts.causes[cause]
        checks = [
            {
                "name": check,
                "count": failed,
                "of": count,
                "examples": _shown(found.examples.get((cause, check), [])),
            }
            for check, failed in found.checks.most_common()
            if cause == "unfaithful"
        ]
        kinds.append(
            {
                "name": cause or "kept",
                "kept": not cause,
                "meaning": CAUSES.get(cause, "" if cause else "passed all checks"),
                "count": count,
                "of": rephrasings,
                "tokens": found.tokens_of[cause],
                "token_share": share(found.tokens_of[cause], counts.new_tokens),
                "checks": checks,
                "examples": [] if checks else _shown(found.examples.get(cause, [])),
            }
        )
    return kinds


def _shown(examples: Sequence[Example]) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "style": one.style,
            "reasons": [_cut(reason) for reason in one.reasons[:_MOST_REASONS]],
            "more": max(len(one.reasons) - _MOST_REASONS, 0),
            "pair": side_by_side(one.source, one.rewritten) if one.source or one.rewritten else None,
        }
        for one in examples
    ]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_REASON_CHARACTERS else f"{text[: _MOST_REASON_CHARACTERS - 1]}…"


def _costs(found: Survey, price: Sequence[float] | None) -> Iterator[tuple[str, str, str]]:
    """Yield (name, whole run, per 1,000 kept tokens)."""
    counts, timed = found.counts, found.timed

    def per_kept(value: float) -> str:
        return f"{1000 * value / counts.kept_tokens:,.0f}" if counts.kept_tokens else "–"

    yield "prompt tokens", f"{counts.prompt_tokens:,}", per_kept(counts.prompt_tokens)
    yield "new tokens", f"{counts.new_tokens:,}", per_kept(counts.new_tokens)
    yield "kept tokens", f"{counts.kept_tokens:,}", per_kept(counts.kept_tokens)
    if found.timed_shards:
        each = lasting(1000 * found.seconds / timed.kept_tokens) if timed.kept_tokens else "–"
        yield "generation", lasting(found.seconds), each
        if found.seconds > 0:
            yield "new tokens per second", number(timed.new_tokens / found.seconds), ""
    if price:
        whole = cost(counts, price)
        each = money(1000 * whole / counts.kept_tokens) if counts.kept_tokens else "–"
        yield f"cost at {price[0]:g} and {price[1]:g} per million prompt and new tokens", money(whole), each


def _style(name: str, number: int, found: OfStyle) -> dict[str, Any]:
    return {
        "name": name,
        "colour": number % COLOURS,
        "rephrasings": found.rephrasings,
        "kept": found.kept,
        "length": f"{found.length / found.kept:.2f}" if found.kept else "–",
        "novelty": share(found.novelty, found.kept),
    }


def _repeats(what: str, found: Repeats) -> dict[str, Any]:
    pairs: list[dict[str, Any]] = [
        {"names": pair.names, "likeness": share(pair.likeness, 1), "pair": side_by_side(*pair.texts)}
        for pair in found.pairs
    ]
    return {
        "what": what,
        "texts": found.texts,
        "sampled": found.sampled,
        "repeated": found.repeated,
        "pairs": pairs,
    }


def _settings(found: Survey) -> Iterator[tuple[str, str]]:
    manifest = found.manifest
    inputs = [str(entry[0]) for entry in manifest.get("inputs") or []]
    yield "inputs", ", ".join(inputs[:5]) + (f" and {len(inputs) - 5:,} more" if len(inputs) > 5 else "")
    yield "generator", _without_folders(str(manifest.get("generator", "")))
    yield "gate", str(manifest.get("gate") or "none").split(" ")[0]
    yield "styles", ", ".join(str(style.get("name")) for style in manifest.get("styles") or [])
    for name in ("rephrasings", "chunk_size", "most_characters", "seed", "documents_per_shard"):
        if name in manifest:
            yield _words(name), f"{manifest[name]:,}" if isinstance(manifest[name], int) else str(manifest[name])
