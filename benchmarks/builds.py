"""Does this build step faster, in less memory and to the same weights as another checkout of the package?

Both builds train the same model on the same tokens, every process with a build of its own. They take turns, step by
step, and each round begins with another one, so that a machine whose speed drifts does not decide; the other build runs
twice, and what its two runs differ by is the noise. Forwards, backwards and the exchange of gradients do not count:
the time is that of `optimizer.step()`, QK-Clip included.

    git worktree add ../before COMMIT
    OMP_NUM_THREADS=1 python benchmarks/builds.py ../before           # one process, and two ranks under DDP

Appends rows to results/builds.jsonl. Weights are compared after `STEPS` steps, as digests of all bytes.
"""

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.profiler import ProfilerActivity, profile
from transformers import DeepseekV3ForCausalLM, LlamaConfig, LlamaForCausalLM

STEPS = 20
TAU = 0.02  # of random weights, whose logits are small: many heads are clipped
HERE = Path(__file__).resolve().parents[1]
BUILDS = ("this", "other", "other again")


def smollm2() -> nn.Module:
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def nano() -> nn.Module:
    from hf_muonclip.kimi_k2 import kimi_k2_config

    return DeepseekV3ForCausalLM(kimi_k2_config("nano"))


MODELS: dict[str, Callable[[], nn.Module]] = {"SmolLM2-135M": smollm2, "Kimi K2 nano": nano}


def work(name: str, rank: int, world: int, rendezvous: str) -> None:
    """Train with the build that is imported here, a step for each line of the standard input; print what it took."""
    from hf_muonclip import MuonClip

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # gloo prints, too

    def say(value: Any) -> None:
        print(json.dumps(value), file=answers, flush=True)

    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world)
    torch.manual_seed(0)
    model = MODELS[name]().train()
    trained = DistributedDataParallel(model) if world > 1 else model
    optimizer = MuonClip(trained, lr=1e-3, qk_clip_threshold=TAU)
    generator = torch.Generator().manual_seed(rank)

    def prepare() -> None:
        optimizer.zero_grad()
        tokens = torch.randint(0, model.config.vocab_size, (1, 32), generator=generator)
        trained(input_ids=tokens, labels=tokens).loss.backward()
        if world > 1:
            dist.barrier()

    for line in sys.stdin:
        if line == "prepare\n":
            prepare()
            say("prepared")
        elif line == "step\n":
            started = time.perf_counter()
            optimizer.step()
            say(time.perf_counter() - started)
        else:
            digest = digest_of(model)
            prepare()
            say({"weights": digest, "peak_temporary_bytes": peak_temporary_bytes(optimizer.step)})
    if world > 1:
        dist.destroy_process_group()


def digest_of(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def peak_temporary_bytes(step: Callable[[], object]) -> int:
    """Return the most that a step has allocated at once, on all threads of the profiler's sight."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    return max(accumulate((event.nbytes() for event in events), initial=0))


class Ranks:
    """The processes of one build that train one model together."""

    def __init__(self, checkout: Path, name: str, world: int, rendezvous: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(checkout), "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, __file__, str(checkout), "--work", name]
        self.processes = [
            subprocess.Popen(
                [*command, str(rank), str(world), str(rendezvous)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
                cwd=checkout,
            )
            for rank in range(world)
        ]

    def ask(self, what: str) -> list[Any]:
        """Ask every rank to do something, and return the answers."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{what}\n")
            process.stdin.flush()
        answers = []
        for process in self.processes:
            assert process.stdout is not None
            answer = process.stdout.readline()
            if not answer:
                raise RuntimeError(f"a process ended with {process.wait()}; its errors stand above.")
            answers.append(json.loads(answer))
        return answers

    def close(self) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes:
            process.wait()


@contextlib.contextmanager
def running(other: Path, name: str, world: int) -> Iterator[dict[str, Ranks]]:
    with tempfile.TemporaryDirectory() as folder:
        builds = {
            build: Ranks(HERE if build == "this" else other, name, world, Path(folder, build.replace(" ", "_")))
            for build in BUILDS
        }
        try:
            yield builds
        finally:
            for ranks in builds.values():
                ranks.close()


def compare(other: Path, name: str, world: int, rounds: int) -> dict[str, object]:
    """Return the row of one model on so many ranks."""
    seconds: dict[str, list[float]] = {build: [] for build in BUILDS}
    with running(other, name, world) as builds:
        for number in range(rounds + 1):
            first = number % len(BUILDS)
            for build in (*BUILDS[first:], *BUILDS[:first]):
                builds[build].ask("prepare")
                took = max(builds[build].ask("step"))
                if number > 0:  # the first makes the state
                    seconds[build].append(took)
        ends = {build: builds[build].ask("end")[0] for build in BUILDS}
    ratios = {
        build: [took / before for took, before in zip(seconds[build], seconds["other"], strict=True)]
        for build in ("this", "other again")
    }
    return {
        "question": "builds",
        "model": name,
        "ranks": world,
        "other": commit_of(other),
        "rounds": rounds,
        "p50_ms": {build: round(statistics.median(taken) * 1e3, 2) for build, taken in seconds.items()},
        "ratio": quartiles(ratios["this"]),
        "noise": quartiles(ratios["other again"]),
        "peak_temporary_bytes": {build: end["peak_temporary_bytes"] for build, end in ends.items()},
        "bit_equal_after": rounds + 1 if len({end["weights"] for end in ends.values()}) == 1 else 0,
    }


def quartiles(values: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return {"p25": round(low, 4), "p50": round(middle, 4), "p75": round(high, 4)}


def commit_of(checkout: Path) -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, cwd=checkout, check=False).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path, help="a checkout of the other build")
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=STEPS - 1)
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        name, rank, world, rendezvous = arguments.work
        work(name, int(rank), int(world), rendezvous)
        return
    from measure import append_rows

    run = datetime.now(UTC).isoformat(timespec="seconds")
    for world in arguments.ranks:
        for name in arguments.models:
            row = compare(arguments.other.resolve(), name, world, arguments.rounds)
            print(row, flush=True)
            append_rows("builds", [row | {"run": run}])


if __name__ == "__main__":
    main()
