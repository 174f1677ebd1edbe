"""The next-token loss of PTX is that of each document by itself, mixed in with its weight and told apart."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from error_messages import naming
from tiny_rl import (
    documents,
    ptx_dataset,
    relative_error,
    rl_trainer,
    tiny_policy,
    true_gradient,
    true_next_token_loss,
)
from tiny_trl import chat_tokenizer, words

from hf_muonclip.rl.ptx import IGNORED_LABEL, PTXBatches, packed_rows, tokenized

# Every step goes through all four rows once: two micro-batches of two.
SETTINGS: dict[str, Any] = {
    "max_steps": 2,
    "num_iterations": 2,
    "gradient_accumulation_steps": 2,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-3,
    "ptx_max_length": 12,
    "ptx_batch_size": 2,
    "ptx_coef": 0.7,
}


@pytest.mark.parametrize("name", ["llama_gqa", "mixtral"])
def test_the_gradient_is_that_of_documents_one_by_one(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def build() -> Any:
        return tiny_policy(name)

    # A temperature that the next-token loss must not be divided by.
    more = SETTINGS | {"temperature": 0.6} | ({"router_aux_loss_coef": 0.0} if name == "mixtral" else {})
    trainer = rl_trainer(tmp_path, build(), {"ptx_dataset": ptx_dataset()}, **more)
    trainer.train()
    for step in trainer.steps:
        truth = true_gradient([step], build, trainer.args, texts=documents())
        assert relative_error(step.gradient, truth) < 1e-6
        without = true_gradient([step], build, trainer.args)
        assert relative_error(step.gradient, without) > 1e-2
    first, second = trainer.state.log_history[:2]
    assert first["ptx/loss"] == pytest.approx(float(true_next_token_loss(build(), documents())), rel=1e-5)
    assert second["ptx/loss"] != first["ptx/loss"]
    assert [first["ptx/passes"], second["ptx/passes"]] == [1.0, 2.0]
    (told,) = [r.getMessage() for r in caplog.records if "ptx_dataset" in r.getMessage()]
    assert "4 rows" in told
    assert "2.0 times" in told


def test_evaluation_has_none(tmp_path: Path) -> None:
    given = {"ptx_dataset": ptx_dataset(), "eval_dataset": Dataset.from_list([{"prompt": "w7 w8"}])}
    trainer = rl_trainer(tmp_path, given=given, num_generations_eval=4, **SETTINGS)
    trainer.evaluate()
    assert "eval_reward" in trainer.state.log_history[-1]
    assert not any("ptx" in name for name in trainer.state.log_history[-1])


def test_rows_are_full_and_keep_documents_apart() -> None:
    rows = packed_rows([[1, 2, 3], [4, 5, 6, 7], [], [8], [9, 10]], 5)
    assert [row.input_ids.tolist() for row in rows] == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    assert [row.position_ids.tolist() for row in rows] == [[0, 1, 2, 0, 1], [0, 1, 0, 0, 1]]
    ignored = IGNORED_LABEL
    assert [row.labels.tolist() for row in rows] == [
        [ignored, 2, 3, ignored, 5],
        [ignored, 7, ignored, ignored, 10],
    ]
    assert len(packed_rows([[1, 2, 3], [4, 5, 6, 7]], 3)) == 2  # the rest fills no row


def test_ranks_share_each_pass_and_every_pass_has_another_order() -> None:
    data = Dataset.from_dict({"input_ids": [[row] * 3 for row in range(12)]})
    ranks = [PTXBatches(data, None, 3, 2, rank, 2, seed=0) for rank in range(2)]
    passes = []
    for number in range(2):
        seen = []
        for first in range(3 * number, 3 * number + 3):
            windows = [rank.window(first, 1) for rank in ranks]
            assert {targets for _, targets in windows} == {2 * 2 * 2}  # the first token of a row has no target
            seen += [row[0] for (batch,), _ in windows for row in batch.input_ids.tolist()]
        assert sorted(seen) == list(range(12))
        passes.append(seen)
    assert passes[0] != passes[1]
    assert ranks[0].passes(6) == 2.0
    again = PTXBatches(data, None, 3, 2, 1, 2, seed=0)  # as after resuming: what comes follows from the step alone
    torch.testing.assert_close(again.window(4, 1)[0][0].input_ids, ranks[1].window(4, 1)[0][0].input_ids)


def test_texts_end_with_an_end_token() -> None:
    tokenizer = chat_tokenizer()
    (ids,) = tokenized(Dataset.from_dict({"text": ["w7 w8"]}), tokenizer)
    assert ids == [*tokenizer("w7 w8")["input_ids"], tokenizer.eos_token_id]


@pytest.mark.parametrize(
    ("data", "error", "named"),
    [
        (Dataset.from_dict({"texts": ["w7"]}), ValueError, ["ptx_dataset", "text", "input_ids", "['texts']"]),
        (Dataset.from_dict({"text": [words("short", 3, 3)]}), ValueError, ["ptx_dataset", "ptx_max_length=12", "1"]),
        (Dataset.from_dict({"input_ids": []}), ValueError, ["ptx_dataset", "ptx_max_length=12", "0"]),
        (ptx_dataset().to_iterable_dataset(), TypeError, ["ptx_dataset", "IterableDataset", "take"]),
    ],
    ids=["column", "short", "empty", "stream"],
)
def test_data_that_cannot_be_mixed_in(data: Any, error: type[Exception], named: list[str], tmp_path: Path) -> None:
    with pytest.raises(error, match=naming(*named)):
        rl_trainer(tmp_path, given={"ptx_dataset": data}, **SETTINGS)


def test_a_step_that_failed_leaves_no_rows_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an error within a step, training begins again with the rows of its own step."""
    trainer = rl_trainer(tmp_path, given={"ptx_dataset": ptx_dataset()}, **SETTINGS)
    caplog.set_level(logging.ERROR)
    calls = []

    def fail(model: Any, inputs: Any) -> Any:
        calls.append(0)
        if len(calls) == 4:
            raise RuntimeError("out of memory")
        return trainer_loss(model, inputs)

    trainer_loss = trainer._compute_loss
    monkeypatch.setattr(trainer, "_compute_loss", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.train()
    trainer.steps.clear()
    trainer.batches.clear()
    trainer._step = 0  # TRL goes on counting
    trainer._buffered_inputs = None
    trainer.train()
    truth = true_gradient(trainer.steps[:1], tiny_policy, trainer.args, texts=documents())
    assert relative_error(trainer.steps[0].gradient, truth) < 1e-6
