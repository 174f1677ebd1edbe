"""The benchmark of rephrasing: arms that differ in nothing but their texts, and questions that no text has asked."""

import itertools
import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last, as in test_benchmarks.py

import rephrasing
import rephrasing_figures as figures
import rephrasing_texts as texts
import rephrasing_world as worlds

from hf_muonclip.synth import check_fidelity

QUICK = rephrasing.Settings(
    "raw", 7, people=6, steps=4, document_rows=3, question_rows=1, length=48, hidden_size=32, layers=1, heads=2
)


@pytest.fixture(scope="module")
def world() -> texts.World:
    return texts.World(QUICK.seed, QUICK.people)


def texts_of(world: texts.World, tokens: Iterator[int] | list[int]) -> list[str]:
    """Return the whole texts of a row of tokens, as words with spaces between."""
    words = {number: word for word, number in world.words.ids.items()}
    return " ".join(words[token] for token in tokens).split(f" {texts.END} ")


def test_a_passage_is_read_as_it_was_written() -> None:
    people = worlds.draw_people(150, seed=3)
    assert len({person.name.split()[1] for person in people}) == 150
    for person in people:
        assert worlds.read_passage(worlds.passage_about(person, 3)) == person


def test_what_is_called_wrong_is_wrong_and_all_else_right(world: texts.World) -> None:
    draw, kinds = random.Random(1), set()
    for person, voice, _ in itertools.product(world.people, worlds._VOICES.values(), range(20)):
        wrong = worlds.make_wrong(person.facts, draw)
        text = worlds.rewrite(person, voice, wrong, draw)
        said = dict(person.facts) | {one.fact: one.value for one in wrong if one.value is not None}
        kinds |= {one.kind for one in wrong}
        assert 1 <= len(wrong) <= worlds.MOST_WRONG
        assert all(one.value != person.facts[one.fact] for one in wrong)
        assert all(value in text for value in said.values())
        assert text.count(" not ") == sum(one.value is None for one in wrong)
        assert person.name in text.partition(".")[0]
    assert kinds == {*worlds.KINDS}


def test_the_share_of_wrong_answers_changes_nothing_else(world: texts.World) -> None:
    without, some, many = ([row.text for row in world.rephrasings[share, False]] for share in (0.0, 0.2, 0.6))
    for share, rewritten in ((0.2, some), (0.6, many)):
        for right, text in zip(without, rewritten, strict=True):
            if text and right:
                assert (text in world.wrong[share]) == (text != right)
    assert world.wrong[0.0] == {}
    assert 0 < len(world.wrong[0.2]) < len(world.wrong[0.6]) < len(many)


@pytest.mark.parametrize("name", list(figures.ARMS))
def test_an_arm_reads_the_passages_and_what_is_kept_of_their_rephrasings(name: str, world: texts.World) -> None:
    arm, documents = figures.ARMS[name], world.documents(name)
    assert documents[: len(world.people)] == world.passages
    rewritten = documents[len(world.people) :]
    assert len(rewritten) <= arm.rephrasings * len(world.people)
    assert len(rewritten) >= arm.rephrasings * len(world.people) / 4
    passages = {person.name: passage for person, passage in zip(world.people, world.passages, strict=True)}
    for text in rewritten:
        (name_of,) = [person for person in passages if person in text]
        if arm.gate:
            assert check_fidelity(passages[name_of], text).faithful
        if not arm.wrong_share:
            assert all(value in text for value in worlds.read_passage(passages[name_of]).facts.values())
            assert " not " not in text
    if not arm.gate and arm.rephrasings > 1:
        assert any(text in world.wrong[arm.wrong_share] for text in rewritten) == (arm.wrong_share > 0)


def test_all_arms_train_on_equally_many_tokens_and_the_same_questions(world: texts.World) -> None:
    seen = {}
    for name in figures.ARMS:
        settings = replace(QUICK, arm=name)
        seen[name] = torch.stack(list(itertools.islice(rephrasing.batches(world, settings), QUICK.steps)))
        again = torch.stack(list(itertools.islice(rephrasing.batches(world, settings), QUICK.steps)))
        assert torch.equal(seen[name], again)
        assert seen[name].shape == (QUICK.steps, QUICK.document_rows + QUICK.question_rows, QUICK.length)
        assert torch.equal(seen[name][:, QUICK.document_rows :], seen["raw"][:, QUICK.document_rows :])
        weights = rephrasing.make_model(settings, len(world.words.ids)).state_dict()
        of_raw = rephrasing.make_model(QUICK, len(world.words.ids)).state_dict()
        assert all(torch.equal(weight, of_raw[key]) for key, weight in weights.items())
    assert not torch.equal(seen["raw"], seen["10"])


def test_no_training_text_asks_what_is_measured(world: texts.World) -> None:
    half = QUICK.people // 2
    trained, held_out = ({person.name for person in part} for part in (world.people[:half], world.people[half:]))
    assert {one.person for one in world.practice} == trained
    assert {one.person for one in world.asked} == {one.person for one in world.asked_in_known_forms} == held_out
    assert len(world.asked) == half * len(worlds.FACTS)
    for forms in worlds.QUESTIONS.values():
        assert len(set(forms)) == 4
    trained_on = [f"{one.prompt} {one.answer}" for one in world.practice]
    new_forms = [re.escape(forms[-1]).replace(r"\{name\}", r"\w+ \w+") for forms in worlds.QUESTIONS.values()]
    assert not [text for text in trained_on for form in new_forms if re.search(form, text)]
    assert all(any(re.search(form, one.prompt) for form in new_forms) for one in world.asked)
    for name in figures.ARMS:
        assert not [text for text in world.documents(name) if "?" in text or "Question" in text]


def test_every_arm_trains_on_the_questions_and_texts_that_it_says(world: texts.World) -> None:
    for name in ("raw", "4, gate"):
        stream = rephrasing.batches(world, replace(QUICK, arm=name, length=2000))
        batch = next(stream)
        documents = [" ".join(world.words.cut(text)) for text in world.documents(name)]
        questions = [" ".join(world.words.cut(f"{one.prompt} {one.answer}")) for one in world.practice]
        for row, known in ((batch[0], documents), (batch[-1], questions)):
            whole = texts_of(world, row.tolist())[:-1]
            assert len(whole) > 10
            assert set(whole) <= set(known)
            assert set(known[: len(world.people) // 2]) <= set(whole)


class Knowing(torch.nn.Module):
    """Gives the right answer to some questions and always the same word to all others."""

    def __init__(self, world: texts.World, known: list[texts.Asked], size: int) -> None:
        super().__init__()
        encode = world.words.encode
        self.known = {tuple(encode(one.prompt)): [*encode(one.answer), 0] for one in known}
        self.size = size

    def forward(self, ids: torch.Tensor, use_cache: bool) -> Any:
        logits = torch.zeros(*ids.shape, self.size)
        for row, tokens in enumerate(ids.tolist()):
            for end in range(1, len(tokens) + 1):
                for prompt, answer in self.known.items():
                    given = tokens[len(prompt) : end]
                    if tuple(tokens[: len(prompt)]) == prompt and end >= len(prompt) and given == answer[: len(given)]:
                        logits[row, end - 1, answer[min(len(given), len(answer) - 1)]] = 9.0
        return type("Output", (), {"logits": logits})


def test_measured_is_what_the_model_knows(world: texts.World) -> None:
    known = world.asked[::2]
    model = Knowing(world, known, len(world.words.ids))
    found = rephrasing.measure(model, world, replace(QUICK, arm="4, worse"))
    assert found["new_form"]["exact"] == pytest.approx(len(known) / len(world.asked), abs=1e-4)
    assert found["known_form"]["exact"] == 0.0
    assert found["likeliest"] == pytest.approx(len(known) / len(world.asked), abs=1e-4)
    assert found["misled"] == 0.0
    taught = texts.wrong_values(world, "4, worse")
    lies = [replace(one, answer=taught[one.person, one.fact][0]) for one in world.asked if taught[one.person, one.fact]]
    assert lies
    found = rephrasing.measure(Knowing(world, lies, len(world.words.ids)), world, replace(QUICK, arm="4, worse"))
    assert found["misled"] == pytest.approx(len(lies) / len(world.asked), abs=1e-4)
    assert found["new_form"]["exact"] == 0.0


def test_a_run_is_kept_and_the_same_each_time(world: texts.World, tmp_path: Path) -> None:
    run = rephrasing.Runs(tmp_path / "rows.jsonl")
    run._worlds = {(QUICK.seed, QUICK.people): world}
    settings = replace(QUICK, arm="4, gate")
    row = run(settings)
    assert run(settings) == json.loads(json.dumps(row, allow_nan=False))
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 1
    again = rephrasing.train(settings, world)
    assert {**again, "seconds": 0} == {**{key: row[key] for key in again}, "seconds": 0}
    other = run(replace(QUICK, arm="raw"))
    assert row["document_tokens"] == other["document_tokens"] == 4 * 3 * 48
    assert row["question_tokens"] == other["question_tokens"] == 4 * 48
    assert (other["documents"], other["corrupted_documents"], other["gate"]) == (6, 0, None)
    counts = row["gate"]
    assert counts["faithful"]["all"] + counts["corrupted"]["all"] <= 10 * QUICK.people
    assert counts["corrupted"]["all"] == sum(
        counts[f"{number} wrong"]["all"] for number in (1, 2, 3) if f"{number} wrong" in counts
    )


def made_row(arm: str, seed: int, right: float, gate: dict[str, Any] | None = None) -> dict[str, Any]:
    stamp = {"device": "a chip", "threads": 1, "torch": "2", "transformers": "5", "commit": "abc", "date": "2026-01-01"}
    form = {"exact": right, "by_fact": {}}
    settings = {"arm": arm, "seed": seed, "people": 6, "steps": 4, "document_rows": 3, "question_rows": 1, "length": 48}
    return {
        "settings": settings,
        "data": f"of seed {seed}",
        "parameters": 1234,
        "documents": 12,
        "corrupted_documents": 3,
        "document_tokens": 576,
        "question_tokens": 192,
        "questions": 18,
        "passes": 2.5,
        "measured": {"new_form": form, "known_form": form, "likeliest": 0.5, "misled": 0.1},
        "gate": gate,
        **stamp,
    }


def made_rows() -> list[dict[str, Any]]:
    gate = {"faithful": {"all": 10, "kept": 9}, "corrupted": {"all": 5, "kept": 1}, "causes": {"unfaithful": 1}}
    rows = [made_row("raw", 1, 0.9) | {"data": "older texts"}]
    for seed in (1, 2, 3):
        rows += [
            made_row("raw", seed, 0.1 + 0.01 * seed),
            made_row("1", seed, 0.2),
            made_row("10", seed, 0.5 + 0.02 * seed),
            made_row("10, gate", seed, 0.5 + 0.03 * (seed % 2), gate),
        ]
    return rows


def test_the_page_says_what_the_rows_say() -> None:
    shown = figures.table(made_rows())
    assert "| the passages alone | 12, 25.0% | 2.5 | **12.0% (11.0% to 13.0%)** | 11.0%, 12.0%, 13.0% |" in shown
    assert len(shown.splitlines()) == 2 + 4
    compared = figures.comparisons(made_rows())
    assert "| more, +0.420 ± 0.006 | +0.410, +0.420, +0.430 |" in compared
    assert "| within the noise, -0.020 ± 0.015 | +0.010, -0.040, -0.030 |" in compared
    said = figures.sentence(made_rows())
    assert re.search(naming("12%", "54%", "52%", "within the noise, -0.020"), said)
    gate = figures.gate_table(made_rows())
    assert "| all with something wrong: caught | 80.0% (12 of 15) |" in gate
    assert "| faithful: kept | 90.0% (27 of 30) |" in gate
    page = figures.rephrasing_page(made_rows())
    assert "a chip, threads: 1" in page
    assert page.count("\n## ") == 4
    assert "Nothing measured yet" in figures.rephrasing_page([])
    worse = [made_row("10", seed, 0.1 + 0.01 * seed) for seed in (1, 2)] + [made_row("raw", s, 0.3) for s in (1, 2)]
    assert "| fewer, -0.185 ± 0.005 |" in figures.comparisons(worse)


def test_runs_of_other_settings_are_told_apart() -> None:
    first = made_row("raw", 9, 0.77)
    first["settings"] = first["settings"] | {"steps": 3}
    rows = [first, *made_rows()]
    assert figures.table(rows) == figures.table(made_rows())
    assert re.search(naming("3 steps", "77.0%"), figures.earlier(rows))
    assert figures.earlier(made_rows()) == ""


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    picture = figures.draw(made_rows(), tmp_path / "picture.png")
    assert 0 < picture.stat().st_size < 120_000
