"""Batches taken by one thread each: all of them, by threads of their own settings, and nothing lost on the way."""

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_parameters import assert_close_weights, state_tensors, trained
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from hf_muonclip.optim.muon import Muon
from hf_muonclip.optim.thread_per_batch import for_each_batch


@pytest.fixture(params=[2, 3], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_every_batch_is_taken_once_by_threads_that_share_nothing(threads: int) -> None:
    seen: list[tuple[int, str, int, bool]] = []

    def note(batch: int) -> None:
        time.sleep(0.01)  # so that every thread gets some
        seen.append((batch, threading.current_thread().name, torch.get_num_threads(), torch.is_grad_enabled()))

    for _ in range(2):  # the threads of the first call serve the second
        seen.clear()
        for_each_batch(note, range(20))
        assert sorted(batch for batch, *_ in seen) == list(range(20))
        assert len({name for _, name, _, _ in seen}) == threads
        assert {(number, gradients) for _, _, number, gradients in seen} == {(1, False)}
        assert torch.get_num_threads() == threads
        assert torch.is_grad_enabled()


def test_a_thread_that_starts_later_has_the_threads_that_were_set(threads: int) -> None:
    for_each_batch(lambda _: None, range(8))
    found: list[int] = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [threads]


def test_fewer_batches_than_threads_stay_here_and_share_them(threads: int) -> None:
    seen: list[tuple[int, int]] = []
    for count in (0, 1, threads - 1):
        for_each_batch(lambda _: seen.append((threading.get_ident(), torch.get_num_threads())), range(count))
    assert set(seen) == {(threading.get_ident(), threads)}
    assert len(seen) == 1 + threads - 1


def test_one_thread_stays_here() -> None:
    torch.set_num_threads(1)
    seen: list[int] = []
    for_each_batch(lambda _: seen.append(threading.get_ident()), range(5))
    assert seen == [threading.get_ident()] * 5


def test_who_watches_this_thread_sees_all_operations() -> None:
    with FlopCounterMode(display=False) as counter:
        for_each_batch(lambda matrix: torch.mm(matrix, matrix), [torch.ones(4, 4)] * 10)
    assert counter.get_total_flops() == 10 * 2 * 4**3


def test_what_a_batch_raises_is_raised_once_all_have_ended() -> None:
    begun: list[int] = []
    ended: list[int] = []

    def fail_third(batch: int) -> None:
        begun.append(batch)
        if batch == 2:
            raise ZeroDivisionError("the third")
        time.sleep(0.02)
        ended.append(batch)

    with pytest.raises(ZeroDivisionError, match="the third"):
        for_each_batch(fail_third, range(50))
    assert sorted(ended) == sorted(set(begun) - {2})
    assert len(begun) < 50, "the rest was not begun"
    for_each_batch(ended.append, range(50, 60))  # and the threads go on
    assert set(ended[-10:]) == set(range(50, 60))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    for_each_batch(lambda _: None, range(8))
    child = os.fork()
    if child == 0:
        taken: list[int] = []
        for_each_batch(taken.append, range(8))
        os._exit(0 if sorted(taken) == list(range(8)) else 1)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


@pytest.mark.parametrize("settings", [{}, {"normalize_neurons": True, "momentum_dtype": "bfloat16"}], ids=str)
def test_steps_are_those_of_one_thread(settings: dict[str, Any], threads: int) -> None:
    """Batches of 300 bytes cut every parameter, so its state is asked for by several threads."""
    settings = {"lr": 0.1, "max_batch_bytes": 300, **settings}
    torch.set_num_threads(1)
    expected, alone = trained(3, **settings)
    torch.set_num_threads(threads)
    for _ in range(3):
        found, optimizer = trained(3, **settings)
        assert_close_weights(found, expected)
        states = state_tensors(optimizer)
        assert states.keys() == state_tensors(alone).keys()
        for key, value in state_tensors(alone).items():
            torch.testing.assert_close(states[key], value, atol=1e-6, rtol=1e-5)


def test_a_step_takes_matrices_with_threads_of_their_own() -> None:
    taken: set[str] = set()

    class Watched(Muon):
        def orthogonalize(self, matrices: Tensor, group: Any) -> Tensor:
            taken.add(threading.current_thread().name)
            time.sleep(0.005)
            return super().orthogonalize(matrices, group)

    weights = [nn.Parameter(torch.ones(8, 12 + index)) for index in range(12)]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    Watched(weights, lr=0.1).step()
    assert len(taken) == torch.get_num_threads()
    assert threading.current_thread().name not in taken
