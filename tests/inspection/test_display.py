"""An inspection in a terminal fits its width and says whether the layout was proven."""

import io

import pytest
from rich.console import Console
from tiny_models import tiny_model

from hf_muonclip.inspection.display import as_rich
from hf_muonclip.inspection.inspect import inspect_model


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("name", ["llama_gqa", "deepseek_v3"])
def test_the_terminal_form_fits_its_width(name: str, width: int) -> None:
    inspection = inspect_model(f"a/long/path/to/the/folder/of/a/model/that/somebody/trained/{name}", tiny_model(name))
    for tree in (False, True):
        console = Console(record=True, width=width, force_terminal=True, file=io.StringIO())
        console.print(as_rich(inspection, width, tree))
        lines = console.export_text(styles=False).splitlines()
        assert max(map(len, lines)) <= width
        assert any("passed" in line for line in lines) or tree
