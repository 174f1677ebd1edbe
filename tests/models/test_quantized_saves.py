"""A quantized model that trains and cannot be saved is refused before the first step; adapters over it are not."""

import importlib.util
import inspect
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from published_kimi_k2 import write_published
from tiny_models import tiny_model
from tiny_trainer import token_rows
from transformers import AutoModelForCausalLM, CompressedTensorsConfig, PreTrainedModel, Trainer, TrainingArguments
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import ConversionOps, WeightConverter
from transformers.quantizers.base import HfQuantizer

from hf_muonclip import MuonClip, MuonClipCallback, attach, muonclip, muonclip_factory
from hf_muonclip.export import save_checkpoint
from hf_muonclip.inspection.inspect import inspect_model
from hf_muonclip.inspection.model_findings import model_findings
from hf_muonclip.models.quantized_saves import ways_out, why_not_saved, why_not_saved_once_loaded

HAS_COMPRESSED_TENSORS = importlib.util.find_spec("compressed_tensors") is not None
# Older transformers cannot dequantize it while loading.
DEQUANTIZES = "dequantize" in inspect.signature(CompressedTensorsConfig).parameters
WAY_OUT = "CompressedTensorsConfig(dequantize=True)" if DEQUANTIZES else "load_checkpoint"
SAID = naming("DeepseekV3ForCausalLM", "compressed-tensors", "load_checkpoint", WAY_OUT)


def arguments(folder: Path, save_strategy: str) -> TrainingArguments:
    return TrainingArguments(
        str(folder), save_strategy=save_strategy, save_steps=1, max_steps=2, report_to="none", use_cpu=True
    )


class OneWay(ConversionOps):
    """Undoes a quantization while loading, and has no inverse that can be used, as compressed-tensors' has none."""

    def convert(self, input_dict: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return input_dict

    @property
    def reverse_op(self) -> ConversionOps:
        raise ValueError("Undefined Operation encountered!")


class StandIn(HfQuantizer):
    """What is left on a model whose weights were dequantized while loading."""

    serializable = True

    def is_serializable(self) -> bool:
        return self.serializable

    @property
    def is_trainable(self) -> bool:
        return True

    def is_qat_trainable(self) -> bool:  # type: ignore[override]  # a method there too, so that it is always true
        return False


def loaded_model(one_way: bool = True) -> PreTrainedModel:
    """Build a model as it is once loaded from INT4: dense, trainable, with the quantizer that loaded it."""
    model: Any = tiny_model("deepseek_v3")
    config = CompressedTensorsConfig.__new__(CompressedTensorsConfig)
    config.quant_method = "compressed-tensors"
    model.hf_quantizer = StandIn(config)
    model.is_quantized = True
    model.config.quantization_config = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
    model._weight_conversions = get_model_conversion_mapping(model)
    if one_way:
        model._weight_conversions = [
            WeightConverter(entry.source_patterns, entry.target_patterns, operations=[OneWay(), *entry.operations])
            if isinstance(entry, WeightConverter)
            else entry
            for entry in model._weight_conversions
        ]
    return model


def test_the_stand_in_fails_to_save_as_the_real_one_does(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Undefined Operation encountered!"):
        loaded_model().save_pretrained(tmp_path / "run")
    loaded_model(one_way=False).save_pretrained(tmp_path / "other")


def test_every_way_into_a_trainer_refuses_it(tmp_path: Path) -> None:
    model = loaded_model()
    saves, saves_nothing = (arguments(tmp_path, save_strategy=strategy) for strategy in ("steps", "no"))
    with pytest.raises(ValueError, match=SAID):
        muonclip(model, saves)
    make, settings = muonclip_factory(saves)
    with pytest.raises(ValueError, match=SAID):
        make()(model, **settings)
    with pytest.raises(ValueError, match=SAID):
        attach(Trainer(model, saves))
    by_hand = Trainer(
        model, saves, optimizers=(MuonClip(model), None), callbacks=[MuonClipCallback()], train_dataset=token_rows()
    )
    with pytest.raises(ValueError, match=SAID):
        by_hand.train()
    assert by_hand.state.global_step == 0
    muonclip(model, saves_nothing)  # with a warning
    assert not (tmp_path / "checkpoint-1").exists()


def test_plain_loops_are_warned(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hf_muonclip"):
        MuonClip(loaded_model(one_way=False))
        assert caplog.records == []
        MuonClip(loaded_model())
    assert re.search(SAID, caplog.text)


def test_a_quantizer_that_says_so_itself() -> None:
    model: Any = loaded_model(one_way=False)
    assert why_not_saved(model) == ""
    model.hf_quantizer.serializable = False
    assert "quantizer" in why_not_saved(model)


def test_adapters_and_frozen_models_are_let_through(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(loaded_model(), LoraConfig(r=2, target_modules=["q_b_proj"]))
    muonclip(adapted, arguments(tmp_path, save_strategy="steps"))
    model: Any = loaded_model()
    model._hf_peft_config_loaded = True  # as model.add_adapter leaves it
    assert why_not_saved(model) == ""
    assert why_not_saved(loaded_model().requires_grad_(False)) == ""
    assert why_not_saved(tiny_model("deepseek_v3")) == ""


def test_ways_out_name_what_exists() -> None:
    assert WAY_OUT in ways_out({"quant_method": "compressed-tensors"})
    assert "dequantize" not in ways_out({"quant_method": "gptq"})
    with pytest.raises(ValueError, match=naming("DeepseekV3ForCausalLM", WAY_OUT)):
        save_checkpoint(loaded_model(), "never")


def published_int4(folder: Path) -> Path:
    """Write a tiny Kimi K2 Thinking that transformers loads without code."""
    write_published("thinking", folder)
    config = json.loads((folder / "config.json").read_text())
    del config["auto_map"]
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "deepseek_v3"}))
    return folder


def of_config(folder: Path) -> PreTrainedModel:
    from transformers import AutoConfig

    build: Any = AutoModelForCausalLM.from_config
    with torch.device("meta"):
        model: PreTrainedModel = build(AutoConfig.from_pretrained(folder))
    return model


def test_the_doctor_says_it(tmp_path: Path) -> None:
    model = of_config(published_int4(tmp_path / "int4"))
    findings = [
        finding for finding in model_findings(inspect_model("int4", model)) if "quantized weights" in finding.what
    ]
    (finding,) = findings
    assert finding.level == ("refused" if HAS_COMPRESSED_TENSORS else "warning")
    assert ("save_pretrained" in finding.what) == HAS_COMPRESSED_TENSORS
    assert "load_checkpoint" in finding.way_out
    assert WAY_OUT in finding.way_out


@pytest.mark.skipif(not HAS_COMPRESSED_TENSORS, reason="compressed-tensors is not installed")
def test_real_int4(tmp_path: Path) -> None:
    folder = published_int4(tmp_path / "int4")
    assert "Undefined Operation" in str(why_not_saved_once_loaded(of_config(folder)))
    model = AutoModelForCausalLM.from_pretrained(folder)
    with pytest.raises(ValueError, match="Undefined Operation encountered!"):
        model.save_pretrained(tmp_path / "saved")
    with pytest.raises(ValueError, match=SAID):
        muonclip(model, arguments(tmp_path, save_strategy="steps"))
    plain = AutoModelForCausalLM.from_pretrained(folder, quantization_config=CompressedTensorsConfig(dequantize=True))
    muonclip(plain, arguments(tmp_path, save_strategy="steps"))
    plain.save_pretrained(tmp_path / "plain")
