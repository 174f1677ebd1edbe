"""A sampling temperature that changes during a run, in every place where TRL keeps its initial value.

TRL 1.16 reads the temperature once: into the trainer, into the closure of the head that scores log-probabilities, and
into the parameters of generation. A value changed in one of them alone would sample at one temperature and score at
another. Kimi K2 (arXiv 2507.20534), section 3.2.3, lowers it during training and gives no numbers.
"""

from types import CellType
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from trl.trainer.grpo_trainer import GRPOTrainer


def scoring_temperature(model: nn.Module) -> CellType:
    """Return the closure cell of the temperature by which TRL divides this model's logits.

    Args:
        model: with TRL's fused head; may be a PEFT model.

    Raises:
        RuntimeError: the installed TRL keeps the temperature elsewhere.
    """
    get_base_model: Any = getattr(model, "get_base_model", None)
    base: Any = model if get_base_model is None else get_base_model()
    forward = getattr(vars(base).get("forward"), "__func__", None)
    names = forward.__code__.co_freevars if forward is not None else ()
    if forward is None or "temperature" not in names:
        import trl

        raise RuntimeError(
            "a temperature schedule changes the temperature that TRL's add_fused_lm_head() keeps in the closure of the "
            f"model's forward; trl {trl.__version__} keeps none there. Leave out temperature_end, or install trl 1.16."
        )
    cell: CellType = forward.__closure__[names.index("temperature")]
    return cell


def set_temperature_(trainer: "GRPOTrainer", scoring: CellType, temperature: float) -> None:
    """Sample and score at this temperature from now on. In place.

    Args:
        trainer: a GRPOTrainer.
        scoring: what `scoring_temperature` returned for its model.
        temperature: > 0.
    """
    trainer.temperature = temperature
    scoring.cell_contents = temperature
    if trainer.use_vllm:
        trainer.vllm_generation.temperature = temperature
    else:
        trainer.generation_config.temperature = temperature
        trainer.generation_kwargs["temperature"] = temperature
