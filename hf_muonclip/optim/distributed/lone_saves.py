"""State that ranks share, asked for by one rank alone, as in `if rank == 0: torch.save(optimizer.state_dict())`.

The other ranks then wait in the next backward for the rank that asks, so a thread of theirs answers: it sends what its
rank keeps. It looks for questions only while its rank has not stepped for a while; a training that goes on costs
nothing. Threads and ranks find one another in the store of the process group, and a pair of them talks over gloo, apart
from the group's own collectives.
"""

import contextlib
import datetime
import math
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore

from .agreement import RanksDifferError, default_store, ranks_named

THREAD = "hf_muonclip answers"
ANSWER_PATIENCE = 30.0  # seconds, within which a thread must have answered
_LEAST_QUIET, _MOST_QUIET = 1.0, 10.0  # seconds; a thread looks for questions once a step has taken twice its time
_PAUSE = 0.25  # seconds between two looks
_TRAVEL = datetime.timedelta(minutes=10)  # for one tensor
_READY, _UNLIKE = "ready", "unlike"

Part = tuple[int, str, Tensor]  # which unit or share of its rank, name of the moment, the moment


class Answers:
    """Answers that one rank gives to others about what it keeps of a shared state.

    Args:
        name: equal on all ranks for this state and no other.
        kept: returns what this rank keeps; asked from another thread, while the state does not change.
        device: of the moments.
    """

    def __init__(self, name: str, kept: Callable[[], Sequence[Part] | None], device: torch.device) -> None:
        self._name, self._kept, self._device = f"hf_muonclip/{name}", kept, device
        self._settled: tuple[int, torch.Event | None] | None = None
        self._since, self._between = time.monotonic(), 0.0  # of the last two changes
        threading.Thread(target=_answer, args=(weakref.ref(self),), daemon=True, name=THREAD).start()

    def unsettle(self) -> None:
        """Let no question be answered: the state is about to change."""
        self._settled = None

    def settle(self, version: int) -> None:
        """Let questions about this version of the state be answered, until it changes."""
        event = None
        if self._device.type != "cpu":  # the thread must not wait for what is launched later, which waits for its peer
            event = torch.accelerator.current_stream(self._device).record_event()
        self._settled, now = (version, event), time.monotonic()
        self._since, self._between = now, now - self._since

    def of_others(self, version: int) -> Iterator[tuple[int, list[Part]]]:
        """Yield (rank, what it keeps of this version of the state), on the CPU, of every other rank.

        Raises:
            RuntimeError: a rank does not answer, or has another version.
        """
        store, own = default_store(), dist.get_rank()
        asked = {}
        for rank in range(dist.get_world_size()):
            if rank != own:
                number = store.add(f"{self._name}/{rank}", 1)
                asked[rank] = f"{self._name}/{rank}/{number}"
                store.set(asked[rank], str(version))
        for rank, question in asked.items():
            answer = _answer_to(question)
            if answer != _READY:
                what = "has another state" if answer == _UNLIKE else f"did not answer within {ANSWER_PATIENCE:g} s"
                raise RanksDifferError(
                    f"state_dict() gathers what ranks share, and {ranks_named([rank])} {what}. Call "
                    "consolidate_state_dict() on every rank before, or pass shard_optimizer=False."
                )
            yield rank, _receive(_pair(question, 0))

    def question(self, number: int) -> str | None:
        """Return the key of question `number` of this rank; None where there is none, or no time to look."""
        if time.monotonic() - self._since < min(max(_LEAST_QUIET, 2 * self._between), _MOST_QUIET):
            return None
        key = f"{self._name}/{dist.get_rank()}/{number}"
        return key if default_store().check([key]) else None

    def reply(self, question: str) -> None:
        """Send what this rank keeps to the rank that asks."""
        store, version = default_store(), int(default_store().get(question))
        deadline = time.monotonic() + ANSWER_PATIENCE / 2
        while (settled := self._settled) is None or settled[0] != version:  # this rank may still be in the step
            if time.monotonic() > deadline:
                store.set(f"{question}/answer", _UNLIKE)
                return
            time.sleep(0.01)
        parts = [(place, key, _on_cpu(moment, settled[1])) for place, key, moment in self._kept() or ()]
        store.set(f"{question}/answer", _READY)
        _send(_pair(question, 1), parts)


def _answer(of: "weakref.ref[Answers]") -> None:
    """Reply to questions as long as there is somebody to answer them, and a process group to ask in."""
    number = 1
    while (answers := of()) is not None and dist.is_initialized():
        try:
            question = answers.question(number)
        except (RuntimeError, ValueError):  # the group has just ended, or the rank that hosts its store
            return
        if question is not None:
            number += 1
            with contextlib.suppress(Exception):  # the rank that asks sees the connection end
                answers.reply(question)
        del answers
        time.sleep(_PAUSE)


def _answer_to(question: str) -> str:
    store, deadline = default_store(), time.monotonic() + ANSWER_PATIENCE
    while time.monotonic() < deadline:
        if store.check([f"{question}/answer"]):
            answer: str = store.get(f"{question}/answer").decode()
            return answer
        time.sleep(0.01)
    return ""


def _pair(question: str, place: int) -> Any:
    return dist.ProcessGroupGloo(PrefixStore(f"{question}/pair", default_store()), place, 2, _TRAVEL)


def _on_cpu(moment: Tensor, event: torch.Event | None) -> Tensor:
    if event is None:
        return moment.cpu()
    stream = torch.Stream(device=moment.device)
    stream.wait_event(event)
    with stream:
        return moment.cpu()


def _send(pair: Any, parts: Sequence[Part]) -> None:
    described = pickle.dumps([(place, key, tuple(moment.shape), moment.dtype) for place, key, moment in parts])
    header = torch.frombuffer(bytearray(described), dtype=torch.uint8)
    pair.send([torch.tensor([len(header)])], 0, 0).wait()
    for tensor in (header, *(moment.contiguous().reshape(-1).view(torch.uint8) for _, _, moment in parts)):
        if tensor.numel():
            pair.send([tensor], 0, 0).wait()


def _receive(pair: Any) -> list[Part]:
    def received(nbytes: int) -> Tensor:
        found = torch.empty(nbytes, dtype=torch.uint8)
        if nbytes:
            pair.recv([found], 1, 0).wait()
        return found

    length = torch.zeros(1, dtype=torch.int64)
    pair.recv([length], 1, 0).wait()
    described = pickle.loads(bytes(received(int(length)).tolist()))
    return [
        (place, key, received(math.prod(shape) * dtype.itemsize).view(dtype).view(shape))
        for place, key, shape, dtype in described
    ]
