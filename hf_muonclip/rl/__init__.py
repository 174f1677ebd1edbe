"""Kimi's reinforcement learning on TRL's GRPOTrainer: K2's and K2.5's objectives, minimised with MuonClip.

    trainer = KimiRLTrainer(model, right_answer, KimiRLConfig("out", num_iterations=2), train_dataset=dataset)

Needs `pip install hf_muonclip[rl]`; nothing else of the package imports this folder. Names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .async_trainer import KimiAsyncRLConfig, KimiAsyncRLTrainer
    from .budgets import MeasuredBudgets, TypeBudgets
    from .config import KimiRLConfig
    from .measure_budgets import ModelSampler, measure_budgets
    from .trainer import KimiRLTrainer

__all__ = [
    "KimiAsyncRLConfig",
    "KimiAsyncRLTrainer",
    "KimiRLConfig",
    "KimiRLTrainer",
    "MeasuredBudgets",
    "ModelSampler",
    "TypeBudgets",
    "measure_budgets",
]

_HOMES = {
    "KimiAsyncRLConfig": ".async_trainer",
    "KimiAsyncRLTrainer": ".async_trainer",
    "KimiRLConfig": ".config",
    "KimiRLTrainer": ".trainer",
    "MeasuredBudgets": ".budgets",
    "ModelSampler": ".measure_budgets",
    "TypeBudgets": ".budgets",
    "measure_budgets": ".measure_budgets",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(_HOMES[name], __name__)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("trl", "datasets"):
            raise
        raise ImportError(
            f"{name} needs trl, which is not installed. Install it with pip install hf_muonclip[rl]."
        ) from error
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
