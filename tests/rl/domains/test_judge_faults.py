"""Judges behind a real server in a real run: what they do not measure is counted by cause, and the run goes on."""

import time
from pathlib import Path
from typing import Any

import pytest
from chat_server import address, completion, serving
from datasets import Dataset
from rule_judge import RuleJudge
from tiny_rl import rl_trainer
from tiny_trl import turn

from hf_muonclip.rl.domains.faithfulness import FaithfulnessReward
from hf_muonclip.rl.domains.model import ServerChatModel
from hf_muonclip.rl.domains.safety import SafetyReward


def judged(request: dict[str, Any]) -> tuple[int, Any]:
    """Half of the texts are safe and supported."""
    rule = RuleJudge(
        lambda texts, question: (
            ("UN" if len([*texts.values()][1]) % 2 else "") + ("SUPPORTED" if "sentence" in texts else "SAFE")
        )
    )
    return 200, completion(rule([request["messages"]])[0])


def late(request: dict[str, Any]) -> tuple[int, Any]:
    time.sleep(0.5)
    return judged(request)


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (judged, None),
        (late, "timeout"),
        (lambda request: (503, {}), "unreachable"),
        (lambda request: (200, completion("SAFE and SUPPORTED")), "error"),
        (lambda request: (400, {"error": "too long"}), "error"),
    ],
    ids=["well", "late", "broken", "garbage", "refused"],
)
def test_faults_of_a_server_in_a_run(reply: Any, cause: str | None, tmp_path: Path) -> None:
    rows = [{"prompt": [turn("user", seed)], "context": "w6 w7 w8."} for seed in range(8)]
    with serving(reply) as server:
        judge = ServerChatModel(address(server), "judge", timeout=0.1 if cause == "timeout" else 60)
        given = {
            "train_dataset": Dataset.from_list(rows),
            "reward_funcs": [SafetyReward(judge), FaithfulnessReward(judge)],
        }
        trainer = rl_trainer(tmp_path, given=given, max_steps=1, max_not_measured=1.0)
        trainer.train()
    assert len(server.requests) >= 8
    assert trainer.state.global_step == 1
    found = +trainer.not_measured.total
    assert {function for function, _ in found} == ({"safety", "faithfulness"} if cause else set())
    assert {seen for _, seen in found} == ({cause} if cause else set())
    assert trainer.sampled[0]["advantages"].isfinite().all()
    assert trainer.sampled[0]["advantages"].abs().sum() == 0 or cause is None
