"""Triton's interpreter in a process of its own, one for all tests.

Triton decides at its import whether it interprets, and tests may have imported it by then. Functions of a test file are
submitted to the process by the fixture `triton_interpreter`.
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch

products_taken = 0  # by kernels since it was set to 0, in that process


@contextmanager
def interpreting() -> Iterator[ProcessPoolExecutor]:
    """Start the process, and end it behind the block."""
    context = multiprocessing.get_context("spawn")
    with mock.patch.dict(os.environ, TRITON_INTERPRET="1"):
        executor = ProcessPoolExecutor(1, context, _start)
        executor.submit(int).result()
    with executor:
        yield executor


def _start() -> None:
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True, warn_only=True)  # fresh memory is NaN, as conftest.py has it
    import numpy
    import triton.language as tl
    from triton.runtime import interpreter

    builder = interpreter.InterpreterBuilder
    take_product, cast = builder.create_dot, builder.cast_impl

    def counted(self: Any, a: Any, b: Any, *args: Any) -> Any:
        global products_taken
        products_taken += 1
        return take_product(self, *(_bfloat16_to_float32(operand) for operand in (a, b)), *args)

    def _bfloat16_to_float32(operand: Any) -> Any:
        # The interpreter holds bfloat16 as its bits and multiplies those.
        if operand.dtype != tl.bfloat16:
            return operand
        numbers = (operand.data.astype("uint32") << 16).view("float32")
        return interpreter.TensorHandle(numbers, tl.float32)

    def rounded(self: Any, source: Any, dtype: Any) -> Any:
        # The interpreter cuts float32 off to bfloat16, where a GPU rounds.
        if source.dtype.scalar != tl.float32 or dtype.scalar != tl.bfloat16:
            return cast(self, source, dtype)
        bits = torch.from_numpy(numpy.array(source.data)).bfloat16().view(torch.int16).numpy().view("uint16")
        return interpreter.TensorHandle(bits, tl.bfloat16)

    builder.create_dot, builder.cast_impl = counted, rounded
