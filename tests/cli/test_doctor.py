"""`hf-muonclip doctor` names what a run would refuse, and the refusal that it names is the one that comes."""

import json
import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config import config_args
from error_messages import naming
from peft import LoraConfig, get_peft_model
from tiny_models import tiny_model
from transformers import (
    BloomConfig,
    Gemma2Config,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    MambaForCausalLM,
    PretrainedConfig,
    Qwen3Config,
)

from hf_muonclip import MuonClip
from hf_muonclip.attention import HeadLayout
from hf_muonclip.cli import main
from hf_muonclip.inspection import machine
from hf_muonclip.inspection.inspect import inspect_model
from hf_muonclip.inspection.machine import Hardware, Package, of_launcher, read_machine
from hf_muonclip.inspection.model_findings import model_findings

EXAMPLES = Path(__file__).parents[2] / "examples"
SIZES: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
}


@pytest.fixture(autouse=True)
def no_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let this machine's own configuration of Accelerate be none, and torch be one built for it."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(torch.version, "cuda", None)
    path = tmp_path / "accelerate" / "default_config.yaml"
    monkeypatch.setattr(config_args, "default_config_file", str(path))
    return path


def findings(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[dict[str, str]]:
    assert main(["doctor", *arguments, "--json"]) == code
    said: list[dict[str, str]] = json.loads(capsys.readouterr().out)["findings"]
    return said


def saved(folder: Path, config: PretrainedConfig) -> str:
    config.save_pretrained(folder)
    return str(folder)


def test_a_plain_model_has_no_findings_and_its_parts_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model("llama_gqa")
    folder = saved(tmp_path, model.config)
    assert findings(capsys, folder) == []
    assert main(["doctor", folder]) == 0
    out = capsys.readouterr().out
    optimizer = MuonClip(model)
    weights = sum(parameter.numel() for parameter in model.parameters())
    for label, algorithm in (("Muon", "muon"), ("AdamW", "adamw")):
        names = [planned.name for planned in optimizer.plan if planned.algorithm == algorithm]
        held = sum(model.get_parameter(name).numel() for name in names)
        assert re.search(rf"^  {label} +{len(names)} parameters, {held:,} weights \({held / weights:.1%}\)$", out, re.M)
    assert re.search(
        r"^  layout +2 x separate, 4 heads, 2 kv heads; clipped by head, q_proj\.weight: gamma$", out, re.M
    )
    assert re.search(r"^  attention +sdpa\b", out, re.M)
    assert re.search(rf"^  torch +{re.escape(version('torch'))} ", out, re.M)
    assert re.findall(r"\d+", out.splitlines()[-1]) == ["0", "0"]


def test_without_a_model_the_machine_alone_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100
    assert not re.search(r" $", out, re.M)
    assert "doctor MODEL" in out
    for name in ("transformers", "accelerate", "peft", "deepspeed", "datasets", "trl", "Newton–Schulz", "sdpa"):
        assert name in out


@pytest.mark.parametrize(
    ("config", "level", "what", "way_out"),
    [
        (Qwen3Config(**SIZES), "warning", "highest head", "qk_clip_threshold=inf"),
        (Gemma2Config(**SIZES, attn_logit_softcapping=50.0), "note", "50", ""),
        (
            Llama4TextConfig(
                **SIZES, num_local_experts=2, use_qk_norm=True, no_rope_layers=[1, 1], attn_temperature_tuning=False
            ),
            "note",
            "logits to 4",
            "",
        ),
        (BloomConfig(vocab_size=64, hidden_size=32, n_layer=1, n_head=2), "warning", "torch.compile", "Leave"),
        (tiny_model("deepseek_v3").config, "note", "expert", "attach(trainer)"),
        (
            Qwen3Config(**SIZES, quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}),
            "warning",
            "bitsandbytes",
            "train adapters",
        ),
        (
            LlamaConfig(**SIZES, auto_map={"AutoModelForCausalLM": "modeling_swapped.SwappedForCausalLM"}),
            "note",
            "LlamaForCausalLM",
            "--trust-remote-code",
        ),
    ],
    ids=["QK-norm", "soft cap", "weightless norms", "own scores", "experts", "quantized", "remote code"],
)
def test_what_a_config_tells(
    config: PretrainedConfig, level: str, what: str, way_out: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = findings(capsys, saved(tmp_path, config))
    assert any(f["level"] == level and what in f["what"] and way_out in f["way_out"] for f in said), said


def test_what_a_layout_and_a_plan_tell() -> None:
    inspection = inspect_model("here", tiny_model("llama_gqa"))
    first, second = inspection.layout
    layouts = {
        first: replace(inspection.layout[first], gamma_groups=(0, 0, 1, 1)),
        second: replace(inspection.layout[second], shares_weights_with=first, note="clamped"),
    }
    plan = [replace(p, reason="kept whole: fused") if p.name.endswith("q_proj.weight") else p for p in inspection.plan]
    layout = HeadLayout(layouts, {"model.layers.2.mixer": "a state space model"})
    said = [finding.what for finding in model_findings(replace(inspection, layout=layout, plan=plan))]
    for named in (
        ("self_attn.q_proj.weight", "fused"),
        (first, "share", "key"),
        (second, "clamped"),
        (second, "shares weights"),
        ("model.layers.2.mixer", "no softmax attention"),
    ):
        assert [text for text in said if re.search(naming(*named), text)], named
    assert len(said) == 5
    none = replace(inspection, refusal="nothing found", needs_weights=True, plan=[])
    assert [(f.level, "inspect here --weights" in f.way_out) for f in model_findings(none)] == [
        ("refused", True),
        ("refused", False),
    ]


def test_a_model_without_attention_will_be_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, state_size=4)
    (refused,) = findings(capsys, saved(tmp_path, config), code=1)
    with pytest.raises(ValueError, match=naming("QK-Clip", "softmax attention")) as refusal:
        MuonClip(MambaForCausalLM(config))
    assert refused == {"level": "refused", "what": str(refusal.value), "way_out": ""}


@pytest.mark.parametrize(("settings", "monitored"), [({}, True), ({"use_dora": True}, False)], ids=["LoRA", "DoRA"])
def test_an_adapter_is_put_on_the_model(
    settings: dict[str, bool], monitored: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model("llama_gqa")
    folder = saved(tmp_path / "model", model.config)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "v_proj"], **settings))
    adapted.save_pretrained(tmp_path / "adapter")
    said = findings(capsys, folder, "--adapter", str(tmp_path / "adapter"))
    assert bool([f for f in said if "LoRA" in f["what"]]) is monitored
    assert main(["doctor", folder, "--adapter", str(tmp_path / "adapter")]) == 0
    matrices = sum(parameter.requires_grad and parameter.ndim == 2 for parameter in adapted.parameters())
    assert re.search(rf"^  Muon +{matrices} parameters", capsys.readouterr().out, re.M)


def test_an_adapter_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LoraConfig(target_modules=["no_such_proj"]).save_pretrained(str(tmp_path / "adapter"))
    folder = saved(tmp_path, tiny_model("llama_gqa").config)
    assert main(["doctor", "--adapter", str(tmp_path / "adapter")]) == 2
    assert "model" in capsys.readouterr().err.rpartition("error: ")[2]
    assert main(["doctor", folder, "--adapter", str(tmp_path / "adapter")]) == 2
    assert "no_such_proj" in capsys.readouterr().err


def test_versions_below_the_packages_own_metadata_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {package.name: package for package in machine.read_packages()}
    assert packages["torch"].least == "2.9"
    assert not packages["torch"].optional
    assert packages["peft"].optional
    assert not any(package.is_too_old for package in packages.values())
    assert not Package("trl", None, "1.0", True).is_too_old
    monkeypatch.setattr(machine, "read_packages", lambda: [Package("transformers", "4.57.1", "5", False)])
    (found,) = [finding for finding in read_machine().findings if finding.level == "refused"]
    assert re.search(naming("transformers", 5, "4.57.1"), found.what)
    assert '"transformers>=5"' in found.way_out


def rl_extra(
    lines: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[list[dict[str, Any]] | None, str, list[dict[str, str]]]:
    """Return what doctor writes of the extra [rl] as JSON and in words, and its findings."""
    core = [f"transformers>={version('transformers')}", "peft>=0.1; extra == 'trl'"]
    monkeypatch.setattr(machine.metadata, "requires", lambda name: [*core, *lines])
    main(["doctor", "--json"])
    written = json.loads(capsys.readouterr().out)
    main(["doctor"])
    shown = capsys.readouterr().out.partition("extra [rl]")[2].partition("\n\n")[0]
    return written["rl"], " ".join(shown.split()), written["findings"]


def test_the_extra_for_reinforcement_learning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trl, absent = f"trl>={version('trl')}; extra == 'rl'", "no-such-grader>=2; extra == 'rl'"
    packages, shown, found = rl_extra([trl], monkeypatch, capsys)
    assert packages == [
        {"name": "trl", "installed": version("trl"), "least": version("trl"), "optional": True, "too_old": False}
    ]
    assert shown == f"installed: trl {version('trl')}"
    assert not any("trl" in finding["what"] for finding in found)
    for lines, named in (
        ([trl, absent], (f"trl {version('trl')}", "missing: no-such-grader", "hf_muonclip[rl]")),
        ([absent], ("not installed", "missing: no-such-grader", "hf_muonclip[rl]")),
        ([], ("not known", "hf_muonclip[rl]")),
    ):
        packages, shown, found = rl_extra(lines, monkeypatch, capsys)
        installed = None if packages is None else [package["installed"] for package in packages]
        assert installed == ([version("trl") if line == trl else None for line in lines] or None)
        assert re.search(naming(*named), shown), shown
        assert not any("no-such-grader" in finding["what"] for finding in found)  # an extra is optional
    _, _, found = rl_extra(["trl>=99; extra == 'rl'"], monkeypatch, capsys)
    assert any(re.search(naming("trl", 99, version("trl")), finding["what"]) for finding in found)


def launched_with(path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, str]], str]:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    code = main(["doctor", "--json"])
    said: list[dict[str, str]] = json.loads(capsys.readouterr().out)["findings"]
    assert code == any(finding["level"] == "refused" for finding in said)
    main(["doctor"])
    return said, " ".join(capsys.readouterr().out.split())


def test_the_launcher_is_read(no_launcher: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fsdp2 = (EXAMPLES / "accelerate_configs" / "fsdp2.yaml").read_text(encoding="utf-8")
    said, shown = launched_with(no_launcher, fsdp2, capsys)
    assert said == []
    assert re.search(naming("FSDP", "num_processes 8", "bf16", "torch.compile off"), shown)
    (refused,), _ = launched_with(no_launcher, fsdp2.replace("fsdp_version: 2", "fsdp_version: 1"), capsys)
    assert "FSDP1" in refused["what"]
    (refused,), _ = launched_with(no_launcher, re.sub(r"fsdp_version: 2", "fsdp_offload_params: false", fsdp2), capsys)
    assert "FSDP1" in refused["what"]  # which Accelerate takes unless told otherwise
    (warning,), _ = launched_with(no_launcher, "distributed_type: [", capsys)
    assert warning["level"] == "warning"
    assert "cannot read" in warning["what"]


def test_what_a_launcher_spreads() -> None:
    assert [f.level for f in of_launcher({"distributed_type": "DEEPSPEED"})] == ["refused"]
    sizes = {"parallelism_config_cp_size": 2, "parallelism_config_tp_size": 2, "parallelism_config_sp_size": 1}
    assert [f.level for f in of_launcher({"distributed_type": "MULTI_GPU", "parallelism_config": sizes})] == ["warning"]
    sizes["parallelism_config_sp_size"] = 2
    assert [f.level for f in of_launcher({"parallelism_config": sizes})] == ["refused", "warning"]


def test_scores_outside_of_the_interface_are_refused_where_the_launcher_compiles(
    no_launcher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved(tmp_path / "model", BloomConfig(vocab_size=64, hidden_size=32, n_layer=1, n_head=2))
    ddp = (EXAMPLES / "accelerate_configs" / "ddp.yaml").read_text(encoding="utf-8")
    launched_with(no_launcher, f"{ddp}\ndynamo_config:\n  dynamo_backend: INDUCTOR\n", capsys)
    (refused,) = findings(capsys, folder, code=1)
    assert "torch.compile" in refused["what"]


@pytest.mark.parametrize(
    ("hardware", "cuda", "driver", "what"),
    [
        (Hardware("cuda", ("Tesla T4", "Tesla T4"), False, 8), "12.8", True, "Tesla T4"),
        (Hardware("cuda", ("NVIDIA H200",), True, 8), "12.8", True, ""),
        (Hardware("cpu", (), True, 8), "12.8", True, "no GPU"),
        (Hardware("cpu", (), True, 8), None, True, "NVIDIA"),
        (Hardware("cpu", (), True, 8), None, False, ""),
    ],
)
def test_hardware_that_is_not_what_it_seems(
    hardware: Hardware, cuda: str | None, driver: bool, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "read_hardware", lambda: hardware)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(machine.shutil, "which", lambda name: "/usr/bin/nvidia-smi" if driver else None)
    found = read_machine().findings
    assert [what in finding.what for finding in found] == ([True] if what else [])
    facts = dict(read_machine().facts)
    assert ("bfloat16 (" in facts["Newton–Schulz"]) >= (hardware.device == "cuda")
    assert facts["devices"].startswith(f"{len(hardware.names)} x " if hardware.names else "CPU alone")
