"""Published layers for multi-token prediction are named and left out, and no export promises them; nothing else is."""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from census_models import census_model
from error_messages import naming
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model
from transformers import AutoConfig, AutoModelForCausalLM, DeepseekV3Config, PreTrainedModel

from hf_muonclip.export import check_checkpoint, load_checkpoint, save_checkpoint
from hf_muonclip.export.left_out import announced_layers, without_announced_layers
from hf_muonclip.trainer.push import complete_config

# DeepSeek-V3's field that announces layers; before transformers knew them, the published name was any attribute's.
ANNOUNCED = "num_mtp_layers" if hasattr(DeepseekV3Config, "num_mtp_layers") else "num_nextn_predict_layers"


def add_tensors(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | tensors, path, metadata={"format": "pt"})


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def layer_beyond(folder: Path, layers: int, beyond: int = 0) -> dict[str, torch.Tensor]:
    """Return a layer as DeepSeek-V3 and GLM-4.5 publish it: the last one's tensors and what joins it to the model."""
    last, name = f"model.layers.{layers - 1}.", f"model.layers.{layers + beyond}."
    stored = load_file(folder / "model.safetensors")
    block = {key.replace(last, name): tensor.clone() for key, tensor in stored.items() if key.startswith(last)}
    width = stored["model.norm.weight"].shape[0]
    return block | {
        f"{name}eh_proj.weight": torch.ones(width, 2 * width),
        f"{name}enorm.weight": torch.ones(width),
        f"{name}hnorm.weight": torch.ones(width),
        f"{name}shared_head.norm.weight": torch.ones(width),
        f"{name}shared_head.head.weight": stored["lm_head.weight"].clone(),
        f"{name}embed_tokens.weight": stored["lm_head.weight"].clone(),
    }


def module_beside(folder: Path, prefix: str) -> dict[str, torch.Tensor]:
    """Return a module as Qwen3-Next and LongCat-Flash publish it."""
    return {
        f"{prefix}fc.weight": torch.ones(4, 8),
        f"{prefix}layers.0.input_layernorm.weight": torch.ones(4),
        f"{prefix}layers.0.mlp.experts.3.up_proj.weight": torch.ones(4, 4),
        f"{prefix}norm.weight": torch.ones(4),
    }


# model type -> the field that announces one layer, and what stands before its tensors ("" for a layer beyond the last)
PUBLISHED: dict[str, tuple[str, str]] = {
    "deepseek_v3": ("num_nextn_predict_layers", ""),
    "glm4_moe": ("num_nextn_predict_layers", ""),
    "bailing_hybrid": ("num_nextn_predict_layers", ""),
    "qwen3_next": ("mtp_num_hidden_layers", "mtp."),
    "mellum": ("num_nextn_predict_layers", "mtp."),
    "longcat_flash": ("num_mtp_modules", "model.mtp."),
}


def published(model_type: str, folder: Path) -> PreTrainedModel:
    """Write a tiny model as its architecture is published: with the layer that transformers does not build."""
    field, prefix = PUBLISHED[model_type]
    model = census_model(model_type)
    model.save_pretrained(folder)
    layers = model.config.num_hidden_layers
    add_tensors(folder, module_beside(folder, prefix) if prefix else layer_beyond(folder, layers))
    edit_config(folder, **{field: 1})
    return model


@pytest.mark.parametrize("model_type", PUBLISHED)
def test_the_published_form_is_loaded_and_saved_without_a_promise(
    model_type: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = published(model_type, tmp_path / "published")
    field, prefix = PUBLISHED[model_type]
    found = check_checkpoint(tmp_path / "published")
    beyond = prefix or f"model.layers.{model.config.num_hidden_layers}."
    assert found.left_out
    assert all(name.startswith(beyond) for name in found.left_out)
    caplog.clear()
    with caplog.at_level(logging.WARNING, "hf_muonclip"):
        loaded = load_checkpoint(tmp_path / "published", dtype=torch.float32)
    (record,) = caplog.records
    said = naming(len(found.left_out), beyond)
    assert re.search(said, record.getMessage())
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name

    saved = save_checkpoint(loaded, tmp_path / "saved")
    assert json.loads((saved / "config.json").read_text())[field] == 0
    assert check_checkpoint(saved).left_out == ()
    edit_config(saved, **{field: 1})
    with pytest.raises(ValueError, match=naming(field, 1, 0)):
        check_checkpoint(saved)
    assert load_checkpoint(saved).num_parameters() == model.num_parameters()  # all that is trained is there


def test_transformers_own_default_announces_a_layer(tmp_path: Path) -> None:
    """num_mtp_layers is 1 where a DeepseekV3Config has it and is not told otherwise, and save_pretrained writes it."""
    model = tiny_model("deepseek_v3", **{ANNOUNCED: 1})
    model.save_pretrained(tmp_path / "plain")
    with pytest.raises(ValueError, match=naming("num_nextn_predict_layers", 1)):
        check_checkpoint(tmp_path / "plain")
    complete_config(model, tmp_path / "plain", resumable=True)  # as after each save of the Trainer
    assert check_checkpoint(tmp_path / "plain").left_out == ()
    assert getattr(model.config, ANNOUNCED) == 1


def test_each_announced_layer_must_be_there(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tiny_model("deepseek_v3").save_pretrained(folder)
    add_tensors(folder, layer_beyond(folder, 3))
    edit_config(folder, num_nextn_predict_layers=2)
    with pytest.raises(ValueError, match=naming("num_nextn_predict_layers", 2, 1)):
        check_checkpoint(folder)
    add_tensors(folder, layer_beyond(folder, 3, beyond=1))
    assert len(check_checkpoint(folder).left_out) > 40


def test_layers_that_nobody_announces_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tiny_model("deepseek_v3").save_pretrained(folder)
    add_tensors(folder, layer_beyond(folder, 3))
    for function in (check_checkpoint, load_checkpoint):
        with pytest.raises(ValueError, match=r"32 more.*model\.layers\.3\..*num_"):
            function(folder)


def test_a_pattern_for_another_size_hides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """GLM-4.5 ignores layers 46 and 92, of two sizes: in the larger one, layer 46 is a layer like any other."""
    folder = tmp_path / "run"
    model = tiny_model("deepseek_v3")
    model.save_pretrained(folder)
    add_tensors(folder, {"model.layers.1.forgotten.weight": torch.ones(2)})
    monkeypatch.setattr(type(model), "_keys_to_ignore_on_load_unexpected", [r"model\.layers\.1.*"])
    with pytest.raises(ValueError, match=naming(1, "model.layers.1.forgotten.weight")):
        check_checkpoint(folder)


def test_other_parts_that_a_class_leaves_out_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A language model from a vision-language checkpoint comes without the tower."""
    folder = tmp_path / "run"
    census_model("qwen3_5_text").save_pretrained(folder)
    add_tensors(folder, {"model.visual.blocks.0.norm1.weight": torch.ones(2)})
    assert check_checkpoint(folder).left_out == ("model.visual.blocks.0.norm1.weight",)
    with caplog.at_level(logging.WARNING, "hf_muonclip"):
        load_checkpoint(folder)
    assert re.search(naming(1, "model.visual.blocks.0.norm1.weight"), caplog.text)


def test_a_tied_weight_may_be_stored_twice(tmp_path: Path) -> None:
    """Qwen3-0.6B is published so."""
    folder = tmp_path / "run"
    model = tiny_model("llama_gqa", tie_word_embeddings=True)
    model.save_pretrained(folder)
    embedding = model.get_input_embeddings().weight.detach()
    add_tensors(folder, {"lm_head.weight": embedding.clone()})
    found = check_checkpoint(folder)
    assert (found.left_out, found.parameters) == ((), model.num_parameters())
    loaded = load_checkpoint(folder)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert torch.equal(loaded.lm_head.weight, embedding)
    add_tensors(folder, {"lm_head.weight": embedding + 1})
    with pytest.raises(ValueError, match=naming("lm_head.weight", "model.embed_tokens.weight")):
        load_checkpoint(folder)
    add_tensors(folder, {"lm_head.weight": embedding[:5].clone()})
    with pytest.raises(ValueError, match=naming("lm_head.weight", "[128, 64]", "[5, 64]")):
        check_checkpoint(folder)


@pytest.mark.parametrize(
    ("fields", "announced", "true"),
    [
        ({"num_nextn_predict_layers": 1}, {"num_nextn_predict_layers": 1}, {"num_nextn_predict_layers": 0}),
        (
            {"num_nextn_predict_layers": None, "num_mtp_layers": 0},
            {},
            {"num_nextn_predict_layers": None, "num_mtp_layers": 0},
        ),
        (
            {"use_mtp": True, "num_mtp_modules": 3, "mtp_transformer_layers": 1, "mtp_loss_scaling_factor": 0.1},
            {"use_mtp": 1, "num_mtp_modules": 3},
            {"use_mtp": False, "num_mtp_modules": 0, "mtp_transformer_layers": 1, "mtp_loss_scaling_factor": 0.1},
        ),
        (
            {"text_config": {"num_hidden_layers": 2, "mtp_num_hidden_layers": 1, "layer_types": ["a", "a", "b"]}},
            {"text_config.mtp_num_hidden_layers": 1},
            {"text_config": {"num_hidden_layers": 2, "mtp_num_hidden_layers": 0, "layer_types": ["a", "a"]}},
        ),
        (
            {
                "num_hidden_layers": 2,
                "num_nextn_predict_layers": 1,
                "eos_token_id": [1, 2, 3],
                "moe_layer_freq": [0, 1, 1],
            },
            {"num_nextn_predict_layers": 1},
            {
                "num_hidden_layers": 2,
                "num_nextn_predict_layers": 0,
                "eos_token_id": [1, 2, 3],
                "moe_layer_freq": [0, 1],
            },
        ),
        (
            {"num_hidden_layers": 2, "mtp_hidden_states_first": True},
            {},
            {"num_hidden_layers": 2, "mtp_hidden_states_first": True},
        ),
    ],
)
def test_fields_that_announce_layers(fields: dict[str, Any], announced: dict[str, int], true: dict[str, Any]) -> None:
    assert announced_layers(fields) == announced
    assert without_announced_layers(fields) == true


def test_a_model_that_builds_the_layers_keeps_its_promise(tmp_path: Path) -> None:
    """A class of somebody's own; transformers has none."""
    model = tiny_model("deepseek_v3", **{ANNOUNCED: 1})
    model.save_pretrained(tmp_path)
    model.mtp = torch.nn.Linear(2, 2)
    complete_config(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["num_nextn_predict_layers"] == 1


def test_what_was_written_reads_back_in_transformers(tmp_path: Path) -> None:
    model = tiny_model("deepseek_v3", **{ANNOUNCED: 1})
    folder = save_checkpoint(model, tmp_path / "run")
    assert getattr(AutoConfig.from_pretrained(folder), ANNOUNCED) == 0
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() == model.num_parameters()
