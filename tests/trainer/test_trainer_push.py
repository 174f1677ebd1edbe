"""What the Trainer pushes to a Hub on this machine, at every save and at the end."""

import gc
import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_server import HubServer, hub_server
from hub_state import Commit
from hub_visits import pull, take_for_the_hub
from huggingface_hub import HfApi, ModelCard
from safetensors.torch import load
from tiny_models import tiny_model, tiny_tokenizer
from tiny_trainer import build, sharp_model
from transformers import Trainer, TrainerCallback

from hf_muonclip import MuonClipCallback
from hf_muonclip.kimi_k2.model_type import KimiK2Config
from hf_muonclip.runs.log import LOG_NAME
from hf_muonclip.trainer.push import complete_config

REPO = "ada/run"
HAND_WRITTEN = "---\nlicense: mit\n---\n\n# Mine\n"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    gc.collect()  # the test before may have left a Trainer whose push broke off
    with hub_server() as server:
        take_for_the_hub(server, monkeypatch, tmp_path)
        yield server


class WaitForPush(TrainerCallback):
    """Let every push end before training goes on: it runs in the background, and the next would be skipped."""

    trainer: Trainer

    def on_save(self, args, state, control, **kwargs) -> None:
        self.trainer._finish_current_push()


def pushing(folder: Path, **settings) -> Trainer:
    defaults = {"push_to_hub": True, "hub_model_id": REPO, "hub_token": "hf_ada"}
    saves = {"save_strategy": "steps", "save_steps": 3}
    waiting = WaitForPush()
    callbacks = [MuonClipCallback(), waiting]
    trainer = build(folder, sharp_model("deepseek_v3"), callbacks, **defaults, **{**saves, **settings})
    waiting.trainer = trainer
    trainer.processing_class = trainer.callback_handler.processing_class = tiny_tokenizer()
    return trainer


def break_off(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a push that fails between the Trainer's card and the upload."""

    def fail() -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_finish_current_push", fail)
        with pytest.raises(ConnectionError):
            trainer.push_to_hub()


def commits(hub: HubServer) -> list[Commit]:
    """Those of the Trainer, oldest first."""
    repository = hub.repositories[REPO]
    found, commit = [], repository.head
    while commit.parent is not None:
        found.append(commit)
        commit = repository.commits[commit.parent]
    return found[::-1]


def engine_fields(content: bytes) -> tuple[object, ...]:
    config = json.loads(content)
    fields = ("scoring_func", "topk_method", "moe_layer_freq", "rope_theta", "rope_scaling", "architectures")
    return tuple(config.get(field) for field in fields)


COMPLETE = ("sigmoid", "noaux_tc", 1, 10000.0, None, ["DeepseekV3ForCausalLM"])


def test_every_push_is_complete(hub, tmp_path):
    trainer = pushing(tmp_path / "run", save_steps=2, max_steps=4)
    upload = HfApi.upload_folder
    trainer.train()
    trainer.push_to_hub()  # the log alone has changed, although the Trainer wrote config.json and README.md again
    assert HfApi.upload_folder is upload

    titles = ["Training in progress, step 2", "Training in progress, step 4", "End of training"]
    assert [commit.title for commit in commits(hub)] == titles
    before, after = (commit.files for commit in commits(hub)[1:])
    assert {name for name in after if name not in before or after[name].content != before[name].content} == {LOG_NAME}
    assert json.loads(after[LOG_NAME].content.splitlines()[-1]) == {"finished": 4}
    for commit, steps in zip(commits(hub), (2, 4, 4), strict=True):
        files = commit.files
        assert engine_fields(files["config.json"].content) == COMPLETE
        names = load(files["model.safetensors"].content).keys()
        assert "model.layers.2.mlp.experts.3.up_proj.weight" in names
        assert not any(name.endswith("gate_up_proj") for name in names)
        card = ModelCard(files["README.md"].content.decode())
        assert {"muonclip", "generated_from_trainer"} <= set(card.data.tags)
        assert "# run\n" in card.text
        assert f"| Steps | {steps} |" in card.text
        assert "12 heads" in card.text
        assert f'name = "{REPO}"' in card.text
        assert "training_args.bin" not in files
        assert "tokenizer.json" in files


@pytest.mark.slow
def test_a_stranger_gets_the_trained_weights(hub, tmp_path):
    trainer = pushing(tmp_path / "run", save_strategy="no", max_steps=2)
    trainer.train()
    trainer.push_to_hub()
    trained = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    assert [commit.title for commit in commits(hub)] == ["End of training"]
    assert engine_fields(commits(hub)[0].files["config.json"].content) == COMPLETE
    pulled = pull(hub, REPO, tmp_path)
    assert pulled.keys() == trained.keys()
    assert all(torch.equal(pulled[name], trained[name]) for name in trained)


def test_checkpoints_on_disk_and_beside_the_model_are_complete_too(hub, tmp_path):
    trainer = pushing(tmp_path / "run", hub_strategy="all_checkpoints", max_steps=3)
    trainer.train()
    local = (tmp_path / "run" / "checkpoint-3" / "config.json").read_bytes()
    assert engine_fields(local) == COMPLETE
    files = hub.repositories[REPO].head.files
    assert engine_fields(files["checkpoint-3/config.json"].content) == COMPLETE
    assert "checkpoint-3/optimizer.pt" in files  # to resume from


def test_checkpoints_are_complete_without_a_push(tmp_path):
    build(tmp_path, sharp_model("deepseek_v3"), save_strategy="steps", save_steps=1, max_steps=1).train()
    assert engine_fields((tmp_path / "checkpoint-1" / "config.json").read_bytes()) == COMPLETE


def test_a_card_that_somebody_wrote_stays(hub, tmp_path):
    trainer = pushing(tmp_path / "run", max_steps=3)
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "run" / "README.md").write_text(HAND_WRITTEN)
    trainer.train()
    assert hub.repositories[REPO].head.files["README.md"].content.decode() == HAND_WRITTEN


@pytest.mark.parametrize("steps", [0, 1])
def test_a_card_that_somebody_wrote_stays_after_a_push_by_hand(hub, tmp_path, steps):
    trainer = pushing(tmp_path / "run", save_strategy="no", max_steps=1)
    if steps:
        trainer.train()
    card = tmp_path / "run" / "README.md"
    card.parent.mkdir(exist_ok=True)
    card.write_text(HAND_WRITTEN)
    trainer.push_to_hub()
    assert hub.repositories[REPO].head.files["README.md"].content.decode() == HAND_WRITTEN
    assert card.read_text() == HAND_WRITTEN


def test_a_push_that_broke_off_loses_no_card(hub, tmp_path, monkeypatch):
    trainer = pushing(tmp_path / "run", save_strategy="no", max_steps=1)
    trainer.train()
    card = tmp_path / "run" / "README.md"
    card.write_text(HAND_WRITTEN)
    break_off(trainer, monkeypatch)
    assert card.read_text() != HAND_WRITTEN  # the Trainer's own
    trainer.train()
    assert card.read_text() == HAND_WRITTEN
    break_off(trainer, monkeypatch)
    trainer.push_to_hub()
    assert hub.repositories[REPO].head.files["README.md"].content.decode() == HAND_WRITTEN


def test_after_a_push_that_broke_off_ones_own_uploads_pass(hub, tmp_path, monkeypatch):
    trainer = pushing(tmp_path / "run", save_strategy="no", max_steps=1)
    trainer.train()
    break_off(trainer, monkeypatch)
    (tmp_path / "run" / "README.md").unlink()
    (tmp_path / "run" / "config.json").write_text("{}")
    api = HfApi(endpoint=hub.endpoint, token="hf_ada")
    api.create_repo("ada/mine")
    api.upload_folder(repo_id=REPO, folder_path=tmp_path / "run")
    api.upload_folder(repo_id="ada/mine", folder_path=tmp_path / "run", ignore_patterns=["checkpoint-*"])
    for repo in (REPO, "ada/mine"):
        files = hub.repositories[repo].head.files
        assert files["config.json"].content == b"{}"
        assert "training_args.bin" in files
        assert "README.md" not in files


def test_training_forgets_a_push_that_broke_off(hub, tmp_path, monkeypatch):
    upload = HfApi.upload_folder
    trainer = pushing(tmp_path / "run", save_strategy="no", max_steps=1)
    trainer.train()
    break_off(trainer, monkeypatch)
    assert HfApi.upload_folder is not upload
    trainer.train()
    assert HfApi.upload_folder is upload


def test_a_push_that_broke_off_keeps_no_model(hub, tmp_path, monkeypatch):
    upload = HfApi.upload_folder
    trainer = pushing(tmp_path / "run", save_strategy="no", max_steps=1)
    trainer.train()
    break_off(trainer, monkeypatch)
    model = weakref.ref(trainer.model)
    del trainer
    gc.collect()
    assert model() is None
    assert HfApi.upload_folder is upload


def test_before_training_the_trainers_own_card_stays(hub, tmp_path):
    trainer = pushing(tmp_path / "run")
    trainer.push_to_hub()
    files = hub.repositories[REPO].head.files
    assert "MuonClip" not in files["README.md"].content.decode()
    assert engine_fields(files["config.json"].content) == COMPLETE


def test_uploads_of_other_folders_pass(hub, tmp_path):
    trainer = pushing(tmp_path / "run", save_strategy="no", max_steps=1)
    trainer.train()
    other = tmp_path / "other"
    other.mkdir()
    (other / "training_args.bin").write_bytes(b"kept")
    callback = next(each for each in trainer.callback_handler.callbacks if isinstance(each, MuonClipCallback))
    callback.on_push_begin(trainer.args, trainer.state, trainer.control, model=trainer.model)
    HfApi(endpoint=hub.endpoint, token="hf_ada").upload_folder(repo_id=REPO, folder_path=other)
    assert set(hub.repositories[REPO].head.files) == {".gitattributes", "training_args.bin"}
    trainer.push_to_hub()
    assert "# run\n" in hub.repositories[REPO].head.files["README.md"].content.decode()


def test_a_model_of_another_architecture_gets_its_card_and_keeps_its_config(hub, tmp_path):
    settings = {"push_to_hub": True, "hub_model_id": REPO, "hub_token": "hf_ada", "max_steps": 1}
    trainer = build(tmp_path / "run", **settings)
    trainer.train()
    trainer.push_to_hub()
    files = hub.repositories[REPO].head.files
    assert "scoring_func" not in json.loads(files["config.json"].content)
    assert "8 heads" in files["README.md"].content.decode()


def test_a_config_that_would_lose_something_stays(tmp_path):
    model = tiny_model("llama_gqa")
    model.config.auto_map = {"AutoModelForCausalLM": "modeling.Model"}
    (tmp_path / "config.json").write_text("{}")
    complete_config(model, tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"


def test_the_model_type_that_was_chosen_stays(tmp_path):
    model = tiny_model("deepseek_v3")
    model.config = KimiK2Config(**{k: v for k, v in model.config.to_dict().items() if k != "model_type"})
    (tmp_path / "config.json").write_text("{}")
    complete_config(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "kimi_k2"


def test_only_the_first_rank_completes(tmp_path):
    trainer = build(tmp_path, max_steps=1)
    trainer.train()
    upload = HfApi.upload_folder
    trainer.state.is_world_process_zero = False
    trainer.callback_handler.on_push_begin(trainer.args, trainer.state, trainer.control)
    assert HfApi.upload_folder is upload
