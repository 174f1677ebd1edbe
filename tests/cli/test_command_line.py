"""`hf-muonclip inspect` says what is true, in a terminal, in a pipe and as JSON, and says clearly what it cannot."""

import json
import re
import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from census_models import census_model
from error_messages import naming
from processes import Script
from tiny_models import tiny_model
from transformers import LlamaConfig, MambaConfig, PreTrainedModel

from hf_muonclip import detect_head_layout
from hf_muonclip.cli import main
from hf_muonclip.cli.named_model import load_model
from hf_muonclip.kimi_k2 import kimi_k2_config
from hf_muonclip.optim.parameters.param_groups import plan_parameters
from hf_muonclip.projection_views import projection_views

ESCAPE = "\x1b"


def saved(folder: Path, name: str = "llama_gqa", **overrides: Any) -> tuple[PreTrainedModel, str]:
    model = tiny_model(name, **overrides)
    model.save_pretrained(folder)
    return model, str(folder)


@pytest.mark.parametrize("weights", [False, True])
def test_the_plain_form_names_layout_clip_parameters_and_proof(
    weights: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = saved(tmp_path)
    assert main(["inspect", folder, *(["--weights"] if weights else [])]) == 0
    out = capsys.readouterr().out
    assert ESCAPE not in out
    assert re.search(
        r"^model\.layers\.0-1\.self_attn +2 +LlamaAttention +separate +4 +2 +16 +q_proj\.weight: gamma .*head",
        out,
        re.M,
    )
    assert re.search(r"^model\.layers\.\*\.mlp\.down_proj\.weight +2 +64x96 +muon +yes +hidden matrix", out, re.M)
    assert re.search(r"^model\.embed_tokens\.weight +1 +128x64 +adamw +yes +embedding", out, re.M)
    assert re.search(r"^PROOF +passed" if weights else r"^PROOF +not run: .*--weights\b", out, re.M)


def test_json_says_what_the_functions_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, folder = saved(tmp_path, "deepseek_v3")
    assert main(["inspect", folder, "--json", "--weights"]) == 0
    said = json.loads(capsys.readouterr().out)
    layout = detect_head_layout(model)
    assert [entry["name"] for entry in said["layouts"]] == list(layout)
    for entry in said["layouts"]:
        rows = layout[entry["name"]].head_rows
        assert entry["head_rows"] == [
            [r.parameter, r.dim, r.role, r.offset, [[h.start, h.stop] for h in r.rows]] for r in rows
        ]
        assert (entry["granularity"], entry["proof"]) == ("head", "passed")
    plan = plan_parameters(model, projection_views(model))
    assert [(p["name"], p["algorithm"], p["reason"]) for p in said["parameters"]] == [
        (p.name, p.algorithm, p.reason) for p in plan
    ]
    assert said["proof"]["status"] == "passed"
    assert said["model"]["weights"] == sum(parameter.numel() for parameter in model.parameters())


def test_kimi_k2_itself_is_inspected_without_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kimi_k2_config("full").save_pretrained(tmp_path)
    assert main(["inspect", str(tmp_path / "config.json")]) == 0
    out = capsys.readouterr().out
    assert "1,026,408,209,408 weights" in out
    assert re.search(r"^model\.layers\.0-60\.self_attn +61 +DeepseekV3Attention +mla +64 +64 +128\+64", out, re.M)
    assert "384 experts, gate and up split" in out


def test_the_tree_shows_attention_and_algorithms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder = saved(tmp_path, "mixtral")
    assert main(["inspect", folder, "--tree"]) == 0
    out = capsys.readouterr().out
    assert "4 heads, 2 kv heads" in out
    assert re.search(r"down_proj 4x64x96 muon", out)


def test_a_failed_proof_is_exit_code_1_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hf_muonclip.inspection import inspect as inspection

    def fails(*args: Any) -> None:
        raise ValueError("head 0 of model.layers.0.self_attn does not follow its rows")

    _, folder = saved(tmp_path)
    monkeypatch.setattr(inspection, "verify_head_layout", fails)
    assert main(["inspect", folder, "--weights"]) == 1
    captured = capsys.readouterr()
    assert "head 0" in captured.err
    assert re.search(r"^PROOF +failed", captured.out, re.M)


def test_a_model_without_attention_is_refused_with_its_parameters_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, state_size=4).save_pretrained(tmp_path)
    assert main(["inspect", str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert "softmax attention" in captured.err
    assert "backbone.layers.0.mixer.in_proj.weight" in captured.out


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "no_such_type"}, "model_type.*no_such_type"),
        ({"model_type": "kimi_k3", "architectures": ["DeepseekV3ForCausalLM"]}, '"model_type": "deepseek_v3"'),
        ({"model_type": "llama", "hidden_size": -64}, "config"),
        pytest.param(
            {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 7},
            "config",
            marks=pytest.mark.skipif(not is_dataclass(LlamaConfig), reason="this transformers checks no sizes"),
        ),
    ],
)
def test_a_config_that_cannot_be_built_says_why(
    config: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert main(["inspect", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err)
    assert captured.out == ""


@pytest.mark.parametrize("source", ["./nowhere", "missing.json"])
def test_a_file_that_is_not_there(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", source]) == 2
    assert source in capsys.readouterr().err


def test_weights_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_model("llama_gqa").config.save_pretrained(tmp_path)
    assert main(["inspect", str(tmp_path), "--weights"]) == 2
    assert "--weights" in capsys.readouterr().err.rpartition("error: ")[2]


def test_the_default_reads_no_weights(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    assert all(parameter.is_meta for parameter in load_model(folder).parameters())
    assert not any(parameter.is_meta for parameter in load_model(folder, weights=True).parameters())
    assert torch.get_default_device() == torch.device("cpu")


def test_the_installed_command_is_plain_in_a_pipe(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    command = Path(sys.executable).parent / "hf-muonclip"
    process = subprocess.run([str(command), "inspect", folder], capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert ESCAPE not in process.stdout
    assert "model.layers.0-1.self_attn" in process.stdout
    assert process.stderr == ""


def test_a_hub_id_without_network_says_what_to_do(tmp_path: Path) -> None:
    # As python -m does it, in a process that is offline.
    code = "import runpy; runpy.run_module('hf_muonclip', run_name='__main__', alter_sys=True)"
    code, _, errors = Script("-c", code, "inspect", "nobody/nothing", folder=tmp_path).ended()
    assert code == 2
    assert "nobody/nothing" in errors


_REMOTE_CONFIG = """
from transformers import LlamaConfig
class SwappedConfig(LlamaConfig):
    model_type = "swapped_heads"
"""
_REMOTE_MODEL = """
from pathlib import Path
import torch
from transformers import LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention
from .configuration_swapped import SwappedConfig
Path({ran!r}).touch()
print("remote code prints")
class SwappedAttention(LlamaAttention):
    def forward(self, hidden_states, *args, **kwargs):
        def swap(module, inputs, output):
            return output.unflatten(-1, (-1, self.head_dim)).flip(-2).flatten(-2)
        handle = self.q_proj.register_forward_hook(swap)
        try:
            return super().forward(hidden_states, *args, **kwargs)
        finally:
            handle.remove()
class SwappedForCausalLM(LlamaForCausalLM):
    config_class = SwappedConfig
    def __init__(self, config):
        super().__init__(config)
        for layer in self.model.layers:
            layer.self_attn.__class__ = SwappedAttention
"""


def remote_folder(folder: Path) -> tuple[str, Path]:
    """A model whose own code numbers its query heads the other way round, so that no rule can know its layout."""
    _, source = saved(folder, "llama_mha")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {
        "model_type": "swapped_heads",
        "architectures": ["SwappedForCausalLM"],
        "auto_map": {
            "AutoConfig": "configuration_swapped.SwappedConfig",
            "AutoModelForCausalLM": "modeling_swapped.SwappedForCausalLM",
        },
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    ran = folder / "remote-code-ran"
    (folder / "configuration_swapped.py").write_text(_REMOTE_CONFIG, encoding="utf-8")
    (folder / "modeling_swapped.py").write_text(_REMOTE_MODEL.format(ran=str(ran)), encoding="utf-8")
    return source, ran


def test_remote_code_runs_only_if_asked_for_and_a_wrong_layout_is_disproven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source, ran = remote_folder(tmp_path)
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(sys, "path", [*sys.path])
    command = ["inspect", source, "--json", "--weights"]

    assert main(command) == 2
    assert "--trust-remote-code" in capsys.readouterr().err
    assert not ran.exists()

    code = main([*command, "--trust-remote-code"])
    printed, errors = capsys.readouterr()
    assert ran.exists()
    assert code == 1, errors
    assert "head 0 of model.layers.0.self_attn" in errors
    said = json.loads(printed)  # what the code prints does not come between
    assert said["proof"]["status"] == "failed"
    assert {entry["proof"] for entry in said["layouts"]} == {"failed"}


def test_a_vision_tower_that_tokens_do_not_reach_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    census_model("llava").save_pretrained(tmp_path)
    assert main(["inspect", str(tmp_path), "--weights"]) == 0
    out = capsys.readouterr().out
    tower = r"model\.vision_tower\.(vision_model\.)?encoder\.layers\.0-1\.self_attn"  # longer in older transformers
    assert re.search(rf"^PROOF +partial: 2 .* {tower}$", out, re.M)
    assert re.search(rf"^{tower} .* not reached$", out, re.M)
    assert re.search(r"^model\.language_model\.layers\.0-1\.self_attn .* passed$", out, re.M)


def test_kimi_k2_is_planned_on_2048_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["plan", "--model", "kimi-k2", "--world", "2048", "--mesh", "fsdp", "--experts-dim", "1"]
    assert main([*command, "--dtype", "bfloat16", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    adamw, replicated, ours = said["optimizers"]
    weights = 1_026_408_209_408
    assert said["parameter_bytes"]["mean"] == pytest.approx(2 * weights / 2048, abs=0, rel=1e-9)
    assert adamw["state_bytes"]["mean"] == pytest.approx(8 * weights / 2048, abs=0, rel=1e-9)
    assert ours["flops"]["mean"] == pytest.approx(replicated["flops"]["mean"] / 2048, abs=0, rel=1e-9)
    assert 1 <= ours["balance"] < 1.05
    # Nearly all weights go to another rank and come back, 2 bytes each; padding of small pieces adds a little.
    for what in ("all-to-all to owners", "all-to-all back"):
        assert ours["sent_bytes"][what]["mean"] == pytest.approx(2 * weights / 2048, abs=0, rel=5e-3)


def test_the_plan_is_a_table_in_a_pipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder = saved(tmp_path, "mixtral")
    assert main(["plan", "--model", folder, "--world", "8", "--mesh", "ep=2,fsdp=4", "--gbps", "100"]) == 0
    out = capsys.readouterr().out
    assert ESCAPE not in out
    assert re.search(r"^- 16 experts in stacks, Shard\(0\) over 2 ranks of ep, then .* whole on a rank", out, re.M)
    for name in ("AdamW", "Muon, replicated", "MuonClip"):
        assert re.search(rf"^{name} +[\d.,]+ kB +[\d.]+ [kMG]?FLOP ", out, re.M)
    assert re.search(r"^MuonClip +all-to-all back +[\d.]+ kB", out, re.M)
    assert re.search(naming("400 TFLOP/s", "100 Gbit/s"), out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--world", "8", "--mesh", "hsdp:2x3"], naming(2, 3, 6, 8, "--world")),
        (["--world", "8", "--mesh", "tp"], naming("mesh", "tp", "ddp", "fsdp")),
        (["--world", "8", "--tflops", "0"], naming("--tflops", 0)),
        (["--world", "8", "--model", "./nowhere"], naming("./nowhere")),
    ],
)
def test_a_plan_that_cannot_be_made_says_why(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", "--model", "kimi-k2-nano", *arguments]) == 2
    assert re.search(message, capsys.readouterr().err.rpartition("error: ")[2])


@pytest.mark.parametrize(
    "argv", [[], ["inspect"], ["plan", "--world", "8"], ["inspect", "x", "--tree", "--json"], ["no-such-command"]]
)
def test_usage_errors_are_exit_code_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage:" in captured.err
