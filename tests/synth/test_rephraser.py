"""Documents are rewritten chunk by chunk, joined without loss, and dropped for a cause that is told."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import rule_generator
from error_messages import naming
from hard_documents import hard_document
from number_gate import same_numbers, whole_is_short
from rule_generator import RuleGenerator, before_of, passage_of

from hf_muonclip.synth.answer_checks import CAUSES
from hf_muonclip.synth.chunks import cut
from hf_muonclip.synth.generator import Chat, Generated, GenerationError
from hf_muonclip.synth.rephraser import CONTEXT, Rephrased, Rephraser, rephrase
from hf_muonclip.synth.styles import STYLES, Style

PARAGRAPH = (
    "The bridge over the river was built in 1844 by the council of the town. It fell in the flood of 1901, and for 9 "
    "years people crossed by boat. A new one, 120 metres long, was opened in 1910."
)
OTHER = (
    "Farmers of both valleys sell at the market what they grow, and every Thursday some 300 of them come. Glass was "
    "made here since 1712. Its museum has 4000 pieces, of which the oldest is a cup of 1719."
)
LONG = f"# The town\n\n{PARAGRAPH}\n\n```\nx = 47\n```\n\n{OTHER}\n \n\n{PARAGRAPH.replace('18', '17')} \n"


def test_a_document_is_rewritten_between_what_stays() -> None:
    (found,) = rephrase(LONG, RuleGenerator(), gate=same_numbers, chunk_size=300)
    assert found.kept
    assert (found.cause, found.reasons, found.scores) == ("", [], {"numbers": 1.0})
    assert "".join(found.chunks) == LONG
    assert "".join(found.rewritten) == found.text
    assert len(found.rewritten) == len(found.chunks) == 5
    assert found.rewritten[0] == "# The town\n\n"
    assert found.rewritten[2] == "```\nx = 47\n```\n\n"
    for place, end in ((1, "\n\n"), (3, "\n \n\n"), (4, " \n")):
        assert found.rewritten[place].endswith(end)
        assert found.rewritten[place].strip() != found.chunks[place].strip()
        assert found.rewritten[place][: -len(end)] == found.rewritten[place].strip()
    assert found.prompt_tokens > found.new_tokens > 0


def test_each_chat_goes_on_from_what_was_rewritten() -> None:
    generator = RuleGenerator(log=[])
    document = "\n\n".join([PARAGRAPH, OTHER] * 6)
    (found,) = rephrase(document, generator, gate=None, chunk_size=400)
    assert found.kept
    chats = [chat for batch in generator.log or [] for chat in batch]
    assert [passage_of(chat) for chat in chats] == [chunk.strip() for chunk in found.chunks]
    assert len(chats) >= 6
    assert before_of(chats[0]) == ""
    for place, chat in enumerate(chats[1:], start=1):
        written = "".join(found.rewritten[:place]).rstrip()
        assert written.endswith(before_of(chat))
        assert CONTEXT // 2 < len(before_of(chat)) <= CONTEXT or before_of(chat) == written
        assert before_of(chat)[0].isupper()  # a sentence begins there


def test_the_title_is_the_first_heading_or_given() -> None:
    generator = RuleGenerator(log=[])
    rephraser = Rephraser(generator, gate=None)
    rephraser.rephrased([LONG, LONG, PARAGRAPH], titles=["Of bridges", None, None])
    first = [chat[-1]["content"] for chat in (generator.log or [])[0]]
    assert ["Of bridges" in text for text in first] == [True, False, False]
    assert ["title: The town" in text for text in first] == [False, True, False]
    assert "title" not in first[2]


def test_documents_advance_together() -> None:
    generator = RuleGenerator(log=[])
    documents = [OTHER, "\n\n".join([PARAGRAPH] * 3), "\n\n".join([OTHER, PARAGRAPH])]
    found = Rephraser(generator, gate=None, chunk_size=220, rephrasings=2).rephrased(documents)
    assert [len(batch) for batch in generator.log or []] == [6, 4, 2]
    assert ["".join(row.chunks) for row in found] == [document for document in documents for _ in range(2)]


def test_rephrasings_of_a_document_have_styles_and_words_of_their_own() -> None:
    found = rephrase(LONG, RuleGenerator(), gate=same_numbers, rephrasings=10, chunk_size=300)
    assert all(row.kept for row in found)
    assert [row.rephrasing for row in found] == list(range(10))
    assert {row.style for row in found} == {style.name for style in STYLES}
    assert len({row.text for row in found}) == 10


def test_a_result_depends_on_text_and_settings_alone() -> None:
    documents = [hard_document(seed)[0] for seed in range(40)]
    rephraser = Rephraser(RuleGenerator(), gate=same_numbers, rephrasings=2, chunk_size=200)
    found = rephraser.rephrased(documents)
    again = [row for document in reversed(documents) for row in reversed(rephraser.rephrased([document]))]
    assert again[::-1] == found
    other = Rephraser(RuleGenerator(), gate=same_numbers, rephrasings=2, chunk_size=200, seed=1).rephrased(documents)
    assert other != found


@pytest.mark.parametrize("chunk_size", [60, 200, 1000])
def test_random_documents_lose_and_double_nothing(chunk_size: int) -> None:
    documents = [hard_document(seed)[0] for seed in range(120)]
    found = Rephraser(RuleGenerator(), gate=same_numbers, chunk_size=chunk_size).rephrased(documents)
    outcomes = Counter(row.cause for row in found)
    assert outcomes.total() == 120
    assert outcomes[""] > 80
    assert {*outcomes} <= {"", "nothing_to_rewrite", "empty", "binary"}, outcomes
    for document, row in zip(documents, found, strict=True):
        if row.kept:
            assert row.chunks == [chunk.text for chunk in cut(document, chunk_size)]
            assert "".join(row.chunks) == document
            assert "".join(row.rewritten) == row.text
            # The generator only adds: without that, the document is there again.
            characters = iter(row.text)
            assert all(character in characters for character in document), document


@pytest.mark.parametrize(
    ("misbehaves", "cause", "at"),
    [
        (rule_generator.echo, "echo", 0),
        (rule_generator.loop, "loop", 0),
        (rule_generator.stammer, "loop", 0),
        (rule_generator.say_nothing, "no_answer", 0),
        (rule_generator.copy_tags, "markup", 0),
        (rule_generator.write_no_unicode, "not_utf8", 0),
        (rule_generator.change_numbers, "unfaithful", 0),
        (rule_generator.say_it_again, "repeats_context", 1),
        (rule_generator.wrap_in_tags, "", None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_model_that_misbehaves(misbehaves: Any, cause: str, at: int | None) -> None:
    generator = RuleGenerator(misbehaves, log=[])
    document = "\n\n".join([PARAGRAPH, OTHER, OTHER.replace("19", "18")])
    (found,) = rephrase(document, generator, gate=same_numbers, chunk_size=250)
    assert found.cause == cause
    assert found.kept == (cause == "")
    assert "".join(found.chunks) == document
    if at is None:
        assert "<passage>" not in found.text
        return
    assert found.text == ""
    assert len(generator.log or []) == at + 1  # nothing is generated behind it
    assert len(found.rewritten) == at + 1
    assert found.reasons
    assert all(reason.startswith(f"chunks[{at}]: ") for reason in found.reasons)
    assert found.prompt_tokens > 0
    "".join(found.rewritten).encode()


def test_an_answer_that_was_ended() -> None:
    (found,) = rephrase(PARAGRAPH, RuleGenerator(most_words=20), gate=same_numbers)
    assert (found.kept, found.cause, found.new_tokens) == (False, "unfinished", 20)


def test_the_whole_must_pass_the_gate_too() -> None:
    (found,) = rephrase(LONG, RuleGenerator(), gate=whole_is_short, chunk_size=300)
    assert (found.kept, found.cause, found.text) == (False, "unfaithful", "")
    assert found.reasons == ["the whole is long"]
    assert found.scores == {"short": 0.0}
    assert len(found.rewritten) == len(found.chunks)


def test_a_gate_is_asked_once_about_a_document_of_one_chunk() -> None:
    asked: list[str] = []

    def gate(source: str, rewritten: str) -> Any:
        asked.append(source)
        return same_numbers(source, rewritten)

    rephrase(f"{PARAGRAPH}\n", RuleGenerator(), gate=gate)
    assert asked == [PARAGRAPH]
    rephrase(LONG, RuleGenerator(), gate=gate, chunk_size=5000)
    assert asked[-1] == LONG
    assert len(asked) == 4  # two chunks around the code, and the whole


def test_rephrasings_that_are_alike_are_dropped() -> None:
    generator = RuleGenerator(rule_generator.say_one_thing)
    found = rephrase(PARAGRAPH, generator, gate=same_numbers, rephrasings=3)
    assert [row.kept for row in found] == [True, False, False]
    assert [row.cause for row in found] == ["", "alike", "alike"]
    assert found[1].text == ""
    assert found[1].rewritten == found[0].rewritten
    assert "rephrasing 0" in found[1].reasons[0]


def test_what_stays_does_not_make_rephrasings_alike() -> None:
    code = "```\n" + "\n".join(f"value_{number} = {number}" for number in range(300)) + "\n```\n"
    found = rephrase(code + PARAGRAPH, RuleGenerator(), gate=same_numbers, rephrasings=2)
    assert [row.kept for row in found] == [True, True]


BAD: list[tuple[Any, str]] = [
    ("", "empty"),
    (" \n", "empty"),
    (None, "not_text"),
    (7, "not_text"),
    (b"caf\xe9", "not_text"),
    ("caf\udce9", "not_utf8"),
    ("\0" * 100 + "ELF", "binary"),
    ("x" * 3001, "too_long"),
    ("# Title\n\n```\ncode\n```\n", "nothing_to_rewrite"),
]


def test_bad_documents_are_rows_with_a_cause_beside_good_ones() -> None:
    documents = [PARAGRAPH, *(document for document, _ in BAD), OTHER]
    rephraser = Rephraser(RuleGenerator(), gate=same_numbers, rephrasings=2, most_characters=3000)
    found = rephraser.rephrased(documents, ids=range(len(documents)))
    assert [row.source_id for row in found] == [str(number) for number in range(len(documents)) for _ in range(2)]
    assert [row.cause for row in found[::2]] == ["", *(cause for _, cause in BAD), ""]
    for row in found:
        assert {*row.cause.split()} <= {*CAUSES}
        assert row.kept == (row.cause == "")
        assert bool(row.reasons) == bool(row.cause)
        if not row.kept:
            assert (row.text, row.chunks, row.rewritten) == ("", [], [])
    assert sum(row.kept for row in found) == 4


class Failing:
    """Answers that are kept by what was asked, as a response cache does; the calls that reach it may fail."""

    identity = "failing"

    def __init__(self, fails_at: int) -> None:
        self.inner = RuleGenerator()
        self.calls, self.paid, self.fails_at = 0, 0, fails_at
        self.answers: dict[str, Generated] = {}

    def generate(self, chats: Sequence[Chat], seeds: Sequence[int]) -> list[Generated]:
        self.calls += 1
        for number, (chat, seed) in enumerate(zip(chats, seeds, strict=True)):
            if self.calls == self.fails_at and number == len(chats) // 2:
                raise GenerationError("the endpoint died")
            if (key := f"{chat} {seed}") not in self.answers:
                self.paid += 1
                (self.answers[key],) = self.inner.generate([chat], [seed])
        return [self.answers[f"{chat} {seed}"] for chat, seed in zip(chats, seeds, strict=True)]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_generator_that_fails_is_no_result_and_costs_nothing_twice(fails_at: int) -> None:
    documents = [OTHER, "\n\n".join([PARAGRAPH, OTHER, PARAGRAPH.replace("19", "16")])]
    expected = Rephraser(RuleGenerator(), gate=same_numbers, chunk_size=220, rephrasings=2).rephrased(documents)
    generator = Failing(fails_at)
    rephraser = Rephraser(generator, gate=same_numbers, chunk_size=220, rephrasings=2)
    with pytest.raises(GenerationError, match="died") as caught:
        rephraser.rephrased(documents)
    assert any(f"{2 * (fails_at > 1)} of 4" in note for note in caught.value.__notes__)
    assert rephraser.rephrased(documents) == expected
    assert generator.paid == sum(1 for row in expected for _ in row.chunks)


def test_a_generator_of_too_few_answers_is_refused() -> None:
    class Short(RuleGenerator):
        def generate(self, chats: Sequence[Chat], seeds: Sequence[int]) -> list[Generated]:
            return super().generate(chats, seeds)[1:]

    with pytest.raises(ValueError, match=naming("1", "2")):
        rephrase(PARAGRAPH, Short(), gate=None, rephrasings=2)


def test_seeds_differ_and_fit_all_engines() -> None:
    seen: list[int] = []

    class Seen(RuleGenerator):
        def generate(self, chats: Sequence[Chat], seeds: Sequence[int]) -> list[Generated]:
            seen.extend(seeds)
            return super().generate(chats, seeds)

    rephrase("\n\n".join([PARAGRAPH] * 20), Seen(), gate=None, rephrasings=10, chunk_size=220)
    assert len({*seen}) == len(seen) == 200
    assert all(0 <= seed < 1 << 31 for seed in seen)
    assert max(seen) > 1 << 30


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"rephrasings": 0}, ("rephrasings", "0")),
        ({"chunk_size": 0}, ("chunk_size", "0")),
        ({"most_characters": -1}, ("most_characters", "-1")),
        ({"styles": []}, ("styles",)),
        ({"styles": ["essay", "poem"]}, ("styles", "poem", "encyclopedic")),
        ({"styles": ["essay", "essay"]}, ("styles", "essay")),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], named: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        Rephraser(RuleGenerator(), **given)


def test_styles_by_name_and_of_ones_own() -> None:
    own = Style("odd", "Write oddly.")
    found = rephrase(PARAGRAPH, RuleGenerator(), styles=["essay", own], rephrasings=2, gate=None)
    assert {row.style for row in found} == {"essay", "odd"}


def test_a_size_in_tokens() -> None:
    document = "\n\n".join([PARAGRAPH] * 4)
    (found,) = rephrase(document, RuleGenerator(), gate=None, chunk_size=50, size=lambda text: len(text.split()))
    assert len(found.chunks) == 4


def test_the_gate_is_the_fidelity_gate_unless_told_otherwise() -> None:
    pytest.importorskip("hf_muonclip.synth.fidelity")
    (found,) = rephrase(PARAGRAPH, RuleGenerator(rule_generator.change_numbers))
    assert (found.kept, found.cause) == (False, "unfaithful")
    assert found.scores


def test_results_are_plain_data() -> None:
    (found,) = rephrase(PARAGRAPH, RuleGenerator(), gate=same_numbers)
    assert Rephrased(**dataclasses.asdict(found)) == found
