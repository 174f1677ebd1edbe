"""The next-token loss of PTX is that of each document by itself, mixed in with its weight and told apart."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from error_messages import naming
from tiny_models import tiny_tokenizer
from tiny_rl import (
    documents,
    ptx_dataset,
    relative_error,
    rl_trainer,
    tiny_policy,
    true_gradient,
    true_next_token_loss,
)
from tiny_trl import chat_tokenizer, settings, turn, words
from trl import SFTConfig, SFTTrainer

from hf_muonclip.rl.ptx import IGNORED_LABEL, PTXBatches, PTXStream, packed_rows, targets
from hf_muonclip.rl.ptx_documents import Document
from hf_muonclip.rl.ptx_documents import documents as documents_of

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
    texts = [[1, 2, 3], [4, 5, 6, 7], [], [8], [9, 10]]
    rows = list(packed_rows(map(Document, texts), 5))
    assert [row.input_ids.tolist() for row in rows] == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    assert [row.position_ids.tolist() for row in rows] == [[0, 1, 2, 0, 1], [0, 1, 0, 0, 1]]
    ignored = IGNORED_LABEL
    assert [row.labels.tolist() for row in rows] == [
        [ignored, 2, 3, ignored, 5],
        [ignored, 7, ignored, ignored, 10],
    ]
    assert len(list(packed_rows(map(Document, texts[:2]), 3))) == 2  # the rest fills no row
    partly = [Document([1, 2, 3, 4], 2), Document([5, 6, 7, 8, 9, 10], 4)]
    assert [row.labels.tolist() for row in packed_rows(partly, 5)] == [
        [ignored, ignored, 3, 4, ignored],
        [ignored, ignored, ignored, 9, 10],
    ]


def test_ranks_share_each_pass_and_every_pass_has_another_order() -> None:
    data = Dataset.from_dict({"input_ids": [[row] * 3 for row in range(12)]})
    ranks = [PTXBatches(data, None, 3, 2, rank, 2, seed=0) for rank in range(2)]
    passes = []
    for number in range(2):
        seen = []
        for first in range(3 * number, 3 * number + 3):
            windows = [rank.window(first, 1) for rank in ranks]
            assert [int(targets(window)) for window in windows] == [2 * 2] * 2  # the first token of a row has no target
            seen += [row[0] for (batch,) in windows for row in batch.input_ids.tolist()]
        assert sorted(seen) == list(range(12))
        passes.append(seen)
    assert passes[0] != passes[1]
    assert ranks[0].passes(6) == 2.0
    again = PTXBatches(data, None, 3, 2, 1, 2, seed=0)  # as after resuming: what comes follows from the step alone
    torch.testing.assert_close(again.window(4, 1)[0].input_ids, ranks[1].window(4, 1)[0].input_ids)


def rows_read(stream: PTXStream, first: int, count: int) -> list[int]:
    return [row[0] for batch in stream.window(first, count) for row in batch.input_ids.tolist()]


def numbered(count: int, shards: int = 1) -> Any:
    """A stream whose documents each fill a row with their number."""
    return Dataset.from_dict({"input_ids": [[row] * 3 for row in range(count)]}).to_iterable_dataset(shards)


@pytest.mark.parametrize("shards", [1, 2])
def test_ranks_share_a_stream_in_its_order(shards: int, caplog: pytest.LogCaptureFixture) -> None:
    ranks = [PTXStream(numbered(12, shards), None, 3, 2, rank, 2) for rank in range(2)]
    parts = [list(range(6)), list(range(6, 12))] if shards == 2 else [list(range(0, 12, 2)), list(range(1, 12, 2))]
    for rank, own in zip(ranks, parts, strict=True):
        assert rows_read(rank, 0, 2) == own[:4]
        assert rank.passes(2) == 0
        assert rows_read(rank, 2, 2) == [*own[4:], *own[:2]]  # and begins again
        assert rank.passes(4) == 1
        assert rows_read(rank, 1, 1) == own[2:4]  # after a step that failed
    resumed = PTXStream(numbered(12, shards), None, 3, 2, 1, 2)
    assert rows_read(resumed, 4, 2) == rows_read(ranks[1], 4, 2)
    told = [record.getMessage() for record in caplog.records if "ptx_dataset ended after 6 rows" in record.getMessage()]
    assert len(told) >= 2


def test_a_shuffled_stream_is_shuffled_anew_when_it_begins_again() -> None:
    stream = PTXStream(numbered(8).shuffle(seed=0, buffer_size=8), None, 3, 1, 0, 1)
    first, second = rows_read(stream, 0, 8), rows_read(stream, 8, 8)
    assert sorted(first) == sorted(second) == list(range(8))
    assert first != second
    assert rows_read(stream, 8, 8) == second


def test_a_stream_in_a_run(tmp_path: Path) -> None:
    stream = Dataset.from_dict({"input_ids": documents()}).to_iterable_dataset()
    trainer = rl_trainer(tmp_path, given={"ptx_dataset": stream}, **SETTINGS)
    trainer.train()
    for step in trainer.steps:
        truth = true_gradient([step], tiny_policy, trainer.args, texts=documents())
        assert relative_error(step.gradient, truth) < 1e-6
    assert [log["ptx/passes"] for log in trainer.state.log_history[:2]] == [0, 1]


def test_texts_end_with_an_end_token() -> None:
    tokenizer = chat_tokenizer()
    (text,) = documents_of([{"text": "w7 w8"}], tokenizer)
    assert text == Document([*tokenizer("w7 w8")["input_ids"], tokenizer.eos_token_id], 0)
    (text,) = documents_of([{"prompt": "w7 w8 ", "completion": "w9"}], tokenizer)
    assert text == Document([*tokenizer("w7 w8 w9")["input_ids"], tokenizer.eos_token_id], 2)


CHAT = [{"role": "user", "content": "w7 w8"}, {"role": "assistant", "content": "w9"}]


@pytest.mark.parametrize(
    "row",
    [
        {"text": "w7 w8"},
        {"prompt": "w7 w8 ", "completion": "w9"},
        {"messages": CHAT},
        {"prompt": CHAT[:1], "completion": CHAT[1:]},
    ],
    ids=lambda row: " ".join(map(str, map(type, row.values()))),
)
def test_tokens_and_targets_are_those_of_trls_sft_trainer(row: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = chat_tokenizer()
    args = SFTConfig(**settings(tmp_path, per_device_train_batch_size=1))
    trainer = SFTTrainer(tiny_policy(), args, train_dataset=Dataset.from_list([row]), processing_class=tokenizer)
    (batch,) = trainer.get_train_dataloader()
    (text,) = documents_of([row], tokenizer)
    assert text.ids == batch["input_ids"][0].tolist()
    trained = [place >= text.begin for place in range(len(text.ids))]
    assert trained == (batch["labels"][0] != IGNORED_LABEL).tolist()
    assert all(trained) == ("completion" not in row)


def test_chats_in_a_run(tmp_path: Path) -> None:
    """Each fills a row, and only what was answered is trained."""
    rows = [
        {"prompt": [turn("user", n)], "completion": [{"role": "assistant", "content": words(f"answer {n}", 6, 6)}]}
        for n in range(40)
    ]
    texts = {number: text for number, text in enumerate(documents_of(rows, chat_tokenizer())) if len(text.ids) == 16}
    kept = [rows[number] for number in texts][:4]
    assert len(kept) == 4
    more = SETTINGS | {"ptx_max_length": 16}
    trainer = rl_trainer(tmp_path, given={"ptx_dataset": Dataset.from_list(kept)}, **more)
    trainer.train()
    model, losses = tiny_policy().double(), []
    for text in [*texts.values()][:4]:
        logps = torch.log_softmax(model(input_ids=torch.tensor([text.ids])).logits[0], dim=-1)
        losses += [-float(logps[place - 1, text.ids[place]].detach()) for place in range(text.begin, 16)]
    assert 0 < len(losses) < 4 * 12
    assert trainer.state.log_history[0]["ptx/loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ({"texts": "w7"}, ["input_ids, text, messages", "['texts']"]),
        ({"text": None}, ["text", "None"]),
        ({"input_ids": [3, None]}, ["input_ids", "[3, None]"]),
        ({"input_ids": "w7"}, ["input_ids", "'w7'"]),
        ({"messages": []}, ["messages", "[]"]),
        ({"messages": "w7"}, ["messages", "'w7'"]),
        ({"messages": [{"content": "w7"}]}, ["messages", "role", "w7"]),
        ({"prompt": CHAT}, ["completion", "['prompt']"]),
        ({"prompt": CHAT[:1], "completion": "w9"}, ["completion", "'w9'"]),
        ({"prompt": "w7", "completion": CHAT[1:]}, ["completion", "assistant"]),
    ],
    ids=str,
)
def test_rows_that_cannot_be_read(row: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValueError, match=naming("ptx_dataset", "row 1", *named)):
        list(documents_of([{"text": "w7 w8"}, row], chat_tokenizer()))


def test_a_chat_without_a_template() -> None:
    with pytest.raises(ValueError, match=naming("row 0", "chat template", "PreTrainedTokenizerFast")):
        list(documents_of([{"messages": CHAT}], tiny_tokenizer()))


@pytest.mark.parametrize(
    ("data", "error", "named"),
    [
        (Dataset.from_dict({"texts": ["w7"]}), ValueError, ["ptx_dataset", "text", "input_ids", "['texts']"]),
        (Dataset.from_dict({"text": [words("short", 3, 3)]}), ValueError, ["ptx_dataset", "ptx_max_length=12", "1"]),
        (Dataset.from_dict({"input_ids": []}), ValueError, ["ptx_dataset", "ptx_max_length=12", "0"]),
        (Dataset.from_dict({"text": ["w7"]}).to_iterable_dataset(), ValueError, ["ptx_dataset", "ptx_max_length=12"]),
        ([{"text": "w7"}], TypeError, ["ptx_dataset", "IterableDataset", "list"]),
    ],
    ids=["column", "short", "empty", "short stream", "list"],
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
