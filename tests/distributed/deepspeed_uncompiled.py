"""DeepSpeed as the tests run it: with torch's operators, since its own take minutes to compile on a fresh machine."""

from typing import Any, NoReturn


def compile_nothing() -> None:
    """Let DeepSpeed build no C++ extension and no graph in this process. It then falls back to what torch has."""
    import deepspeed.ops
    import torch._dynamo
    from deepspeed.ops.op_builder.builder import OpBuilder

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("the tests compile nothing")

    OpBuilder.jit_load = refuse
    deepspeed.ops.__compatible_ops__ = {}
    torch._dynamo.config.disable = True
