"""What a real Trainer with MuonClipCallback does with one model type: two steps, saved, resumed, pushed, loaded again.

The models and their inputs are the census's. A causal, masked or encoder-decoder language model is trained by the loss
that it computes from labels; any other by the mean square of what it returns, which asks nothing of its labels. The
resumed run starts from other weights than the first, so that a checkpoint that nobody reads cannot go unnoticed.
"""

import contextlib
import inspect
import io
import logging
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from census_models import CENSUS, census_batch, census_model
from hub_server import HubServer
from torch import Tensor, nn
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainingArguments
from transformers.models.auto import modeling_auto

from hf_muonclip import MuonClipCallback, muonclip
from hf_muonclip.attention.layout.parts import UnknownLayoutError

_TOKEN_LOSS = {
    name
    for names in (
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    )
    for name in names.values()
}
_IGNORED_LABEL = -100
_CONSTRUCTION = "construction"  # of optimizer and Trainer
_OTHER_WEIGHTS = 0.01  # how far a resumed run starts from the weights of the first
Batch = dict[str, Tensor]


@dataclass
class TrainerResult:
    """One row of the published table."""

    model_type: str
    model_class: str = ""
    status: str = "passes"  # or "refused" (before the first step), "fails", "fails without MuonClip too"
    failed_at: str = ""  # the step of the check
    reason: str = ""
    loss: str = ""  # whose the loss is
    card: str = ""  # the task that the card names
    inputs: str = "random"  # on which what only running tells was found; or "given", where none reaches it
    seconds: float = 0.0


class CensusTrainer(Trainer):
    """A Trainer that trains what has no loss of its own by the mean square of what it returns."""

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs)
        loss = outputs["loss"] if "labels" in inputs else _mean_square(outputs)
        return (loss, outputs) if return_outputs else loss


def _mean_square(outputs: Any) -> Tensor:
    found = [output for output in _tensors(outputs) if output.is_floating_point() and output.requires_grad]
    assert found, "the model returns nothing that a gradient flows through"
    # What masks left out may be infinite, and takes no part.
    return torch.stack([output[output.isfinite()].clamp(-1e3, 1e3).square().mean() for output in found]).sum()


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, dict):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, tuple | list):
        for value in output:
            yield from _tensors(value)


def training_batch(model_type: str, model: PreTrainedModel) -> Batch:
    """Return the inputs of a training step, with labels where the model makes a loss of tokens from them."""
    batch = census_batch(model_type, model)
    tokens = batch.get("decoder_input_ids", batch.get("input_ids"))
    accepts = "labels" in inspect.signature(model.forward).parameters
    if type(model).__name__ in _TOKEN_LOSS and accepts and tokens is not None:
        kept = batch.get("decoder_attention_mask", batch.get("attention_mask"))
        known = kept is not None and kept.shape == tokens.shape
        labels = tokens.masked_fill(kept == 0, _IGNORED_LABEL) if known else tokens.clone()
        with contextlib.suppress(ValueError), torch.no_grad():  # git's logits are of fewer positions
            model(**batch, labels=labels)
            batch["labels"] = labels
    return batch


def build_trainer(
    model: nn.Module,
    batch: Batch,
    folder: Path,
    *,
    with_muonclip: bool = True,
    inputs: Batch | None = None,
    **settings: Any,
) -> Trainer:
    """Return a Trainer that takes a given batch as it is in every step; MuonClip gets `inputs`."""
    args = TrainingArguments(
        str(folder),
        max_steps=2,
        per_device_train_batch_size=1,
        learning_rate=1e-3,
        logging_steps=1,
        save_strategy="steps",
        save_steps=1,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        remove_unused_columns=False,
        **settings,
    )
    given: dict[str, Any] = {}
    if with_muonclip:
        given = {"optimizers": muonclip(model, args, inputs=inputs), "callbacks": [MuonClipCallback()]}
    trainer = CensusTrainer(model, args, train_dataset=[batch] * 2, data_collator=lambda rows: rows[0], **given)
    trainer.remove_callback(PrinterCallback)
    return trainer


def census_training(model_type: str, other_weights: bool = False) -> tuple[PreTrainedModel, Batch]:
    """Return a type's tiny model and its training batch."""
    model = census_model(model_type)
    if hasattr(model, "set_default_language"):
        model.set_default_language("en_XX")
    if other_weights:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(_OTHER_WEIGHTS)
    return model.train(), training_batch(model_type, model)


class _Said(logging.Handler):
    """Collects what the package warns of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.left_out: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "left out" in record.getMessage():
            self.left_out.append(record.getMessage())


def check_training(model_type: str, folder: Path, hub: HubServer) -> TrainerResult:
    """Train a type two steps, save, resume and push it, and load it as its card says.

    Args:
        model_type: a key of the census.
        folder: for what is saved; emptied again.
        hub: that the process takes for the real one (`take_for_the_hub`).
    """
    result = TrainerResult(model_type, CENSUS[model_type].model_class)
    started = time.perf_counter()
    try:
        _train(result, folder, hub)
    except Exception as error:
        result.status, result.reason = "fails", _said(error)
        if isinstance(error, ValueError) and result.failed_at == _CONSTRUCTION:
            result.status = "refused"
        elif _fails_alike(result, folder / "adamw", hub):
            result.status = "fails without MuonClip too"
    shutil.rmtree(folder, ignore_errors=True)
    hub.repositories.clear()
    result.seconds = time.perf_counter() - started
    if result.status == "passes":
        result.failed_at = ""
    return result


def _fails_alike(result: TrainerResult, folder: Path, hub: HubServer) -> bool:
    """Return whether the Trainer's own AdamW, without the callback, ends in the same way at the same step."""
    again = TrainerResult(result.model_type)
    hub.repositories.clear()
    try:
        _train(again, folder, hub, with_muonclip=False)
    except Exception as error:
        return (again.failed_at, _said(error)) == (result.failed_at, result.reason)
    return False


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:300]


def _train(result: TrainerResult, folder: Path, hub: HubServer, with_muonclip: bool = True) -> None:
    """Fill in a result; `failed_at` always names the step that is under way."""
    run, repository = folder / "run", f"ada/{result.model_type}"
    said = _Said()
    logger = logging.getLogger("hf_muonclip.trainer.additions")
    logger.addHandler(said)
    try:
        result.failed_at = _CONSTRUCTION
        model, batch = census_training(result.model_type)
        result.loss = "its own" if "labels" in batch else "mean square"
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        pushing = {"push_to_hub": True, "hub_strategy": "end", "hub_model_id": repository, "hub_token": "hf_ada"}
        inputs = None
        try:
            trainer = build_trainer(model, batch, run, with_muonclip=with_muonclip, **pushing)
        except UnknownLayoutError:  # the way out that it names
            inputs, result.inputs = batch, "given"
            trainer = build_trainer(model, batch, run, inputs=inputs, **pushing)
        result.failed_at = "training"
        trainer.train()
        trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        assert any(not torch.equal(before[name], trained[name]) for name in before), "no weight has moved"

        result.failed_at = "resuming"
        other, _ = census_training(result.model_type, other_weights=True)
        resumed = build_trainer(other, batch, folder / "resumed", with_muonclip=with_muonclip, inputs=inputs)
        resumed.train(str(run / "checkpoint-1"))
        _assert_equal(other.state_dict(), trained, "after resuming")

        result.failed_at = "pushing"
        trainer.push_to_hub()
        files = hub.repositories[repository].head.files
        assert "config.json" in files, "no config.json was pushed"
        assert any(name.endswith(".safetensors") for name in files), "no weights were pushed"
        if not with_muonclip:
            result.failed_at = "loading"
            _assert_equal(type(model).from_pretrained(run).state_dict(), trained, "after loading")
            return

        result.failed_at = "card"
        assert not said.left_out, said.left_out[0]
        card = files["README.md"].content.decode()
        assert "MuonClip" in card, "the pushed card is not the run's"
        found = re.search(r"^pipeline_tag: (.*)$", card, re.MULTILINE)
        result.card = found[1] if found else ""

        result.failed_at = "loading"
        loaded = run_loading_code(card, repository, run)
        assert type(loaded) is type(model), f"the card loads a {type(loaded).__name__}"
        _assert_equal(loaded.state_dict(), trained, "after loading")
    finally:
        logger.removeHandler(said)


def run_loading_code(card: str, repository: str, folder: Path) -> Any:
    """Run a card's loading code, with the run's folder in the place of the repository, and return its `model`."""
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert f'name = "{repository}"' in code
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(code.replace(f'name = "{repository}"', f"name = {str(folder)!r}"), names)
    return names["model"]


def _assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor], when: str) -> None:
    assert found.keys() == expected.keys(), f"other weights {when}: {sorted(found.keys() ^ expected.keys())[0]}"
    differing = [name for name, tensor in expected.items() if not torch.equal(found[name], tensor)]
    assert not differing, f"{len(differing)} of {len(found)} weights differ {when}: {differing[0]}"
