"""Settings as scripts read them: a command line, YAML, and beside the arguments of every trainer of TRL."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import pytest
from error_messages import naming
from transformers import HfArgumentParser, TrainingArguments

from hf_muonclip import MuonClipConfig

YAML = """
output_dir: {folder}
learning_rate: 0.003
momentum: 0.9
ns_coefficients: [2, -1.5, 0.5]
ns_steps: 7
group_overrides:
  "*embed*": {{lr: 0.0001}}
qk_clip_threshold: {threshold}
"""
FROM_YAML = MuonClipConfig(
    momentum=0.9,
    ns_coefficients=[2, -1.5, 0.5],  # type: ignore[arg-type]
    ns_steps=7,
    group_overrides={"*embed*": {"lr": 0.0001}},
)
# As written -> tau.
THRESHOLDS = {"30": 30.0, "1e2": 100.0, "inf": math.inf, "none": None, "None": None, "null": None}
YAML_THRESHOLDS = {**THRESHOLDS, ".inf": math.inf, "~": None, "45.5": 45.5}


@pytest.mark.parametrize(("written", "threshold"), THRESHOLDS.items())
def test_a_command_line_sets_watches_and_turns_off_the_clip(written: str, threshold: float | None) -> None:
    parser = HfArgumentParser(MuonClipConfig)  # type: ignore[arg-type]
    [config] = parser.parse_args_into_dataclasses(["--qk_clip_threshold", written])
    assert config == MuonClipConfig(qk_clip_threshold=threshold)
    assert isinstance(config.qk_clip_threshold, float | None)


@pytest.mark.parametrize("written", ["off", "", "-3", "nan"])
def test_a_threshold_that_is_none_is_refused_as_written(written: str) -> None:
    with pytest.raises(ValueError, match=naming("qk_clip_threshold", None)):
        MuonClipConfig(qk_clip_threshold=written)  # type: ignore[arg-type]


@pytest.mark.parametrize(("written", "threshold"), YAML_THRESHOLDS.items())
def test_a_yaml_file_holds_lists_mappings_and_every_threshold(
    tmp_path: Path, written: str, threshold: float | None
) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(YAML.format(folder=tmp_path, threshold=written))
    parser = HfArgumentParser((TrainingArguments, MuonClipConfig))  # type: ignore[arg-type]
    args, config = parser.parse_yaml_file(str(path))
    assert args.learning_rate == 0.003
    assert config == dataclasses.replace(FROM_YAML, qk_clip_threshold=threshold)


@pytest.mark.parametrize("setting", ["eps", "momentum"])
def test_a_number_that_yaml_reads_as_text_is_refused_with_the_reason(tmp_path: Path, setting: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(f"{setting}: 1e-7")
    parser = HfArgumentParser(MuonClipConfig)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=naming(setting, "'1e-7'", "YAML", "1.0e-7")):
        parser.parse_yaml_file(str(path))
    path.write_text(f"{setting}: 1.0e-7")
    assert getattr(parser.parse_yaml_file(str(path))[0], setting) == 1e-7
    path.write_text(f"{setting}: '0.1'")
    with pytest.raises(ValueError, match=naming("'0.1'", "quotes")):
        parser.parse_yaml_file(str(path))


# ----------------------------------------------------------------------------------------------------------------- TRL


def trl() -> Any:
    return pytest.importorskip("trl")


def all_arguments() -> list[str]:
    names = "SFTConfig DPOConfig GRPOConfig RewardConfig KTOConfig RLOOConfig ModelConfig ScriptArguments"
    return names.split()


def test_no_field_has_the_name_of_another_in_a_training_script() -> None:
    own = {field.name for field in dataclasses.fields(MuonClipConfig)}
    for arguments in [TrainingArguments, *(getattr(trl(), name) for name in all_arguments())]:
        assert not own & {field.name for field in dataclasses.fields(arguments)}, arguments.__name__


@pytest.mark.parametrize("trainer", ["SFTConfig", "DPOConfig", "GRPOConfig", "RewardConfig", "KTOConfig", "RLOOConfig"])
def test_trl_parses_a_script_with_the_command_line_over_its_yaml(tmp_path: Path, trainer: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(YAML.format(folder=tmp_path, threshold="inf") + "eps: 1e-6\ndataset_name: some/rows\n")
    parser = trl().TrlParser((trl().ScriptArguments, getattr(trl(), trainer), trl().ModelConfig, MuonClipConfig))
    line = ["--use_cpu", "--bf16", "False", "--momentum", "0.8"]
    script, args, _, config = parser.parse_args_and_config(["--config", str(path), *line])
    assert (script.dataset_name, args.learning_rate) == ("some/rows", 0.003)
    assert config == dataclasses.replace(FROM_YAML, qk_clip_threshold=math.inf, momentum=0.8, eps=1e-6)
    overridden = parser.parse_args_and_config(["--config", str(path), *line, "--qk_clip_threshold", "none"])[-1]
    assert overridden.qk_clip_threshold is None


def test_help_shows_every_setting_with_its_default_beside_trls() -> None:
    parser = trl().TrlParser((trl().SFTConfig, MuonClipConfig))
    shown = " ".join(parser.format_help().split())
    for field in dataclasses.fields(MuonClipConfig):
        assert f"--{field.name}" in shown
        assert field.metadata["help"].split(";")[0].split("%")[0][:60] in shown.replace("- ", "-")
    assert re.search(naming("--qk_clip_threshold", "(default: 100.0)"), shown)
