"""What must stay in one piece is found, and nothing else."""

import pytest

from hf_muonclip.synth.markup import protected_spans


def found(text: str) -> list[tuple[str, bool]]:
    return [(text[span.start : span.stop], span.block) for span in protected_spans(text)]


@pytest.mark.parametrize(
    ("text", "block"),
    [
        ("A.\n\n```\nx\n\n# y\n```\n\nB.", "```\nx\n\n# y\n```\n"),
        ("A.\n```py\nx\n```\nB.", "```py\nx\n```\n"),
        ("A.\n\n~~~ a\n```\n~~~\nB.", "~~~ a\n```\n~~~\n"),
        ("````\n```\n````\nB.", "````\n```\n````\n"),
        ("A.\r\n\r\n```\r\nx\r\n```\r\nB.", "```\r\nx\r\n```\r\n"),
        ("A.\r\r```\rx\r```\rB.", "```\rx\r```\r"),
        ("A.\n\n```\nnever closed\n\nB.", "```\nnever closed\n\nB."),
        ("> ```\n> x\n> ```\nB.", "> ```\n> x\n> ```\n"),
        ("> ```\n> x\nB.", "> ```\n> x\n"),
        ("- ```\n  x\n  ```\nB.", "- ```\n  x\n  ```\n"),
        ("\ufeff```\nx\n```", "```\nx\n```"),
        ("A.\n\n<table>\n\n<tr></tr></table>\nB.", "<table>\n\n<tr></tr></table>\n"),
        ("<table><tr><TABLE></TABLE></tr></table> B.", "<table><tr><TABLE></TABLE></tr></table>"),
        ("A.\n<pre>\n\n$x$</pre>", "<pre>\n\n$x$</pre>"),
        ("A.\n$$\nx\n$$\nB.", "$$\nx\n$$\n"),
        ("A.\n  $$x$$ ,\nB.", "  $$x$$ ,\n"),
        ("A.\n\\[ x \\]\nB.", "\\[ x \\]\n"),
        (
            "A.\n\\begin{a}\n\n\\begin{a}\\end{b}\\end{a} \\end{a}.",
            "\\begin{a}\n\n\\begin{a}\\end{b}\\end{a} \\end{a}.",
        ),
        ("A.\n<!-- x\n\ny -->\nB.", "<!-- x\n\ny -->\n"),
    ],
)
def test_blocks(text: str, block: str) -> None:
    assert found(text) == [(block, True)]


@pytest.mark.parametrize(
    "inline",
    [
        "$x$",
        "$a. B$",
        "$a\n b$",
        r"$\$5$",
        "$$x$$",
        "$$x\n- y$$",
        r"\(a. B\)",
        r"\[a. B\]",
        r"\begin{cases} a \end{cases}",
        "`a. B`",
        "``a ` b``",
        "[a. B](c d)",
        "[a](b_(c)_d)",
        "<a title='B. C'>",
        "<!-- B. C -->",
        "https://a.b/c,d",
        "ftp://a.b",
    ],
)
def test_parts_of_lines(inline: str) -> None:
    assert found(f"Say {inline} here.") == [(inline, False)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It cost $5 and then $10 more.",
        "From $5 to $10, US$20 or A$30",
        r"Costs \$5 and \$6.",
        "A $$ sign\n\nand $$ another",
        "one ` backtick\n\nanother `",
        r"\begin{document} A. \end{document}",
        r"\begin{never} closed",
        r"\end{never} opened",
        "< table> never closed",
        "a < b and c > d",
        "[a] (b)",
        "Title\n~~~~~\n\nText.",
        "x ``` y",
        "~ ~~ ~",
    ],
)
def test_nothing_is_opened(text: str) -> None:
    assert found(text) == []


def test_marks_inside_of_others_open_nothing() -> None:
    assert found("```\n$$ `\n```\nSay `$` and `$` and $$x$$ now.") == [
        ("```\n$$ `\n```\n", True),
        ("`$`", False),
        ("`$`", False),
        ("$$x$$", False),
    ]


def test_an_address_in_japanese_ends_at_its_punctuation() -> None:
    assert found("\u4f8b\u306fhttps://a.b/\u65e5\u672c\u3002\u6b21") == [("https://a.b/\u65e5\u672c", False)]
