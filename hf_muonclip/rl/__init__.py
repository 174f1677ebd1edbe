"""Kimi's reinforcement learning on TRL's GRPOTrainer: K2's and K2.5's objectives, minimised with MuonClip.

    trainer = KimiRLTrainer(model, right_answer, KimiRLConfig("out", num_iterations=2), train_dataset=dataset)

Needs `pip install hf_muonclip[rl]`; nothing else of the package imports this folder. Names are loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from ..common.extras import imported

if TYPE_CHECKING:
    from ..common.graders.grader_pool import GraderPool
    from ..common.graders.not_measured import NotMeasured
    from .async_trainer import KimiAsyncRLConfig, KimiAsyncRLTrainer
    from .budgets import MeasuredBudgets, TypeBudgets
    from .config import KimiRLConfig
    from .domains.coding import code_spec
    from .domains.faithfulness import faithfulness_spec
    from .domains.instruction import instruction_spec
    from .domains.instruction_rows import instruction_rows
    from .domains.math_rewards import math_spec
    from .domains.model import PipelineChatModel, ServerChatModel
    from .domains.reasoning import reasoning_spec
    from .domains.safety import attack_rows, safety_spec
    from .graders.sandbox import SubprocessExecutor
    from .measured_lengths import ModelSampler, measure_budgets
    from .rewards.difficulty import sample_rewards, select_moderate
    from .rewards.reward_guard import NotMeasuredError
    from .rewards.spec import Spec, mix
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

LIBRARIES = ("trl", "datasets", "httpx", "math_verify", "reasoning_gym", "websockets")  # of the extra
_HOMES = {
    "GraderPool": "..common.graders.grader_pool",
    "KimiAsyncRLConfig": ".async_trainer",
    "KimiAsyncRLTrainer": ".async_trainer",
    "KimiRLConfig": ".config",
    "KimiRLTrainer": ".trainer",
    "MeasuredBudgets": ".budgets",
    "ModelSampler": ".measured_lengths",
    "NotMeasured": "..common.graders.not_measured",
    "NotMeasuredError": ".rewards.reward_guard",
    "PipelineChatModel": ".domains.model",
    "ServerChatModel": ".domains.model",
    "Spec": ".rewards.spec",
    "SubprocessExecutor": ".graders.sandbox",
    "TypeBudgets": ".budgets",
    "attack_rows": ".domains.safety",
    "code_spec": ".domains.coding",
    "faithfulness_spec": ".domains.faithfulness",
    "instruction_rows": ".domains.instruction_rows",
    "instruction_spec": ".domains.instruction",
    "math_spec": ".domains.math_rewards",
    "measure_budgets": ".measured_lengths",
    "mix": ".rewards.spec",
    "reasoning_spec": ".domains.reasoning",
    "safety_spec": ".domains.safety",
    "sample_rewards": ".rewards.difficulty",
    "select_moderate": ".rewards.difficulty",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = imported(name, _HOMES[name], __name__, extra="rl", libraries=LIBRARIES)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
