"""Where sentences end in running text, without data to load."""

import re
from collections.abc import Iterator

_CLOSING = "\"')\\]*_\u201d\u2019\u00bb\u300d\u300f\uff09\u3011"
# White space that joins (no-break spaces) ends nothing. Chinese and Japanese write no space behind their marks.
_MARK = re.compile(
    rf"(?<![.!?\u2026])(?P<marks>[.!?\u2026]++)[{_CLOSING}]*+[^\S\u00a0\u2007\u202f]+"
    rf"|[\u3002\uff01\uff1f\uff61]++[{_CLOSING}]*+\s*"
)
_LONGEST_WORD = 24  # characters before a full stop that are looked at
_WORD = re.compile(r"[^\s(\[\"'\u201c\u2018\u00ab]*\Z")
_INITIALS = re.compile(r"(?:(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,2}|[^\W\d_])\Z")
_NUMBER_OF_ITEM = re.compile(r"[\r\n][ \t>]*\d{1,3}\Z")
# Titles and names; places and firms; between words; months and weekdays.
_ABBREVIATIONS = re.compile(
    r"(?:Mrs?|Ms|Mx|Dr|Prof|Ste?|Jr|Sr|Gen|Col|Maj|Capt|Cpt|Lt|Cmdr|Sgt|Rev|Fr|Hon|Gov|Sen|Rep|Pres|Messrs|Mme|Mlle|Hr"
    r"|Mt|Ave|Blvd|Rd|Univ|Dept|Inc|Ltd|Co|Corp|Bros"
    r"|vs|etc|cf|al|viz|resp|approx|ca|est|incl|excl|eds?|trans|esp|usw|bzw|vgl|evtl|ggf|sog"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Wed|Thu|Thurs?|Fri)\Z"
)
_BEFORE_NUMBERS = re.compile(
    r"(?:[Nn]os?|[Nn]r|[Vv]ols?|pp|[Ff]igs?|[Ee]qs?|[Ss]ecs?|[Cc]h|[Cc]hap|[Aa]rt|[Rr]efs?|[Ee]x|Abs|Bd|para|Tab|App|max"
    r"|min|avg|ver|Ps|Matt|Cor|Rom)\Z"
)


def sentence_ends(text: str) -> Iterator[int]:
    """Yield where each sentence of a text ends, behind the white space that follows it; not the end of the text.

    What is in doubt ends none: ellipses, initials, abbreviations, the number of a list's item, and a mark before a
    small letter. Decimals and addresses have no white space behind their points.
    """
    for found in _MARK.finditer(text):
        if found.end() < len(text) and not (found["marks"] and _goes_on(text, found)):
            yield found.end()


def _goes_on(text: str, found: re.Match[str]) -> bool:
    marks, following = found["marks"], text[found.end()]
    if following.islower() or (set(marks) <= {".", "\u2026"} and marks != "."):
        return True
    if marks != ".":
        return False
    before = text[max(found.start() - _LONGEST_WORD, 0) : found.start()]
    if found.start() <= _LONGEST_WORD:
        before = "\n" + before
    word = _WORD.search(before)
    last = word.group() if word else ""
    return (
        _ABBREVIATIONS.match(last) is not None
        or (following.isdigit() and _BEFORE_NUMBERS.match(last) is not None)
        or _INITIALS.match(last) is not None
        or _NUMBER_OF_ITEM.search(before) is not None
    )


def last_sentences(text: str, most: int) -> str:
    """Return the end of a text, at most so many characters, from where a sentence, a line or else a word begins."""
    if len(text) <= most:
        return text.strip()
    window = text[-most:] if most else ""
    begin = next(sentence_ends(window), None)
    if begin is None:
        gap = re.search(r"[\r\n]+", window) or re.search(r"\s+", window)
        begin = gap.end() if gap else 0
    return window[begin:].strip()
