"""Experts survive what the Trainer saves and loads, or the loading is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import tiny_model
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from hf_muonclip import MuonClipCallback, attach, muonclip, muonclip_factory
from hf_muonclip.checkpoint import load_saved_form, loads_saved_form

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
    with pytest.raises(ValueError, match=r"must hold all weights; \d+ are missing, model\.layers\.1.*from_pretrained"):
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
    def build(model_name: str) -> Trainer:
        args = arguments(tmp_path / model_name)
        factory: Any = muonclip_factory(args)
        return Trainer(
            args=args,
            model_init=lambda: tiny_model(model_name),
            train_dataset=rows(),
            optimizer_cls_and_kwargs=factory,
            callbacks=[MuonClipCallback()],
        )

    for model_name in ("mixtral", "llama_gqa"):
        build(model_name).train()
    with pytest.raises(
        ValueError, match=r"layers\.0\.mlp\.experts\.gate_up_proj is one.*Trainer\(model, args, callbacks"
    ):
        build("mixtral").train(resume_from_checkpoint=str(tmp_path / "mixtral" / "checkpoint-1"))
    build("llama_gqa").train(resume_from_checkpoint=str(tmp_path / "llama_gqa" / "checkpoint-1"))
