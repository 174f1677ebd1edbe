"""A folder that says `kimi_k2` loads clean, by any class; registering twice, or beside a native type, does no harm."""

import json
from pathlib import Path

import pytest
import torch
from fresh_process import run_python
from tiny_models import tiny_model
from transformers import AutoConfig, AutoModel, DeepseekV3ForCausalLM, DeepseekV3Model
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from hf_muonclip.kimi_k2 import KimiK2Config, kimi_k2_config, register_kimi_k2


def tiny_kimi_k2() -> DeepseekV3ForCausalLM:
    source = tiny_model("deepseek_v3")
    fields = {name: value for name, value in source.config.to_dict().items() if name != "model_type"}
    model = DeepseekV3ForCausalLM(KimiK2Config(**fields))
    model.load_state_dict(source.state_dict())
    return model


def test_the_type_is_known_to_the_auto_classes() -> None:
    config = KimiK2Config(**kimi_k2_config("nano").to_diff_dict() | {"model_type": "kimi_k2"})
    assert AutoConfig.for_model("kimi_k2").model_type == "kimi_k2"
    with torch.device("meta"):
        assert type(AutoModelForCausalLM.from_config(config)) is DeepseekV3ForCausalLM
        assert type(AutoModel.from_config(config)) is DeepseekV3Model


@pytest.mark.parametrize("model_class", [AutoModelForCausalLM, DeepseekV3ForCausalLM])
def test_plain_saving_and_loading_keeps_every_tensor(model_class: type, tmp_path: Path) -> None:
    model = tiny_kimi_k2()
    model.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert (written["model_type"], written["architectures"]) == ("kimi_k2", ["DeepseekV3ForCausalLM"])
    loaded, report = model_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values()), report
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name


def test_registering_again_changes_nothing() -> None:
    register_kimi_k2()
    register_kimi_k2()
    assert type(AutoConfig.for_model("kimi_k2")) is KimiK2Config


def test_without_this_package_transformers_does_not_know_the_type(tmp_path: Path) -> None:
    """Why deepseek_v3 is the default. If this fails, transformers has the type, and our registration gives way."""
    tiny_kimi_k2().save_pretrained(tmp_path)
    output = run_python(
        "from transformers import AutoConfig\n"
        "try:\n"
        "    AutoConfig.from_pretrained('.')\n"
        "except ValueError as error:\n"
        "    print('kimi_k2' in str(error))\n"
        "import hf_muonclip.kimi_k2\n"
        "print(type(AutoConfig.from_pretrained('.')).__name__)\n",
        tmp_path,
    )
    assert output.split() == ["True", "KimiK2Config"]


def test_a_native_type_is_left_alone(tmp_path: Path) -> None:
    """A transformers that brings `kimi_k2` itself, before or after this package is imported."""
    tiny_kimi_k2().save_pretrained(tmp_path)
    output = run_python(
        "import torch\n"
        "from transformers import AutoConfig, DeepseekV3Config, DeepseekV3ForCausalLM, MODEL_FOR_CAUSAL_LM_MAPPING\n"
        "from transformers.models.auto.modeling_auto import AutoModelForCausalLM\n"
        "class Native(DeepseekV3Config):\n"
        "    model_type = 'kimi_k2'\n"
        "AutoConfig.register('kimi_k2', Native)\n"
        "MODEL_FOR_CAUSAL_LM_MAPPING.register(Native, DeepseekV3ForCausalLM)\n"
        "from hf_muonclip.kimi_k2 import KimiK2Config, register_kimi_k2\n"
        "register_kimi_k2()\n"
        "model, report = AutoModelForCausalLM.from_pretrained('.', output_loading_info=True)\n"
        "print(type(model.config).__name__, any(report.values()))\n"
        "with torch.device('meta'):\n"
        "    print(type(AutoModelForCausalLM.from_config(KimiK2Config(num_hidden_layers=1))).__name__)\n",
        tmp_path,
    )
    assert output.split() == ["Native", "False", "DeepseekV3ForCausalLM"]
