"""Names and shapes on disk against what transformers itself writes, and each piece against its inverse."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from census_models import census_model
from safetensors.torch import load_file
from tiny_models import TINY_MODEL_NAMES, tiny_model
from torch import Tensor
from transformers import PreTrainedModel

from hf_muonclip.export.saved_form import Piece, SavedForm
from hf_muonclip.kimi_k2 import kimi_k2_config


def source(piece: Piece, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: state[key] if piece.row is None else state[key][piece.row : piece.row + 1] for key in piece.keys}


def assert_saves_as_transformers_does(model: PreTrainedModel, folder: Path) -> SavedForm:
    model.save_pretrained(folder)
    truth = load_file(folder / "model.safetensors")
    form = SavedForm(model.config)
    state = form.state_of(model)
    assert {name: tensor.shape for name, tensor in form.tensors.items()} == {
        name: tensor.shape for name, tensor in truth.items()
    }
    seen = []
    for piece in form.pieces:
        saved = form.saved(piece, source(piece, state))
        seen += list(saved)
        for name, tensor in saved.items():
            assert torch.equal(tensor, truth[name]), name
        restored = form.restored(saved)
        assert restored.keys() == set(piece.keys)
        for key, tensor in source(piece, state).items():
            assert torch.equal(restored[key], tensor), key
    assert sorted(seen) == sorted(truth)
    return form


@pytest.mark.parametrize("tie_word_embeddings", [True, False])
@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_tiny_models(name: str, tie_word_embeddings: bool, tmp_path: Path) -> None:
    assert_saves_as_transformers_does(tiny_model(name, tie_word_embeddings=tie_word_embeddings), tmp_path)


def test_weights_that_are_joined_on_disk(tmp_path: Path) -> None:
    """HRM-Text holds q, k, v and gate apart and publishes them joined: such a layer is one piece."""
    form = assert_saves_as_transformers_does(census_model("hrm_text"), tmp_path)
    assert any(len(piece.keys) > len(piece.names) for piece in form.pieces)


def test_a_renaming_that_matches_too_much_is_not_applied(tmp_path: Path) -> None:
    """DeepSeek-V4's rule for `.norm.` also matches the last norm, which the loader leaves alone."""
    assert_saves_as_transformers_does(census_model("deepseek_v4"), tmp_path)


def test_an_expert_is_a_piece() -> None:
    form = SavedForm(tiny_model("deepseek_v3").config)
    assert (
        Piece(
            keys=("model.layers.2.mlp.experts.gate_up_proj",),
            row=3,
            names=("model.layers.2.mlp.experts.3.gate_proj.weight", "model.layers.2.mlp.experts.3.up_proj.weight"),
        )
        in form.pieces
    )


def test_pieces_of_experts_are_views() -> None:
    """What is written costs no memory of its own."""
    model = tiny_model("deepseek_v3")
    form = SavedForm(model.config)
    state = form.state_of(model)
    for piece in form.pieces:
        given = {tensor.untyped_storage().data_ptr() for tensor in source(piece, state).values()}
        for tensor in form.saved(piece, source(piece, state)).values():
            assert tensor.is_contiguous()
            assert tensor.untyped_storage().data_ptr() in given


def test_kimi_k2_has_the_published_number_of_tensors() -> None:
    """Kimi-K2-Instruct's index lists 139,644: our weights, a scale for each quantized one, and 61 unused buffers."""
    tensors = SavedForm(kimi_k2_config("full")).tensors
    plain = ("mlp.gate.weight", "embed_tokens.weight", "lm_head.weight")
    scales = [name for name, tensor in tensors.items() if tensor.ndim == 2 and not name.endswith(plain)]
    assert len(tensors) + len(scales) + 61 == 139_644
    assert tuple(tensors["model.layers.60.mlp.experts.383.down_proj.weight"].shape) == (7168, 2048)
    assert all(tensor.device.type == "meta" for tensor in tensors.values())


def test_tensors_come_layer_by_layer_and_expert_by_expert() -> None:
    names = list(SavedForm(kimi_k2_config("nano")).tensors)
    layers = [int(name.split(".")[2]) for name in names if name.startswith("model.layers.")]
    assert layers == sorted(layers)
    experts = [int(name.split(".")[5]) for name in names if name.startswith("model.layers.1.mlp.experts.")]
    assert experts == sorted(experts)
    assert max(experts) == 15


def test_conversions_of_the_files_that_a_model_came_from_do_not_matter(tmp_path: Path) -> None:
    model = tiny_model("deepseek_v3")
    model._weight_conversions = []  # as if it had been loaded from joined experts
    form = SavedForm(model.config)
    assert "model.layers.1.mlp.experts.0.up_proj.weight" in form.tensors
