"""Announcements, refusals, notes, markup, repetition and other languages are found where the source has none."""

import pytest

from hf_muonclip.synth.facts.languages import foreign_share, language_of
from hf_muonclip.synth.facts.meta_text import markup, meta_text
from hf_muonclip.synth.facts.reading import read_facts
from hf_muonclip.synth.facts.repetition import compare_repetition, repeated_share

SOURCE = "The lake lies north of the city and is fed by two rivers. It is deep, cold and rich in fish of many kinds."
REWRITTEN = "Fed by two rivers, the lake lies north of the city. It is cold and deep, with many kinds of fish."


@pytest.mark.parametrize(
    "text",
    [
        "Here is the rewritten passage: " + REWRITTEN,
        "Here's a rephrased version of the text:\n\n" + REWRITTEN,
        "Sure! " + REWRITTEN,
        "Sure, here you go:\n" + REWRITTEN,
        "Certainly! Here is the paraphrased text.\n" + REWRITTEN,
        "Of course. " + REWRITTEN,
        "Rewritten text: " + REWRITTEN,
        "Rewritten:\n" + REWRITTEN,
        "Summary: " + REWRITTEN,
        "Assistant: " + REWRITTEN,
        "Below is a revised version of the paragraph.\n" + REWRITTEN,
        "The passage describes a lake. " + REWRITTEN,
        "This text is about a lake. " + REWRITTEN,
        "**Rewritten Passage**\n" + REWRITTEN,
        REWRITTEN + " I hope this helps!",
        REWRITTEN + "\n\nLet me know if you need any changes.",
        REWRITTEN + "\n\nNote: I kept all of the facts.",
        REWRITTEN + "\n\nIs there anything else you need?",
        REWRITTEN + " Would you like me to shorten it?",
        REWRITTEN + " [end of text]",
        REWRITTEN + " The original text has two sentences.",
        REWRITTEN + "<|im_end|>",
        "I'm sorry, but I can't help with that.",
        "I cannot rewrite this text.",
        "As an AI language model, I have no opinion on lakes.",
        "As an AI, I cannot do this.",
        "I am unable to process the request.",
        "Please provide the text that you want me to rewrite.",
        "I can't assist with that request.",
        "Unfortunately, I do not have access to the document.",
    ],
)
def test_text_about_the_rewriting_is_found(text: str) -> None:
    assert meta_text(SOURCE, text)


@pytest.mark.parametrize(
    "text",
    [
        REWRITTEN,
        "Of the two rivers that feed the lake, none is long.",
        "Great lakes are deep. " + REWRITTEN,
        "Here is where the lake lies: north of the city.",
        "The article was published by the city.",
        "He said that he was sorry but had to leave.",
        "This is a lake north of the city.",
        "Note that the lake is deep.",
        "She asked him to let her know.",
    ],
)
def test_plain_text_is_no_text_about_the_rewriting(text: str) -> None:
    assert meta_text(SOURCE, text) == ""


def test_what_the_source_says_itself_is_no_text_about_the_rewriting() -> None:
    letter = "Sure! I hope this helps. Let me know if you come. As an AI I cannot help."
    assert meta_text(letter, letter) == ""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<p>The lake is deep.</p>", "an HTML tag"),
        ("The lake<br/>is deep.", "an HTML tag"),
        ("```\nThe lake is deep.\n```", "a code fence"),
        ("The **lake** is deep.", "bold or italic marks"),
        ("# The lake\n\nIt is deep.", "a heading mark"),
        ("- The lake is deep.\n- It is cold.", "list marks"),
        ("1. The lake is deep.\n2. It is cold.", "list numbers"),
        ("The [lake](http://lake.example) is deep.", "a link mark"),
        ('{"text": "The lake is deep."}', "braces of data"),
        ("The lake &amp; the city.", "an HTML entity"),
        ("| lake | depth |", "table marks"),
        ("The [[lake]] is deep.", "a link mark"),
    ],
)
def test_markup_that_the_source_has_not_is_found(text: str, kind: str) -> None:
    assert kind in markup(SOURCE, text)
    assert kind not in markup(text, text)


@pytest.mark.parametrize(
    "text", [SOURCE, REWRITTEN, "If a < b and c > d, x * y * z holds.", "It cost 5 - 6 pounds - no more."]
)
def test_plain_text_has_no_markup(text: str) -> None:
    assert markup(SOURCE, text) == []


def test_repetition_counts_only_beyond_the_source() -> None:
    once, twice = read_facts(SOURCE), read_facts(f"{SOURCE} {SOURCE}")
    assert repeated_share(once) == 0
    assert repeated_share(twice) == pytest.approx(0.5, abs=0.05)
    runs, sentences = compare_repetition(once, twice)
    assert runs == pytest.approx(0.5, abs=0.05)
    assert sentences == [0, 1]
    assert compare_repetition(twice, twice) == (0.0, [])


OTHER = {
    "German": "Der See liegt nördlich der Stadt und wird von zwei Flüssen gespeist, die aus dem Gebirge kommen.",
    "French": "Le lac se trouve au nord de la ville et il est alimenté par deux rivières qui viennent des montagnes.",
    "Spanish": "El lago está al norte de la ciudad y es alimentado por dos ríos que vienen de las montañas.",
    "Italian": "Il lago si trova a nord della città ed è alimentato da due fiumi che vengono dalle montagne.",
    "Portuguese": "O lago fica ao norte da cidade e é alimentado por dois rios que vêm das montanhas.",
    "Dutch": "Het meer ligt ten noorden van de stad en wordt gevoed door twee rivieren die uit de bergen komen.",
    "Cyrillic": "Озеро лежит к северу от города и питается двумя реками.",
    "Han": "湖位于城市以北，由两条河流供水。",  # noqa: RUF001
    "Greek": "Η λίμνη βρίσκεται βόρεια της πόλης.",  # noqa: RUF001
    "Arabic": "تقع البحيرة شمال المدينة ويغذيها نهران.",
}


@pytest.mark.parametrize("language", sorted(OTHER))
def test_sentences_in_another_language_are_found(language: str) -> None:
    english = SOURCE + " It has been a reserve since the war, and the people of the region are proud of that."
    share, where = foreign_share(english, [*english.split(". "), OTHER[language]])
    assert share > 0.05
    assert where == language
    assert foreign_share(OTHER[language], [OTHER[language]])[0] == 0
    assert foreign_share(english, [english, "He saw El Greco and the Arc de Triomphe de la Place."])[0] == 0


def test_languages_are_told_apart() -> None:
    assert language_of(OTHER["German"]) == "German"
    assert language_of(SOURCE) == "English"
    assert language_of("Xyz.") == ""
