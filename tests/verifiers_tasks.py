"""Tasksets of verifiers for the tests; in a module of their own, where the processes that score find them."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf


class SumData(vf.TaskData):
    answer: int
    fault: str = ""


class SumTask(vf.Task[SumData]):
    @vf.reward(weight=2.0)
    async def right(self, task: SumData, trace: vf.Trace) -> float:
        await asyncio.sleep(0.01)
        if task.fault == "raises" and "5" in trace.last_reply:
            raise RuntimeError("no database")
        if task.fault == "blocks":
            time.sleep(30)
        if task.fault == "nan":
            return float("nan")
        return float(str(task.answer) in trace.last_reply)

    @vf.reward
    async def brief(self, trace: vf.Trace) -> float:
        return float(len(trace.last_reply) < 10) / 2


class Sums(vf.Taskset[SumTask]):
    faults = ("", "")

    def load(self) -> Iterator[SumTask]:
        for number, fault in enumerate(self.faults):
            prompt = f"What is {number} + 5?"
            yield SumTask(
                SumData(prompt=prompt, system_prompt="Add.", answer=number + 5, fault=fault), self.config.task
            )


class Boxed(vf.Task[SumData]):
    """Scored by verifiers' own check of mathematics."""

    @vf.reward
    async def right(self, task: SumData, trace: vf.Trace) -> float:
        from verifiers.v1.utils.score import verify_boxed_math_answer

        return verify_boxed_math_answer(trace.last_reply, str(task.answer))


class BoxedSums(vf.Taskset[Boxed]):
    def load(self) -> Iterator[Boxed]:
        yield Boxed(SumData(prompt="What is 0 + 5?", answer=5), self.config.task)


class CountState(vf.State):
    total: int = 0


class Count(vf.Toolset[vf.ToolsetConfig, CountState]):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.calls, self.start = 0, 0

    async def setup_task(self, task: Any) -> None:
        self.start = task.answer
        if task.fault == "toolset":
            raise RuntimeError("no database")

    @vf.tool
    async def add(self, number: int) -> list[int]:
        """Add to the total.

        Args:
            number: to add.
        """
        self.calls += 1
        if number == 14:
            await asyncio.sleep(30)
        self.state.total += number
        return [self.start + self.state.total, self.calls]

    @vf.tool
    def refuse(self) -> str:
        """Raise an exception."""
        raise ValueError("not today")


class CountTask(vf.Task[SumData, CountState]):
    @vf.reward
    async def total(self, trace: vf.Trace) -> float:
        calls = [call.name for message in trace.assistant_messages for call in message.tool_calls or []]
        return trace.state.total + 0.5 * (calls == ["count_add"]) + 0.25 * len(trace.tool_messages)

    @classmethod
    def toolsets(cls, config: vf.TaskConfig) -> list[vf.Toolset]:
        return [Count(vf.ToolsetConfig())]


class Counts(vf.Taskset[CountTask]):
    faults = ("", "toolset")

    def load(self) -> Iterator[CountTask]:
        for fault in self.faults:
            yield CountTask(SumData(prompt="Add 2.", answer=3, fault=fault), self.config.task)


class NeedsRuntime(vf.Task[SumData]):
    @vf.reward
    async def runs(self, runtime: vf.Runtime) -> float:
        return 1.0


class NeedsSetup(SumTask):
    async def setup(self, trace: vf.Trace, runtime: vf.Runtime) -> None:
        trace.info["ready"] = True


class Stops(SumTask):
    @vf.stop
    async def enough(self, trace: vf.Trace) -> bool:
        return True


class Nothing(vf.Task[SumData]):
    pass


class Of(vf.Taskset[SumTask]):
    """One task of a kind."""

    kind: type[vf.Task] = Nothing
    data: dict[str, Any] = {}  # noqa: RUF012 (set by a test)

    def load(self) -> Iterator[Any]:
        yield self.kind(SumData(**{"prompt": "What?", "answer": 5, **self.data}), self.config.task)


class Endless(Sums):
    INFINITE = True


__all__ = ["BoxedSums", "Counts", "Endless", "Of", "Sums"]
