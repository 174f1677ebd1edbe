"""Domains mixed in one run of the trainer: their columns reach their own rewards, and theirs alone."""

from pathlib import Path

import pytest
from datasets import Dataset
from tiny_rl import rl_trainer

pytest.importorskip("if_verifiable")

from hf_muonclip.rl import GraderPool, code_spec, instruction_rows, instruction_spec, mix


def test_instructions_and_code_in_one_run(tmp_path: Path) -> None:
    task = {"prompt": [{"role": "user", "content": "w7"}], "tests": ["assert f(2) == 4"], "gold": "def f(n): return 4"}
    with GraderPool(workers=1, deadline=30) as pool:
        specs = [
            instruction_spec(instruction_rows(8, chat=True), pool=pool),
            code_spec(Dataset.from_list([task] * 8), rows_checked=1),
        ]
        spec = mix(specs, weights=[1, 1])
        trainer = rl_trainer(tmp_path, given=spec.trainer_kwargs(), max_steps=2, logging_steps=2)
        trainer.train()
    (log,) = [log for log in trainer.state.log_history if "reward" in log]
    domains = {"instruction/instruction_following", "code/code"}
    assert {name.removeprefix("rewards/").removesuffix("/mean") for name in log if name.endswith("/mean")} >= domains
    assert "instruction_following/falsely_claimed" in log
    assert not +trainer.not_measured.total
