"""Text about the rewriting instead of the rewriting: announcements, refusals, notes, markup that the source has not."""

import re

_START = 240  # characters in which announcements and refusals are looked for

_REWRITING = (
    r"(?:re-?writ\w*|re-?phras\w*|para-?phras\w*|re-?word\w*|summar\w*|version|text|passage|paragraph|article|translation"
    r"|answer|response|result|output|excerpt|story)"
)
_OPENINGS = re.compile(
    rf"""^\W*(?:
      (?:sure|certainly|of\ course|absolutely|okay|ok|great|no\ problem|gladly|alright|understood
        |happy\ to\ help)\b\s*[,!.:—-]
    | (?:sure\ thing|i'?d\ be\ (?:happy|glad)|i\ would\ be\ (?:happy|glad)|i\ can\ (?:certainly\ )?help
        |let\ me\ (?:help|{_REWRITING}))\b
    | (?:here(?:'s|\ is|\ are|\ you\ go)|below\ is|below\ are
        |the\ following\ is)\b[^.\n]{{0,90}}\b{_REWRITING}\b[^.\n]{{0,60}}[:.\n]
    | this\ is\ (?:a|the|my)\ (?:re-?writ|re-?phras|paraphras|re-?word|summar|revis)\w*
    | (?:the\ )?(?:re-?written|re-?phrased|paraphrased|revised|reworded|simplified
        |updated)\ (?:\w+\ )?{_REWRITING}\s*\**\s*[:\n-]
    | (?:re-?writ\w*|re-?phras\w*|paraphras\w*|summary|revision|answer|response|output|translation|assistant
        |user|system|human|ai)\s*:
    | in\ (?:summary|short|other\ words)\W+the\ (?:passage|text|article|author|paragraph)\b
    | (?:the|this)\ (?:passage|text|paragraph|excerpt|given\ text|provided\ text)\ (?:describes|discusses
        |explains|is\ about|talks|provides|states|says|presents|outlines|mentions|highlights|above|below)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_REFUSALS = re.compile(
    r"""\b(?:
      as\ an?\ (?:ai|artificial\ intelligence|large\ language\ model|language\ model|assistant)\b
    | i(?:\ a|')m\ (?:just\ |only\ )?an?\ (?:ai|language\ model|assistant|large)\b
    | i(?:'m|\ am)\ (?:sorry|afraid|unable|not\ able)\b[^.\n]{0,60}\b(?:can(?:'t|not)|unable|not|but
        |to\ (?:help|assist|rewrite|rephrase|process|fulfil))\b
    | i\ (?:can(?:'t|\ ?not)|won't|will\ not|do\ not|don't|could\ not|couldn't)\ (?:help|assist|rewrite
        |re-?phrase|paraphrase|fulfil|comply|provide|process|complete|do\ that|continue|see\ any
        |have\ (?:access|enough))\b
    | i\ must\ (?:decline|refuse)\b
    | (?:please|kindly)\ (?:provide|share|paste|supply|give)\ (?:me\ )?(?:with\ )?(?:the|a|your|more
        |some)\ (?:\w+\ )?(?:text|passage|paragraph|content|article|information|context|document|details)\b
    | (?:no|without\ any)\ (?:text|passage|content)\ (?:was|has\ been|is)\ (?:provided|given)\b
    | (?:against|violates?|violating)\ (?:my|our|the)\ (?:\w+\ )?(?:guidelines|policy|policies|programming)\b
    | apologi[sz]e,?\ but\b
    | my\ (?:training\ data|knowledge\ cutoff|knowledge\ cut-off)\b
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_NOTES = re.compile(
    r"""(?:
      \blet\ me\ know\ (?:if|whether|how|what)\b
    | \b(?:i\ hope|hope)\ (?:this|that|it)\ (?:\w+\ )?(?:helps|works|is\ helpful|meets|was\ helpful)\b
    | \bfeel\ free\ to\ (?:ask|let|reach|adjust|modify|contact)\b
    | \b(?:would|do)\ you\ (?:like|want|need)\ (?:me|any|another|more)\b
    | \bis\ there\ anything\ else\b
    | (?:^|\n)\W{0,6}(?:note|n\.b|disclaimer|explanation|changes(?:\ made)?|key\ changes|comment
        |please\ note)\W{0,3}:\W
    | \b(?:in\ this|the|this|my)\ (?:re-?writ\w+|re-?phras\w+|paraphras\w+|rewording
        |revised\ version)(?:\ \w+)?\ (?:is|are|has|have|keeps?|maintains?|preserves?|retains?|uses?|aims?
        |conveys?|of\ the\ (?:passage|text|original))\b
    | \b(?:i(?:'ve|\ have)?\ (?:re-?written|re-?wrote|re-?phrased|paraphrased|reworded|simplified)\ (?:the|this
        |it|your))\b
    | \b(?:the|this)\ (?:original|source|given|provided|above|input)\ (?:text|passage|paragraph)\b
    | \b(?:while|by)\ (?:preserving|keeping|maintaining|retaining)\ (?:all\ )?(?:the\ )?(?:original\ )?(?:facts
        |meaning|information|content)\b
    | \[\s*(?:end|insert|continued?|your|the\ rest|rest|note|text|\.\.\.|…)\b[^\]\n]*\]
    | \b(?:word\ count|total\ words)\s*:
    | <\|[^|>\n]{1,40}\|> | \[/?INST\] | </?s> | </?think> | \#\#\#\ (?:instruction|response|input)
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_MARKUP = {
    "an HTML tag": re.compile(r"</?(?:[a-z][a-z0-9]{0,11})(?:\s[^<>\n]{0,200})?/?>", re.IGNORECASE),
    "a code fence": re.compile(r"```|~~~"),
    "bold or italic marks": re.compile(r"\*\*[^*\n]+\*\*|(?<![\w*])\*[^\s*][^*\n]*\*(?![\w*])|__[^_\n]+__"),
    "a heading mark": re.compile(r"^\s{0,3}#{1,6}\s+\S|^[=-]{4,}\s*$", re.MULTILINE),
    "list marks": re.compile(r"^[ \t]*[-*•+][ \t]+\S.*\n+[ \t]*[-*•+]\s+\S", re.MULTILINE),
    "list numbers": re.compile(r"^[ \t]*\d{1,2}[.)][ \t]+\S.*\n+(?:.*\n+)?[ \t]*\d{1,2}[.)]\s+\S", re.MULTILINE),
    "a link mark": re.compile(r"\[[^\]\n]+\]\([^)\n]+\)|\[\[[^\]\n]+\]\]"),
    "table marks": re.compile(r"^[ \t]*\|.*\|[ \t]*$", re.MULTILINE),
    "braces of data": re.compile(r'^\s*[{\[]\s*(?:"[^"\n]+"\s*[:,]|\{)'),
    "an HTML entity": re.compile(r"&(?:[a-z]{2,8}|#\d{2,5});", re.IGNORECASE),
    "LaTeX commands": re.compile(r"\\(?:begin|end|section|textbf|textit|emph|item|frac|text)\b"),
    "wiki templates": re.compile(r"\{\{[^}\n]*\}\}|'''[^'\n]+'''"),
}


def meta_text(source: str, rewritten: str) -> str:
    """Return the first words that speak of the rewriting, refuse it or address the reader of a chat; "" without any.

    Where the source speaks in the same way, nothing is meant.
    """
    found = _OPENINGS.search(rewritten[:_START])
    if found and not _OPENINGS.search(source[:_START]):
        return _quote(found[0])
    for pattern in (_REFUSALS, _NOTES):
        match = pattern.search(rewritten)
        if match and not pattern.search(source):
            return _quote(match[0])
    return ""


def markup(source: str, rewritten: str) -> list[str]:
    """Return the kinds of markup that the rewriting has and its source has not."""
    return [name for name, marks in _MARKUP.items() if marks.search(rewritten) and not marks.search(source)]


def _quote(words: str) -> str:
    return " ".join(words.split())[:60]
