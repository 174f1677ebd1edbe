"""Answer `state_dict()` calls of a single rank, as in `if rank == 0: torch.save(optimizer.state_dict())`.

The other ranks then wait in the next backward for the rank that asks, or have ended their script, so a thread of theirs
answers: it sends its rank's part of the state. It looks for questions only while its rank has not stepped for a while,
so it costs a running training nothing. Threads and ranks find one another in the store of the process group, and a pair
of them communicates over gloo, apart from the group's own collectives.

A rank's part of the state is kept after the optimizer is gone, on the CPU, until another optimizer is built or the
process ends. A process that ends without an error waits until all ranks end, at most `STAY` seconds, because one may
still ask.

A store locks its connection while it waits for a key, so whatever waits in a thread has a connection of its own.
"""

import atexit
import contextlib
import datetime
import math
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore

from .agreement import RanksDifferError, default_store, ranks_named

THREAD = "hf_muonclip answers"
STAY = 30.0  # seconds; a rank may save the model before it asks for the state
ANSWER_PATIENCE = 30.0  # seconds, within which a thread must have answered
_LEAST_QUIET, _MOST_QUIET = 1.0, 10.0  # seconds; a thread looks for questions once a step has taken twice its time
_PAUSE = 0.25  # seconds between two looks
_TRAVEL = datetime.timedelta(minutes=10)  # for one tensor
_LAST_REPLY = 60.0  # seconds more for a reply that is under way at the end
_READY, _UNLIKE = "ready", "unlike"
_COME, _GONE = "come", "gone"

KeptMoment = tuple[int, str, Tensor]  # index of its rank's unit or share, name of the moment, the moment


class Answers:
    """A rank's thread that sends its part of a shared state to ranks that ask.

    Args:
        name: equal on all ranks for this state and no other.
        device: device of the moments.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self._parts: Callable[[], Sequence[KeptMoment]] = tuple
        self._name, self._device = f"hf_muonclip/{name}", device
        self._store, self._rank, self._world = default_store(), dist.get_rank(), dist.get_world_size()
        self._settled: tuple[int, torch.Event | None] | None = None
        self._since, self._between = time.monotonic(), 0.0  # of the last two changes
        self._outlives = self._ended = self._replies = False
        for other in [other for other in _answering if other._outlives]:
            other.end()
        _answering.append(self)
        threading.Thread(target=self._answer, daemon=True, name=THREAD).start()

    def unsettle(self) -> None:
        """Stop answering, because the state is about to change."""
        self._settled = None

    def settle(self, version: int, parts: Callable[[], Sequence[KeptMoment]]) -> None:
        """Answer questions about this version of the state, until it changes.

        Args:
            version: number of changes of the state, the same on every rank.
            parts: returns this rank's part of the state; called from another thread.
        """
        event, self._parts = None, parts
        if self._device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            return  # replays of the graph will not say that they change the state
        if self._device.type != "cpu":  # the thread must not wait for what is launched later, which waits for its peer
            event = torch.accelerator.current_stream(self._device).record_event()
        self._settled, now = (version, event), time.monotonic()
        self._since, self._between = now, now - self._since

    def outlive(self) -> None:
        """Keep answering after the optimizer is gone, from copies on the CPU."""
        if self._ended:
            return
        if self._settled is None:
            self.end()
            return
        kept = [(place, key, _on_cpu(moment, self._settled[1])) for place, key, moment in self._parts()]
        self._parts, self._outlives = (lambda: kept), True

    def end(self) -> None:
        """Stop answering, and release the state."""
        self._ended, self._parts = True, tuple
        _answering.remove(self)

    def of_others(self, version: int) -> Iterator[tuple[int, list[KeptMoment]]]:
        """Yield (rank, its part of this version of the state), on the CPU, of every other rank.

        Raises:
            RuntimeError: a rank does not answer, or has another version.
        """
        asked = {}
        for rank in range(self._world):
            if rank != self._rank:
                number = self._store.add(f"{self._name}/{rank}", 1)
                asked[rank] = f"{self._name}/{rank}/{number}"
                self._store.set(asked[rank], str(version))
        try:
            for rank, question in list(asked.items()):
                answer = self._answer_to(question)
                if answer != _READY:
                    what = "has another state" if answer == _UNLIKE else f"did not answer within {ANSWER_PATIENCE:g} s"
                    raise RanksDifferError(
                        f"state_dict() gathers what ranks share, and {ranks_named([rank])} {what}. Call "
                        "consolidate_state_dict() on every rank before, or pass shard_optimizer=False."
                    )
                self._store.set(f"{asked.pop(rank)}/come", _COME)
                yield rank, _receive(self._pair(question, 0))
        finally:
            for question in asked.values():
                with contextlib.suppress(RuntimeError):  # the rank that hosts the store has ended
                    self._store.set(f"{question}/come", _GONE)

    def stay(self) -> None:
        """Keep answering until every rank has ended its script, for a limited time."""
        self._between = 0.0  # no step will come, however long steps took
        ends = [f"{self._name}/ends/{rank}" for rank in range(self._world)]
        with contextlib.suppress(RuntimeError):  # the rank that hosts the store has ended
            self._store.set(ends[self._rank], "")
            deadline = time.monotonic() + STAY
            while not all(self._store.check([end]) for end in ends):
                if time.monotonic() > deadline + (_LAST_REPLY if self._replies else 0):
                    break
                time.sleep(0.05)
            if self._rank == 0:  # it may host the store, at which others look for the last time
                time.sleep(0.2)
        self.end()

    def _answer(self) -> None:
        """Reply to questions in a loop. Runs in the thread."""
        number, store = 1, None
        while not self._ended:
            time.sleep(_PAUSE)
            question = f"{self._name}/{self._rank}/{number}"
            quiet = min(max(_LEAST_QUIET, 2 * self._between), _MOST_QUIET)
            if time.monotonic() - self._since < quiet or self._ended:
                continue
            try:
                store = store or self._store.clone()
                if not store.check([question]):
                    continue
            except RuntimeError:  # the rank that hosts the store has ended
                return
            number += 1
            self._replies = True
            with contextlib.suppress(Exception):  # the rank that asks sees the connection end
                self._reply(question, store)
            self._replies = False

    def _reply(self, question: str, store: Any) -> None:
        version = int(store.get(question))
        deadline = time.monotonic() + ANSWER_PATIENCE / 2
        while (settled := self._settled) is None or settled[0] != version:  # this rank may still be in the step
            if time.monotonic() > deadline:
                store.set(f"{question}/answer", _UNLIKE)
                return
            time.sleep(0.01)
        parts = [(place, key, _on_cpu(moment, settled[1])) for place, key, moment in self._parts()]
        store.set(f"{question}/answer", _READY)
        deadline = time.monotonic() + _TRAVEL.total_seconds()  # others are served before this rank
        while not store.check([f"{question}/come"]):
            if time.monotonic() > deadline:
                return
            time.sleep(0.01)
        if store.get(f"{question}/come").decode() == _COME:
            _send(self._pair(question, 1), parts)

    def _answer_to(self, question: str) -> str:
        deadline = time.monotonic() + ANSWER_PATIENCE
        while time.monotonic() < deadline:
            if self._store.check([f"{question}/answer"]):
                answer: str = self._store.get(f"{question}/answer").decode()
                return answer
            time.sleep(0.01)
        return ""

    def _pair(self, question: str, place: int) -> Any:
        return dist.ProcessGroupGloo(PrefixStore(f"{question}/pair", self._store.clone()), place, 2, _TRAVEL)


_answering: list[Answers] = []


@atexit.register
def _stay() -> None:
    """Answer other ranks at the end of this process, unless an error ended it, which they must see at once."""
    if hasattr(sys, "last_value"):
        return
    for answers in list(_answering):  # each in a thread, since a store may block: one in a folder that is gone, say
        waits = threading.Thread(target=answers.stay, daemon=True)
        waits.start()
        waits.join(STAY + 1)
        if answers._replies:
            waits.join(_LAST_REPLY)


def _on_cpu(moment: Tensor, event: torch.Event | None) -> Tensor:
    if event is None or moment.device.type == "cpu":
        return moment.cpu()
    stream = torch.Stream(device=moment.device)
    stream.wait_event(event)
    with stream:
        return moment.cpu()


def _send(pair: Any, parts: Sequence[KeptMoment]) -> None:
    described = pickle.dumps([(place, key, tuple(moment.shape), moment.dtype) for place, key, moment in parts])
    header = torch.frombuffer(bytearray(described), dtype=torch.uint8)
    pair.send([torch.tensor([len(header)])], 0, 0).wait()
    for tensor in (header, *(moment.contiguous().reshape(-1).view(torch.uint8) for _, _, moment in parts)):
        if tensor.numel():
            pair.send([tensor], 0, 0).wait()


def _receive(pair: Any) -> list[KeptMoment]:
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
