"""Names of a wing that are imported on first use, and what to install where a library of its extra is missing."""

from collections.abc import Collection
from importlib import import_module
from typing import Any


def imported(name: str, module: str, package: str, *, extra: str, libraries: Collection[str]) -> Any:
    """Return an attribute of a module of a wing.

    Args:
        name: of the attribute.
        module: its home, relative to the package.
        package: that offers it.
        extra: of hf_muonclip that brings the wing's libraries.
        libraries: names that they are imported by.

    Raises:
        ImportError: a library of the extra is not installed.
    """
    try:
        return getattr(import_module(module, package), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing not in libraries:
            raise
        raise ImportError(
            f"{name} needs {missing}, which is not installed. Install it with pip install hf_muonclip[{extra}]."
        ) from error
