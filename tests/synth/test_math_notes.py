"""Notes of mathematics through a generator that is told what to answer, and what becomes of each answer."""

import json
import random
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import rule_generator
from datasets import Dataset, IterableDataset
from datasets.fingerprint import Hasher
from error_messages import naming
from math_solutions import DEVELOPMENT
from rule_generator import RuleGenerator, passage_of

from hf_muonclip.common.graders.grader_pool import GraderPool
from hf_muonclip.synth import CachedGenerator, GenerationError, MathNote, MathNotes, run_rephrasing
from hf_muonclip.synth.answer_checks import CAUSES
from hf_muonclip.synth.math_shares import shares_of, shares_of_rows

PENS = (
    "A shop sold 45 pens on Monday and twice as many on Tuesday. Tuesday: 45 * 2 = 90. In all: 45 + 90 = 135. The "
    "answer is 135."
)
NOTE = (
    "**Asked:** all the pens. On Tuesday the shop sold twice as many pens as on Monday, so $45 \\cdot 2 = 90$ of them, "
    "and over both days this makes $45 + 90 = 135$.\n\nFinal answer: $\\boxed{135}$"
)
GERMAN = (
    "Ein Buch kostet 12,50 € und ein Heft kostet 1,20 €. Drei Hefte kosten 3 · 1,20 € = 3,60 €, und zusammen sind das "
    "12,50 € + 3,60 € = 16,10 €. Die Antwort ist 16,10 €."
)
ENGLISH = (
    "A book costs €12.50 and a notebook costs €1.20. Three notebooks are 3 · €1.20 = €3.60, and together that is "
    "€12.50 + €3.60 = €16.10. The answer is €16.10."
)
CHINESE = "小明有24个糖果,分给4个朋友,每人得到24÷4=6个。后来他又买了10个,10-6=4。答案是4。"
OF_CHINESE = (
    "Xiao Ming has 24 candies and shares them among 4 friends, so that each of them gets 24 ÷ 4 = 6. Later he buys 10 "
    "more, and 10 - 6 = 4. The answer is 4."
)


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, deadline=20.0) as made:
        yield made


class Script:
    """Answers by what is asked; a text that it does not know is answered by itself."""

    def __init__(self, **answers: str) -> None:
        self.answers = {PENS: NOTE, GERMAN: ENGLISH, CHINESE: OF_CHINESE, **answers}

    def __call__(self, passage: str, before: str, draw: random.Random) -> str:
        return self.answers.get(passage, passage)


def made(pool: GraderPool | None, **given: Any) -> MathNotes:
    log: list[Any] = []
    return MathNotes(RuleGenerator(Script(**given.pop("answers", {})), log=log), pool=pool, **given)


def note_of(pool: GraderPool, text: Any, answer: str, **given: Any) -> MathNote:
    (row,) = made(pool, answers={text: answer} if isinstance(text, str) else {}, **given).notes([text])
    return row


def test_a_note_that_is_right_is_kept_with_its_scores(pool: GraderPool) -> None:
    (row,) = made(pool).notes([PENS], ids=["pens"])
    assert (row.kept, row.cause, row.reasons, row.text, row.note) == (True, "", [], NOTE, NOTE)
    assert (row.source_id, row.style, row.source, row.source_language) == ("pens", "learning_note", PENS, "English")
    assert (row.source_answer, row.note_answer) == ("135", "135")
    assert row.scores["equations"] == row.scores["true"] == 2
    assert row.scores["answer_equal"] == row.scores["numbers_kept"] == row.scores["language"] == 1
    assert row.prompt_tokens > 0
    assert row.new_tokens > 0


def test_what_is_asked_for(pool: GraderPool) -> None:
    notes = made(pool, styles=["learning_note", "translation"], problem_column="problem")
    notes.notes([GERMAN], problems=["Was kosten ein Buch und drei Hefte?"], answers=["16.10"])
    (chats,) = notes.generator.log  # type: ignore[attr-defined]
    assert [passage_of(chat) for chat in chats] == [GERMAN, GERMAN]
    for chat in chats:
        assert "Was kosten ein Buch" in chat[-1]["content"]
        assert "16.10" in chat[-1]["content"].partition("<passage>")[0]
    assert "English" not in chats[0][-1]["content"]
    assert "English" in chats[1][-1]["content"]


@pytest.mark.parametrize(
    ("answer", "cause", "named"),
    [
        (NOTE.replace("= 90", "= 80"), "false_equation", r"45 \cdot 2 = 80"),
        (NOTE.replace("45 + 90", "45 - 90"), "false_equation", "45 - 90 = 135"),
        (NOTE.replace("{135}", "{153}"), "wrong_answer", "153"),
        (NOTE.replace("Final answer: $\\boxed{135}$", ""), "wrong_answer", "135"),
        (f"Sure, here is the rewritten text:\n{NOTE}", "meta_text", "Sure"),
        ("I'm sorry, but I can't help with that.", "meta_text", "sorry"),
        (ENGLISH.replace("16.10", "135") + " " + GERMAN * 3, "loop", "%"),
        ("", "no_answer", ""),
        (PENS.upper(), "echo", "%"),
        (f"<passage>{NOTE}", "markup", "<passage>"),
        (f"{NOTE} \ud800", "not_utf8", ""),
        (
            "Am Dienstag sind es $45 \\cdot 2 = 90$ und das ist nicht viel für die Woche: $\\boxed{135}$",
            "language",
            "German",
        ),
    ],
)
def test_what_drops_a_note(pool: GraderPool, answer: str, cause: str, named: str) -> None:
    row = note_of(pool, PENS, answer)
    assert (row.kept, row.cause, row.text) == (False, cause, "")
    assert cause in CAUSES
    assert any(named in reason for reason in row.reasons)
    json.dumps(vars(row)).encode()


def test_an_unfinished_answer_is_dropped(pool: GraderPool) -> None:
    (row,) = MathNotes(RuleGenerator(Script(), most_words=5), pool=pool).notes([PENS])
    assert (row.kept, row.cause) == (False, "unfinished")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "empty"),
        (" \n", "empty"),
        (None, "not_text"),
        (b"x", "not_text"),
        (7, "not_text"),
        ("\x00\x01" * 50, "binary"),
        ("2 + 2 = 4. " * 2000, "too_long"),
        ("a \udc80", "not_utf8"),
    ],
)
def test_texts_that_are_none_are_rows_too(pool: GraderPool, text: Any, cause: str) -> None:
    notes = made(pool)
    first, row = notes.notes([PENS, text])
    assert first.kept
    assert (row.kept, row.cause, row.source, row.note, row.new_tokens) == (False, cause, "", "", 0)
    assert len(notes.generator.log[0]) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(("source", "language"), [(GERMAN, "German"), (CHINESE, "Chinese")])
def test_translations(pool: GraderPool, source: str, language: str) -> None:
    translation = Script().answers[source]
    (row,) = made(pool, styles=["translation"]).notes([source])
    assert (row.reasons, row.kept, row.text, row.source_language) == ([], True, translation, language)
    assert row.scores["answer_equal"] == 1
    untranslated = f"{translation[:60]} {source}"
    (row,) = made(pool, styles=["translation"], answers={source: untranslated}).notes([source])
    assert (row.kept, row.cause) == (False, "language")


def test_a_number_that_a_translation_changes_or_adds_drops_it(pool: GraderPool) -> None:
    for wrong, named in ((ENGLISH.replace("€1.20. ", "€1.30. "), "1.30"), (f"{ENGLISH} It has 345 pages.", "345")):
        row = note_of(pool, GERMAN, wrong, styles=["translation"])
        assert row.cause == "numbers"
        assert any(named in reason for reason in row.reasons)


def test_what_is_english_is_not_paid_for_again(pool: GraderPool) -> None:
    notes = made(pool, styles=["learning_note", "translation"])
    one, other = notes.notes([f"{PENS} That is what was sold by the shop on the two days."])
    assert (one.style, other.style, other.cause) == ("learning_note", "translation", "already_english")
    assert sum(len(chats) for chats in notes.generator.log) == 1  # type: ignore[attr-defined]


def test_labelled_notes_are_told_apart(pool: GraderPool) -> None:
    for one in DEVELOPMENT[:4]:
        text = f"{one.source} That is all that was asked for in the book that we have."
        wrong = dict(one.corrupted)["answer"]
        kept, dropped = (note_of(pool, text, note) for note in (one.note, wrong))
        assert (kept.reasons, kept.kept) == ([], True)
        assert dropped.cause == "wrong_answer"


DATA = {"text": [PENS, GERMAN, "", CHINESE], "answer": ["135", "16.10", "", "4"], "name": ["a", "b", "c", "d"]}


def mapped(data: Any, notes: MathNotes, **more: Any) -> Any:
    return data.map(notes, batched=True, remove_columns=["text", "answer", "name"], features=notes.features, **more)


def test_map_gives_a_row_per_style_and_caches(tmp_path: Path) -> None:
    given: dict[str, Any] = {"id_column": "name", "answer_column": "answer", "styles": ["learning_note", "translation"]}
    Dataset.from_dict(DATA).save_to_disk(tmp_path / "data")
    data = Dataset.load_from_disk(tmp_path / "data")
    rows = mapped(data, MathNotes(RuleGenerator(Script()), **given), batch_size=3)
    assert rows.column_names == [field.name for field in fields(MathNote)]
    assert rows["source_id"] == [name for name in "abcd" for _ in range(2)]
    assert [row["kept"] for row in rows if row["style"] == "translation"] == [False, True, False, True]
    assert json.loads(rows[0]["scores"])["answer_equal"] == 1
    log: list[Any] = []
    assert mapped(data, MathNotes(RuleGenerator(Script(), log=log), **given), batch_size=3)["note"] == rows["note"]
    together = mapped(data, MathNotes(RuleGenerator(Script()), **given), num_proc=2)
    assert together.to_list() == rows.to_list()
    stream = IterableDataset.from_generator(
        lambda: iter([dict(zip(DATA, row, strict=True)) for row in zip(*DATA.values(), strict=True)])
    )
    assert [*mapped(stream, MathNotes(RuleGenerator(Script()), **given), batch_size=1)] == rows.to_list()


def test_each_setting_renames_the_cache_and_use_does_not(pool: GraderPool) -> None:
    name = Hasher.hash(made(None))
    used = made(None)
    assert Hasher.hash(used) == name
    for given in ({"styles": ["translation"]}, {"seed": 1}, {"most_characters": 5}, {"answer_column": "a"}):
        assert Hasher.hash(made(None, **given)) != name


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"most_characters": 0}, ["most_characters", "0"]),
        ({"styles": ["essay"]}, ["essay", "learning_note"]),
        ({"styles": []}, ["styles"]),
        ({"styles": ["translation", "translation"]}, ["translation"]),
    ],
)
def test_settings_out_of_range(given: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        MathNotes(RuleGenerator(), **given)


def test_missing_columns_are_named_before_anything_is_paid_for() -> None:
    with pytest.raises(ValueError, match=naming("answer", "text")):
        made(None, answer_column="answer")({"text": [PENS]})
    with pytest.raises(ValueError, match=naming("batched=True")):
        made(None)({"text": PENS})


def test_a_generator_that_fails_gives_no_rows(pool: GraderPool) -> None:
    class Failing(RuleGenerator):
        def generate(self, *_: Any, **__: Any) -> Any:
            raise GenerationError("gone")

    with pytest.raises(GenerationError):
        MathNotes(Failing(), pool=pool).notes([PENS])


def write_rows(path: Path) -> Path:
    rows = [dict(zip(DATA, row, strict=True)) for row in zip(*DATA.values(), strict=True)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_files_become_shards_that_a_second_run_goes_on_with(tmp_path: Path) -> None:
    given = {"id_column": "name", "answer_column": "answer", "styles": ["learning_note", "translation"]}
    source, output, log = write_rows(tmp_path / "in.jsonl"), tmp_path / "out", []  # type: ignore[var-annotated]
    notes = MathNotes(CachedGenerator(RuleGenerator(Script(), log=log), tmp_path / "answers"), **given)  # type: ignore[arg-type]
    progress = run_rephrasing([source], output, notes, documents_per_shard=2)
    assert (progress.documents, progress.kept, progress.causes["already_english"], progress.causes["empty"]) == (
        4,
        3,
        1,
        2,
    )
    asked = len(log)
    (output / "part-00001.parquet").unlink()
    assert run_rephrasing([source], output, notes, documents_per_shard=2).causes == progress.causes
    assert len(log) == asked  # all answers were in the cache
    shares = shares_of(output)
    assert (shares.notes, shares.with_answer, shares.equal, shares.different) == (5, 5, 5, 0)
    assert shares.equations["false"] == 0
    assert shares.equations["parsed"] == shares.equations["equations"] > 0
    with pytest.raises(ValueError, match=naming("seed")):
        run_rephrasing([source], output, MathNotes(notes.generator, seed=1, **given), documents_per_shard=2)  # type: ignore[arg-type]


def test_text_files_have_no_further_columns(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(PENS, encoding="utf-8")
    with pytest.raises(ValueError, match=naming("answer", "a.txt")):
        run_rephrasing([tmp_path / "a.txt"], tmp_path / "out", made(None, answer_column="answer"))


def test_shares_count_each_thing_once(tmp_path: Path) -> None:
    none = {"equations": 0, "parsed": 0, "decided": 0, "true": 0, "false": 0, "undecidable": 0, "not_measured": 0}
    source = {f"source_{name}": 0 for name in none}
    rows = [
        {
            "scores": {**none, **source, "equations": 10, "parsed": 8, "decided": 5, "true": 4, "answer_equal": 1},
            "source_answer": "4",
        },
        {"scores": json.dumps({**none, **source, "equations": 10, "not_measured": 1}), "source_answer": "4"},
        {"scores": {**none, **source, "answer_equal": 0}, "source_answer": "4"},
        {"scores": {**none, **source}, "source_answer": ""},
        {"scores": {}, "source_answer": "4"},
    ]
    shares = shares_of_rows(rows)
    assert (shares.notes, shares.with_answer, shares.equal, shares.different) == (4, 3, 1, 1)
    said = " ".join(str(shares).split())
    for part in (
        "20 found",
        "40.0% of found",
        "62.5% of parsed",
        "80.0% of decided",
        "1 verified (33.3%)",
        "1 not compared",
    ):
        assert part in said, said
    with pytest.raises(FileNotFoundError, match=naming("part-")):
        shares_of(tmp_path)


def test_echoing_and_looping_generators_cost_only_their_rows(pool: GraderPool) -> None:
    for misbehaves, cause in ((rule_generator.loop, "loop"), (rule_generator.say_nothing, "no_answer")):
        (row,) = MathNotes(RuleGenerator(misbehaves), pool=pool).notes([PENS])
        assert (row.kept, row.cause) == (False, cause)
