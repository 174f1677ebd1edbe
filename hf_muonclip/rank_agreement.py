"""Ranks that must make the same call at the same time: joined maxima, and refusals in a sentence where they do not.

A rank that skips a step, ends early or saves alone would leave the others in a collective that nobody answers, or that
answers another one. Every joined maximum therefore carries what it is for, and a rank that waits looks who is missing
in the store of the process group. Nothing is asked of the store, and the host waits no more than it did, while ranks
are alike.
"""

import contextlib
import itertools
import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

STEP_PATIENCE = 15.0  # seconds; ranks have just exchanged gradients, so they arrive together
SAVE_PATIENCE = 10.0
_ANNOUNCE_AFTER = 0.5
_CALLS = ("max logits", "gradients")
_calls = itertools.count()


def max_over_ranks(values: Tensor, call: str, together: bool) -> Tensor:
    """Return the maxima over all ranks of the default group, on the CPU. Collective: one all-reduce.

    Args:
        values: (n,), float32, where the group's collectives want them, without NaN; n is the same on every rank.
        call: what they are: "max logits" or "gradients".
        together: whether ranks come at nearly the same time, as after an exchange of gradients, so that one which does
            not is missing; else the call waits as long as the group does.

    Raises:
        RuntimeError: other ranks are in another call, have ended, or did not come.
    """
    code = float(_CALLS.index(call) + 3)
    message = torch.cat([values.new_tensor([code, -code]), values])
    number = next(_calls)
    try:
        work: Any = dist.all_reduce(message, op=dist.ReduceOp.MAX, async_op=True)
        if together:
            _wait(work, f"{call}/{number}")
        work.wait()
    except dist.DistBackendError:  # NCCL's own, which says more than we know
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


def meet(call: str, key: str, advice: str) -> None:
    """Wait until every rank makes a call, which a rank may make alone by mistake. No collective.

    A rank waits for rank 0 as long as the group does, because rank 0 often saves something else before; then
    `SAVE_PATIENCE` for the others.

    Args:
        call: as a user writes it.
        key: equal on all ranks for this call and no other.
        advice: what to do instead.

    Raises:
        RuntimeError: some ranks did not come.
    """
    store, rank, world = _store(), dist.get_rank(), dist.get_world_size()
    keys = [f"hf_muonclip/{key}/{other}" for other in range(world)]
    store.set(keys[rank], "here")
    if rank:
        with contextlib.suppress(RuntimeError):  # the group's time is over, and below it is said who is missing
            store.wait([keys[0]])
    started = time.monotonic()
    while missing := _missing(store, keys):  # no store.wait: where it ends in vain, torch prints warnings of its own
        if time.monotonic() - started > SAVE_PATIENCE:
            store.delete_key(keys[rank])  # it does not wait any more
            raise RanksDifferError(
                f"{call} gathers what ranks share, so every rank must call it; {missing} did not within "
                f"{SAVE_PATIENCE:g} s. {advice}"
            )
        time.sleep(0.01)


def _wait(work: Any, key: str) -> None:
    """Wait until a collective ends, or until it is clear that a rank is missing."""
    started, pause, announced = time.monotonic(), 0.0, False
    while not work.is_completed():
        time.sleep(pause)
        pause = min(pause + 1e-5, 1e-3)
        waited = time.monotonic() - started
        if waited < _ANNOUNCE_AFTER:
            continue
        keys = [f"hf_muonclip/{key}/{other}" for other in range(dist.get_world_size())]
        if not announced:
            _store().set(keys[dist.get_rank()], "here")
            announced = True
        if waited > STEP_PATIENCE:
            if missing := _missing(_store(), keys):
                raise RanksDifferError(_unlike(f"{missing} did not come within {STEP_PATIENCE:g} s"))
            return  # all are here, and the network is slow


def _missing(store: Any, keys: Sequence[str]) -> str:
    """Return which ranks have not set their keys, in words; "" if all have."""
    ranks = [rank for rank, key in enumerate(keys) if not store.check([key])]
    if not ranks:
        return ""
    said = ", ".join(map(str, ranks[:8])) + (f" and {len(ranks) - 8} more" if len(ranks) > 8 else "")
    return f"rank{'s' * (len(ranks) > 1)} {said}"


def _unlike(found: str) -> str:
    return (
        f"every rank must call step() equally often, because ranks share the step; {found}. Skip a step (a NaN loss, "
        "the end of a rank's data) on all ranks or on none: give all ranks equally many batches instead of join(), and "
        "all_reduce what decides."
    )


def _store() -> Any:
    return dist.distributed_c10d._get_default_store()
