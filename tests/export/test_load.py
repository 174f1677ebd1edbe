"""Every published form loads whole, without its code, as what a slow reading of it gives; anything less is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from published_kimi_k2 import LAYOUTS, in_memory, write_published
from safetensors.torch import load_file, save_file
from tiny_models import TINY_MODEL_NAMES, random_batch, tiny_model
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip.export import save_checkpoint
from hf_muonclip.export.check import check_checkpoint
from hf_muonclip.export.load import load_checkpoint


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Folder and weights by layout."""
    folders = {layout: tmp_path_factory.mktemp("published") / "run" for layout in LAYOUTS}
    return {layout: (folder, write_published(layout, folder)) for layout, folder in folders.items()}


@pytest.mark.parametrize("dtype", [torch.float32, None])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_published_layouts_load_as_what_they_hold(layout: str, dtype: torch.dtype | None, published: Any) -> None:
    folder, truth = published[layout]
    model = load_checkpoint(folder, dtype=dtype)
    state, expected = model.state_dict(), in_memory(truth)
    assert state.keys() == expected.keys()
    for name, tensor in state.items():
        # Older transformers keeps the bias alone.
        kept = tuple(model._keep_in_fp32_modules_strict)
        assert "e_score_correction_bias" in kept
        in_float32 = dtype is not None or name.endswith(kept)
        assert tensor.dtype == (torch.float32 if in_float32 else torch.bfloat16), name
        assert torch.equal(tensor, expected[name].to(tensor.dtype)), name
    assert not model.training
    assert model.config.rope_parameters["rope_theta"] == 50000.0
    assert (model.config.rope_parameters["rope_type"] == "yarn") == (layout != "moonlight")
    assert torch.isfinite(model(**random_batch(model)).logits).all()


@pytest.mark.parametrize("model_type", ["deepseek_v3", "kimi_k2"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_was_published_is_saved_plain(layout: str, model_type: Any, published: Any, tmp_path: Path) -> None:
    folder, _ = published[layout]
    model = load_checkpoint(folder)
    saved = save_checkpoint(model, tmp_path / "run", model_type=model_type, dtype=torch.bfloat16)
    config = json.loads((saved / "config.json").read_text())
    assert config["model_type"] == model_type
    assert not {"auto_map", "quantization_config"} & config.keys()
    assert check_checkpoint(saved).dtypes.keys() == {"BF16", "F32"}
    reloaded, report = AutoModelForCausalLM.from_pretrained(saved, output_loading_info=True)
    assert not any(report.values())
    for name, tensor in model.state_dict().items():
        assert torch.equal(reloaded.state_dict()[name], tensor), name


@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_every_architecture_loads(name: str, tmp_path: Path) -> None:
    model = tiny_model(name, tie_word_embeddings=name == "llama_gqa")
    model.generation_config.eos_token_id = [2, 7]
    folder = save_checkpoint(model, tmp_path / "run", max_shard_size="100KB")
    loaded = load_checkpoint(folder, device_map={"": "cpu"})
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, loaded.state_dict()[key]) for key, tensor in model.state_dict().items())
    assert loaded.generation_config.eos_token_id == [2, 7]
    assert loaded.name_or_path == str(folder)


def plain_folder(tmp_path: Path) -> Path:
    tiny_model("deepseek_v3").save_pretrained(tmp_path / "run")
    return tmp_path / "run"


def test_missing_tensors_are_an_error(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.2.mlp.experts.3.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=naming(1, 67, "model.layers.2.mlp.experts.3.up_proj.weight")):
        load_checkpoint(folder)


def test_unexpected_tensors_are_an_error(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path)
    tensors = load_file(folder / "model.safetensors") | {"model.layers.61.mlp.gate.weight": torch.zeros(1)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=naming(1, "model.layers.61.mlp.gate.weight")):
        load_checkpoint(folder)


def test_other_shapes_are_an_error(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path)
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"moe_intermediate_size": 16}))
    with pytest.raises(ValueError, match=naming(67, "[64, 16]", "[64, 32]")):
        load_checkpoint(folder)


def test_truncated_shards_are_an_error(tmp_path: Path) -> None:
    folder = plain_folder(tmp_path)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=naming("model.safetensors", "damaged")):
        load_checkpoint(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=naming(tmp_path / "run")):
        load_checkpoint(tmp_path / "run")


def test_a_quantized_folder_without_code_passes_the_check(published: Any, tmp_path: Path) -> None:
    for layout in ("instruct", "thinking"):
        folder, truth = published[layout]
        copy = tmp_path / layout
        copy.mkdir()
        for path in folder.iterdir():
            if path.suffix != ".py":
                (copy / path.name).write_bytes(path.read_bytes())
        with pytest.raises(ValueError, match=naming("remote code")):
            check_checkpoint(copy)
        config = json.loads((copy / "config.json").read_text())
        del config["auto_map"]
        (copy / "config.json").write_text(json.dumps(config))
        found = check_checkpoint(copy)
        assert found.parameters == sum(tensor.numel() for tensor in truth.values())
        assert ("F8_E4M3" if layout == "instruct" else "I32") in found.dtypes
