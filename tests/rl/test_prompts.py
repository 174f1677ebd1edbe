"""Datasets that TRL would use wrongly in silence, or fail on in the first step, are refused at construction."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from error_messages import naming
from tiny_rl import rl_trainer

from hf_muonclip.rl.prompts import check_batches, check_columns


def rows(count: int, **columns: Any) -> Dataset:
    return Dataset.from_list([{"prompt": f"w{number + 7}", **columns} for number in range(count)])


@pytest.mark.parametrize(
    "name", ["completion", "completions", "prompts", "completion_ids", "trainer_state", "log_metric"]
)
def test_names_that_trl_uses_itself(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=naming("train_dataset", repr(name))):
        rl_trainer(tmp_path, given={"train_dataset": rows(8, **{name: "w9"})})


@pytest.mark.parametrize("several", [False, True], ids=["one", "by name"])
def test_names_in_the_evaluation_set(several: bool, tmp_path: Path) -> None:
    data: Any = rows(8, completions="w9")
    data, name = ({"held out": data}, "eval_dataset['held out']") if several else (data, "eval_dataset")
    with pytest.raises(ValueError, match=naming(name, "'completions'")):
        rl_trainer(tmp_path, given={"eval_dataset": data})


def test_other_columns_pass(tmp_path: Path) -> None:
    seen: list[Any] = []

    def reward(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
        seen.extend(answer)
        return [1.0] * len(completions)

    given = {"train_dataset": rows(2, answer="w9"), "reward_funcs": reward}
    rl_trainer(tmp_path, given=given, max_steps=1).train()
    assert seen == ["w9"] * 8


def test_a_dataset_without_prompts(tmp_path: Path) -> None:
    data = Dataset.from_list([{"question": "w7"}] * 8)
    with pytest.raises(ValueError, match=naming("prompt", "['question']")):
        rl_trainer(tmp_path, given={"train_dataset": data})
    check_columns("train_dataset", data, needs_prompt=False)  # an environment brings them


def test_fewer_prompts_than_a_batch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ValueError, match=naming("train_dataset", "2", "1", "per_device_train_batch_size")):
        rl_trainer(tmp_path, given={"train_dataset": rows(1)})
    rl_trainer(tmp_path, given={"train_dataset": rows(3)})
    (told,) = [r.getMessage() for r in caplog.records if "leaves out" in r.getMessage()]
    assert "1 of its 3" in told


def test_streams_are_left_to_trl() -> None:
    check_columns("train_dataset", rows(1).to_iterable_dataset(), needs_prompt=True)
    check_batches(rows(1).to_iterable_dataset(), 8)
