"""A whole folder passes and is described; each way to damage one is found, named, and comes with a way out."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from safetensors.torch import load_file, save_file
from tiny_models import TINY_MODEL_NAMES, tiny_model, tiny_tokenizer
from transformers import DeepseekV3Config

from hf_muonclip.export.check import Checkpoint, check_checkpoint

INDEX = "model.safetensors.index.json"

CHECKED = is_dataclass(DeepseekV3Config)  # older transformers takes any value for a field


@pytest.fixture(scope="module")
def whole_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny DeepSeek-V3 in several shards as transformers itself saves it, with a tokenizer."""
    folder = tmp_path_factory.mktemp("whole") / "checkpoint"
    tiny_model("deepseek_v3").save_pretrained(folder, max_shard_size="100KB")
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole_folder: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole_folder, tmp_path / "checkpoint"))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("model-*.safetensors"))


def edit_tensors(path: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


# --- whole folders -------------------------------------------------------------------------------------------------


def test_a_whole_folder_is_described(whole_folder: Path) -> None:
    model = tiny_model("deepseek_v3")
    elements = sum(tensor.numel() for tensor in model.state_dict().values())
    (whole_folder / "README.md").write_text("card")
    found = check_checkpoint(str(whole_folder))
    (whole_folder / "README.md").unlink()
    assert found == Checkpoint(
        folder=whole_folder,
        files={path.name: path.stat().st_size for path in sorted(whole_folder.iterdir())} | {"README.md": 4},
        shards=tuple(path.name for path in shards(whole_folder)),
        tensors=67,
        left_out=(),
        parameters=elements,
        weight_bytes=4 * elements,
        dtypes={"F32": elements},
        narrowed=(),
        engine_limits=found.engine_limits,  # tests/export/test_engine_limits.py
        model_type="deepseek_v3",
        architecture="DeepseekV3ForCausalLM",
        vocab_size=128,
        tokenizer_size=128,
        has_card=True,
    )
    assert len(found.shards) > 3


@pytest.mark.parametrize("tie_word_embeddings", [True, False])
@pytest.mark.parametrize("name", TINY_MODEL_NAMES)
def test_every_layout_passes(name: str, tie_word_embeddings: bool, tmp_path: Path) -> None:
    model = tiny_model(name, tie_word_embeddings=tie_word_embeddings).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    found = check_checkpoint(tmp_path)
    assert found.shards == ("model.safetensors",)
    buffers = sum(tensor.numel() for key, tensor in model.state_dict().items() if key.endswith("correction_bias"))
    assert found.parameters == model.num_parameters() + buffers
    assert found.tokenizer_size is None


def test_files_in_subfolders_and_version_control_are_told_apart(folder: Path) -> None:
    for name in (".git/config", ".cache/huggingface/x.lock", ".eval_results/perplexity.yaml", "pictures/loss.png"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("text")
    files = check_checkpoint(folder).files
    assert files["pictures/loss.png"] == files[".eval_results/perplexity.yaml"] == 4
    assert not any(name.startswith((".git/", ".cache/")) for name in files)


def test_weights_are_not_read(folder: Path) -> None:
    """Values may be anything: only the headers count, and so memory and time do not grow with the model."""
    for path in shards(folder):
        data = path.read_bytes()
        header = 8 + int.from_bytes(data[:8], "little")
        path.write_bytes(data[:header] + b"\xff" * (len(data) - header))
    assert check_checkpoint(folder).tensors == 67


def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    """The Hub's cache holds links to files with other names."""
    linked = tmp_path / "snapshot"
    linked.mkdir()
    for path in folder.iterdir():
        (linked / path.name).symlink_to(path)
    assert check_checkpoint(linked).files == check_checkpoint(folder).files


# --- half-written and damaged folders --------------------------------------------------------------------------------


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def half_a_config(folder: Path) -> None:
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text[: len(text) // 2])


def config_is_a_list(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def only_adapters(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def no_weights(folder: Path) -> None:
    for path in [*shards(folder), folder / INDEX]:
        path.unlink()


def no_index(folder: Path) -> None:
    (folder / INDEX).unlink()


def half_an_index(folder: Path) -> None:
    (folder / INDEX).write_text((folder / INDEX).read_text()[:-20])


def index_without_map(folder: Path) -> None:
    edit_json(folder / INDEX, weight_map=None)


def missing_shard(folder: Path) -> None:
    shards(folder)[2].unlink()


def two_missing_shards(folder: Path) -> None:
    for path in shards(folder)[1:3]:
        path.unlink()


def surplus_shard(folder: Path) -> None:
    shutil.copy(shards(folder)[0], folder / "model-00009-of-00009.safetensors")


def single_file_beside_shards(folder: Path) -> None:
    shutil.copy(shards(folder)[0], folder / "model.safetensors")


def truncated_shard(folder: Path) -> None:
    path = shards(folder)[1]
    path.write_bytes(path.read_bytes()[:-4])


def longer_shard(folder: Path) -> None:
    path = shards(folder)[1]
    path.write_bytes(path.read_bytes() + b"\0" * 4)


def empty_shard(folder: Path) -> None:
    shards(folder)[1].write_bytes(b"")


def shard_cut_in_its_header(folder: Path) -> None:
    path = shards(folder)[1]
    path.write_bytes(path.read_bytes()[:100])


def shard_is_a_git_lfs_pointer(folder: Path) -> None:
    shards(folder)[1].write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")


def shards_swapped(folder: Path) -> None:
    first, second = shards(folder)[:2]
    first.rename(folder / "x")
    second.rename(first)
    (folder / "x").rename(second)


def tensor_in_two_shards(folder: Path) -> None:
    first, second = shards(folder)[:2]
    tensor = load_file(first)["lm_head.weight"]
    edit_tensors(second, lambda tensors: tensors.update({"lm_head.weight": tensor}))


def one_shard_cast(folder: Path) -> None:
    edit_tensors(shards(folder)[0], lambda tensors: tensors.update({k: t.half() for k, t in tensors.items()}))


def unlisted_tensor(folder: Path) -> None:
    edit_tensors(shards(folder)[0], lambda tensors: tensors.update({"extra": torch.zeros(2)}))


def listed_tensor_is_not_there(folder: Path) -> None:
    edit_tensors(shards(folder)[0], lambda tensors: tensors.pop("lm_head.weight"))


def in_both(folder: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Edit the first shard and its index alike, so that they agree."""
    edit_tensors(shards(folder)[0], edit)
    index = json.loads((folder / INDEX).read_text())
    held = {path.name: load_file(path) for path in shards(folder)}
    index["weight_map"] = {name: shard for shard, tensors in held.items() for name in tensors}
    total = sum(tensor.nbytes for tensors in held.values() for tensor in tensors.values())
    index["metadata"]["total_size"] = total
    (folder / INDEX).write_text(json.dumps(index))


def forgotten_tensor(folder: Path) -> None:
    in_both(folder, lambda tensors: tensors.pop("model.embed_tokens.weight"))


def foreign_tensor(folder: Path) -> None:
    in_both(folder, lambda tensors: tensors.update({"model.layers.3.mlp.gate.weight": torch.zeros(4, 64)}))


def transposed_tensor(folder: Path) -> None:
    name = "model.layers.0.self_attn.q_a_proj.weight"
    holder = next(path for path in shards(folder) if name in load_file(path))
    edit_tensors(holder, lambda tensors: tensors.update({name: tensors[name].T.contiguous()}))


def joined_experts(folder: Path) -> None:
    for path in [*shards(folder), folder / INDEX]:
        path.unlink()
    tiny_model("deepseek_v3").save_pretrained(folder, save_original_format=False)


def config_of_more_layers(folder: Path) -> None:
    edit_json(folder / "config.json", num_hidden_layers=4)


def config_of_fewer_experts(folder: Path) -> None:
    edit_json(folder / "config.json", n_routed_experts=2)


def config_of_another_width(folder: Path) -> None:
    edit_json(folder / "config.json", intermediate_size=80)


def config_of_another_vocabulary(folder: Path) -> None:
    edit_json(folder / "config.json", vocab_size=192)


def config_of_another_type(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="llama", architectures=["LlamaForCausalLM"])


def unknown_type(folder: Path) -> None:
    edit_json(folder / "config.json", model_type="deepseek_v9")


def no_type(folder: Path) -> None:
    edit_json(folder / "config.json", model_type=None)


def no_architecture(folder: Path) -> None:
    edit_json(folder / "config.json", architectures=None)


def impossible_field(folder: Path) -> None:
    edit_json(folder / "config.json", hidden_size="wide")


def impossible_size(folder: Path) -> None:
    edit_json(folder / "config.json", hidden_size=-64)


def staging_leftover(folder: Path) -> None:
    (folder / ".run.12345678.partial").mkdir()
    (folder / ".run.12345678.partial" / "model.safetensors").write_bytes(b"")


def download_leftover(folder: Path) -> None:
    (folder / "model.safetensors.incomplete").write_bytes(b"")


def pickle(name: str) -> Callable[[Path], None]:
    def add(folder: Path) -> None:
        (folder / name).write_bytes(b"\x80\x04.")

    add.__name__ = name
    return add


def config_with_code(folder: Path) -> None:
    edit_json(folder / "config.json", auto_map={"AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"})


def tokenizer_with_code(folder: Path) -> None:
    edit_json(
        folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_kimi.TikTokenTokenizer", None]}
    )


def dangling_link(folder: Path) -> None:
    path = shards(folder)[1]
    path.unlink()
    path.symlink_to("blob")


def larger_tokenizer(folder: Path) -> None:
    tiny_tokenizer(200).save_pretrained(folder)


def smaller_tokenizer(folder: Path) -> None:
    tiny_tokenizer(50).save_pretrained(folder)


def half_a_tokenizer(folder: Path) -> None:
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text[: len(text) // 2])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (no_config, naming("config.json")),
        (half_a_config, naming("config.json", "JSON")),
        (config_is_a_list, naming("config.json", "list")),
        (only_adapters, naming("config.json", "adapters")),
        (no_weights, naming("model.safetensors.index.json", "no weights")),
        (no_index, r"model\.safetensors\.index\.json .*model-00001-of-"),
        (half_an_index, naming("model.safetensors.index.json", "JSON")),
        (index_without_map, naming("weight_map", "NoneType")),
        (missing_shard, r"1 of \d .*model-00003-of-\d+\.safetensors"),
        (two_missing_shards, r"2 of \d .*model-00002-of-\d+\.safetensors, model-00003"),
        (
            surplus_shard,
            naming("model-00009-of-00009.safetensors", "model.safetensors.index.json"),
        ),
        (single_file_beside_shards, naming("model.safetensors", "model.safetensors.index.json")),
        (truncated_shard, r"model-00002\S+ \([\d,]+ bytes\)"),
        (longer_shard, r"model-00002\S+ \([\d,]+ bytes\)"),
        (empty_shard, r"model-00002\S+ \(0 bytes\)"),
        (shard_cut_in_its_header, r"model-00002\S+ \(100 bytes\)"),
        (shard_is_a_git_lfs_pointer, r"model-00002\S+ \(\d+ bytes\)"),
        (
            shards_swapped,
            r"index.* \d+ of 67.* \S+ .*model-00002",
        ),
        (tensor_in_two_shards, r"lm_head\.weight .*model-00001\S+ .*model-00002"),
        (one_shard_cast, r"total_size .*\d+, got \d+"),
        (unlisted_tensor, r"1 of 68.* extra .*model-00001"),
        (
            listed_tensor_is_not_there,
            r"1 of 66.* lm_head\.weight .*model-00001",
        ),
        (
            forgotten_tensor,
            r"DeepseekV3ForCausalLM .*1 of 67.* model\.embed_tokens\.weight",
        ),
        (foreign_tensor, naming(1, "model.layers.3.mlp.gate.weight")),
        (transposed_tensor, r"1 of 67.* \S+q_a_proj\.weight .*\[24, 64\].*\[64, 24\]"),
        (joined_experts, naming("24 of 67", "model.layers.1.mlp.experts.0.down_proj.weight")),
        (config_of_more_layers, r"2\d of 9\d .* model\.layers\.3\."),
        (config_of_fewer_experts, naming(12, "model.layers.1.mlp.experts.2.down_proj.weight")),
        (
            config_of_another_width,
            r"3 of 67.* \S+mlp\.down_proj\.weight .*\[64, 80\].*\[64, 96\]",
        ),
        (config_of_another_vocabulary, naming("2 of 67", "lm_head.weight", "[192, 64]", "[128, 64]")),
        (config_of_another_type, r"LlamaForCausalLM .*\d+ of \d+ "),
        (unknown_type, naming("config.json", "deepseek_v9")),
        (no_type, naming("config.json", "model_type", None)),
        (no_architecture, naming("architectures", "['DeepseekV3ForCausalLM']", "deepseek_v3", None)),
        (impossible_field, r"config\.json .*hidden_size" if CHECKED else r"config\.json .* got str"),
        (impossible_size, naming("config.json", "-64")),
        (staging_leftover, naming(".run.12345678.partial/model.safetensors")),
        (download_leftover, naming("model.safetensors.incomplete")),
        (pickle("pytorch_model.bin"), naming("pickled", "pytorch_model.bin")),
        (pickle("training_args.bin"), naming("training_args.bin", "Trainer")),
        (pickle("optimizer.pt"), naming("pickled", "optimizer.pt")),
        (pickle("rng_state.pth"), naming("pickled", "rng_state.pth")),
        (pickle("last.ckpt"), naming("pickled", "last.ckpt")),
        (pickle("data.pkl"), naming("pickled", "data.pkl")),
        (config_with_code, r"config\.json .*auto_map.*modeling_deepseek"),
        (tokenizer_with_code, r"tokenizer_config\.json .*tokenization_kimi"),
        (dangling_link, r"model-00002\S+ .*link"),
        (larger_tokenizer, naming(199, 128, "resize_token_embeddings(200)")),
        (smaller_tokenizer, naming(50, 128, "resize_token_embeddings(50, pad_to_multiple_of=64)")),
        (half_a_tokenizer, naming("tokenizer")),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damage_is_found_and_named(damage: Callable[[Path], None], message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(ValueError, match=message) as caught:
        check_checkpoint(folder)
    assert str(folder) in str(caught.value) or "tokenizer" in damage.__name__


def test_damage_is_damage_of_a_whole_folder(folder: Path) -> None:
    """The copies that the test above damages pass before."""
    assert check_checkpoint(folder).tensors == 67


def test_staging_folder_itself_is_refused(folder: Path) -> None:
    staging = folder.rename(folder.with_name(".run.12345678.partial"))
    with pytest.raises(ValueError, match=naming(staging)):
        check_checkpoint(staging)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=naming(tmp_path / "run")):
        check_checkpoint(tmp_path / "run")
    (tmp_path / "run").write_text("")
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "run"))):
        check_checkpoint(tmp_path / "run")


def test_unused_ids_can_be_allowed(folder: Path) -> None:
    smaller_tokenizer(folder)
    assert check_checkpoint(folder, allow_unused_ids=True).tokenizer_size == 50
