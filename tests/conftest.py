"""What holds for every test: memory that nobody has written yet is NaN, so reading it cannot go unnoticed.

And a test for which `unittest.SkipTest` is raised is skipped: what benchmarks share with the tests raises it, without
pytest.
"""

import gc
import unittest
from collections.abc import Generator, Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from triton_interpreter import interpreting


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    try:
        return (yield)
    except unittest.SkipTest as reason:
        pytest.skip(str(reason))


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give workers stretches of tests, not one here and one there: what a file's tests share is then made once."""
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "worksteal"


def pytest_collection_finish() -> None:
    """Let the garbage collector leave out what was imported: a Trainer calls it, and half of its time went there."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """And what the tests of a file have imported beside, once they are done."""
    if nextitem is None or nextitem.path != item.path:
        gc.collect()
        gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(autouse=True, scope="session")
def fresh_memory_is_nan() -> Iterator[None]:
    torch.use_deterministic_algorithms(True, warn_only=True)  # without it, torch fills nothing
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(3).isnan().all()
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True, scope="session")
def seeds_keep_no_stack() -> Iterator[None]:
    """For each kind of device, torch formats the whole stack at every seed, and keeps it until there is a device."""
    with pytest.MonkeyPatch.context() as patch:
        if not torch.accelerator.is_available():
            for devices in (torch.cuda, torch.xpu, torch.mtia):
                patch.setattr(devices, "manual_seed_all", lambda seed: None)
        yield


@pytest.fixture(scope="session")
def triton_interpreter() -> Iterator[ProcessPoolExecutor]:
    """The process in which Triton interprets its kernels."""
    pytest.importorskip("triton")
    with interpreting() as executor:
        yield executor


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Take whatever threads could share, and hide from this one, in this one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
