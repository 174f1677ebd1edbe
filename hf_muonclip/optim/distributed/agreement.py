"""Detect ranks that do not make the same collective call, by all-reduced maxima that carry their purpose.

A rank that skips a step, ends early or saves alone would leave the others in a collective that never ends, or that
meets another one. Every all-reduced maximum therefore carries the call that it belongs to, and a rank that waits looks
in the store of the process group for who is missing. While all ranks make the same calls, the store is not used, and
the host waits no longer than without this.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from ...common.wording import some_of

STEP_PATIENCE = 15.0  # seconds; ranks have just exchanged gradients, so they arrive together
SAVE_PATIENCE = 3.0
ROOT_PATIENCE = 60.0
_ANNOUNCE_AFTER = 0.5
_CALLS = ("max logits", "gradients")
_num_calls = 0  # of `max_over_ranks`, as many on all ranks


def max_over_ranks(values: Tensor, call: str, together: bool) -> Tensor:
    """Return the maxima over all ranks of the default group, on the CPU. Collective: one all-reduce.

    Args:
        values: (n,), float32, on the device of the group's collectives, without NaN; n is the same on every rank.
        call: what the values are: "max logits" or "gradients".
        together: whether ranks come at nearly the same time, as after an exchange of gradients, so that a late one is
            missing; otherwise the call waits as long as the group's timeout.

    Raises:
        RuntimeError: other ranks are in another call, have ended, or did not come.
    """
    code = float(_CALLS.index(call) + 3)
    message = torch.cat([values.new_tensor([code, -code]), values])
    global _num_calls
    number, _num_calls = _num_calls, _num_calls + 1
    try:
        work: Any = dist.all_reduce(message, op=dist.ReduceOp.MAX, async_op=True)
        if together:
            _wait(work, call, number)
        work.wait()
    except dist.DistBackendError:  # NCCL's own, which is more precise
        raise
    except RuntimeError as error:
        if isinstance(error, RanksDifferError):
            raise
        raise RanksDifferError(_unlike(f"this rank's call was not answered: {error}")) from error
    message = message.cpu()  # the one wait of the host
    if message[:2].tolist() != [code, -code]:
        raise RanksDifferError(_unlike("other ranks are in another call, of this optimizer, of DDP or of join()"))
    return message[2:]


class RanksDifferError(RuntimeError):
    """Ranks of the process group did not make the same call."""


def all_come(key: str) -> bool:
    """Return whether all ranks make a call that a single rank may also make; the same on every calling rank.

    A rank waits `SAVE_PATIENCE` for the others, and longer for rank 0, which often saves something else before. No
    collective.

    Args:
        key: equal on all ranks for this call and no other.
    """
    store, rank, world = default_store(), dist.get_rank(), dist.get_world_size()
    keys = [f"hf_muonclip/{key}/{other}" for other in range(world)]
    store.set(f"hf_muonclip/saves/{rank}", str(_num_calls))  # so that others do not give up waiting for its next call
    store.set(keys[rank], "here")
    started = time.monotonic()
    while _missing(store, keys):  # not store.wait: when that times out, torch prints warnings of its own
        if time.monotonic() - started > (SAVE_PATIENCE if store.check([keys[0]]) else ROOT_PATIENCE):
            break
        time.sleep(0.01)
    decided = f"hf_muonclip/{key}/decided"
    if store.add(f"{decided}/by", 1) == 1:
        store.set(decided, "alone" if _missing(store, keys) else "together")
    together: bool = store.get(decided) == b"together"
    if together:
        store.delete_key(f"hf_muonclip/saves/{rank}")
    return together


def _wait(work: Any, call: str, number: int) -> None:
    """Wait until a collective ends, or until it is clear that a rank is missing."""
    started, pause, announced = time.monotonic(), 0.0, False
    while not work.is_completed():
        time.sleep(pause)
        pause = min(pause + 1e-5, 1e-3)
        waited = time.monotonic() - started
        if waited < _ANNOUNCE_AFTER:
            continue
        keys = [f"hf_muonclip/{call}/{number}/{other}" for other in range(dist.get_world_size())]
        if not announced:
            default_store().set(keys[dist.get_rank()], "here")
            announced = True
        if waited > STEP_PATIENCE:
            missing = [rank for rank in _missing(default_store(), keys) if not _saves_before(rank, number)]
            if missing:
                raise RanksDifferError(_unlike(f"{ranks_named(missing)} did not come within {STEP_PATIENCE:g} s"))
            return  # all are here, and the network is slow; or a rank saves before it comes


def _saves_before(rank: int, number: int) -> bool:
    store, key = default_store(), f"hf_muonclip/saves/{rank}"
    return store.check([key]) and int(store.get(key)) == number


def _missing(store: Any, keys: Sequence[str]) -> list[int]:
    """Return which ranks have not set their keys."""
    return [rank for rank, key in enumerate(keys) if not store.check([key])]


def ranks_named(ranks: Sequence[int]) -> str:
    """Return "rank 1" or "ranks 1, 2 and 3 more"."""
    return f"rank{'s' * (len(ranks) > 1)} {some_of(ranks, 8)}"


def _unlike(found: str) -> str:
    return (
        f"every rank must call step() equally often, because ranks share the step; {found}. Skip a step (a NaN loss, "
        "the end of a rank's data) on all ranks or on none: give all ranks equally many batches instead of join(), and "
        "all_reduce the decision."
    )


def default_store() -> Any:
    """Return the store by which the ranks of the default group found one another."""
    return dist.distributed_c10d._get_default_store()
