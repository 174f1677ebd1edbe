"""Kimi's reinforcement learning on TRL's GRPOTrainer: K2's and K2.5's objectives, minimised with MuonClip.

    trainer = KimiRLTrainer(model, right_answer, KimiRLConfig("out", num_iterations=2), train_dataset=dataset)

Needs `pip install hf_muonclip[rl]`; nothing else of the package imports this folder. Names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .async_trainer import KimiAsyncRLConfig, KimiAsyncRLTrainer
    from .budgets import MeasuredBudgets, TypeBudgets
    from .coding import code_spec
    from .config import KimiRLConfig
    from .difficulty import sample_rewards, select_moderate
    from .faithfulness import faithfulness_spec
    from .grader_pool import GraderPool
    from .instruction import instruction_spec
    from .instruction_rows import instruction_rows
    from .math_rewards import math_spec
    from .measured_lengths import ModelSampler, measure_budgets
    from .model import PipelineChatModel, ServerChatModel
    from .not_measured import NotMeasured
    from .reasoning import reasoning_spec
    from .reward_guard import NotMeasuredError
    from .safety import attack_rows, safety_spec
    from .sandbox import SubprocessExecutor
    from .spec import Spec, mix
    from .trainer import KimiRLTrainer

__all__ = [
    "GraderPool",
    "KimiAsyncRLConfig",
    "KimiAsyncRLTrainer",
    "KimiRLConfig",
    "KimiRLTrainer",
    "MeasuredBudgets",
    "ModelSampler",
    "NotMeasured",
    "NotMeasuredError",
    "PipelineChatModel",
    "ServerChatModel",
    "Spec",
    "SubprocessExecutor",
    "TypeBudgets",
    "attack_rows",
    "code_spec",
    "faithfulness_spec",
    "instruction_rows",
    "instruction_spec",
    "math_spec",
    "measure_budgets",
    "mix",
    "reasoning_spec",
    "safety_spec",
    "sample_rewards",
    "select_moderate",
]

_HOMES = {
    "GraderPool": ".grader_pool",
    "KimiAsyncRLConfig": ".async_trainer",
    "KimiAsyncRLTrainer": ".async_trainer",
    "KimiRLConfig": ".config",
    "KimiRLTrainer": ".trainer",
    "MeasuredBudgets": ".budgets",
    "ModelSampler": ".measured_lengths",
    "NotMeasured": ".not_measured",
    "NotMeasuredError": ".reward_guard",
    "PipelineChatModel": ".model",
    "ServerChatModel": ".model",
    "Spec": ".spec",
    "SubprocessExecutor": ".sandbox",
    "TypeBudgets": ".budgets",
    "attack_rows": ".safety",
    "code_spec": ".coding",
    "faithfulness_spec": ".faithfulness",
    "instruction_rows": ".instruction_rows",
    "instruction_spec": ".instruction",
    "math_spec": ".math_rewards",
    "measure_budgets": ".measured_lengths",
    "mix": ".spec",
    "reasoning_spec": ".reasoning",
    "safety_spec": ".safety",
    "sample_rewards": ".difficulty",
    "select_moderate": ".difficulty",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(_HOMES[name], __name__)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in ("trl", "datasets", "math_verify", "reasoning_gym"):
            raise
        raise ImportError(
            f"{name} needs {missing}, which is not installed. Install it with pip install hf_muonclip[rl]."
        ) from error
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
