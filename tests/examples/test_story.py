"""The story's runs record what happened; its notebook runs from top to bottom and is committed with its outputs."""

import importlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image

STORY = Path(__file__).parents[2] / "examples" / "story"
NOTEBOOK = STORY / "from_adamw_to_muonclip.ipynb"
GIFS = ("qk_clip_lifecycle.gif", "qk_clip_tradeoff.gif")
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def recorded_runs() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(STORY))
        yield importlib.import_module("recorded_runs")


def test_runs_begin_alike_and_record_every_clip(recorded_runs: ModuleType) -> None:
    tau = 0.06  # some heads of the new model are above it and some below
    adamw = recorded_runs.train_small_k2("adamw", steps=2, learning_rate=1e-3)
    clipped = recorded_runs.train_small_k2("muonclip", steps=2, learning_rate=1e-3, tau=tau)

    assert adamw.max_logits.shape == clipped.clips.shape == (2, 4, 8)
    np.testing.assert_allclose(adamw.losses[0], clipped.losses[0], rtol=1e-5)
    np.testing.assert_allclose(adamw.max_logits[0], clipped.max_logits[0], atol=1e-4)
    np.testing.assert_array_equal(clipped.clips, clipped.max_logits > tau)
    assert clipped.clips.any()
    assert not clipped.clips.all()
    assert clipped.last_clip == 2
    assert adamw.last_clip == 0
    for recording in (adamw, clipped):
        assert max(update.abs().max() for update in recording.updates.values()) > 0


def test_a_question_asks_for_the_tool_that_it_resembles(recorded_runs: ModuleType) -> None:
    embeddings, right, answers = recorded_runs.tool_questions(torch.Generator().manual_seed(0))
    descriptions = embeddings[..., : recorded_runs.DESCRIPTION]
    nearest = (descriptions[:, :-1] @ descriptions[:, -1:].mT).squeeze(-1).argmax(dim=-1)
    of_right = embeddings[torch.arange(len(right)), right, recorded_runs.DESCRIPTION :][:, : recorded_runs.ANSWERS]

    assert (nearest == right).float().mean() > 0.9
    assert torch.equal(of_right.argmax(dim=-1), answers)


def test_svd_entropy_is_one_for_equal_values_and_zero_at_rank_one(recorded_runs: ModuleType) -> None:
    svd_entropy = importlib.import_module("story_pictures").svd_entropy

    assert svd_entropy(2 * torch.eye(5)) == pytest.approx(1.0)
    assert svd_entropy(torch.ones(4, 6)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # From a copy: the committed animations stay as they are.
    for module in STORY.glob("*.py"):
        shutil.copy(module, tmp_path)
    monkeypatch.setenv("STORY_STEPS", "4")
    monkeypatch.setenv("STORY_FRAMES", "3")
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()

    for name in GIFS:
        with Image.open(tmp_path / name) as picture:
            assert picture.n_frames == 3
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5


def test_the_committed_notebook_has_outputs_and_no_errors() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]

    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert NOTEBOOK.stat().st_size < 3 * MEBIBYTE


@pytest.mark.parametrize("name", GIFS)
def test_the_committed_animations_are_smooth_and_small(name: str) -> None:
    with Image.open(STORY / name) as picture:
        assert picture.n_frames >= 60
        assert picture.info["duration"] <= 70  # milliseconds a frame
        assert picture.info["loop"] == 0
    assert (STORY / name).stat().st_size < 3 * MEBIBYTE
