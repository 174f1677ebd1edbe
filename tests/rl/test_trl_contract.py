"""Every private name of TRL that the trainer overrides or reads, and what it relies on; a release that moves one fails.

Each test's name says which. The list is complete: it is compared with what stands in the code.
"""

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_rl import Watched, rl_trainer
from transformers import Trainer
from trl import GRPOTrainer
from trl.generation.vllm_generation import VLLMGeneration

import hf_muonclip.rl.trainer as trainer_module
from hf_muonclip.rl import KimiRLTrainer
from hf_muonclip.rl.temperature import scoring_temperature

OVERRIDDEN = {
    "_generate_and_score_completions": ["self", "inputs"],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_compute_loss": ["self", "model", "inputs"],
    "_generate_single_turn": [
        *("self", "prompt_ids", "images", "multimodal_fields", "num_generations", "has_tool_images"),
    ],
}
CALLED = {
    "_get_per_token_logps_and_entropies": [
        *("self", "model", "input_ids", "attention_mask", "logits_to_keep", "batch_size"),
        *("compute_entropy", "compute_aux_loss"),
    ],
    "_save_checkpoint": ["self", "model", "trial"],
    "log": ["self", "logs"],
}
CLASS_ATTRIBUTES = {"_tag_names": list, "_name": str, "_paper": dict, "loss_is_scaled_for_ga": bool}
# What a constructed trainer has, and its type.
ATTRIBUTES = {
    "_metrics": dict,
    "_tokenizer": object,
    "aux_loss_enabled": bool,
    "router_aux_loss_coef": float,
    "num_generations": int,
    "num_generations_eval": int,
    "reward_funcs": list,
    "reward_func_names": list,
    "reward_processing_classes": list,
    "reward_weights": torch.Tensor,
    "eos_token_ids": list,
    "max_completion_length": int,
    "tools": list,
    "temperature": float,
    "use_vllm": bool,
    "generation_config": object,
    "generation_kwargs": dict,
}
# None unless they are given.
OPTIONAL = {"environment_factories", "environments", "rollout_func"}
WITH_VLLM = {"vllm_generation"}
# Of a batch that TRL hands to the loss.
BATCH = {"prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages", "old_per_token_logps"}
OF_TRANSFORMERS = {"model", "args", "state", "optimizer", "accelerator", "train_dataset"}
OF_TRANSFORMERS |= {"current_gradient_accumulation_steps", "is_in_train", "callback_handler", "control"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    trainer = rl_trainer(tmp_path_factory.mktemp("contract"), num_iterations=2, max_steps=1)
    trainer.train()
    return trainer


@pytest.mark.parametrize("name", [*OVERRIDDEN, *CALLED])
def test_method(name: str) -> None:
    parameters = list(inspect.signature(getattr(GRPOTrainer, name)).parameters)
    expected = OVERRIDDEN.get(name) or CALLED[name]
    assert parameters[: len(expected)] == expected, f"trl moved the parameters of GRPOTrainer.{name}"
    if name in OVERRIDDEN:
        assert parameters == expected, f"trl gave GRPOTrainer.{name} other parameters"
        assert list(inspect.signature(getattr(KimiRLTrainer, name)).parameters) == expected


@pytest.mark.parametrize("name", CLASS_ATTRIBUTES)
def test_class_attribute(name: str) -> None:
    assert isinstance(getattr(GRPOTrainer, name, None), CLASS_ATTRIBUTES[name]), f"trl moved GRPOTrainer.{name}"


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attribute(name: str, trained: Watched) -> None:
    assert isinstance(getattr(trained, name, None), ATTRIBUTES[name]), f"trl moved GRPOTrainer.{name}"
    assert not hasattr(Trainer, name)


@pytest.mark.parametrize("name", sorted(OPTIONAL))
def test_attribute_that_is_none_unless_it_is_given(name: str, trained: Watched) -> None:
    assert getattr(trained, name, ...) is None, f"trl moved GRPOTrainer.{name}"


@pytest.mark.parametrize("name", sorted(OF_TRANSFORMERS))
def test_attribute_of_transformers(name: str, trained: Watched) -> None:
    assert getattr(trained, name, None) is not None, f"transformers moved Trainer.{name}"


@pytest.mark.parametrize("name", sorted(BATCH))
def test_key_of_a_batch(name: str, trained: Watched) -> None:
    assert name in trained.steps[0].batches[0], f"trl's batches have no {name}"


def test_losses_are_scaled_for_accumulation_by_the_trainer_itself() -> None:
    assert GRPOTrainer.loss_is_scaled_for_ga is True, "trl lets transformers divide GRPOTrainer's loss"


def test_metrics_of_both_modes_are_lists(trained: Watched) -> None:
    for mode in ("train", "eval"):
        assert trained._metrics[mode]["something new"] == [], f"trl's _metrics[{mode!r}] holds no lists"


def test_temperature_in_the_closure_of_the_scoring_head(trained: Watched) -> None:
    assert scoring_temperature(trained.model).cell_contents == trained.temperature, "trl moved add_fused_lm_head"


def test_temperature_of_vllm() -> None:
    assert "temperature" in inspect.signature(VLLMGeneration.__init__).parameters, "trl moved VLLMGeneration's"
    assert "temperature = self.temperature" in inspect.getsource(VLLMGeneration.generate), "trl reads it elsewhere"


def test_when_old_log_probabilities_are_passed() -> None:
    """The warning about rl_tau repeats TRL's condition."""
    source = inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert "gradient_accumulation_steps % generate_every != 0" in source, "trl passes them on another condition"
    assert "self.args.steps_per_generation * self.num_iterations" in source, "trl samples at another interval"


def test_environments_are_reset_and_asked_by_their_own_attributes() -> None:
    """`guarded_environment` lays its own over them."""
    assert "environment.reset(**reset_kwargs)" in inspect.getsource(GRPOTrainer._generate_and_score_completions)
    assert "e.get_reward() if type(e)" in inspect.getsource(GRPOTrainer.__init__)


def test_the_mode_is_that_of_the_model() -> None:
    for method in (GRPOTrainer._generate_and_score_completions, GRPOTrainer._prepare_inputs):
        assert 'mode = "train" if self.model.training else "eval"' in inspect.getsource(method)


def test_the_list_is_complete() -> None:
    """Every attribute of `self` or `trainer` in the wing that it does not set itself is on a list above."""
    used: set[str] = set()
    own: set[str] = set()
    for path in Path(trainer_module.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name != "KimiRLTrainer":
                own |= {inner.attr for inner in ast.walk(node) if isinstance(inner, ast.Attribute)}
            if isinstance(node, ast.Attribute) and _is_trainer(node.value):
                used.add(node.attr)
    of_wing = own | set(vars(KimiRLTrainer)) - OVERRIDDEN.keys() - CLASS_ATTRIBUTES.keys()
    of_wing |= {"_guarded", "_recent", "_measured", "_malformed", "not_measured", "_scoring", "_budget"}
    of_wing |= {name for name in used if name[:4] == "_ptx"}
    listed = OVERRIDDEN.keys() | CALLED.keys() | ATTRIBUTES.keys() | OPTIONAL | WITH_VLLM | OF_TRANSFORMERS
    assert used - of_wing - listed - {"__init__", "__post_init__"} == set()


def _is_trainer(node: Any) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "trainer")
