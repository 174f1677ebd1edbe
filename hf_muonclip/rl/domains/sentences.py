"""Where sentences end, without data to load."""

import re

# After a full stop, question or exclamation mark, closing quotes and brackets included, if space follows; after the
# marks of Chinese and Japanese even without space.
_CLOSING = "\"')]*_\u201d\u2019\u00bb\u300d\u300f\uff09"
_END = re.compile(rf"(?<=[.!?\u2026])[{re.escape(_CLOSING)}]*\s+|(?<=[\u3002\uff01\uff1f])[{re.escape(_CLOSING)}]*")
# Abbreviations whose full stop ends no sentence.
_ABBREVIATION = re.compile(r"(?:^|[\s(])(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|cf|approx|No|Fig|Eq|[A-Z])\.$")


def sentences(text: str) -> list[str]:
    """Return the sentences of a text in order, without surrounding space.

    The end of a line ends a sentence, so that list items and headings are separate sentences. Pieces without a letter
    or digit are left out.
    """
    found: list[str] = []
    for line in text.splitlines():
        begun, start = "", 0
        for end in [*_END.finditer(line), None]:
            stop = len(line) if end is None else end.start()
            piece = line[start:stop]
            closing = "" if end is None else end.group().rstrip()
            begun += piece + closing
            start = len(line) if end is None else end.end()
            if end is not None and _ABBREVIATION.search(begun[-20:]):
                begun += " "
                continue
            if any(map(str.isalnum, begun)):
                found.append(begun.strip())
            begun = ""
    return found
