"""`.eval_results/*.yaml` is what the Hub's own client reads back, and never written over."""

from pathlib import Path

import pytest
import yaml
from error_messages import naming
from huggingface_hub import EvalResultEntry, parse_eval_result_entries
from test_results import PERPLEXITY, avg_at_2

from hf_muonclip.evaluation import EvaluationData, write_eval_results


def test_entries_are_read_back_by_the_hubs_client(tmp_path: Path) -> None:
    (path,) = write_eval_results([PERPLEXITY, avg_at_2()], tmp_path, date="2026-01-31", source_url="https://a.example")
    assert path == tmp_path / ".eval_results" / "openai--gsm8k.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(path.read_text()))
    assert entry == EvalResultEntry(
        dataset_id="openai/gsm8k",
        task_id="gsm8k",
        value=0.5,
        date="2026-01-31",
        source_url="https://a.example",
        notes=entry.notes,
    )
    assert entry.notes is not None
    for part in (
        "Avg@2, standard error 0.289;",
        "runs: 2;",
        "token cap: 5;",
        "thinking off",
        "truncated answers: 0.5;",
    ):
        assert part in entry.notes


def test_benchmarks_have_a_file_each_and_their_results_an_entry_each(tmp_path: Path) -> None:
    other = avg_at_2(data=EvaluationData(name="HLE", hub_id="cais/hle", task_id="default", revision="a1b2"))
    paths = write_eval_results([avg_at_2(), other, avg_at_2(temperature=1.0)], tmp_path)
    assert [path.name for path in paths] == ["openai--gsm8k.yaml", "cais--hle.yaml"]
    read = [parse_eval_result_entries(yaml.safe_load(path.read_text())) for path in paths]
    assert [len(entries) for entries in read] == [2, 1]
    assert read[1][0].dataset_revision == "a1b2"


def test_data_that_is_no_benchmark_writes_nothing(tmp_path: Path) -> None:
    on_the_hub = avg_at_2(data=EvaluationData(name="Plays", hub_id="someone/plays"))
    assert write_eval_results([PERPLEXITY, on_the_hub], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_results_are_never_overwritten(tmp_path: Path) -> None:
    (path,) = write_eval_results([avg_at_2()], tmp_path)
    before = path.read_bytes()
    assert write_eval_results([avg_at_2()], tmp_path) == [path]  # the same says nothing else
    with pytest.raises(FileExistsError, match=naming("openai--gsm8k.yaml")):
        write_eval_results([avg_at_2(temperature=1.0)], tmp_path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=naming(tmp_path / "missing")):
        write_eval_results([avg_at_2()], tmp_path / "missing")
