"""What a message must name, whatever its words are."""

import re


def naming(*parts: object) -> str:
    """Return a pattern for `match=`: the message holds every part, in any order, each as a whole word or number."""

    def held(part: str) -> str:
        before = r"(?<!\w)" if re.match(r"\w", part) else ""
        after = r"(?!\w)" if re.search(r"\w$", part) else ""
        return f"(?=.*{before}{re.escape(part)}{after})"

    assert parts
    assert all(str(part) for part in parts)
    return "(?s)^" + "".join(held(str(part)) for part in parts)
