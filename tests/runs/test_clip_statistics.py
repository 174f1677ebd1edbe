"""The counts per head, over a run and since its last log."""

import json
import math
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import tiny_model

from hf_muonclip import detect_head_layout
from hf_muonclip.runs.clip_statistics import ClipStatistics, SinceLastLog


def test_statistics_of_another_model_are_refused() -> None:
    statistics = ClipStatistics({"layers.0.self_attn": 4})
    other = ClipStatistics({"layers.0.self_attn": 8})
    with pytest.raises(ValueError, match=naming(8, 4)):
        statistics.load_dict(other.to_dict())


def test_statistics_count_first_last_and_highest() -> None:
    statistics = ClipStatistics({"a": 2, "b": 1})
    maxima = [[1.0, -math.inf, 3.0], [5.0, -math.inf, 2.0], [2.0, -math.inf, 1.0]]
    clipped = [[False, False, True], [True, False, False], [True, False, True]]
    for step, (values, which) in enumerate(zip(maxima, clipped, strict=True), start=4):
        statistics.record(step, torch.tensor(values), torch.tensor(which))
    exported = statistics.to_dict()
    assert exported == {
        "a": {
            "first_clip_step": [5, None],
            "last_clip_step": [6, None],
            "clips": [2, 0],
            "highest_max_logit": [5.0, None],
        },
        "b": {"first_clip_step": [4], "last_clip_step": [6], "clips": [2], "highest_max_logit": [3.0]},
    }
    assert statistics.clipped_heads == 2
    restored = ClipStatistics({"a": 2, "b": 1})
    restored.load_dict(json.loads(json.dumps(exported)))
    assert restored.to_dict() == exported
    assert torch.equal(restored.highest, statistics.highest)


def since_last_log() -> SinceLastLog:
    since = SinceLastLog(8)
    unmeasured = [-math.inf] * 4
    since.record(torch.tensor([1.0, 2.0, 3.0, 4.0, *unmeasured]), torch.tensor([1.0] * 8))
    since.record(torch.tensor([4.0, 1.0, 1.0, 8.0, *unmeasured]), torch.tensor([0.5, 1.0, 1.0, 0.25, *[1.0] * 4]))
    since.record(torch.tensor([2.0, 1.0, 1.0, 5.0, *unmeasured]), torch.tensor([1.0, 1.0, 1.0, 0.4, *[1.0] * 4]))
    return since


def test_figures_since_the_last_log() -> None:
    layout = detect_head_layout(tiny_model("llama_mha", num_hidden_layers=2))
    assert [module.num_attention_heads for module in layout.values()] == [4, 4]
    assert since_last_log().figures(layout) == {
        "qk_clip/max_logit": 8.0,
        "qk_clip/max_logit/layer_0": 8.0,  # of layer 1 nothing was measured
        "qk_clip/clipped_heads": 2,
        "qk_clip/min_gamma": 0.25,
    }
    unused: dict[str, Any] = {"qk_clip/clipped_heads": 0, "qk_clip/min_gamma": 1.0}
    assert SinceLastLog(8).figures(layout) == unused


def test_the_row_of_a_log_and_the_way_through_a_checkpoint() -> None:
    since = since_last_log()
    row = since.per_module({"a": 4, "b": 4})
    assert row == {
        "max_logits": {"a": [4.0, 2.0, 3.0, 8.0], "b": [None] * 4},
        "clips": {"a": [1, 0, 0, 2], "b": [0] * 4},
    }
    restored = SinceLastLog(8)
    restored.load_dict(json.loads(json.dumps(since.to_dict())))
    assert restored.per_module({"a": 4, "b": 4}) == row
    assert restored.min_gamma == 0.25
    older = {name: value for name, value in since.to_dict().items() if name != "min_gamma"}
    restored.load_dict(older)
    assert restored.min_gamma == 1.0
