"""`Dataset.map`, streams and several processes give the same rows; what decides about results names their cache."""

import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import rule_generator
from datasets import Dataset, Features
from datasets.fingerprint import Hasher
from error_messages import naming
from fresh_process import run_python
from hard_documents import hard_document
from number_gate import same_numbers
from rule_generator import RuleGenerator
from tiny_models import tiny_model, tiny_tokenizer

from hf_muonclip.synth import CachedGenerator, TransformersGenerator, run_folder
from hf_muonclip.synth.rephraser import Rephraser

FOLDER = Path(__file__).parent
DOCUMENTS = [hard_document(seed)[0] for seed in range(30)]
ODD = ["", "\0\0\0", "```\ncode\n```", "The price of 12 tickets was 90 crowns that year."]


def rephraser(**given: Any) -> Rephraser:
    return Rephraser(RuleGenerator(), **{"gate": same_numbers, "rephrasings": 2, "chunk_size": 300, **given})


def mapped(dataset: Any, made: Rephraser, **given: Any) -> Any:
    return dataset.map(made, batched=True, remove_columns=["text"], features=made.features, **given)


def test_map_gives_a_row_for_each_rephrasing() -> None:
    made = rephraser()
    found = mapped(Dataset.from_dict({"text": DOCUMENTS}), made, batch_size=7)
    assert isinstance(found.features, Features)
    assert found.column_names == [*made.features]
    assert len(found) == 60
    rows = found.to_list()
    assert [row["text"] for row in rows] == [row.text for row in made.rephrased(DOCUMENTS)]
    assert ["".join(row["chunks"]) for row in rows[::2]] == [
        document if row["chunks"] else "" for document, row in zip(DOCUMENTS, rows[::2], strict=True)
    ]
    assert {row["scores"] for row in rows if row["kept"]} == {'{"numbers": 1.0}'}
    assert sum(row["kept"] for row in rows) > 40


def test_streams_and_processes_give_the_same_rows() -> None:
    dataset = Dataset.from_dict({"text": DOCUMENTS + ODD})
    expected = mapped(dataset, rephraser(), batch_size=9).to_list()
    assert mapped(dataset, rephraser(), batch_size=4, num_proc=2).to_list() == expected
    stream = mapped(dataset.to_iterable_dataset(num_shards=3), rephraser(), batch_size=5)
    assert list(stream) == expected


@pytest.mark.parametrize("first", ["", ODD[3]])
def test_a_first_batch_of_one_kind_does_not_decide_on_types(first: str) -> None:
    second = "" if first else ODD[3]
    found = mapped(
        Dataset.from_dict({"text": [first] * 4 + [second] * 4}), rephraser(), batch_size=4, writer_batch_size=4
    )
    assert Counter(found["cause"]) == {"": 8, "empty": 8}


def test_missing_documents_and_ids_are_rows() -> None:
    dataset = Dataset.from_dict({"text": [None, ODD[3]], "name": ["a", None], "title": [None, "Of rivers"]})
    made = rephraser(id_column="name", title_column="title", rephrasings=1)
    found = dataset.map(made, batched=True, remove_columns=dataset.column_names, features=made.features).to_list()
    assert [row["cause"] for row in found] == ["not_text", ""]
    assert found[0]["source_id"] == "a"
    assert len(found[1]["source_id"]) == 16


@pytest.mark.parametrize("given", [{"column": "content"}, {"id_column": "content"}, {"title_column": "content"}])
def test_a_missing_column_is_an_error_before_anything_is_generated(given: dict[str, str]) -> None:
    generator = RuleGenerator(log=[])
    made = Rephraser(generator, gate=None, **given)
    with pytest.raises(ValueError, match=naming("content", "['text']")):
        made({"text": DOCUMENTS})
    assert generator.log == []


def test_single_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=naming("batched=True")):
        Dataset.from_dict({"text": DOCUMENTS}).map(rephraser())


def test_it_pickles() -> None:
    made = rephraser()
    assert pickle.loads(pickle.dumps(made)).rephrased(DOCUMENTS) == made.rephrased(DOCUMENTS)


def test_the_cache_is_named_the_same_after_use_and_in_another_process(tmp_path: Path) -> None:
    made = rephraser()
    name = Hasher.hash(made)
    made.rephrased(DOCUMENTS)
    assert Hasher.hash(made) == name == Hasher.hash(rephraser())
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r})\n"
        "from datasets.fingerprint import Hasher\n"
        "from number_gate import same_numbers\n"
        "from rule_generator import RuleGenerator\n"
        "from hf_muonclip.synth.rephraser import Rephraser\n"
        "print(Hasher.hash(Rephraser(RuleGenerator(), gate=same_numbers, rephrasings=2, chunk_size=300)))\n"
    )
    assert run_python(code, tmp_path).strip() == name


def test_use_does_not_rename_the_cache(tmp_path: Path) -> None:
    """What a cache has counted, and what a generator has found out of its model, is nothing that decides."""
    model = tiny_model("llama_gqa", max_position_embeddings=4096)
    model.save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    settings = {"max_new_tokens": 2, "device": "cpu"}
    cached = CachedGenerator(TransformersGenerator(tmp_path / "model", **settings), tmp_path / "answers")
    made = Rephraser(cached, gate=None)
    name = Hasher.hash(made)
    made.rephrased(DOCUMENTS[:2])
    assert cached.asked
    assert Hasher.hash(made) == name


@pytest.mark.parametrize(
    "given",
    [
        {"rephrasings": 3},
        {"chunk_size": 301},
        {"seed": 1},
        {"gate": None},
        {"styles": ["essay"]},
        {"size": str.__len__},
        {"most_characters": 10},
        {"title_column": "text"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_each_setting_renames_the_cache(given: dict[str, Any]) -> None:
    assert Hasher.hash(rephraser(**given)) != Hasher.hash(rephraser())


def test_another_generator_renames_the_cache() -> None:
    other = Rephraser(RuleGenerator(rule_generator.echo), gate=same_numbers, rephrasings=2, chunk_size=300)
    assert Hasher.hash(other) != Hasher.hash(rephraser())


@pytest.mark.parametrize("name", ["styles.py", "answer_checks.py", "chunks.py"])
def test_a_constant_of_any_module_renames_the_cache(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Hasher.hash(rephraser())
    package = Path(run_folder.__file__).parents[1]
    for folder in ("synth", "common/graders"):
        shutil.copytree(package / folder, tmp_path / folder)
    monkeypatch.setattr(run_folder, "__file__", str(tmp_path / "synth" / "run_folder.py"))
    assert Hasher.hash(rephraser()) == before
    path = tmp_path / "synth" / name
    path.write_text(path.read_text(encoding="utf-8") + "\nANOTHER = 1\n", encoding="utf-8")
    assert Hasher.hash(rephraser()) != before
