"""Whether a rewriting still says what its source says.

    fidelity = check_fidelity(source, rewritten)
    if not fidelity.faithful:
        print(fidelity.reasons)  # ['The number 47 of the source is missing.']

Each check gives a score in [0, 1] and, where it is below its threshold, a sentence that names what it found. All checks
are made on every pair; rules on words only, without a model. What they cannot see is listed in `facts`.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

from .facts.alignment import Alignment, align
from .facts.bindings import swapped_names, swapped_numbers
from .facts.claims import compare_claims, is_cut_off
from .facts.date_match import compare_dates
from .facts.languages import foreign_share
from .facts.meta_text import markup, meta_text
from .facts.name_match import compare_names
from .facts.number_match import compare_numbers
from .facts.order import compare_order
from .facts.polarity import compare_polarity
from .facts.quantifiers import compare_quantifiers
from .facts.reading import Facts, read_facts
from .facts.repetition import compare_repetition

_SHOWN = 5  # reasons of one check


@dataclass(frozen=True)
class Thresholds:
    """What each score must reach; set on rewritings by hand and their corruptions, with no held-out pair looked at.

    Scores that count contradictions are 1 without any, so that 1 means "none".

    Attributes:
        numbers: share of both texts' numbers that the other one has.
        units: the same of the units and bounds ("more than") of numbers that both have.
        dates: share of both texts' dates that the other one has.
        number_places: 1 less the share of the rewriting's numbers that stand where the source has another one.
        entities_recall: share of the source's names that the rewriting mentions; below 1, as lists are summarised.
        entities_novelty: share of the rewriting's names that the source has.
        roles: 1 less the share of the rewriting's names that stand where the source has another one.
        polarity: 1 less the share of its sentences that say the opposite.
        quantifiers: the same of those where "all" has become "some" and the like.
        order: the same of those whose events come in another order.
        length: shorter by longer, in words, of the two texts.
        repetition: 1 less the share of the rewriting in runs of words that it repeats and its source does not.
        doubled: 1 less the share of its sentences that stand there twice and in its source do not.
        language: share of the rewriting in the script and language of its source.
        meta_text: 1, or 0 where it speaks of itself, refuses, or has markup that its source has not.
        content_recall: share of the source's content words that the rewriting covers, sentence by sentence.
        content_support: share of the rewriting's content words that the source supports.
        complete: 1, less what dropped sentences and a cut end weigh.
        grounded: 1 less the share of its sentences that say what the source does not.
        similarity: of the two texts, where a measure of it is given: a floor only, since a swapped number changes
            nothing in an embedding.
    """

    numbers: float = 1.0
    units: float = 1.0
    dates: float = 1.0
    number_places: float = 1.0
    entities_recall: float = 0.5
    entities_novelty: float = 1.0
    roles: float = 1.0
    polarity: float = 1.0
    quantifiers: float = 1.0
    order: float = 1.0
    length: float = 0.45
    repetition: float = 0.9
    doubled: float = 1.0
    language: float = 0.97
    meta_text: float = 1.0
    content_recall: float = 0.15
    content_support: float = 0.15
    complete: float = 1.0
    grounded: float = 1.0
    similarity: float = 0.5

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if not 0 <= value <= 1:
                raise ValueError(f"{one.name} must be in [0, 1]; got {value!r}. At 0 its check never fails.")


DEFAULT = Thresholds()
_DROPPED, _INVENTED = 0.38, 0.33  # of the share that is usual in a pair: see `compare_claims`


@dataclass(frozen=True)
class Fidelity:
    """The verdict on a rewriting.

    Attributes:
        faithful: whether every check reached its threshold and the judge, where there is one, did not object.
        scores: of each check, in [0, 1]; "similarity" and "judge" where they were asked.
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
    found = {
        **_numbers(ours, theirs),
        **_entities(ours, theirs),
        **_claims(ours, theirs, align(ours, theirs)),
        **_form(ours, theirs),
    }
    if similarity is not None:
        found["similarity"] = _similarity(similarity(source, rewritten))
    scores = {name: score for name, (score, _) in found.items()}
    failed = [name for name, score in scores.items() if score < getattr(thresholds, name)]
    reasons = [reason for name in failed for reason in found[name][1][:_SHOWN]]
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
    swapped = swapped_numbers(ours, theirs)
    return {
        "numbers": (numbers.score, missing + novel),
        "units": (numbers.unit_score, changed),
        "dates": (dates.score, gone + come),
        "number_places": (_less(len(swapped), len(theirs.numbers) + len(theirs.dates)), swapped),
    }


def _entities(ours: Facts, theirs: Facts) -> dict[str, Found]:
    names = compare_names(ours, theirs)
    swapped = swapped_names(ours, theirs)
    return {
        "entities_recall": (names.recall, [f'The name "{name}" of the source is missing.' for name in names.missing]),
        "entities_novelty": (names.novelty, [f'The name "{name}" is not in the source.' for name in names.novel]),
        "roles": (_less(len(swapped), len(theirs.names)), swapped),
    }


def _claims(ours: Facts, theirs: Facts, alignment: Alignment) -> dict[str, Found]:
    sentences = len(theirs.text.sentences)
    turned = compare_polarity(ours, theirs, alignment)
    quantified = compare_quantifiers(ours, theirs)
    reordered = compare_order(ours, theirs, alignment)
    coverage = compare_claims(alignment, _DROPPED, _INVENTED)
    dropped = [f'The source\'s "{ours.text.quote_sentence(i)}" is missing.' for i, _ in coverage.dropped]
    if is_cut_off(ours, theirs):
        dropped.append(f'The rewriting breaks off: "... {theirs.text.raw.rstrip()[-40:]}"')
    invented = [f'"{theirs.text.quote_sentence(i)}" is not in the source.' for i, _ in coverage.invented]
    return {
        "polarity": (_less(len(turned), sentences), turned),
        "quantifiers": (_less(len(quantified), sentences), quantified),
        "order": (_less(len(reordered), sentences), reordered),
        "content_recall": (coverage.recall, [f"Only {coverage.recall:.0%} of the source's content is left."]),
        "content_support": (coverage.support, [f"Only {coverage.support:.0%} of the rewriting is in the source."]),
        "complete": (_less(len(dropped), len(ours.text.sentences)), dropped),
        "grounded": (_less(len(invented), sentences), invented),
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
    return {
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
