"""Names that are imported on first use, with what to install where that cannot be."""

from importlib import import_module
from typing import Any

_OF_THE_EXTRA = {"trl", "datasets", "httpx", "math_verify", "reasoning_gym", "websockets"}


def imported(name: str, module: str, package: str) -> Any:
    """Return an attribute of a module.

    Args:
        name: of the attribute.
        module: its home, relative to the package.
        package: that offers it.

    Raises:
        ImportError: a library of the extra [rl] is not installed.
    """
    try:
        return getattr(import_module(module, package), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in _OF_THE_EXTRA:
            raise
        raise ImportError(
            f"{name} needs {missing}, which is not installed. Install it with pip install hf_muonclip[rl]."
        ) from error
