"""`hf-muonclip synth report`, and the page that `synth rephrase` leaves behind."""

import json
import re
from pathlib import Path

import pytest
from chat_server import address, serving
from test_synth_command import reply, write_documents

from hf_muonclip.cli import main
from hf_muonclip.synth import run_folder


def rephrase(folder: Path, *more: str) -> Path:
    path, output = write_documents(folder), folder / "out"
    with serving(reply) as server:
        command = ["synth", "rephrase", str(path), str(output), "--server", address(server), "--model", "m"]
        assert main([*command, "--no-gate", *more]) == 0
    return output


def cost_tile(page: str) -> str | None:
    found = re.search(r"<span>cost</span><b>([^<]*)</b>", page)
    return found and found[1]


def test_a_run_leaves_a_page_behind_that_the_command_writes_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = rephrase(tmp_path, "--price", "1", "10")
    path = output / "report.html"
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    written = path.read_text(encoding="utf-8")
    assert cost_tile(written) == "20.00"  # four answers of 10 tokens, 100 read for each: 5 per token written
    path.unlink()
    assert main(["synth", "report", str(output), "--price", "1", "10"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    assert path.read_text(encoding="utf-8") == written
    assert main(["synth", "report", str(output)]) == 0
    assert cost_tile(path.read_text(encoding="utf-8")) is None
    assert json.loads((output / "manifest.json").read_text())["documents"] == 4


@pytest.mark.parametrize("price", [["-1", "2"], ["1", "nan"], ["inf", "1"]])
def test_a_price_that_is_none_is_refused_before_anything_is_done(
    price: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = write_documents(tmp_path), tmp_path / "out"
    for command in (["synth", "report", str(output)], ["synth", "rephrase", str(path), str(output)]):
        assert main([*command, "--price", *price]) == 2
        assert "--price" in capsys.readouterr().err
    assert not output.exists()


def test_what_is_no_run_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        assert main(["synth", "report", str(folder)]) == 2
        assert str(folder) in capsys.readouterr().err
    (tmp_path / "manifest.json").write_text("{}")
    assert main(["synth", "report", str(tmp_path), "--embeddings", str(tmp_path / "no-model")]) == 2
    assert "no-model" in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_a_full_disk_ends_with_1_and_leaves_the_page_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "report.html").write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder.os, "fsync", full)
    assert main(["synth", "report", str(tmp_path)]) == 1
    assert "report.html" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".unfinished")] == []
    assert (tmp_path / "report.html").read_text() == "before"
