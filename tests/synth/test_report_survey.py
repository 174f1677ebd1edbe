"""What a survey counts is what the rows say, counted by themselves; its samples do not grow with a run."""

import json
import random
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from error_messages import naming
from number_gate import same_numbers
from rule_generator import RuleGenerator, change_numbers, echo, loop

from hf_muonclip.synth import Rephraser, run_rephrasing
from hf_muonclip.synth.answer_checks import shingles
from hf_muonclip.synth.report.reservoir import Reservoir
from hf_muonclip.synth.report.survey import Survey, failed_checks, survey
from hf_muonclip.synth.run_folder import write_shard


def misbehaves(passage: str, before: str, draw: random.Random) -> str | None:
    chosen = draw.choice([None, None, echo, loop, change_numbers])
    return chosen(passage, before, draw) if chosen else None


def text_of(number: int) -> str:
    draw = random.Random(number)
    words = [draw.choice(["ship", "harbour", "storm", "captain", "sail", "north", "wind", "crew"]) for _ in range(60)]
    return f"# Chapter {number}\n\n{' '.join(words)} came in {1700 + number}.\n\n{' '.join(reversed(words))} left.\n"


def write_run(folder: Path, documents: int = 40, shards: int = 8, **settings: Any) -> Path:
    path = folder / "documents.jsonl"
    texts = [*map(text_of, range(documents - 4)), "", "a\0\1" * 50, text_of(0), text_of(1) + "The end."]
    path.write_text("".join(f"{json.dumps({'text': text})}\n" for text in texts))
    given = {"rephrasings": 3, "gate": same_numbers, "chunk_size": 250, **settings}
    made = Rephraser(RuleGenerator(misbehaves=misbehaves), **given)
    run_rephrasing([path], folder / "out", made, documents_per_shard=-(-documents // shards))
    return folder / "out"


def rows_of(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("part-*.parquet"))
    return [row for path in paths for row in pyarrow.parquet.read_table(path).to_pylist()]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


def test_counts_are_those_of_the_rows(run: Path) -> None:
    found, rows = survey(run), rows_of(run)
    kept = [row for row in rows if row["kept"]]
    assert (found.total, found.shards, found.timed_shards) == (40, 8, 8)
    assert found.counts.documents == len({row["source_id"] for row in rows}) == 40
    assert found.documents_kept == len({row["source_id"] for row in kept})
    assert found.counts.causes == Counter(row["cause"] for row in rows)
    assert {"", "echo", "loop", "unfaithful", "empty", "binary"} <= found.counts.causes.keys()
    assert found.counts.prompt_tokens == sum(row["prompt_tokens"] for row in rows)
    assert found.counts.new_tokens == sum(row["new_tokens"] for row in rows)
    assert found.counts.kept_tokens == sum(row["new_tokens"] for row in kept)
    assert found.timed == found.counts
    assert found.chunks == sum(len(row["chunks"]) for row in rows)
    assert found.chunks_kept == sum(len(row["chunks"]) for row in kept) > 2 * len(kept)
    for cause, tokens in found.tokens_of.items():
        assert tokens == sum(row["new_tokens"] for row in rows if row["cause"] == cause)
    assert found.checks == {"numbers": sum(row["cause"] == "unfaithful" for row in rows)}


def test_styles_are_measured_on_what_is_kept(run: Path) -> None:
    found, rows = survey(run), rows_of(run)
    assert found.styles.keys() == {row["style"] for row in rows}
    for name, style in found.styles.items():
        own = [row for row in rows if row["style"] == name]
        kept = [("".join(row["chunks"]), row["text"]) for row in own if row["kept"]]
        assert (style.rephrasings, style.kept) == (len(own), len(kept))
        ratios = [len(words(text)) / len(words(source)) for source, text in kept]
        new = [len(shingles(text) - shingles(source)) / len(shingles(text)) for source, text in kept]
        assert style.length == pytest.approx(sum(ratios))
        assert style.novelty == pytest.approx(sum(new))
    assert sum(style.kept for style in found.styles.values()) == found.counts.kept


def words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text).split()


def test_examples_are_rows_and_show_what_they_were_dropped_for(run: Path) -> None:
    found, rows = survey(run), rows_of(run)
    assert {kind for kind in found.examples if isinstance(kind, str)} == {*found.counts.causes}
    for kind, examples in found.examples.items():
        cause = kind if isinstance(kind, str) else kind[0]
        assert 1 <= len(examples) <= 3
        for one in examples:
            rows_like = [r for r in rows if (r["source_id"], r["style"], r["cause"]) == (one.name, one.style, cause)]
            assert rows_like[0]["reasons"] == one.reasons
            chunks, rewritten = rows_like[0]["chunks"], rows_like[0]["rewritten"]
            if one.reasons and one.reasons[0].startswith("chunks["):
                place = int(one.reasons[0].split("]")[0].removeprefix("chunks["))
                assert (one.source, one.rewritten) == (chunks[place].strip(), rewritten[place].strip())
            else:
                assert (one.source, one.rewritten) == ("".join(chunks).strip(), "".join(rewritten).strip())


def test_every_document_and_kept_rephrasing_is_compared(run: Path) -> None:
    found, rows = survey(run), rows_of(run)
    assert found.documents_alike.texts == sum(row["rephrasing"] == 0 and bool(row["chunks"]) for row in rows) == 38
    assert found.documents_alike.repeated == 2  # one document stands there twice, another with an end
    assert found.kept_alike.texts == found.counts.kept
    assert len(found.placed) == sum(bool(row["rewritten"]) for row in rows)
    assert sum(one.kept for one in found.placed) == found.counts.kept


def test_an_unfinished_run_is_counted_as_far_as_it_is(run: Path, tmp_path: Path) -> None:
    for path in run.iterdir():
        if path.name not in ("part-00003.parquet", "seconds.log"):
            (tmp_path / path.name).write_bytes(path.read_bytes())
    noted = (run / "seconds.log").read_text().splitlines()
    (tmp_path / "seconds.log").write_text("\n".join([*noted[:2], "part-00002.parquet 1.5", "part-00002.parquet"]))
    found = survey(tmp_path)
    assert (found.total, found.counts.documents, found.shards) == (40, 35, 7)
    assert found.timed_shards == 3
    assert found.seconds == pytest.approx(sum(float(line.split()[1]) for line in noted[:2]) + 1.5)
    assert found.timed.documents == 15
    (tmp_path / "seconds.log").unlink()
    assert survey(tmp_path).timed_shards == 0


def test_a_run_without_shards_is_empty(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    found = survey(tmp_path)
    assert found == Survey(tmp_path, {})
    assert found.total is None


def test_what_is_no_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming(tmp_path, "manifest.json")):
        survey(tmp_path)
    (tmp_path / "manifest.json").write_text("[1")
    with pytest.raises(ValueError, match=naming("manifest.json")):
        survey(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "part-00000.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=naming("part-00000.parquet")):
        survey(tmp_path)
    table = pyarrow.parquet.read_table(run / "part-00000.parquet")
    pyarrow.parquet.write_table(table.drop_columns(["cause"]), tmp_path / "part-00000.parquet")
    with pytest.raises(ValueError, match=naming("part-00000.parquet", "cause")):
        survey(tmp_path)


def test_a_check_is_failed_where_its_score_is_below_the_gates_threshold() -> None:
    scores = {"numbers": 0.99, "length": 0.5, "claims": 0.49, "order": 0.0, "mine": 0.0}
    assert failed_checks({"scores": json.dumps(scores)}) == ["numbers", "claims"]
    assert failed_checks({"scores": json.dumps({"numbers": 1.0, "judge": 0.0})}) == ["judge"]
    assert failed_checks({"scores": json.dumps({"mine": 0.0})}) == ["other"]


def test_a_reservoir_takes_each_thing_with_the_same_probability() -> None:
    taken: Counter[int] = Counter()
    for seed in range(400):
        held = Reservoir(5, seed)
        for thing in range(20):
            if (place := held.place()) is not None:
                held.put(place, thing)
        assert len({*held.items}) == 5
        taken.update(held.items)
    assert all(60 <= taken[thing] <= 140 for thing in range(20))  # 100 each, and 8.7 its standard deviation


def test_memory_does_not_grow_with_a_run(tmp_path: Path) -> None:
    def peak(shards: int) -> int:
        folder = tmp_path / str(shards)
        folder.mkdir()
        (folder / "manifest.json").write_text("{}")
        for number in range(shards):
            write_shard(folder / f"part-{number:05d}.parquet", [row(number, place) for place in range(20)])
        tracemalloc.start()
        survey(folder)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    def row(shard: int, place: int) -> dict[str, Any]:
        text = f"{shard} {place} " + "w" * 20_000
        known = {"source_id": "d", "style": "plain", "rephrasing": 0, "text": text, "chunks": [text]}
        more = {"rewritten": [text], "kept": True, "cause": "", "reasons": [], "scores": {}}
        return known | more | {"prompt_tokens": 1, "new_tokens": 1}

    peak(1)  # what is imported on the way
    few, many = peak(2), peak(10)
    assert many < few + 3e6  # samples of 160 more rows, of which 9.6 MB were read
