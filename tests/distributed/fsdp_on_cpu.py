"""Accelerate shards on accelerators only, and ignores FSDP on a CPU in silence; this lets it shard there too.

`with fsdp_on_cpu():` for code of one's own, and `python fsdp_on_cpu.py SCRIPT ARGUMENTS` for a script that Accelerate
launches. A test that uses it must assert that parameters are DTensors: nothing else shows that anything was sharded.
"""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType


@contextmanager
def fsdp_on_cpu() -> Iterator[None]:
    """Let an `Accelerator` with an FSDP plugin, or ACCELERATE_USE_FSDP=true, shard over CPU processes as over GPUs."""
    original = AcceleratorState.__init__

    def __init__(self: AcceleratorState, *args: Any, fsdp_plugin: Any = None, **kwargs: Any) -> None:  # noqa: N807
        original(self, *args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            # What the original does for every type of device on its list.
            self.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
            if self._mixed_precision != "no":
                fsdp_plugin.set_mixed_precision(self._mixed_precision)
            self.fsdp_plugin = fsdp_plugin

    AcceleratorState.__init__ = __init__
    try:
        yield
    finally:
        AcceleratorState.__init__ = original


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    with fsdp_on_cpu():
        runpy.run_path(sys.argv[0], run_name="__main__")
