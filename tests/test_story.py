"""The story notebook runs from top to bottom with shorter runs and fewer frames, and is committed with its outputs."""

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

STORY = Path(__file__).parents[1] / "examples" / "story"
NOTEBOOK = STORY / "from_adamw_to_muonclip.ipynb"
GIFS = ("qk_clip_lifecycle.gif", "qk_clip_tradeoff.gif")
MEBIBYTE = 2**20


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # From a copy: the committed animations stay as they are.
    for module in STORY.glob("*.py"):
        shutil.copy(module, tmp_path)
    monkeypatch.setenv("STORY_STEPS", "6")
    monkeypatch.setenv("STORY_FRAMES", "6")
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()

    for name in GIFS:
        with Image.open(tmp_path / name) as picture:
            assert picture.n_frames == 6
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
