"""Experts survive what the Trainer saves and loads, or the loading is refused."""

import functools
import inspect
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from census_models import census_model
from error_messages import naming
from safetensors.torch import load_file, save_file
from tiny_models import tiny_model
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from hf_muonclip import MuonClipCallback, attach, muonclip
from hf_muonclip.trainer.resume_experts import load_saved_form, loads_saved_form

MIXTURES = ["mixtral", "deepseek_v3", "gpt_oss"]


def rows() -> list[dict[str, Tensor]]:
    tokens = torch.randint(3, 128, (8, 12), generator=torch.Generator().manual_seed(0))
    return [{"input_ids": row, "labels": row} for row in tokens]


def arguments(folder: Path, **settings: Any) -> TrainingArguments:
    defaults: dict[str, Any] = {"max_steps": 2, "save_steps": 1, "report_to": "none", "use_cpu": True}
    return TrainingArguments(str(folder), **{**defaults, "disable_tqdm": True, **settings})


def other_weights(model_name: str) -> PreTrainedModel:
    model = tiny_model(model_name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


@pytest.mark.parametrize("model_name", [*MIXTURES, "llama_gqa"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_model_comes_back_bit_for_bit(model_name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_model(model_name).to(dtype)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    if model_name in ("mixtral", "deepseek_v3"):
        assert saved.keys() != model.state_dict().keys()  # or there would be nothing to convert
    loaded = other_weights(model_name).to(dtype)
    load_saved_form(loaded)
    load_saved_form(loaded)
    result = loaded.load_state_dict(saved, strict=False)
    assert not result.missing_keys
    assert not result.unexpected_keys
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_its_own_form_still_loads_and_in_parts_too() -> None:
    model, loaded = tiny_model("mixtral"), other_weights("mixtral")
    load_saved_form(loaded)
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(loaded.model.layers[0].mlp.experts.down_proj, model.model.layers[0].mlp.experts.down_proj)
    part = {"lm_head.weight": torch.ones_like(model.lm_head.weight)}
    assert loaded.load_state_dict(part, strict=False).missing_keys
    assert (loaded.lm_head.weight == 1).all()


def test_a_state_dict_with_experts_missing_is_refused(tmp_path: Path) -> None:
    model = tiny_model("mixtral")
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    part = {name: tensor for name, tensor in saved.items() if "layers.1" not in name}
    load_saved_form(model)
    with pytest.raises(ValueError, match=r"missing, model\.layers\.1.*from_pretrained"):
        model.load_state_dict(part, strict=False)


def test_load_best_model_at_end_brings_the_experts_back(tmp_path: Path) -> None:
    class FirstIsBest(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            kwargs["metrics"]["eval_loss"] = float(state.global_step)

    args = arguments(tmp_path, learning_rate=0.01, eval_strategy="steps", eval_steps=1, load_best_model_at_end=True)
    model = tiny_model("mixtral")
    trainer = Trainer(
        model,
        args,
        train_dataset=rows(),
        eval_dataset=rows(),
        optimizers=muonclip(model, args),
        callbacks=[MuonClipCallback(), FirstIsBest()],
    )
    trainer.train()
    assert trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-1")
    best = type(model).from_pretrained(tmp_path / "checkpoint-1")
    last = type(model).from_pretrained(tmp_path / "checkpoint-2")
    name = "model.layers.0.mlp.experts.gate_up_proj"
    assert torch.equal(model.get_parameter(name), best.get_parameter(name))
    assert not torch.equal(model.get_parameter(name), last.get_parameter(name))


def test_an_attached_trainer_resumes_experts(tmp_path: Path) -> None:
    results = []
    for resume in (False, True):
        model = tiny_model("mixtral") if not resume else other_weights("mixtral")
        trainer = Trainer(model, arguments(tmp_path, learning_rate=0.01), train_dataset=rows())
        attach(trainer)
        assert loads_saved_form(model)
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1") if resume else None)
        results.append(model.state_dict())
    for name, tensor in results[0].items():
        assert torch.equal(tensor, results[1][name]), name


def test_a_model_that_cannot_resume_its_experts_is_refused(tmp_path: Path) -> None:
    class OwnLoop(Trainer):
        def train(self, resume_from_checkpoint: Any = None, **kwargs: Any) -> Any:
            return inspect.unwrap(Trainer.train)(self, resume_from_checkpoint, **kwargs)

    def build(model_name: str) -> Trainer:
        args = arguments(tmp_path / model_name)
        model = tiny_model(model_name)
        trainer = OwnLoop(model, args, train_dataset=rows(), optimizers=muonclip(model, args))
        trainer.add_callback(MuonClipCallback())
        return trainer

    for model_name in ("mixtral", "llama_gqa"):
        build(model_name).train()
    with pytest.raises(
        ValueError,
        match=naming("model.layers.0.mlp.experts.gate_up_proj", "super().train()"),
    ):
        build("mixtral").train(resume_from_checkpoint=str(tmp_path / "mixtral" / "checkpoint-1"))
    build("llama_gqa").train(resume_from_checkpoint=str(tmp_path / "llama_gqa" / "checkpoint-1"))


def written_in_shards(model: PreTrainedModel, folder: Path, shards: list[list[str]] | int, pickled: bool) -> set[str]:
    """Save a model in shards with the given names, or that many at random; return all names."""
    model.save_pretrained(folder)
    saved = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if isinstance(shards, int):
        names = sorted(saved)
        random.Random(0).shuffle(names)
        shards = [names[first::shards] for first in range(shards)]
    end = "bin" if pickled else "safetensors"
    weight_map = {}
    for number, names in enumerate(shards):
        file = f"{'pytorch_model' if pickled else 'model'}-{number + 1:05d}-of-{len(shards):05d}.{end}"
        part = {name: saved.pop(name) for name in names}
        torch.save(part, folder / file) if pickled else save_file(part, folder / file, {"format": "pt"})
        weight_map |= dict.fromkeys(names, file)
    assert not saved
    index = "pytorch_model.bin.index.json" if pickled else "model.safetensors.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return set(weight_map)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        *(("mixtral", count) for count in (1, 3, 7, "experts apart")),
        *((name, 2) for name in ("deepseek_v3", "gpt_oss", "llama_gqa", "tied", "vit", "hrm_text")),
    ],
)
def test_any_shards_come_back_bit_for_bit(name: str, count: int | str, tmp_path: Path) -> None:
    def build() -> PreTrainedModel:
        if name == "tied":
            return tiny_model("mixtral", tie_word_embeddings=True)
        return census_model(name) if name in ("vit", "hrm_text") else tiny_model(name)

    model = build().to(torch.bfloat16)
    next(model.modules()).get_parameter(next(model.named_parameters())[0]).data = next(model.parameters()).float() / 3
    model.save_pretrained(tmp_path / "names")
    names = sorted(load_file(tmp_path / "names" / "model.safetensors"))
    apart = [[one for one in names if ("expert" in one) is apart] for apart in (True, False)]
    shards: list[list[str]] | int = count if isinstance(count, int) else apart
    written_in_shards(model, tmp_path, shards, pickled=count == 7)
    loaded = build().to(torch.bfloat16)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.zero_()
    # The first parameter is float32 among bfloat16: nothing may be rounded on the way.
    next(loaded.modules()).get_parameter(next(loaded.named_parameters())[0]).data = next(loaded.parameters()).float()
    load_saved_form(loaded)
    result = transformers.trainer.load_sharded_checkpoint(loaded, str(tmp_path), strict=False)
    assert not result.unexpected_keys
    if name in ("mixtral", "deepseek_v3", "tied"):
        assert not set(names) <= model.state_dict().keys()  # or there would be nothing to join
        assert not result.missing_keys
    for key, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], tensor), key
        assert loaded.state_dict()[key].dtype == tensor.dtype


@pytest.mark.parametrize("count", [1, 3])
def test_no_second_copy_of_the_experts_comes_into_being(count: int, tmp_path: Path) -> None:
    """What torch is given to load are the model's own tensors, filled layer by layer."""
    model = tiny_model("mixtral")
    written_in_shards(model, tmp_path, count, pickled=False)
    loaded = other_weights("mixtral")
    load_saved_form(loaded)
    own = loaded.state_dict(keep_vars=True)
    experts = {name for name, tensor in own.items() if tensor.ndim == 3}
    seen = set()

    def look(module: Any, state_dict: dict[str, Tensor], *_: Any) -> None:
        assert all(state_dict[name] is own[name] for name in experts & state_dict.keys())
        seen.update(experts & state_dict.keys())

    untyped: Any = loaded
    untyped.register_load_state_dict_pre_hook(look)
    transformers.trainer.load_sharded_checkpoint(loaded, str(tmp_path), strict=False)
    assert seen == experts
    assert all(torch.equal(own[name], tensor) for name, tensor in model.state_dict().items())


def test_a_shard_that_is_missing_and_weights_that_no_shard_has(tmp_path: Path) -> None:
    names = written_in_shards(tiny_model("mixtral"), tmp_path, 4, pickled=False)
    loaded = other_weights("mixtral")
    load_saved_form(loaded)
    part = {name for name in names if "layers.1." not in name}
    index = tmp_path / "model.safetensors.index.json"
    weight_map = json.loads(index.read_text())["weight_map"]
    index.write_text(json.dumps({"metadata": {}, "weight_map": {name: weight_map[name] for name in part}}))
    with pytest.raises(ValueError, match=r"missing, model\.layers\.1"):
        transformers.trainer.load_sharded_checkpoint(loaded, str(tmp_path), strict=False)
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    file = next(tmp_path.glob("model-00002*"))
    file.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        transformers.trainer.load_sharded_checkpoint(loaded, str(tmp_path), strict=False)
    (tmp_path / "elsewhere").rename(file)  # a load that failed leaves nothing behind
    transformers.trainer.load_sharded_checkpoint(loaded, str(tmp_path), strict=False)
    assert torch.equal(loaded.lm_head.weight, tiny_model("mixtral").lm_head.weight)


def test_a_model_without_the_hook_is_loaded_as_transformers_does(tmp_path: Path) -> None:
    kept = other_weights("llama_gqa")
    load_saved_form(kept)  # wraps the loader
    model = tiny_model("llama_gqa")
    written_in_shards(model, tmp_path, 3, pickled=False)
    plain = other_weights("llama_gqa")
    assert not transformers.trainer.load_sharded_checkpoint(plain, str(tmp_path), strict=True).missing_keys
    assert torch.equal(plain.lm_head.weight, model.lm_head.weight)
    with pytest.raises(ValueError, match="index"):
        transformers.trainer.load_sharded_checkpoint(kept, str(tmp_path / "nowhere"), strict=False)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    save = PreTrainedModel.save_pretrained

    @functools.wraps(save)
    def save_in_small_shards(self: Any, *args: Any, **kwargs: Any) -> Any:
        return save(self, *args, **{"max_shard_size": "250KB", **kwargs})

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", save_in_small_shards)


@pytest.mark.parametrize("model_name", ["mixtral", "gpt_oss", "llama_gqa"])
def test_a_run_in_shards_resumes_bit_for_bit(
    model_name: str, tmp_path: Path, small_shards: None, caplog: pytest.LogCaptureFixture
) -> None:
    def train(resume: str | None, folder: str, **settings: Any) -> dict[str, Tensor]:
        model = tiny_model(model_name) if resume is None else other_weights(model_name)
        args = arguments(tmp_path / folder, learning_rate=0.01, **settings)
        trainer = Trainer(
            model,
            args,
            train_dataset=rows(),
            eval_dataset=rows(),
            optimizers=muonclip(model, args),
            callbacks=[MuonClipCallback()],
        )
        trainer.train(resume_from_checkpoint=resume)
        return model.state_dict()

    unbroken = train(None, "run")
    first = tmp_path / "run" / "checkpoint-1"
    assert len(list(first.glob("model-*.safetensors"))) > 1
    resumed = train(str(first), "run")
    best = train(None, "best", load_best_model_at_end=True, eval_strategy="steps", eval_steps=1)
    for name, tensor in unbroken.items():
        assert torch.equal(tensor, resumed[name]), name
        assert torch.equal(tensor, best[name]), name  # the loss falls: the last is the best
    assert "missing keys" not in caplog.text
    assert "unexpected keys" not in caplog.text
