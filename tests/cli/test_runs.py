"""`hf-muonclip report` and `watch` on a real run: before its first save, and after its end."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tiny_trainer import build
from transformers import TrainerCallback

from hf_muonclip import MuonClipCallback
from hf_muonclip.cli import main


class LookInside(TrainerCallback):
    """Calls both commands in the middle of training, as from another terminal."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self.codes: list[int] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == 4:
            assert not list(self.run.glob("**/trainer_state.json"))
            self.codes = [main(["report", str(self.run)]), main(["watch", str(self.run), "--once"])]


def test_both_commands_while_a_run_goes_on_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    look = LookInside(tmp_path)
    trainer = build(tmp_path, callbacks=[MuonClipCallback(), look], logging_steps=1)
    trainer.train()
    inside = capsys.readouterr().out
    assert look.codes == [0, 0]
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "3 of 6" in page  # the fourth is logged after this callback
    assert re.search(r"step +3\b", inside)

    trainer.save_state()
    assert main(["report", str(tmp_path)]) == 0
    assert main(["watch", str(tmp_path), "--once"]) == 0
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "step 6" in page
    kept = json.loads((tmp_path / "trainer_state.json").read_text())["stateful_callbacks"]["MuonClipCallback"]
    told = kept["attributes"]["exported_statistics"]
    expected = {
        (layer, head, figures["clips"][head], figures["first_clip_step"][head], figures["last_clip_step"][head])
        for layer, figures in enumerate(told.values())
        for head in range(4)
        if figures["clips"][head]
    }
    assert expected
    row = re.compile(r"<tr><td>(\d+)</td><td>(\d+)</td><td>[\d.]+</td><td>(\d+)</td><td>(\d+)</td><td>(\d+)</td>")
    assert {tuple(map(int, cells)) for cells in row.findall(page)} == expected
