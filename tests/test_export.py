"""Written folders load in a fresh process as the model that was saved; a failed save leaves nothing."""

import json
import math
import stat
from pathlib import Path

import pytest
import torch
import transformers
from fresh_process import run_python
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_models import TINY_MODEL_NAMES, random_batch, tiny_model, tiny_tokenizer
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip import export
from hf_muonclip.export import save_checkpoint
from hf_muonclip.model_card import render_model_card

YARN = {
    "rope_type": "yarn",
    "rope_theta": 50000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 1.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
PNG = b"\x89PNG\r\n\x1a\n"


def written_config(folder: Path) -> dict:
    return json.loads((folder / "config.json").read_text())


def tensor_names(folder: Path) -> set[str]:
    names = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names.update(file.keys())
    return names


# --- what is written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["deepseek_v3", "llama_gqa"])
def test_fresh_process_reloads_bit_identical_logits(name, tmp_path):
    model = tiny_model(name).eval()
    batch = random_batch(model)
    with torch.no_grad():
        expected = model(batch["input_ids"]).logits
    folder = save_checkpoint(model, tmp_path / "checkpoint", tokenizer=tiny_tokenizer())
    torch.save({"input_ids": batch["input_ids"], "logits": expected}, tmp_path / "expected.pt")
    output = run_python(
        "import torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "expected = torch.load('../expected.pt')\n"
        "model = AutoModelForCausalLM.from_pretrained('.')\n"
        "assert AutoTokenizer.from_pretrained('.')('w7 w9')['input_ids'] == [7, 9]\n"
        "with torch.no_grad():\n"
        "    logits = model(expected['input_ids']).logits\n"
        "print(torch.equal(logits, expected['logits']))\n",
        folder,
    )
    assert output == "True\n"


@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_every_layout_comes_back(name, tmp_path):
    model = tiny_model(name)
    save_checkpoint(model, tmp_path / "checkpoint")
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "checkpoint").state_dict()
    assert reloaded.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, reloaded[key]) for key, tensor in model.state_dict().items())


def test_experts_are_written_one_by_one(tmp_path):
    save_checkpoint(tiny_model("deepseek_v3"), tmp_path / "checkpoint")
    experts = {name for name in tensor_names(tmp_path / "checkpoint") if ".mlp.experts." in name}
    assert experts == {
        f"model.layers.{layer}.mlp.experts.{expert}.{projection}_proj.weight"
        for layer in (1, 2)
        for expert in range(4)
        for projection in ("gate", "up", "down")
    }


def test_shards_have_an_index_of_every_tensor(tmp_path):
    folder = save_checkpoint(tiny_model("deepseek_v3"), tmp_path / "checkpoint", max_shard_size="100KB")
    weight_map = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    assert len(set(weight_map.values())) > 2
    assert set(weight_map) == tensor_names(folder)


@pytest.mark.parametrize(
    ("rope", "theta", "scaling"),
    [
        ({"rope_type": "default", "rope_theta": 50000.0}, 50000.0, None),
        (YARN, 50000.0, {"type": "yarn"} | {key: YARN[key] for key in YARN if not key.startswith("rope_")}),
    ],
)
def test_config_carries_what_engines_read(rope, theta, scaling, tmp_path):
    model = tiny_model("deepseek_v3", rope_parameters=dict(rope))
    folder = save_checkpoint(model, tmp_path / "checkpoint")
    config = written_config(folder)
    assert (config["scoring_func"], config["topk_method"], config["moe_layer_freq"]) == ("sigmoid", "noaux_tc", 1)
    assert (config["rope_theta"], config["rope_scaling"]) == (theta, scaling)
    assert config["rope_parameters"] == rope
    assert config["architectures"] == ["DeepseekV3ForCausalLM"]
    assert config["model_type"] == "deepseek_v3"
    # Both forms together must still mean the same to transformers.
    reloaded = AutoConfig.from_pretrained(folder)
    assert {key: reloaded.rope_parameters[key] for key in rope} == rope


def test_other_architectures_keep_their_config(tmp_path):
    folder = save_checkpoint(tiny_model("llama_gqa"), tmp_path / "checkpoint")
    config = written_config(folder)
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert not {"scoring_func", "topk_method", "moe_layer_freq", "rope_scaling"} & set(config)


def test_folder_holds_everything_and_nothing_else(tmp_path):
    model = tiny_model("deepseek_v3")
    picture = tmp_path / "loss.png"
    picture.write_bytes(PNG)
    card = render_model_card(model, "Tiny", pictures={picture: "Loss."})
    folder = save_checkpoint(model, tmp_path / "runs/one", tokenizer=tiny_tokenizer(), card=card, pictures=[picture])
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "config.json",
        "generation_config.json",
        "loss.png",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert (folder / "loss.png").read_bytes() == PNG
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_saving_changes_neither_the_model_nor_the_random_numbers(tmp_path):
    model = tiny_model("deepseek_v3")
    config, before = model.config, json.dumps(model.config.to_dict(), sort_keys=True, default=str)
    generation = model.generation_config.to_dict()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    save_checkpoint(model, tmp_path / "checkpoint")
    assert model.config is config
    assert json.dumps(config.to_dict(), sort_keys=True, default=str) == before
    assert model.generation_config.to_dict() == generation
    assert model.training
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_bfloat16_and_tied_embeddings_come_back(tmp_path):
    model = tiny_model("llama_gqa", tie_word_embeddings=True).to(torch.bfloat16)
    folder = save_checkpoint(model, tmp_path / "checkpoint")
    reloaded = AutoModelForCausalLM.from_pretrained(folder)
    assert reloaded.dtype == torch.bfloat16
    assert reloaded.lm_head.weight is reloaded.model.embed_tokens.weight
    assert "lm_head.weight" not in tensor_names(folder)


def test_weights_that_are_nan_can_be_saved(tmp_path):
    model = tiny_model("llama_gqa")
    with torch.no_grad():
        model.lm_head.weight[0, 0] = math.nan
    assert save_checkpoint(model, tmp_path / "checkpoint").is_dir()


# --- refusals and failures ---------------------------------------------------------------------------------------


def test_occupied_folder_is_refused_and_untouched(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "weights.bin").write_text("another run")
    with pytest.raises(FileExistsError, match=r"is a folder with 1 entry \(weights.bin\). Choose another name"):
        save_checkpoint(tiny_model("llama_gqa"), folder)
    assert (folder / "weights.bin").read_text() == "another run"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "run").write_text("text")
    with pytest.raises(FileExistsError, match="is a file"):
        save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run")


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "run").mkdir()
    assert (save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run") / "config.json").is_file()


def test_folder_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "other").mkdir()
    folder = save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run")
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_interrupted_save_leaves_nothing(error, tmp_path, monkeypatch):
    model = tiny_model("deepseek_v3")
    tokenizer = tiny_tokenizer()

    def interrupted(folder):
        assert (folder / "model.safetensors").exists()
        raise error

    monkeypatch.setattr(tokenizer, "save_pretrained", interrupted)
    config = model.config
    with pytest.raises(error if isinstance(error, type) else type(error)):
        save_checkpoint(model, tmp_path / "run", tokenizer=tokenizer)
    assert list(tmp_path.iterdir()) == []
    assert model.config is config


def test_interrupted_weights_give_the_config_back(tmp_path, monkeypatch):
    model = tiny_model("deepseek_v3")
    config = model.config
    monkeypatch.setattr(transformers.modeling_utils, "safe_save_file", lambda *_, **__: (_ for _ in ()).throw(OSError))
    with pytest.raises(OSError):  # noqa: PT011
        save_checkpoint(model, tmp_path / "run")
    assert model.config is config
    assert list(tmp_path.iterdir()) == []


def damage_shard(folder: Path) -> None:
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-8:] = b"\x01" * 8
    path.write_bytes(data)


def truncate_shard(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])


def forget_the_router(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.gate.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def name_another_architecture(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "llama"}))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (damage_shard, r"must load bit for bit from the written checkpoint, but model\.\S+ did not"),
        (truncate_shard, "The written checkpoint must load, but transformers says: "),
        (name_another_architecture, "The written checkpoint must load, but transformers says: "),
        (forget_the_router, r"transformers reports \{'missing_keys': \['model\.layers\.1\.mlp\.gate\.weight'\]\}"),
    ],
)
def test_a_folder_that_does_not_load_never_gets_its_name(fault, message, tmp_path, monkeypatch):
    write = hub._write_model

    def faulty(model, folder, max_shard_size):
        write(model, folder, max_shard_size)
        fault(folder)

    monkeypatch.setattr(hub, "_write_model", faulty)
    with pytest.raises(RuntimeError, match=message):
        save_checkpoint(tiny_model("deepseek_v3"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_larger_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"got ids up to 199 and 128 embeddings.*resize_token_embeddings\(200\)"):
        save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run", tokenizer=tiny_tokenizer(200))
    assert list(tmp_path.iterdir()) == []
    assert save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run", tokenizer=tiny_tokenizer(100)).is_dir()


def test_wrapped_model_is_refused(tmp_path):
    wrapped = torch.nn.Sequential(tiny_model("llama_gqa"))
    with pytest.raises(ValueError, match=r"must be a transformers PreTrainedModel, got Sequential\. Unwrap it"):
        save_checkpoint(wrapped, tmp_path / "run")


def test_pictures_must_fit_the_card(tmp_path):
    model = tiny_model("llama_gqa")
    picture = tmp_path / "max logits (1).png"
    picture.write_bytes(PNG)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / picture.name).write_bytes(PNG)
    card = render_model_card(model, "Tiny", pictures={picture: "Max logits [per head]."})
    with pytest.raises(ValueError, match=r"Every picture that the card shows must be given, got \[\]"):
        save_checkpoint(model, tmp_path / "run", card=card)
    with pytest.raises(ValueError, match="need different names"):
        save_checkpoint(model, tmp_path / "run", card=card, pictures=[picture, tmp_path / "a" / picture.name])
    with pytest.raises(FileNotFoundError, match="Every picture must be a file"):
        save_checkpoint(model, tmp_path / "run", card=card, pictures=[tmp_path / "no.png"])
    (tmp_path / "config.json").write_bytes(PNG)
    with pytest.raises(ValueError, match=r"must not have the name of a checkpoint file, got config\.json"):
        save_checkpoint(model, tmp_path / "run", card=card, pictures=[picture, tmp_path / "config.json"])
    assert not (tmp_path / "run").exists()
    assert (save_checkpoint(model, tmp_path / "run", card=card, pictures=[picture]) / picture.name).is_file()
