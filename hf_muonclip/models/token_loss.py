"""Whether the loss of a run is a language model's own: a mean over tokens, whose exponential is a perplexity.

A callback is not told whether its Trainer uses the model's loss or computes another, as preference trainers,
`compute_loss_func` and label smoothing do. Where it uses the model's, it passes labels to the model.
"""

from typing import Any

from torch import Tensor, nn


class TokenLoss:
    """Looks at the first training forward of a run.

    Args:
        model: the model that the Trainer trains.

    Attributes:
        seen: whether the model was given labels of tokens and returned a loss of them alone; None until then.
    """

    def __init__(self, model: nn.Module) -> None:
        self.seen: bool | None = None
        self._adds_router_loss = bool(getattr(getattr(model, "config", None), "output_router_logits", False))
        self._handle = model.register_forward_hook(self._look, with_kwargs=True)

    def close(self) -> None:
        """Remove the hook. Idempotent."""
        self._handle.remove()

    def _look(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        if self.seen is not None or not module.training:
            return
        labels = kwargs.get("labels")
        of_tokens = isinstance(labels, Tensor) and labels.dim() == 2 and not labels.is_floating_point()
        self.seen = of_tokens and getattr(output, "loss", None) is not None and not self._adds_router_loss
