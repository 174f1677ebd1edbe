"""One model of every kind: trained by a Trainer with MuonClipCallback, saved, resumed, pushed, and loaded again."""

import gc
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from error_messages import naming
from hub_server import HubServer, hub_server
from hub_visits import take_for_the_hub
from huggingface_hub import ModelCard
from peft import LoraConfig, get_peft_model
from tiny_models import tiny_model
from tiny_trainer import assert_equal_weights, token_rows, weights_of
from tiny_trl import chat_tokenizer, reward_model, turn
from torch import Tensor, nn
from trainer_check import check_training, run_loading_code
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaModel,
    Trainer,
    TrainingArguments,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from trl import RewardConfig, RewardTrainer

from hf_muonclip import MuonClipCallback, muonclip
from hf_muonclip.export import engine_config
from hf_muonclip.hub import model_card
from hf_muonclip.trainer import push as trainer_push

REPO = "ada/run"
# A type of each kind, with the task that its card names; the layers of the last one differ.
CENSUS_KINDS = {
    "llama": "text-generation",
    "t5": "text2text-generation",
    "vit": "image-classification",
    "wav2vec2": "automatic-speech-recognition",
    "detr": "object-detection",
    "dpr": "feature-extraction",
    "dots3_note_text": "text-generation",
}
PUSHES: dict[str, Any] = {"push_to_hub": True, "hub_model_id": REPO, "hub_token": "hf_ada"}
SETTINGS: dict[str, Any] = {
    "max_steps": 2,
    "per_device_train_batch_size": 4,
    "logging_steps": 1,
    "save_strategy": "steps",
    "save_steps": 1,
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    gc.collect()
    with hub_server() as server:
        take_for_the_hub(server, monkeypatch, tmp_path)
        yield server


@pytest.mark.parametrize(
    ("model_type", "task"),
    [
        pytest.param(
            model_type,
            task,
            marks=pytest.mark.skipif(model_type not in CONFIG_MAPPING, reason=f"transformers has no {model_type}"),
        )
        for model_type, task in CENSUS_KINDS.items()
    ],
)
def test_every_step_of_a_kind_holds(model_type: str, task: str, hub: HubServer, tmp_path: Path) -> None:
    result = check_training(model_type, tmp_path / "census", hub)
    assert (result.status, result.failed_at, result.reason) == ("passes", "", "")
    assert result.card == task


def rows(labels: Callable[[int], int] | None = None) -> list[dict[str, Any]]:
    found = token_rows(8)
    return found if labels is None else [{**row, "labels": labels(number)} for number, row in enumerate(found)]


def classifier() -> nn.Module:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return BertForSequenceClassification(BertConfig(vocab_size=128, num_labels=3, **sizes))


class Wrapper(nn.Module):
    """A transformer inside of a module of one's own, which has no configuration."""

    def __init__(self) -> None:
        super().__init__()
        self.inner: Any = LlamaModel(tiny_model("llama_gqa").config)
        self.score = nn.Linear(64, 3)

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.score(self.inner(input_ids).last_hidden_state[:, -1])
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Experts(nn.Module):
    """A module whose experts are one parameter."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(128, 16)
        self.hidden = nn.Linear(16, 16)
        self.experts = nn.Parameter(0.1 * torch.randn(2, 16, 16))
        self.score = nn.Linear(16, 3)

    def forward(self, input_ids: Tensor, labels: Tensor) -> dict[str, Tensor]:
        hidden = torch.einsum("bi,eij->bj", self.hidden(self.embedding(input_ids).mean(1)), self.experts)
        logits = self.score(hidden)
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


def wrapper() -> nn.Module:
    torch.manual_seed(0)
    return Wrapper()


def adapter() -> nn.Module:
    base = tiny_model("llama_gqa")
    base.name_or_path = "ada/base"
    torch.manual_seed(0)
    return get_peft_model(base, LoraConfig(target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))


def build(folder: Path, model: nn.Module, data: list[dict[str, Any]], **settings: Any) -> Trainer:
    muon = {name: settings.pop(name) for name in ("qk_clip_threshold", "group_overrides") if name in settings}
    args = TrainingArguments(str(folder), **{**SETTINGS, **settings})
    metrics = settings.get("eval_strategy") and (lambda predicted: {"accuracy": 0.5, "nothing": float("nan")})
    return Trainer(
        model,
        args,
        train_dataset=data,
        eval_dataset=data[:4],
        optimizers=muonclip(model, args, **muon),
        callbacks=[MuonClipCallback()],
        compute_metrics=metrics or None,
    )


def pushed_card(hub: HubServer) -> ModelCard:
    return ModelCard(hub.repositories[REPO].head.files["README.md"].content.decode())


@pytest.mark.parametrize("make", [wrapper, Experts])
def test_a_module_without_a_configuration_is_saved_resumed_and_pushed(
    make: Callable[[], nn.Module], hub: HubServer, tmp_path: Path
) -> None:
    muon: dict[str, Any] = {}
    if make is Experts:
        muon = {"qk_clip_threshold": None, "group_overrides": {"experts": {"algorithm": "muon"}}}
    data = rows(lambda number: number % 3)
    trainer = build(tmp_path / "run", make(), data, **muon, **PUSHES)
    trainer.train()
    trainer._finish_current_push()
    trained = weights_of(trainer)
    resumed = build(tmp_path / "resumed", make(), data, **muon)
    with torch.no_grad():
        for parameter in resumed.model.parameters():
            parameter.add_(0.1)
    resumed.train(str(tmp_path / "run" / "checkpoint-1"))
    assert_equal_weights(weights_of(resumed), trained)

    # The Trainer's own card needs a configuration, so trainer.push_to_hub() fails; its pushes while training do not.
    card = pushed_card(hub)
    assert card.data.library_name is None
    assert card.data.pipeline_tag is None
    assert make.__name__.capitalize() in card.text
    assert "load_file(hf_hub_download(name" in card.text
    assert "Perplexity" not in card.text


def test_a_classifiers_card_shows_its_scores_and_no_perplexity(hub: HubServer, tmp_path: Path) -> None:
    settings = {"eval_strategy": "steps", "eval_steps": 1, "hub_strategy": "end", **PUSHES}
    trainer = build(tmp_path / "run", classifier(), rows(lambda number: number % 3), **settings)
    trainer.train()
    trainer.push_to_hub(tags=["mine"], license="mit", language="en", dataset_tags="ada/words")
    card = pushed_card(hub)
    assert (card.data.pipeline_tag, card.data.library_name) == ("text-classification", "transformers")
    assert {"muonclip", "mine", "generated_from_trainer"} <= set(card.data.tags)
    assert (card.data.license, card.data.language, card.data.datasets) == ("mit", ["en"], ["ada/words"])
    assert re.search(naming(3, "BertForSequenceClassification"), card.text)
    assert "| Accuracy | 0.5 |" in card.text
    assert "nan" not in card.text
    assert "Perplexity" not in card.text
    assert "nats" not in card.text
    loaded = run_loading_code(card.content, REPO, tmp_path / "run")
    assert_equal_weights(dict(loaded.named_parameters()), weights_of(trainer))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_perplexity_is_that_of_the_models_own_loss(smoothing: float, hub: HubServer, tmp_path: Path) -> None:
    settings = {"eval_strategy": "steps", "eval_steps": 1, "label_smoothing_factor": smoothing, **PUSHES}
    trainer = build(tmp_path / "run", tiny_model("llama_gqa"), rows(), hub_strategy="end", **settings)
    trainer.compute_metrics = None
    trainer.train()
    trainer.push_to_hub()
    assert ("Perplexity" in pushed_card(hub).text) == (smoothing == 0)


def test_an_adapters_card_loads_it_onto_its_base(hub: HubServer, tmp_path: Path) -> None:
    trainer = build(tmp_path / "run", adapter(), rows(), hub_strategy="end", **PUSHES)
    trainer.train()
    resumed = build(tmp_path / "resumed", adapter(), rows())
    resumed.train(str(tmp_path / "run" / "checkpoint-1"))
    assert_equal_weights(weights_of(resumed), weights_of(trainer))
    trainer.push_to_hub()
    card = pushed_card(hub)
    assert (card.data.library_name, card.data.base_model) == ("peft", "ada/base")
    assert card.data.pipeline_tag == "text-generation"
    assert re.search(naming("LoRA", "LlamaForCausalLM"), card.text)
    tiny_model("llama_gqa").save_pretrained(tmp_path / "base")
    code = card.content.replace('"ada/base"', f'"{tmp_path / "base"}"')
    loaded = run_loading_code(code, REPO, tmp_path / "run")
    assert_equal_weights(dict(loaded.named_parameters()), weights_of(trainer))


def test_a_reward_models_card_says_so(hub: HubServer, tmp_path: Path) -> None:
    pairs = [
        {"prompt": [turn("user", i)], "chosen": [turn("assistant", i)], "rejected": [turn("assistant", f"bad {i}")]}
        for i in range(8)
    ]
    model = reward_model()
    args = RewardConfig(str(tmp_path / "run"), max_length=24, hub_strategy="end", **SETTINGS, **PUSHES)
    trainer = RewardTrainer(
        model,
        args,
        train_dataset=Dataset.from_list(pairs),
        processing_class=chat_tokenizer(),
        callbacks=[MuonClipCallback()],
        optimizers=muonclip(model, args),
    )
    trainer.train()
    trainer.push_to_hub()
    card = pushed_card(hub)
    assert card.data.pipeline_tag == "text-classification"
    assert {"trl", "reward-trainer", "muonclip"} <= set(card.data.tags)
    assert re.search(naming("reward model", "LlamaForSequenceClassification"), card.text)
    loaded = run_loading_code(card.content, REPO, tmp_path / "run")
    assert_equal_weights(dict(loaded.named_parameters()), weights_of(trainer))


# --- nothing that is added ends a run --------------------------------------------------------------------------------


class UnsavableError(Exception):
    pass


def fail(*args: Any, **kwargs: Any) -> None:
    raise UnsavableError("no card today")


@pytest.mark.parametrize(
    ("owner", "name", "said"),
    [
        (engine_config, "write_config", "engines"),
        (model_card, "render_model_card", "model card"),
        (trainer_push, "kind_of", "model card"),
        (trainer_push._Push, "keep_card", "model card"),
        (MuonClipCallback, "_clip_figures", "training log"),
    ],
)
def test_what_cannot_be_added_is_left_out_with_a_sentence(
    owner: Any,
    name: str,
    said: str,
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(owner, name, fail)
    trainer = build(tmp_path / "run", tiny_model("llama_gqa"), rows(), hub_strategy="end", **PUSHES)
    trainer.train()
    trainer.push_to_hub()
    messages = [text for text in caplog.messages if re.search(naming("UnsavableError", "no card today"), text)]
    assert [message for message in messages if re.search(naming(said), message)]
    assert len(messages) == len(set(messages))
    assert "model.safetensors" in hub.repositories[REPO].head.files
    assert (tmp_path / "run" / "checkpoint-2" / "trainer_state.json").exists()


@pytest.mark.parametrize(
    "broken", ["runs.log_writer.append_row", "runs.log_writer.start_log", "runs.log_writer.shown_name"]
)
def test_a_log_that_cannot_be_written_ends_nothing(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"hf_muonclip.{broken}", fail)
    trainer = build(tmp_path / "run", tiny_model("llama_gqa"), rows())
    trainer.train()
    assert trainer.state.global_step == 2


def test_a_card_of_another_library_stays(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trainer = build(tmp_path / "run", tiny_model("llama_gqa"), rows(), hub_strategy="end", **PUSHES)
    trainer.train()
    theirs = "---\nlibrary_name: sentence-transformers\ntags:\n- generated_from_trainer\n---\n\n# Theirs\n"

    def write_card(**kwargs: Any) -> None:
        (tmp_path / "run" / "README.md").write_text(theirs)

    monkeypatch.setattr(trainer, "create_model_card", write_card)
    trainer.push_to_hub()
    assert hub.repositories[REPO].head.files["README.md"].content.decode() == theirs
    assert "sentence-transformers" in caplog.text


def test_settings_that_json_does_not_know_are_kept_as_numbers(tmp_path: Path) -> None:
    trainer = build(tmp_path / "run", tiny_model("llama_gqa"), rows())
    trainer.optimizer.defaults["weight_decay"] = torch.tensor(0.25)
    trainer.train()
    state = json.loads((tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text())
    (kept,) = [each for name, each in state["stateful_callbacks"].items() if name == "MuonClipCallback"]
    assert kept["attributes"]["exported_run"]["optimizer"]["weight decay"] == 0.25


def test_of_a_model_that_generates_nothing_the_configuration_stays(tmp_path: Path) -> None:
    model: Any = classifier()
    (tmp_path / "config.json").write_text("{}")
    trainer_push.complete_config(model, tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"
    engine_config.write_configs(model, tmp_path, dtype=torch.float32)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["BertForSequenceClassification"]
    assert not (tmp_path / "generation_config.json").exists()
