"""The committed cards are what the examples make of the committed files of their runs."""

import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

ROOT = Path(__file__).parents[2]
CARDS = sorted(path.parent for path in (ROOT / "model_cards").glob("*/README.md"))


def example_of(card: Path) -> ModuleType:
    """Import the script that the card's command runs."""
    told = json.loads((card / "settings.json").read_text(encoding="utf-8"))
    python, script, *_ = shlex.split(told["command"])
    assert python == "python"
    spec = importlib.util.spec_from_file_location(Path(script).stem, ROOT / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_cards_of_a_pretrained_and_a_finetuned_model() -> None:
    bases = {card.name: ModelCard.load(card / "README.md").data.base_model for card in CARDS}
    assert None in bases.values()
    assert any("SmolLM2" in (base or "") for base in bases.values())


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_card_renders_again_from_its_run(card: Path, tmp_path: Path) -> None:
    run = shutil.copytree(card, tmp_path / "run")
    for picture in run.glob("*.png"):
        picture.unlink()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(card))
    rendered, pictures = example_of(card).write_card(run, model)
    assert str(rendered) == (card / "README.md").read_text(encoding="utf-8")
    assert {picture.name for picture in pictures} == {picture.name for picture in card.glob("*.png")}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_card_says_what_the_run_kept(card: Path) -> None:
    text = (card / "README.md").read_text(encoding="utf-8")
    assert not re.search(r"\bNone\b(?! of the)", text)
    state = json.loads(next(card.rglob("trainer_state.json")).read_text(encoding="utf-8"))
    assert f"| Steps | {state['global_step']:,} |" in text
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)
    assert shown
    assert all((card / name).exists() for name in shown)
    assert not re.search(r"/(root|home|tmp)/", text)
