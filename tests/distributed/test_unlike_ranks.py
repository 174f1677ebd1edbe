"""Ranks whose gradients, steps or calls differ: they work as with AdamW, or are refused in a sentence long before the
process group gives up (120 s here).
"""

import copy
import gc
import re
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from accelerate.local_sgd import LocalSGD
from error_messages import naming
from processes import Outcome, outcomes_of_ranks, run_on_ranks, run_script_on_ranks
from tiny_models import random_batch, tiny_model
from torch import Tensor, nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

from hf_muonclip import MuonClip
from hf_muonclip.optim.distributed import agreement as rank_agreement
from hf_muonclip.optim.distributed import lone_saves

LIMIT = 100.0  # seconds for all, of which most are the start of the processes on a busy machine
TAU = 0.03
ADDRESS = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}  # Accelerate asks for one, and does not use it here


def backward(model: nn.Module, seed: int) -> Tensor:
    inner = model.module if isinstance(model, DistributedDataParallel) else model
    loss: Tensor = model(**random_batch(inner, seed=10 * seed + dist.get_rank())).loss
    loss.backward()
    return loss


def wrapped(**settings: Any) -> tuple[DistributedDataParallel, MuonClip]:
    model = DistributedDataParallel(tiny_model("llama_gqa"))
    return model, MuonClip(model, lr=1e-2, qk_clip_threshold=TAU, **settings)


def message_of(call: Callable[[], Any], *errors: type[Exception]) -> str:
    started = time.monotonic()
    with pytest.raises(errors) as caught:
        call()
    assert time.monotonic() - started < 40
    return str(caught.value)


def unlike(model: nn.Module) -> list[str]:
    """Collective. Return the names of weights that differ between two ranks."""
    found = []
    for name, parameter in model.named_parameters():
        other = [torch.empty_like(parameter) for _ in range(2)]
        dist.all_gather(other, parameter.detach().contiguous())
        if not torch.equal(*other):
            found.append(name)
    return found


# Gradients


def local_gradients() -> dict[str, str]:
    found = {}
    model, optimizer = wrapped()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    with model.no_sync():
        backward(model, 0)
    found["no_sync"] = message_of(optimizer.step, ValueError)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not any(optimizer.state.values())
    optimizer.zero_grad()
    backward(model, 1)
    optimizer.step()  # averaged again: nothing is left of the refusal
    optimizer.zero_grad()
    one = optimizer._model.model.layers[1].mlp.up_proj.weight
    backward(model, 2)
    assert one.grad is not None
    if dist.get_rank():
        one.grad = one.grad.flip(0)  # as long as the others', and another one
        one.grad[len(one) // 2] *= 1.5
    found["one of many"] = message_of(optimizer.step, ValueError)
    return found


def test_gradients_that_are_not_averaged_are_refused_on_every_rank_before_anything_is_written() -> None:
    for rank in run_on_ranks(2, local_gradients, timeout=LIMIT):
        assert re.search(naming("gradient", "shard_optimizer=False"), rank["no_sync"])
        assert "model.layers.1.mlp.up_proj.weight" in rank["one of many"]


def local_sgd() -> tuple[list[str], list[str], int]:
    accelerator = Accelerator(cpu=True)
    model = accelerator.prepare(tiny_model("llama_gqa"))
    optimizer = MuonClip(model, lr=1e-2, qk_clip_threshold=TAU, shard_optimizer=False)
    optimizer = accelerator.prepare(optimizer)
    with LocalSGD(accelerator=accelerator, model=model, local_sgd_steps=2, enabled=True) as averaging:
        for seed in range(2):
            backward(model, seed)
            if seed == 0 and dist.get_rank():  # no expert of this rank had a token
                accelerator.unwrap_model(model).model.layers[0].mlp.up_proj.weight.grad = None
            optimizer.step()
            optimizer.zero_grad()
            before = unlike(model)
            averaging.step()
    return before, unlike(model), len(list(model.parameters()))


def test_local_sgd_works_where_ranks_share_nothing() -> None:
    for before, after, count in run_on_ranks(2, local_sgd, timeout=LIMIT, environment=ADDRESS):
        assert len(before) == count
        assert after == []


# Calls


def whole(optimizer: MuonClip) -> dict[tuple[int, str], Tensor]:
    return {(p, key): value for p, state in optimizer.state_dict()["state"].items() for key, value in state.items()}


def one_rank_saves(saver: int, late: bool) -> tuple[bool, float]:
    """Return whether a rank alone got all that an optimizer keeps whose ranks share nothing, and how long it took."""
    rank_agreement.STEP_PATIENCE, rank_agreement.ROOT_PATIENCE, rank_agreement.SAVE_PATIENCE = 2.0, 3.0, 1.0
    (model, optimizer), (twin, unshared) = (
        wrapped(normalize_neurons=True, momentum_dtype="bfloat16", shard_optimizer=shared) for shared in (True, False)
    )
    found, took = True, 0.0
    for seed in range(2):
        for trained, stepping in ((model, optimizer), (twin, unshared)):
            if late or seed == 0:
                backward(trained, seed)
            if seed and stepping is optimizer and dist.get_rank() == saver:
                started = time.monotonic()
                for _ in range(2):
                    alone = whole(optimizer)
                    found &= len(alone) == len(whole(unshared))
                    found &= all(
                        torch.equal(alone[key], value) for key, value in whole(unshared).items() if key in alone
                    )
                took = time.monotonic() - started
                time.sleep(3)  # it writes its file, longer than a step may take
            if seed and not late:
                backward(trained, seed)
            stepping.step()
            stepping.zero_grad()
    together = whole(optimizer)  # as accelerator.save_state() and torch.distributed.checkpoint call it
    assert all(torch.equal(together[key], value) for key, value in whole(unshared).items())
    return found, took


@pytest.mark.parametrize("saver", [0, 1])
@pytest.mark.parametrize("late", [False, True], ids=["before the backward", "before the step"])
def test_one_rank_saves_alone_as_with_adamw(saver: int, late: bool) -> None:
    for found, took in run_on_ranks(2, one_rank_saves, saver, late, timeout=LIMIT):
        assert found
        assert took < 50


def one_rank_has_loaded() -> str:
    lone_saves.ANSWER_PATIENCE, rank_agreement.SAVE_PATIENCE = 4.0, 1.0
    model, optimizer = wrapped()
    _, other = wrapped(shard_optimizer=False)
    backward(model, 0)
    optimizer.step()
    message = ""
    if dist.get_rank() == 0:
        message = message_of(optimizer.state_dict, RuntimeError)
    else:
        optimizer.load_state_dict(other.state_dict())
    dist.barrier()
    return message


def test_a_rank_that_has_another_state_is_named() -> None:
    first, second = run_on_ranks(2, one_rank_has_loaded, timeout=LIMIT)
    assert re.search(naming("rank 1", "consolidate_state_dict()"), first)
    assert second == ""


def answering() -> int:
    return sum(thread.name == lone_saves.THREAD for thread in threading.enumerate())


def optimizers_end() -> tuple[list[int], bool]:
    """Return how many threads answer beside one optimizer after the other, and whether the last one's state is kept."""
    found = []
    for _ in range(2):
        model, optimizer = wrapped()
        backward(model, 0)
        optimizer.step()
        time.sleep(1)
        found.append(answering())
    kept = {key for _, key, _ in lone_saves._answering[-1]._parts()}
    watched = weakref.ref(optimizer)
    del model, optimizer
    gc.collect()
    assert watched() is None
    wrapped()
    time.sleep(1)
    return [*found, answering()], kept == {"momentum_buffer", "exp_avg", "exp_avg_sq", "step"}


def test_threads_answer_for_what_stands_and_for_what_stood_last() -> None:
    for counts, kept in run_on_ranks(2, optimizers_end, timeout=LIMIT):
        assert counts == [1, 2, 1]  # the first one still stood while the second was built
        assert kept


def all_save_one_of_them_late() -> bool:
    """Every rank asks alone, since one came late, and is asked meanwhile; then all ask again."""
    rank_agreement.SAVE_PATIENCE = 0.5
    (model, optimizer), (twin, unshared) = (wrapped(shard_optimizer=shared) for shared in (True, False))
    for trained, stepping in ((model, optimizer), (twin, unshared)):
        backward(trained, 0)
        stepping.step()
    expected, same = whole(unshared), True
    for call in range(3):
        if call == 0 and dist.get_rank() == 1:
            time.sleep(2)
        found = whole(optimizer)
        same &= all(torch.equal(found[key], value) for key, value in expected.items())
    return same


def test_ranks_that_ask_one_another_are_answered() -> None:
    assert all(run_on_ranks(3, all_save_one_of_them_late, timeout=LIMIT))


def replaced_moments() -> bool:
    (model, optimizer), (twin, unshared) = (wrapped(shard_optimizer=shared) for shared in (True, False))
    rank_agreement.SAVE_PATIENCE = 0.5
    for trained, stepping in ((model, optimizer), (twin, unshared)):
        for seed in range(2):
            stepping.state.clear()
            stepping.zero_grad()
            backward(trained, seed)
            stepping.step()
    found: dict[Any, Tensor] = whole(optimizer) if dist.get_rank() == 0 else {}
    dist.barrier()
    return all(torch.equal(found[key], whole(unshared)[key]) for key in found)


def test_moments_that_a_user_replaced_are_sent() -> None:
    assert all(run_on_ranks(2, replaced_moments, timeout=LIMIT))


def group_after_consolidating() -> int:
    model, optimizer = wrapped()
    backward(model, 0)
    optimizer.step()
    optimizer.consolidate_state_dict(keep=dist.get_rank() == 0)
    added = nn.Parameter(torch.ones(4, 4))
    optimizer.add_param_group({"params": [("added", added)]})
    optimizer.zero_grad()
    backward(model, 1)
    optimizer.step()
    copied = copy.deepcopy(optimizer)
    refused = message_of(copied.state_dict, RuntimeError)
    assert "copy" in refused
    return len(optimizer.state_dict()["state"])


def test_a_group_is_added_after_a_save_by_one_rank_and_a_copy_does_not_pass_a_part_for_the_whole() -> None:
    first, second = run_on_ranks(2, group_after_consolidating, timeout=LIMIT)
    assert first == second > 1


LAST_SAVE = """
import torch, torch.distributed as dist
from test_unlike_ranks import backward, wrapped

def main():
    model, optimizer = wrapped()
    backward(model, 0)
    optimizer.step()
    dist.barrier()
    if dist.get_rank() == 0:
        state = optimizer.state_dict()["state"]
        whole = all(state[i]["momentum_buffer" if "momentum_buffer" in state[i] else "exp_avg"].numel() == p.numel()
                    for i, p in enumerate(p for group in optimizer.param_groups for p in group["params"]))
        print("whole" if whole else "not whole", flush=True)
    dist.destroy_process_group()

dist.init_process_group("gloo")
main()
"""


def test_ranks_that_have_come_to_their_end_still_answer(tmp_path: Path) -> None:
    """The last save of a script, while the other rank has left main() and destroyed its process group."""
    said = run_script_on_ranks(2, "-c", LAST_SAVE, folder=tmp_path)
    assert "whole" in said.splitlines()
    assert "Broken pipe" not in said


# Steps


def one_rank_skips() -> None:
    rank_agreement.STEP_PATIENCE = 2.0
    model, optimizer = wrapped()
    for seed in range(3):
        backward(model, seed)
        if seed == 1 and dist.get_rank() == 1:
            optimizer.zero_grad()  # its own loss was not a number
            continue
        optimizer.step()
        optimizer.zero_grad()


def one_rank_steps_once_more() -> None:
    rank_agreement.STEP_PATIENCE = 2.0
    model, optimizer = wrapped()
    backward(model, 0)
    optimizer.step()
    if dist.get_rank() == 0:
        optimizer.step()
    else:
        time.sleep(8)


def ends_of_data(with_optimizer: bool) -> None:
    model, optimizer = wrapped()
    with Join([model, optimizer] if with_optimizer else [model]):
        for seed in range(1 + dist.get_rank()):
            backward(model, seed)
            optimizer.step()
            optimizer.zero_grad()


def ended_with_a_sentence(outcomes: list[Outcome], sentence: str, ranks: int = 1) -> None:
    assert not any(outcome.hung for outcome in outcomes)
    said = [outcome.error for outcome in outcomes if sentence in outcome.error]
    assert len(said) >= ranks, "\n".join(outcome.error for outcome in outcomes)
    assert all(outcome.error for outcome in outcomes)


EQUALLY_OFTEN = "must call step()"


@pytest.mark.parametrize("function", [one_rank_skips, one_rank_steps_once_more])
def test_steps_that_some_ranks_take_end_in_a_sentence(function: Callable[[], None]) -> None:
    outcomes = outcomes_of_ranks(2, function, timeout=LIMIT)
    if function is one_rank_skips:
        ended_with_a_sentence(outcomes, EQUALLY_OFTEN)
    else:
        assert EQUALLY_OFTEN in outcomes[0].error
        assert re.search(naming("rank 1", "2 s"), outcomes[0].error)


@pytest.mark.parametrize("with_optimizer", [True, False])
def test_join_is_refused(with_optimizer: bool) -> None:
    sentence = "Join" if with_optimizer else "join()"
    ended_with_a_sentence(outcomes_of_ranks(2, ends_of_data, with_optimizer, timeout=LIMIT), sentence, 2)
