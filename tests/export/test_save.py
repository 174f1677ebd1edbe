"""Written folders load in a fresh process as the model that was saved; a failed save leaves nothing."""

import json
import math
import signal
import stat
from pathlib import Path

import pytest
import torch
from error_messages import naming
from fresh_process import run_python
from processes import Script
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_models import TINY_MODEL_NAMES, random_batch, tiny_model, tiny_tokenizer
from transformers import AutoTokenizer, MixtralConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip.export import save_checkpoint, weight_writer
from hf_muonclip.export.check import check_checkpoint
from hf_muonclip.export.weight_writer import WeightWriter
from hf_muonclip.hub.model_card import render_model_card

PNG = b"\x89PNG\r\n\x1a\n"


def tensor_names(folder: Path) -> set[str]:
    names = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            names.update(file.keys())
    return names


# --- what is written ---------------------------------------------------------------------------------------------


RELOADED = ["deepseek_v3", "llama_gqa"]


@pytest.fixture(scope="module")
def reloaded_bit_identical(tmp_path_factory):
    """Whether the logits of each model came back bit for bit; one fresh process, which imports once, loads them all."""
    folder = tmp_path_factory.mktemp("reloaded")
    for name in RELOADED:
        model = tiny_model(name).eval()
        batch = random_batch(model)
        with torch.no_grad():
            expected = model(batch["input_ids"]).logits
        save_checkpoint(model, folder / name, tokenizer=tiny_tokenizer())
        torch.save({"input_ids": batch["input_ids"], "logits": expected}, folder / f"{name}.pt")
    output = run_python(
        "import torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        f"for name in {RELOADED}:\n"
        "    expected = torch.load(f'{name}.pt')\n"
        "    model = AutoModelForCausalLM.from_pretrained(name)\n"
        "    assert AutoTokenizer.from_pretrained(name)('w7 w9')['input_ids'] == [7, 9]\n"
        "    with torch.no_grad():\n"
        "        logits = model(expected['input_ids']).logits\n"
        "    print(torch.equal(logits, expected['logits']))\n",
        folder,
    )
    return dict(zip(RELOADED, output.splitlines(), strict=True))


@pytest.mark.parametrize("name", RELOADED)
def test_fresh_process_reloads_bit_identical_logits(name, reloaded_bit_identical):
    assert reloaded_bit_identical[name] == "True"


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
        "model.safetensors.index.json",
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
    with pytest.raises(FileExistsError, match=naming(folder, "weights.bin")):
        save_checkpoint(tiny_model("llama_gqa"), folder)
    assert (folder / "weights.bin").read_text() == "another run"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "run").write_text("text")
    with pytest.raises(FileExistsError, match=naming("file")):
        save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run")


def test_empty_folder_is_used(tmp_path):
    (tmp_path / "run").mkdir()
    assert (save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run") / "config.json").is_file()


def test_folder_is_as_readable_as_any_other(tmp_path):
    (tmp_path / "other").mkdir()
    folder = save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run")
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)
    (tmp_path / "file").touch()
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "file").stat().st_mode), path.name


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError("disk full")])
def test_interrupted_save_leaves_nothing(error, tmp_path, monkeypatch):
    model = tiny_model("deepseek_v3")
    tokenizer = tiny_tokenizer()

    def interrupted(folder):
        assert (folder / "config.json").exists()
        raise error

    monkeypatch.setattr(tokenizer, "save_pretrained", interrupted)
    config = model.config
    with pytest.raises(error if isinstance(error, type) else type(error)):
        save_checkpoint(model, tmp_path / "run", tokenizer=tokenizer)
    assert list(tmp_path.iterdir()) == []
    assert model.config is config


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    model = tiny_model("deepseek_v3")
    config = model.config

    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(weight_writer, "save_file", full)
    with pytest.raises(OSError, match="disk full"):
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


def swap_two_experts(folder: Path) -> None:
    """All names and shapes are right."""
    tensors = load_file(folder / "model.safetensors")
    first, second = (f"model.layers.1.mlp.experts.{expert}.up_proj.weight" for expert in (0, 1))
    tensors[first], tensors[second] = tensors[second], tensors[first]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def forget_the_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def name_another_architecture(folder: Path) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "llama"}))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (damage_shard, r"model\.\S+\.weight"),
        (swap_two_experts, naming("model.layers.1.mlp.experts.gate_up_proj")),
        (truncate_shard, r"[Ii]ncomplete"),
        (forget_the_router, naming("model.layers.1.mlp.gate.weight")),
        (forget_the_config, naming("complete", "config.json")),
        (
            name_another_architecture,
            naming("complete", "config.json", "architectures"),
        ),
    ],
)
def test_a_wrong_folder_never_gets_its_name(fault, message, tmp_path, monkeypatch):
    write = WeightWriter.write

    def faulty(writer, folder, ranks):
        write(writer, folder, ranks)
        fault(folder)

    monkeypatch.setattr(WeightWriter, "write", faulty)
    with pytest.raises(RuntimeError, match=message):
        save_checkpoint(tiny_model("deepseek_v3"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_larger_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match=naming(199, 128, "resize_token_embeddings(200)")):
        save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run", tokenizer=tiny_tokenizer(200))
    assert list(tmp_path.iterdir()) == []
    assert save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run", tokenizer=tiny_tokenizer(100)).is_dir()


def test_much_smaller_tokenizer_is_refused_unless_allowed(tmp_path):
    model, tokenizer = tiny_model("llama_gqa"), tiny_tokenizer(50)
    with pytest.raises(ValueError, match=naming(50, 128, "allow_unused_ids=True")):
        save_checkpoint(model, tmp_path / "run", tokenizer=tokenizer)
    assert list(tmp_path.iterdir()) == []
    folder = save_checkpoint(model, tmp_path / "run", tokenizer=tokenizer, allow_unused_ids=True)
    assert check_checkpoint(folder, allow_unused_ids=True).tokenizer_size == 50


def test_resized_embeddings_make_a_smaller_tokenizer_fit(tmp_path):
    """The way out that the refusal names."""
    model = tiny_model("llama_gqa")
    model.resize_token_embeddings(50, pad_to_multiple_of=64)
    folder = save_checkpoint(model, tmp_path / "run", tokenizer=tiny_tokenizer(50))
    assert check_checkpoint(folder).vocab_size == 64


def test_tokenizer_without_a_json_is_refused(tmp_path, monkeypatch):
    tokenizer = tiny_tokenizer()
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(ValueError, match=naming("tokenizer.json")):
        save_checkpoint(tiny_model("llama_gqa"), tmp_path / "run", tokenizer=tokenizer)


def test_chat_template_is_saved(tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    folder = save_checkpoint(tiny_model("deepseek_v3"), tmp_path / "run", tokenizer=tokenizer)
    messages = [{"role": "user", "content": "w7 w9"}]
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.apply_chat_template(messages, tokenize=False) == "w7 w9"
    assert (folder / "tokenizer.json").is_file()


def test_config_that_disagrees_with_the_weights_is_refused(tmp_path):
    model = tiny_model("deepseek_v3")
    model.config.n_routed_experts = 3
    with pytest.raises(ValueError, match=naming("model.layers.1.mlp.experts.down_proj", "(3, 64, 32)")):
        save_checkpoint(model, tmp_path / "run")
    untied = tiny_model("llama_gqa")
    untied.config.tie_word_embeddings = True
    with pytest.raises(ValueError, match=naming("lm_head.weight", "(128, 64)", "tie")):
        save_checkpoint(untied, tmp_path / "run")


def test_quantized_model_is_refused(tmp_path):
    model = tiny_model("llama_gqa")
    model.config.quantization_config = {"quant_method": "fp8"}
    with pytest.raises(ValueError, match=r"LlamaForCausalLM.*fp8"):
        save_checkpoint(model, tmp_path / "run")


def test_offloaded_model_is_refused(tmp_path):
    model = tiny_model("llama_gqa")
    model.lm_head.to("meta")
    with pytest.raises(ValueError, match=naming(1, "meta", "lm_head.weight")):
        save_checkpoint(model, tmp_path / "run")


def test_killed_save_leaves_a_folder_that_is_refused(tmp_path):
    """Nothing can be cleaned up after a kill; what is left has neither the name nor the contents of a checkpoint."""
    code = (
        "import os, signal\n"
        "from tiny_models import tiny_model\n"
        "from hf_muonclip.export import weight_writer\n"
        "from hf_muonclip.export import save_checkpoint\n"
        "write = weight_writer.save_file\n"
        "def killed(tensors, path, metadata):\n"
        "    write(tensors, path, metadata)\n"
        "    if '-00002-' in path.name:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "weight_writer.save_file = killed\n"
        "save_checkpoint(tiny_model('deepseek_v3'), 'run', max_shard_size='100KB')\n"
    )
    assert Script("-c", code, folder=tmp_path).ended().code == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".partial")
    with pytest.raises(ValueError, match=naming("interrupted")):
        check_checkpoint(left)
    renamed = left.rename(tmp_path / "run")
    with pytest.raises(
        ValueError, match=naming("model-00001-of-00006.safetensors", "model-00002-of-00006.safetensors")
    ):
        check_checkpoint(renamed)


def test_class_of_its_own_is_refused(tmp_path):
    class Mine(type(tiny_model("mixtral").model)):
        pass

    model = Mine(MixtralConfig(**tiny_model("mixtral").config.to_diff_dict()))
    with pytest.raises(ValueError, match=naming("AutoModelForCausalLM", "MixtralForCausalLM")):
        save_checkpoint(model, tmp_path / "run")


def test_wrapped_model_is_refused(tmp_path):
    wrapped = torch.nn.Sequential(tiny_model("llama_gqa"))
    with pytest.raises(ValueError, match=naming("PreTrainedModel", "Sequential")):
        save_checkpoint(wrapped, tmp_path / "run")


def test_pictures_must_fit_the_card(tmp_path):
    model = tiny_model("llama_gqa")
    picture = tmp_path / "max logits (1).png"
    picture.write_bytes(PNG)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / picture.name).write_bytes(PNG)
    card = render_model_card(model, "Tiny", pictures={picture: "Max logits [per head]."})
    with pytest.raises(ValueError, match=naming("picture", "card", "[]")):
        save_checkpoint(model, tmp_path / "run", card=card)
    with pytest.raises(ValueError, match=naming("names")):
        save_checkpoint(model, tmp_path / "run", card=card, pictures=[picture, tmp_path / "a" / picture.name])
    with pytest.raises(FileNotFoundError, match=naming("picture", "file")):
        save_checkpoint(model, tmp_path / "run", card=card, pictures=[tmp_path / "no.png"])
    (tmp_path / "config.json").write_bytes(PNG)
    with pytest.raises(ValueError, match=naming("checkpoint", "config.json")):
        save_checkpoint(model, tmp_path / "run", card=card, pictures=[picture, tmp_path / "config.json"])
    assert not (tmp_path / "run").exists()
    assert (save_checkpoint(model, tmp_path / "run", card=card, pictures=[picture]) / picture.name).is_file()
