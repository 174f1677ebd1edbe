"""Whether a rewriting still says what its source says.

    fidelity = check_fidelity(source, rewritten)
    if not fidelity.faithful:
        print(fidelity.reasons)  # ['The number 47 of the source is missing.']

Numbers, dates, length, language and form decide by themselves: each has a score in [0, 1] and a threshold. What a
claim says is harder to compare, so that every sign of a changed one is only evidence: each kind has a score too, but
all of it is weighed together, and the score "claims" decides. Rules on words only, without a model. What they cannot
see is listed in `facts`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

from .facts.alignment import Alignment, align
from .facts.bindings import swapped_names, swapped_numbers
from .facts.claims import Coverage, compare_claims, is_cut_off
from .facts.date_match import compare_dates
from .facts.doubt import KINDS, doubt
from .facts.evidence import Evidence
from .facts.languages import foreign_share
from .facts.meta_text import markup, meta_text
from .facts.name_match import compare_names
from .facts.number_match import compare_numbers
from .facts.order import compare_order
from .facts.polarity import compare_polarity
from .facts.quantifiers import compare_quantifiers
from .facts.reading import Facts, read_facts
from .facts.repetition import compare_repetition
from .facts.sides import compare_sides
from .facts.substitution import compare_copied, copied_share

_SHOWN = 5  # reasons of one check


@dataclass(frozen=True)
class Thresholds:
    """What each score that decides must reach; set on development pairs, with no held-out pair looked at.

    Attributes:
        numbers: share of both texts' numbers that the other one has.
        units: the same of the units and bounds ("more than") of numbers that both have.
        dates: share of both texts' dates that the other one has.
        length: shorter by longer, in words, of the two texts.
        repetition: 1 less the share of the rewriting in runs of words that it repeats and its source does not.
        doubled: 1 less the share of its sentences that stand there twice and in its source do not.
        language: share of the rewriting in the script and language of its source.
        meta_text: 1, or 0 where it speaks of itself, refuses, or has markup that its source has not.
        whole: 1, or 0 where it breaks off within a sentence.
        content_recall: share of the source's content words that the rewriting covers, sentence by sentence.
        content_support: share of the rewriting's content words that the source supports.
        claims: 1 less the probability that the rewriting says something else, by all evidence; see `facts.doubt`.
        similarity: of the two texts, where a measure of it is given: a floor only, since a swapped number changes
            nothing in an embedding.
    """

    numbers: float = 1.0
    units: float = 1.0
    dates: float = 1.0
    length: float = 0.45
    repetition: float = 0.9
    doubled: float = 1.0
    language: float = 0.97
    meta_text: float = 1.0
    whole: float = 1.0
    content_recall: float = 0.15
    content_support: float = 0.15
    claims: float = 0.5
    similarity: float = 0.5

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 <= value <= 1:
                raise ValueError(f"{one.name} must be in [0, 1]; got {value!r}. At 0 its check never fails.")


DEFAULT = Thresholds()


@dataclass(frozen=True)
class Fidelity:
    """The verdict on a rewriting.

    Attributes:
        faithful: whether every score that has a threshold reached it and the judge, where there is one, did not object.
        scores: of each check, in [0, 1]; those of evidence are 1 less its strength and only "claims" decides by them;
            "similarity" and "judge" where they were asked.
        reasons: one sentence for each thing that is wrong; empty where it is faithful.
    """

    faithful: bool
    scores: dict[str, float]
    reasons: list[str]


Found = tuple[float, list[str]]


def check_fidelity(
    source: str,
    rewritten: str,
    *,
    thresholds: Thresholds = DEFAULT,
    similarity: Callable[[str, str], float] | None = None,
    judge: Callable[[str, str], bool | None] | None = None,
) -> Fidelity:
    """Return whether a rewriting still says what its source says, with each check's score and the reasons.

    Words and names are read as English. Of a source in another language, numbers, dates in digits, length, repetition,
    language, markup and similarity still hold; the other checks find little to compare and rarely object.

    Args:
        source: the text.
        rewritten: the rewriting.
        thresholds: what each score must reach.
        similarity: of two texts, in [-1, 1], such as the cosine of their embeddings; a negative one scores 0.
        judge: whether the rewriting is faithful: True, False, or None where it cannot tell, which counts for nothing.
            Asked only where all else is well. What it raises is no verdict and is not caught.

    Raises:
        ValueError: similarity returned something outside [-1, 1].
    """
    if not source.strip() or not rewritten.strip():
        same = not source.strip() and not rewritten.strip()
        return Fidelity(same, {"length": float(same)}, [] if same else [_empty(source)])
    ours, theirs = read_facts(source), read_facts(rewritten)
    alignment = align(ours, theirs)
    coverage = compare_claims(alignment)
    signs = evidence(ours, theirs, alignment, coverage)
    found = {
        **_numbers(ours, theirs),
        **_form(ours, theirs),
        **_content(coverage),
        "claims": _claims(signs, ours, theirs),
    }
    if similarity is not None:
        found["similarity"] = _similarity(similarity(source, rewritten))
    scores = {name: score for name, (score, _) in found.items()}
    failed = [name for name, score in scores.items() if score < getattr(thresholds, name)]
    reasons = [reason for name in failed for reason in found[name][1][:_SHOWN]]
    scores.update((name, 1 - strength) for name, strength in strengths(signs).items())
    if not failed and judge is not None:
        verdict = judge(source, rewritten)
        if verdict is not None:
            scores["judge"] = float(verdict)
            reasons = [] if verdict else ["The judge finds that the rewriting does not say what the source says."]
    return Fidelity(not failed and not reasons, scores, reasons)


def _empty(source: str) -> str:
    return "The source is empty and the rewriting is not." if not source.strip() else "The rewriting is empty."


def _numbers(ours: Facts, theirs: Facts) -> dict[str, Found]:
    numbers, dates = compare_numbers(ours, theirs), compare_dates(ours, theirs)
    missing = [f'The number "{ours.text.quote(n.first, n.last)}" of the source is missing.' for n in numbers.missing]
    novel = [f'The number "{theirs.text.quote(n.first, n.last)}" is not in the source.' for n in numbers.novel]
    changed = [
        f'"{ours.text.quote(a.first, a.last)}" of the source has become "{theirs.text.quote(b.first, b.last)}".'
        for a, b in numbers.units
    ]
    changed += [
        f'"{ours.text.quote(max(a.first - 2, 0), a.last)}" of the source has become '
        f'"{theirs.text.quote(max(b.first - 2, 0), b.last)}".'
        for a, b in numbers.bounds
    ]
    gone = [f"The date {date} of the source is missing." for date in dates.missing]
    come = [f"The date {date} is not in the source." for date in dates.novel]
    return {
        "numbers": (numbers.score, missing + novel),
        "units": (numbers.unit_score, changed),
        "dates": (dates.score, gone + come),
    }


def evidence(ours: Facts, theirs: Facts, alignment: Alignment, coverage: Coverage) -> list[Evidence]:
    """Return all signs that a rewriting says something else, numbers, dates and form left out."""
    names = compare_names(ours, theirs)
    found = [
        *swapped_numbers(ours, theirs),
        *swapped_names(ours, theirs),
        *compare_polarity(ours, theirs, alignment),
        *compare_sides(ours, theirs, alignment),
        *compare_quantifiers(ours, theirs, alignment),
        *compare_order(ours, theirs, alignment),
        *compare_copied(ours, theirs),
    ]
    for sentence, strength in coverage.dropped:
        reason = f'The source\'s "{ours.text.quote_sentence(sentence)}" is missing.'
        found.append(Evidence("dropped", strength, reason))
    for sentence, strength in coverage.invented:
        found.append(Evidence("invented", strength, f'"{theirs.text.quote_sentence(sentence)}" is not in the source.'))
    for name in names.novel:
        found.append(Evidence("novel", 1.0, f'The name "{name}" is not in the source.'))
    for name in names.missing:
        found.append(Evidence("missing", 1 - names.recall, f'The name "{name}" of the source is missing.'))
    return found


def strengths(signs: list[Evidence]) -> dict[str, float]:
    """Return the strength of the strongest evidence of each score, 0 without any."""
    strongest: dict[str, float] = {}
    for sign in signs:
        strongest[sign.kind] = max(sign.strength, strongest.get(sign.kind, 0.0))
    return {name: max(strongest.get(kind, 0.0) for kind in kinds) for name, kinds in KINDS.items()}


def _claims(signs: list[Evidence], ours: Facts, theirs: Facts) -> Found:
    clearest = sorted(signs, key=lambda sign: -sign.strength)
    return 1 - doubt(strengths(signs), copied_share(ours, theirs)), list(dict.fromkeys(s.reason for s in clearest))


def _content(coverage: Coverage) -> dict[str, Found]:
    return {
        "content_recall": (coverage.recall, [f"Only {coverage.recall:.0%} of the source's content is left."]),
        "content_support": (coverage.support, [f"Only {coverage.support:.0%} of the rewriting is in the source."]),
    }


def _form(ours: Facts, theirs: Facts) -> dict[str, Found]:
    source, rewritten = ours.text, theirs.text
    lengths = sorted(sum(token.kind != "mark" for token in text.tokens) for text in (source, rewritten))
    length = lengths[0] / lengths[1] if lengths[1] else 1.0
    repeated, twice = compare_repetition(ours, theirs)
    foreign, language = foreign_share(source.raw, [rewritten.quote(s[0], s[-1]) for s in rewritten.sentences])
    words, marks = meta_text(source.raw, rewritten.raw), markup(source.raw, rewritten.raw)
    about = [f'"{words}" speaks of the rewriting, not of the subject.'] if words else []
    about += [f"The rewriting has {name}, which the source has not." for name in marks]
    is_cut = is_cut_off(ours, theirs)
    return {
        "whole": (float(not is_cut), [f'The rewriting breaks off: "... {rewritten.raw.rstrip()[-40:]}"']),
        "length": (length, [f"One text has {lengths[1]} words, the other {lengths[0]}."]),
        "repetition": (1 - repeated, [f"{repeated:.0%} of the rewriting repeats itself."]),
        "doubled": (
            _less(len(twice), len(rewritten.sentences)),
            [f'The rewriting says "{rewritten.quote_sentence(i)}" more than once.' for i in twice],
        ),
        "language": (1 - foreign, [f"{foreign:.0%} of the rewriting is not in the source's language: {language}."]),
        "meta_text": (0.0 if about else 1.0, about),
    }


def _similarity(value: float) -> Found:
    if not -1.001 <= value <= 1.001:
        raise ValueError(f"similarity must return a number in [-1, 1]; it returned {value!r}.")
    return min(max(value, 0.0), 1.0), [f"The similarity of the texts is {value:.3f}."]


def _less(count: int, of: int) -> float:
    return max(0.0, 1 - count / max(of, count, 1))
