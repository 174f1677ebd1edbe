"""A real grader that fails as told. Its module is imported with this one, before a call's deadline begins."""

import importlib
import os
from typing import Any

import odd_graders

MODULE = "HF_MUONCLIP_TEST_GRADER"  # the environment variable that names the grader's module
if os.environ.get(MODULE):
    importlib.import_module(os.environ[MODULE])


def grade_or_fail(fault: str, module: str, name: str, call: tuple[Any, ...]) -> Any:
    """Return what a function of a module returns, or fail in its place."""
    return odd_graders.grade(fault, 0.0) if fault else getattr(importlib.import_module(module), name)(*call)
