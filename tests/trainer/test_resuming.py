"""A torn checkpoint is passed over, a finished run stays finished, and any model learns to load what was saved."""

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from processes import Script
from tiny_models import tiny_model
from tiny_trainer import assert_equal_weights, build, token_rows, weights_of
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from hf_muonclip import MuonClipCallback, last_whole_checkpoint, muonclip, muonclip_factory
from hf_muonclip.trainer.whole_checkpoint import why_not_whole

SETTINGS: dict[str, Any] = {"max_steps": 3, "save_strategy": "steps", "save_steps": 1}
# A Trainer that is killed, without any handler, when a file of a chosen checkpoint is half written.
KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from tiny_trainer import build
folder, checkpoint, name = sys.argv[1:]
target = os.path.join(folder, checkpoint, name)
save = torch.save
def save_half(content, file, *args, **kwargs):
    save(content, file, *args, **kwargs)
    if str(file) == target:
        os.truncate(target, os.path.getsize(target) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
def watch(event, args):
    if event == "open" and str(args[0]) == target and "w" in str(args[1]):
        os.kill(os.getpid(), signal.SIGKILL)
trainer = build(Path(folder), max_steps=3, save_strategy="steps", save_steps=1)
torch.save = save_half  # writes in C++, where Python's audit sees nothing
sys.addaudithook(watch)
trainer.train()
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """An unbroken run's folder, with checkpoints 1 to 3, and its weights."""
    folder = tmp_path_factory.mktemp("run")
    trainer = build(folder, **SETTINGS)
    trainer.train()
    return folder, weights_of(trainer)


def copy_of(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "run"))


def cut(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size * 2 // 3)


def files_of_a_save() -> list[str]:
    return [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "optimizer.pt",
        "rng_state.pth",
        "scheduler.pt",
        "trainer_state.json",
        "training_args.bin",
    ]


def test_a_save_has_these_files(run: tuple[Path, Any]) -> None:
    assert sorted(path.name for path in (run[0] / "checkpoint-3").iterdir()) == files_of_a_save()
    assert [why_not_whole(run[0] / f"checkpoint-{step}") for step in (1, 2, 3)] == ["", "", ""]


@pytest.mark.parametrize("name", files_of_a_save())
def test_any_file_that_is_cut_off_is_noticed(name: str, run: tuple[Path, Any], tmp_path: Path) -> None:
    folder = copy_of(run[0], tmp_path)
    cut(folder / "checkpoint-3" / name)
    assert f"{name} (" in why_not_whole(folder / "checkpoint-3")
    assert last_whole_checkpoint(folder) == str(folder / "checkpoint-2")
    (folder / "checkpoint-3" / name).write_bytes(b"")
    assert last_whole_checkpoint(folder) == str(folder / "checkpoint-2")


def test_killed_before_each_file_of_a_save(run: tuple[Path, Any], tmp_path: Path) -> None:
    """A save writes its files one after the other, so a killed one leaves the first of them."""
    folder = copy_of(run[0], tmp_path)
    newest = folder / "checkpoint-3"
    for name in ("trainer_state.json", "rng_state.pth", "scheduler.pt", "optimizer.pt", "model.safetensors"):
        (newest / name).unlink()
        assert "trainer_state.json" in why_not_whole(newest)
        assert last_whole_checkpoint(folder) == str(folder / "checkpoint-2")
    for path in newest.iterdir():
        path.unlink()
    assert last_whole_checkpoint(folder) == str(folder / "checkpoint-2")


@pytest.mark.parametrize("how", ["helper", "True"])
def test_resumed_from_the_whole_one_bit_for_bit(
    how: str, run: tuple[Path, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = copy_of(run[0], tmp_path)
    (folder / "checkpoint-3" / "trainer_state.json").unlink()
    cut(folder / "checkpoint-3" / "optimizer.pt")
    before = sorted((path.name, path.stat().st_size) for path in (folder / "checkpoint-3").iterdir())
    assert get_last_checkpoint(str(folder)) == str(folder / "checkpoint-3")  # what the Trainer itself would take
    checkpoint: Any = True
    if how == "helper":
        checkpoint = last_whole_checkpoint(folder)
        assert sorted((path.name, path.stat().st_size) for path in (folder / "checkpoint-3").iterdir()) == before
    trainer = build(folder, **SETTINGS)
    trainer.train(resume_from_checkpoint=checkpoint)
    assert_equal_weights(weights_of(trainer), run[1])
    passed_over = naming("checkpoint-3", "trainer_state.json")
    assert sum(bool(re.search(passed_over, message)) for message in caplog.messages) == 1
    assert why_not_whole(folder / "checkpoint-3") == ""  # written again


@pytest.mark.parametrize("name", ["config.json", "training_args.bin", "optimizer.pt", "trainer_state.json"])
def test_a_real_process_that_is_killed_in_a_save(name: str, run: tuple[Path, Any], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, _, errors = Script("-c", KILLED, folder, "checkpoint-3", name, folder=tmp_path).ended()
    assert code == -signal.SIGKILL, errors
    assert why_not_whole(folder / "checkpoint-3")
    assert last_whole_checkpoint(folder) == str(folder / "checkpoint-2")
    trainer = build(folder, **SETTINGS)
    trainer.train(resume_from_checkpoint=True)
    assert_equal_weights(weights_of(trainer), run[1])


def test_a_torn_checkpoint_that_is_asked_for_is_refused(run: tuple[Path, Any], tmp_path: Path) -> None:
    folder = copy_of(run[0], tmp_path)
    cut(folder / "checkpoint-3" / "scheduler.pt")
    trainer = build(folder, **SETTINGS)
    with pytest.raises(ValueError, match=naming("checkpoint-3", "scheduler.pt", "checkpoint-2")):
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-3"))
    for step in (1, 2):
        (folder / f"checkpoint-{step}" / "trainer_state.json").unlink()
    with pytest.raises(ValueError, match=naming("checkpoint-3", "scheduler.pt", tmp_path)):
        trainer.train(resume_from_checkpoint=True)
    shutil.rmtree(folder)
    assert last_whole_checkpoint(folder) is None
    folder.mkdir()
    with pytest.raises(ValueError, match="No valid checkpoint found"):  # the Trainer's own sentence
        trainer.train(resume_from_checkpoint=True)


def test_the_highest_number_is_the_newest(run: tuple[Path, Any], tmp_path: Path) -> None:
    for step in (9, 10):
        shutil.copytree(run[0] / "checkpoint-1", tmp_path / f"checkpoint-{step}")
    (tmp_path / "checkpoint-11.tmp").mkdir()
    (tmp_path / "checkpoint-12").touch()
    assert last_whole_checkpoint(str(tmp_path)) == str(tmp_path / "checkpoint-10")


def sharded(folder: Path) -> None:
    tiny_model("llama_mha").save_pretrained(folder, max_shard_size="100KB")
    (folder / "model.safetensors").unlink()


def adapter(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")


def other_adapter(folder: Path) -> None:
    (folder / "second").mkdir()
    (folder / "model.safetensors").rename(folder / "second" / "adapter_model.safetensors")


def without_optimizer(folder: Path) -> None:
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (folder / name).unlink()


def two_ranks(folder: Path) -> None:
    (folder / "rng_state.pth").rename(folder / "rng_state_0.pth")
    shutil.copy(folder / "rng_state_0.pth", folder / "rng_state_1.pth")


def fsdp(folder: Path) -> None:
    import torch.distributed.checkpoint as dcp

    for name in ("pytorch_model_fsdp_0", "optimizer_0"):
        dcp.save({"weight": torch.ones(100), "bias": torch.ones(3)}, checkpoint_id=folder / name, no_dist=True)
    for name in ("optimizer.pt", "model.safetensors"):
        (folder / name).unlink()


def deepspeed(folder: Path) -> None:
    (folder / "global_step3").mkdir()
    (folder / "optimizer.pt").rename(folder / "global_step3" / "zero_pp_rank_0_mp_rank_00_optim_states.pt")
    states = folder / "global_step3" / "zero_pp_rank_0_mp_rank_00_optim_states.pt"
    shutil.copy(states, states.with_name("zero_pp_rank_1_mp_rank_00_optim_states.pt"))
    shutil.copy(states, states.with_name("mp_rank_00_model_states.pt"))
    (folder / "model.safetensors").unlink()
    (folder / "scheduler.pt").unlink()
    (folder / "latest").write_text("global_step3")


@pytest.mark.parametrize(
    ("form", "lost"),
    [
        (sharded, "model-00002-of"),
        (sharded, "model.safetensors.index.json"),
        (adapter, "adapter_model.safetensors"),
        (other_adapter, "second/adapter_model.safetensors"),
        (without_optimizer, "model.safetensors"),
        (two_ranks, "rng_state_0.pth"),
        (fsdp, "pytorch_model_fsdp_0/.metadata"),
        (fsdp, "pytorch_model_fsdp_0/__0_0.distcp"),
        (fsdp, "optimizer_0/.metadata"),
        (fsdp, "optimizer_0/__0_0.distcp"),
        (deepspeed, "latest"),
        (deepspeed, "global_step3/mp_rank_00_model_states.pt"),
        (deepspeed, "global_step3/zero_pp_rank_0_mp_rank_00_optim_states.pt"),
        (lambda folder: None, "optimizer.pt"),
        (lambda folder: None, "scheduler.pt"),
        (lambda folder: None, "rng_state.pth"),
    ],
)
def test_every_form_of_a_checkpoint(
    form: Callable[[Path], None], lost: str, run: tuple[Path, Any], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(run[0] / "checkpoint-3", tmp_path / "checkpoint-3"))
    form(folder)
    assert why_not_whole(folder) == ""
    [file] = [path for path in folder.rglob("*") if str(path.relative_to(folder)).startswith(lost)]
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert why_not_whole(folder), "cut off"
    file.unlink()
    assert why_not_whole(folder), "missing"
    file.write_bytes(whole)
    assert why_not_whole(folder) == ""


def test_a_rank_that_did_not_come_to_write_its_file(run: tuple[Path, Any], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run[0] / "checkpoint-3", tmp_path / "checkpoint-3"))
    two_ranks(folder)
    state = folder / "trainer_state.json"
    state.write_text(state.read_text().replace('"world_size": 1', '"world_size": 3'))
    assert "rng_state_2.pth" in why_not_whole(folder)


def test_writing_over_an_older_checkpoint_first_takes_away_what_calls_it_whole(
    run: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy_of(run[0], tmp_path)
    trainer = build(folder, **SETTINGS)

    def killed(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "_save", killed)
    with pytest.raises(KeyboardInterrupt):
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-2"))
    assert last_whole_checkpoint(folder) == str(folder / "checkpoint-2")


LENGTHS: list[dict[str, Any]] = [
    {"max_steps": 3},  # within the first epoch of four steps
    {"max_steps": 4},
    {"max_steps": 6},  # within the second
    {"max_steps": -1, "num_train_epochs": 1},
    {"max_steps": -1, "num_train_epochs": 1.5},
    {"max_steps": 3, "gradient_accumulation_steps": 2, "per_device_train_batch_size": 2},
    {"max_steps": 3, "gradient_accumulation_steps": 3, "per_device_train_batch_size": 1},
    {"max_steps": 3, "ignore_data_skip": True},
    {"max_steps": 3, "save_strategy": "epoch"},
    {"max_steps": 3, "load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 3, "save_steps": 3},
]


@pytest.mark.parametrize("length", LENGTHS, ids=str)
def test_a_finished_run_takes_no_further_step(
    length: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = {"save_strategy": "steps", "save_steps": 1, **length}
    trainer = build(tmp_path, **settings)
    trainer.train()
    finished, weights = trainer.state.global_step, weights_of(trainer)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoint-*/*")}
    again = build(tmp_path, tiny_model("llama_mha"), **settings)
    result = again.train(resume_from_checkpoint=True)
    assert (again.state.global_step, result.global_step) == (finished, finished)
    assert_equal_weights(weights_of(again), weights)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("checkpoint-*/*")} == stamps
    assert "get_batch_samples" not in vars(again)
    within = finished % 4 != 0 or length.get("ignore_data_skip", False)
    if "gradient_accumulation_steps" not in length:
        assert any(re.search(naming("step", finished), message) for message in caplog.messages) == within
    # With more steps to take, it goes on.
    longer = build(tmp_path, **{**settings, "max_steps": finished + 1})
    longer.train(resume_from_checkpoint=True)
    assert longer.state.global_step == finished + 1


@pytest.mark.parametrize("how", ["model_init", "add_callback"])
def test_experts_resume_however_model_and_callback_came_into_the_trainer(how: str, tmp_path: Path) -> None:
    def make(args: TrainingArguments) -> Trainer:
        if how == "add_callback":
            model = tiny_model("mixtral")
            trainer = Trainer(model, args, train_dataset=token_rows(), optimizers=muonclip(model, args))
            trainer.add_callback(MuonClipCallback())
            return trainer
        factory: Any = muonclip_factory(args)
        return Trainer(
            args=args,
            model_init=lambda: tiny_model("mixtral"),
            train_dataset=token_rows(),
            optimizer_cls_and_kwargs=factory,
            callbacks=[MuonClipCallback()],
        )

    def train(resume: bool) -> dict[str, torch.Tensor]:
        args = TrainingArguments(
            str(tmp_path), max_steps=2, save_steps=1, report_to="none", use_cpu=True, disable_tqdm=True
        )
        trainer = make(args)
        trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1") if resume else None)
        return weights_of(trainer)

    assert_equal_weights(train(False), train(True))


def test_a_trainer_without_the_callback_is_left_alone(run: tuple[Path, Any], tmp_path: Path) -> None:
    folder = copy_of(run[0], tmp_path)
    (folder / "checkpoint-3" / "trainer_state.json").unlink()
    kept = MuonClipCallback()
    trainer = build(folder, callbacks=[], **SETTINGS)
    with pytest.raises(FileNotFoundError):
        trainer.train(resume_from_checkpoint=True)
    del kept
