"""The configuration files for `accelerate launch`: valid for GPUs as they are, and launched here over CPU processes."""

import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils.launch import prepare_multi_gpu_env, prepare_simple_launcher_cmd_env
from processes import Script, run_script, run_script_on_ranks

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE = (EXAMPLES / "fsdp2.py", "--max-steps", 10)
CONFIGS = EXAMPLES / "accelerate_configs"
FSDP_ON_CPU = Path(__file__).parent / "fsdp_on_cpu.py"
# Of the optimizer in examples/fsdp2.py, in KiB; what all ranks hold together, where each part is on one rank.
WHOLE_STATE = 1957


def config_names() -> list[str]:
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def launch(name: str, *options: object, script: tuple[object, ...], folder: Path) -> Script:
    """Start `accelerate launch`. Only the launcher has imported before; it starts its ranks as ever."""
    code = "from accelerate.commands.launch import main; main()"
    environment = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = ("--config_file", CONFIGS / f"{name}.yaml", *options, *script)
    return Script("-c", code, *command, folder=folder, environment=environment)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def launcher_environment(name: str, *options: object) -> dict[str, str]:
    """Return the environment that `accelerate launch` gives to a script."""
    command = ["--config_file", CONFIGS / f"{name}.yaml", *options, "script.py"]
    args, _, _ = _validate_launch_command(launch_command_parser().parse_args([*map(str, command)]))
    if name == "single_gpu":
        _, environment = prepare_simple_launcher_cmd_env(args)
    else:
        environment = prepare_multi_gpu_env(args)
    return {key: value for key, value in environment.items() if os.environ.get(key) != value}


def check(output: str, num_processes: int, sharded: bool, copies: int) -> None:
    """Check what examples/fsdp2.py says at its end."""
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", output)]
    assert losses[-1] < losses[0], output
    assert f"{21 if sharded else 0} of 21 parameters are DTensors" in output
    (sizes,) = set(re.findall(r"optimizer state of each rank: \[(.*)\] KiB", output))
    kilobytes = [int(size) for size in sizes.split(", ")]
    assert len(kilobytes) == num_processes
    assert sum(kilobytes) == pytest.approx(copies * WHOLE_STATE, rel=0.01)


def test_there_is_a_file_for_each_way() -> None:
    assert config_names() == ["ddp", "fsdp2", "hsdp", "multi_node", "single_gpu"]


@pytest.mark.parametrize("name", config_names())
def test_every_key_is_an_option_of_accelerate(name: str) -> None:
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    options = vars(launch_command_parser().parse_args(["script.py"]))
    nested = [*config.get("fsdp_config", {}), *config.get("parallelism_config", {})]
    # Accelerate itself refuses unknown keys of the first level only.
    assert [key for key in nested if key not in options] == []


@pytest.mark.parametrize("name", config_names())
def test_as_shipped_a_file_asks_for_what_it_says(name: str) -> None:
    parsed = launch_command_parser().parse_args(["--config_file", str(CONFIGS / f"{name}.yaml"), "script.py"])
    args, _, _ = _validate_launch_command(parsed)
    args.main_process_port = 0 if args.num_machines == 1 else free_port()
    environment: dict[str, Any] = prepare_multi_gpu_env(args)
    assert args.num_processes == {"single_gpu": 1, "multi_node": 16}.get(name, 8)
    assert environment["ACCELERATE_MIXED_PRECISION"] == "bf16"
    sharded = name in ("fsdp2", "hsdp", "multi_node")
    assert environment.get("ACCELERATE_USE_FSDP", "false") == str(sharded).lower()
    if sharded:
        assert environment["FSDP_VERSION"] == "2"
        assert environment["FSDP_STATE_DICT_TYPE"] == "SHARDED_STATE_DICT"
    if name in ("hsdp", "multi_node"):
        sizes = [int(environment[f"PARALLELISM_CONFIG_DP_{way}_SIZE"]) for way in ("REPLICATE", "SHARD")]
        assert min(sizes) > 1
        assert sizes[0] * sizes[1] == args.num_processes


def test_the_slurm_script_is_bash() -> None:
    subprocess.run(["bash", "-n", CONFIGS / "multi_node.sbatch"], check=True)


def mesh(replicate: int, shard: int) -> tuple[object, ...]:
    return ("--parallelism_config_dp_replicate_size", replicate, "--parallelism_config_dp_shard_size", shard)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "num_processes", "sharded", "copies"),
    [
        ("single_gpu", (), 1, False, 1),
        ("ddp", (), 2, False, 1),
        ("fsdp2", (), 2, True, 1),
        ("hsdp", mesh(2, 2), 4, True, 2),
    ],
)
def test_a_launch_on_cpus_trains(
    name: str, options: tuple[object, ...], num_processes: int, sharded: bool, copies: int, tmp_path: Path
) -> None:
    script = (*([FSDP_ON_CPU] if sharded else []), *EXAMPLE)
    processes = ("--num_processes", num_processes, "--main_process_port", 0)
    # Files differ in the environment that the launcher gives to its ranks; the launcher itself runs below.
    environment = {**launcher_environment(name, *processes, *options), "ACCELERATE_USE_CPU": "true"}
    if num_processes == 1:
        output = run_script(*script, folder=tmp_path, environment=environment)
    else:
        output = run_script_on_ranks(num_processes, *script, folder=tmp_path, environment=environment)
    check(output, num_processes, sharded, copies)
    assert (tmp_path / "fsdp2-state").is_dir()


@pytest.mark.slow
def test_two_launches_are_two_machines(tmp_path: Path) -> None:
    # One process a machine, so the weights are cut between machines.
    options = ("--num_processes", 2, "--main_process_port", free_port(), *mesh(1, 2))
    machines = [
        launch("multi_node", "--machine_rank", rank, *options, script=(FSDP_ON_CPU, *EXAMPLE), folder=tmp_path)
        for rank in range(2)
    ]
    for code, printed, errors in [machine.ended() for machine in machines]:
        assert code == 0, printed + errors
        check(printed + errors, num_processes=2, sharded=True, copies=1)
