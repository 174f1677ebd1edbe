"""Which language a text is in, as far as a gate needs it: whether part of a rewriting left the language of its source.

By scripts, and for Latin script by words that are frequent in one language and hardly there in others.
"""

import re
from collections import Counter

_FREQUENT = {
    "English": """the of and to in is was for that with as by on are were from at which his it be this had an not
        have but""",
    "German": """der die das und ist nicht ein eine einer den dem des mit von zu auf für im sich auch wurde als bei nach
        wird sind dass oder um aus über hat war durch sie er es zur zum""",
    "French": """le la les des et est une un du dans que qui pour pas sur au aux avec ce cette par il elle ont sont été
        était plus ses leur mais nous vous l'on dont c'est d'un d'une qu'il""",
    "Spanish": """el los las del y que en una un por con para es su se al lo como más fue pero sus era son este esta
        entre
        cuando también sobre ha desde la de""",
    "Italian": """il lo gli della del di che e un una per con non è sono nel nella dei delle alla da si come più
        anche fu
        era suo sua ma dal al degli questo""",
    "Portuguese": """o os das dos do da e que em um uma para com não por foi mais como ao na no se sua seu são pelo
        pela à é
        também entre quando ele ela era""",
    "Dutch": """het een van en de is dat op te zijn voor met niet aan er om ook als bij door naar uit werd wordt over
        maar heeft hij zij ze dit deze was""",
    "Swedish": """och att det som en på är av för med den till inte ett om har var från de så kan vid under efter eller
        han hon""",
    "Polish": """i w na z do się nie jest że to o od po przez jak dla jego oraz był była ale przy który która być
        jako ze""",
    "Turkish": "ve bir bu da de için ile olarak olan daha gibi en çok kadar sonra ise olduğu  değil ancak",
    "Indonesian": """yang dan di dari untuk dengan pada ini itu dalam adalah tidak ke oleh sebagai juga telah akan atau
        mereka""",
    "Romanian": "și în de la cu pe din este nu care o un sau mai pentru prin sunt fost ale lui după",
}  # fmt: skip
_WORDS = {language: frozenset(words.split()) for language, words in _FREQUENT.items()}
_LETTERS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SCRIPTS = (
    ("Latin", re.compile(r"[A-Za-zÀ-ɏ]")),
    ("Cyrillic", re.compile(r"[Ѐ-ӿ]")),
    ("Greek", re.compile(r"[Ͱ-Ͽ]")),
    ("Arabic", re.compile(r"[؀-ۿ]")),
    ("Hebrew", re.compile(r"[֐-׿]")),
    ("Devanagari", re.compile(r"[ऀ-ॿ]")),
    ("Han", re.compile(r"[一-鿿]")),
    ("Kana", re.compile(r"[぀-ヿ]")),
    ("Hangul", re.compile(r"[가-힣]")),
    ("Thai", re.compile(r"[฀-๿]")),
)
_LEAST_WORDS = 3
_OWN = {
    language: words - frozenset().union(*(other for name, other in _WORDS.items() if name != language))
    for language, words in _WORDS.items()
}


def scripts(raw: str) -> dict[str, int]:
    """Return how many letters of each script a text has."""
    if raw.isascii():
        return {"Latin": len(raw)}
    return {name: count for name, letters in _SCRIPTS if (count := len(letters.findall(raw)))}


def language_of(raw: str) -> str:
    """Return the language whose frequent words a text in Latin script has most of, or "" where there are too few."""
    said = Counter(_LETTERS.findall(raw.lower()))
    counts = Counter({name: sum(said[word] for word in words & said.keys()) for name, words in _WORDS.items()})
    (language, most), (_, second) = counts.most_common(2)
    return language if most >= _LEAST_WORDS and most > second else ""


def foreign_share(source: str, rewritten: list[str]) -> tuple[float, str]:
    """Return which share of some pieces of text has left the scripts and the language of their source, and for which.

    A piece in Latin script has left its language where words of another one are more than those of its own, and at
    least two; a single word or a quotation makes no difference.
    """
    home = language_of(source)
    allowed = scripts(source)
    own_script = max(allowed, key=allowed.__getitem__, default="")
    letters = foreign = 0
    where = ""
    for piece in rewritten:
        found = scripts(piece)
        size = sum(found.values())
        letters += size
        outside = {name: n for name, n in found.items() if name != own_script and n > 2 * allowed.get(name, 0)}
        if outside and max(outside.values()) >= 4:
            foreign += sum(outside.values())
            where = where or max(outside, key=outside.__getitem__)
        elif home and (other := _other_language(piece, home, source)):
            foreign += size
            where = where or other
    return (foreign / letters if letters else 0.0), where


def _other_language(piece: str, home: str, source: str) -> str:
    words = _LETTERS.findall(piece.lower())
    different = frozenset(words)
    best, name = max((len(other & different), language) for language, other in _OWN.items() if language != home)
    if best < 2 or best <= len(_WORDS[home] & different) or best < len(words) / 12:
        return ""
    return "" if piece.strip() in source else name
