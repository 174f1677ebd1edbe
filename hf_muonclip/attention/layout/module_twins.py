"""What a norm or a linear map does, found by running a twin: a module of its class and settings with other weights.

The module itself is not run or written, so its weights may be on the meta device or sharded.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from ..modules.class_source import own_class

# A linear map follows its rows up to the rounding of float8; one that norms its rows is off by three quarters.
_PROBE_FACTOR, _PROBE_TOLERANCE = 0.25, 0.1
Result = TypeVar("Result")


class CannotRunError(Exception):
    """A twin runs on no device of this machine."""


def _run_twin(module: nn.Module, run: Callable[[nn.Module, torch.device], Result]) -> Result:
    """Return the result of `run` on a module's twin: on the module's device, else on this machine's accelerator or CPU.

    Some libraries' kernels take tensors of one kind of device only.

    Raises:
        CannotRunError: it runs on none of them.
    """
    devices = [tensor.device for tensor in (*module.parameters(), *module.buffers()) if not tensor.is_meta][:1]
    if torch.accelerator.is_available():
        devices.append(torch.accelerator.current_accelerator() or torch.device("cpu"))
    failures = []
    for device in dict.fromkeys([*devices, torch.device("cpu")]):
        try:
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                return run(_twin(module, device), device)
        except Exception as error:  # of whatever a foreign module's code and its kernel raise
            said = str(error).strip().partition("\n")[0][:100]
            failures.append(f"{type(error).__name__} on {device.type}: {said}")
    raise CannotRunError(f"cannot be run here ({'; '.join(failures)}), so what it does is not known")


def _twin(module: nn.Module, device: torch.device) -> nn.Module:
    """Return a module of the same class and settings on a device in float32, with weight 1 and bias 0.

    Reads no weight, so that they may be on the meta device or sharded, and takes over no hook and no replaced forward,
    which tensor parallel and FSDP2 leave on a module.
    """
    of_class = own_class(module)
    twin: nn.Module = of_class.__new__(of_class)
    nn.Module.__init__(twin)
    replaced = {*twin.__dict__, "forward"}
    twin.__dict__.update({name: value for name, value in module.__dict__.items() if name not in replaced})
    for name, parameter in module._parameters.items():
        value = 0.0 if name == "bias" else 1.0
        filled = None if parameter is None else torch.full(parameter.shape, value, device=device)
        twin.register_parameter(name, None if filled is None else nn.Parameter(filled))
    return twin


def follows_its_rows(linear: nn.Module) -> bool:
    """Return whether scaling rows of a linear map's weight and bias scales those outputs and no others."""
    weight, bias = linear._parameters["weight"], linear._parameters.get("bias")
    assert weight is not None

    def run(twin: Any, device: torch.device) -> bool:
        twin.training = linear.training
        generator = torch.Generator().manual_seed(0)
        for parameter, original in ((twin.weight, weight), *([(twin.bias, bias)] if bias is not None else [])):
            drawn = torch.randn(original.shape, generator=generator).to(device, original.dtype)
            parameter.data = drawn
        states = torch.randn(1, 16, weight.shape[1], generator=generator).to(device, weight.dtype)
        before = twin(states).float()
        if before.shape != (1, 16, weight.shape[0]):
            return False
        factors = torch.where(torch.arange(weight.shape[0], device=device) % 2 == 0, _PROBE_FACTOR, 1.0)
        for parameter in twin.parameters():
            parameter.data.mul_(factors.to(parameter.dtype).view(-1, *[1] * (parameter.ndim - 1)))
        off = (twin(states).float() - before * factors).abs().amax() / before.abs().amax()
        return bool(off < _PROBE_TOLERANCE)

    try:
        return _run_twin(linear, run)
    except CannotRunError:
        return False


def gain_offset(norm: nn.Module) -> float | None:
    """Return 0 for a norm whose output is proportional to its gain, 1 for one proportional to 1 + gain, else None."""
    return _run_twin(norm, _offset_of_twin)


def _offset_of_twin(twin: nn.Module, device: torch.device) -> float | None:
    gain: Any = twin.get_parameter("weight")
    states = torch.linspace(-1.0, 2.0, gain.numel(), device=device).reshape(1, *gain.shape)
    if gain.ndim == 2:
        states = states[:, None]
    one = twin(states)
    if not torch.allclose(twin(states * 16), one, rtol=0.05, atol=1e-3):
        return None
    gain.zero_()
    zero = twin(states)
    if not zero.any():
        return 0.0
    return 1.0 if torch.allclose(2 * zero, one, rtol=1e-4, atol=1e-5) else None


def output_length(norm: nn.Module, head_dim: int) -> float:
    """Return the Euclidean length that a norm without weights gives to every vector."""
    states = torch.linspace(-1.0, 2.0, head_dim)[None, None, None]
    return _run_twin(norm, lambda twin, device: float(twin(states.to(device)).norm()))
