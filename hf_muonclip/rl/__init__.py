"""Kimi's reinforcement learning on TRL's GRPOTrainer: K2's and K2.5's objectives, minimised with MuonClip.

    trainer = KimiRLTrainer(model, right_answer, KimiRLConfig("out", num_iterations=2), train_dataset=dataset)

Needs `pip install hf_muonclip[rl]`; nothing else of the package imports this folder. Names are loaded on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coding import code_spec
    from .config import KimiRLConfig
    from .faithfulness import faithfulness_spec
    from .instruction import instruction_spec
    from .instruction_rows import instruction_rows
    from .model import PipelineChatModel, ServerChatModel
    from .safety import attack_rows, safety_spec
    from .trainer import KimiRLTrainer

__all__ = [
    "KimiRLConfig",
    "KimiRLTrainer",
    "PipelineChatModel",
    "ServerChatModel",
    "attack_rows",
    "code_spec",
    "faithfulness_spec",
    "instruction_rows",
    "instruction_spec",
    "safety_spec",
]

_HOMES = {
    "KimiRLConfig": ".config",
    "KimiRLTrainer": ".trainer",
    "PipelineChatModel": ".model",
    "ServerChatModel": ".model",
    "attack_rows": ".safety",
    "code_spec": ".coding",
    "faithfulness_spec": ".faithfulness",
    "instruction_rows": ".instruction_rows",
    "instruction_spec": ".instruction",
    "safety_spec": ".safety",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = import_module(_HOMES[name], __name__)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "trl":
            raise
        raise ImportError(
            f"{name} needs trl, which is not installed. Install it with pip install hf_muonclip[rl]."
        ) from error
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
