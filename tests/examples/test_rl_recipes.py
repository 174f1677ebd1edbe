"""Each recipe of reinforcement learning runs with the real weights' first layers, shortened by its own arguments."""

import copy
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

RECIPES = Path(__file__).parents[2] / "examples" / "rl"
LAYERS = 2  # of 30
SHORT = {"max_steps": 4, "per_device_train_batch_size": 4, "num_generations": 4, "rows": 6, "max_completion_length": 12}


@pytest.fixture(scope="module")
def smollm2() -> Iterator[tuple[Any, Any]]:
    """The real tokenizer, and the real weights but for most layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(RECIPES.parent))
        import finetune

        model, tokenizer = finetune.load_smollm2()
        model.model.layers = model.model.layers[:LAYERS]
        model.config.num_hidden_layers = LAYERS
        yield model, tokenizer
        for name in ("finetune", "trl_inputs"):
            sys.modules.pop(name, None)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["math", "instruction", "code"])
def test_a_recipe_runs(
    recipe: str,
    smollm2: tuple[Any, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.syspath_prepend(str(RECIPES))
    monkeypatch.setattr("trl_inputs.load_smollm2", lambda: copy.deepcopy(smollm2))
    told = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8"))
    short = SHORT | ({"budget": 6} if "budget" in told else {})
    arguments = [text for name, value in short.items() for text in (f"--{name}", str(value))]
    monkeypatch.setattr("sys.argv", ["train.py", "--config", str(RECIPES / f"{recipe}.yaml"), *arguments])
    try:
        runpy.run_path(str(RECIPES / "train.py"), run_name="__main__")
    finally:
        sys.modules.pop("tasks", None)
    shown = capsys.readouterr().out
    folder = tmp_path / told["output_dir"]
    assert f"hf-muonclip report {folder.name}" in shown
    assert "reward: " in shown
    assert (folder / "model.safetensors").exists()
    logs = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    rewards = [log["reward"] for log in logs if log.get("reward") is not None]
    assert len(rewards) == 2  # one a batch of completions
    assert all(-1 <= reward <= 1 for reward in rewards)
    maxima = [log["qk_clip/max_logit"] for log in logs if "qk_clip/max_logit" in log]
    assert len(maxima) == 4
    assert all(maximum > 0 for maximum in maxima)
    if "budget" in told:
        over = [log[f"budget/{recipe}/over"] for log in logs if log.get("reward") is not None]
        assert all(0 <= share <= 1 for share in over)
