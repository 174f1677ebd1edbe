"""if-verifiable's checkers: which instructions are refused, which cannot be checked here, what odd texts are worth."""

import random
import time
from typing import Any

import pytest
from instruction_arguments import ARGUMENTS, LEAST, OF_NLTK, REPLACED
from odd_completions import ODD

nltk = pytest.importorskip("nltk")
checks = pytest.importorskip("hf_muonclip.rl.domains.instruction_checks")


@pytest.fixture(autouse=True)
def _without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """No data of NLTK, whatever this machine has, and no download."""
    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(nltk, "download", lambda *_, **__: pytest.fail("downloads"))


def test_every_instruction_is_known_here() -> None:
    assert ARGUMENTS.keys() == checks.CHECKERS.keys()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_complete_arguments_pass_unless_nltk_lacks_data(name: str) -> None:
    state = random.getstate()
    found = checks.problem(name, {**ARGUMENTS[name], "a_column_of_others": None})
    assert random.getstate() == state
    if name in OF_NLTK:
        assert found[0] == checks.UNCHECKABLE
        assert "NLTK" in found[1]
    else:
        assert found is None


@pytest.mark.parametrize(("name", "argument"), [(name, key) for name, given in ARGUMENTS.items() for key in given])
def test_a_missing_argument_is_refused(name: str, argument: str) -> None:
    for missing in ({}, {argument: None}):
        given = {key: value for key, value in ARGUMENTS[name].items() if key != argument}
        kind, why = checks.problem(name, given | missing)
        assert kind == checks.REFUSED
        assert repr(argument) in why


@pytest.mark.parametrize(("name", "given"), REPLACED)
def test_an_argument_that_the_checker_replaces_is_refused(name: str, given: dict[str, Any]) -> None:
    state = random.getstate()
    assert checks.problem(name, given)[0] == checks.REFUSED
    assert random.getstate() == state


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("keywords:unheard_of", {}),
        ("", {}),
        ("punctuation:no_comma", None),
        ("punctuation:no_comma", [1]),
        ("punctuation:no_comma", {"num_words": 3}),
        ("custom:multiples", {"N": 3}),
        ("keywords:frequency", {"keyword": "bird", "frequency": 2, "relation": "about"}),
    ],
)
def test_what_is_no_instruction_is_refused(name: str, given: Any) -> None:
    assert checks.problem(name, given)[0] == checks.REFUSED


def test_a_keyword_that_is_no_regular_expression_cannot_be_checked() -> None:
    kind, why = checks.problem("keywords:frequency", {"keyword": "(", "frequency": 1, "relation": LEAST})
    assert kind == checks.UNCHECKABLE
    assert "error" in why


def test_whole_numbers_may_be_floats() -> None:
    given = {"num_bullets": 2.0}
    assert checks.problem("detectable_format:number_bullet_lists", given) is None
    assert checks.follows("detectable_format:number_bullet_lists", given, "* one\n* two")


@pytest.mark.parametrize(
    ("name", "text", "followed"),
    [
        ("language:response_language", "12345 678", False),
        ("language:response_language", "12345 678. " * 20, False),
        ("language:response_language", "Das ist ein ganz gew\u00f6hnlicher deutscher Satz.", True),
        ("language:response_language", "This is an ordinary sentence in English.", False),
        ("change_case:english_capital", "THIS IS AN ORDINARY SENTENCE IN ENGLISH.", True),
        ("change_case:english_capital", "This is an ordinary sentence in English.", False),
        ("change_case:english_capital", "DAS IST EIN GANZ GEW\u00d6HNLICHER DEUTSCHER SATZ.", False),
        ("change_case:english_capital", "12345", False),
        ("change_case:english_lowercase", "this is an ordinary sentence in english.", True),
        ("change_case:english_lowercase", "12345", False),
        ("format:quote_unquote", "1 + 1 = 2.", True),
        ("format:quote_unquote", 'He said "so"', False),
        ("format:quote_unquote", 'He said "so" and left.', True),
        ("custom:csv_quotes", '"StudentID"\t"Subject"\t"Grade"\t"Semester"\t"Score"\n\t\t\t\t\na\nb', False),
        ("detectable_format:json_format", "[" * 100_000, False),
        ("custom:csv_city", "ID,Country,City,Year,Count\n" + "a" * 200_000, False),
        ("custom:date_format_list", "9" * 5000, False),
    ],
)
def test_texts_that_a_checker_alone_would_judge_otherwise(name: str, text: str, followed: bool) -> None:
    assert checks.follows(name, ARGUMENTS[name], text) is followed


@pytest.mark.parametrize("text", ["I LIKE PASTA AND PIZZA", "yes, i can do that. yes, i can."])
def test_languages_do_not_depend_on_chance(text: str) -> None:
    name = "change_case:english_capital" if text.isupper() else "change_case:english_lowercase"
    assert len({checks.follows(name, {}, text) for _ in range(40)}) == 1


@pytest.mark.parametrize("name", [name for name in ARGUMENTS if name not in OF_NLTK])
def test_odd_texts_are_followed_or_not(name: str) -> None:
    for kind, text in ODD.items():
        began = time.process_time()
        followed, false, everything = checks.grade([name], [ARGUMENTS[name]], text)
        assert {type(value) for value in (*followed, *false, everything)} == {bool}, kind
        assert time.process_time() - began < 5, kind
    for blank in ("", " \n", "\u2003"):
        assert checks.grade([name], [ARGUMENTS[name]], blank) == ([False], [False], False)


def test_data_that_is_missing_when_a_text_is_graded_raises() -> None:
    with pytest.raises(LookupError):
        checks.grade(["words:start_verb"], [{}], "Go home.")


def test_grading_tells_what_is_followed_and_what_is_falsely_claimed() -> None:
    ids = ["punctuation:no_comma", "detectable_format:number_bullet_lists"]
    kwargs = [{}, {"num_bullets": 2}]
    assert checks.grade(ids, kwargs, "* a\n* b") == ([True, True], [False, False], False)
    assert checks.grade(ids, kwargs, "* a, b\n* c\nI used no commas and 2 bullet points.") == (
        [False, True],
        [True, False],
        False,
    )
    assert checks.grade(ids, kwargs, "I have followed all instructions.") == ([True, False], [False, True], True)
