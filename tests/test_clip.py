"""What QK-Clip keeps between steps, apart from any optimizer."""

import math
import re

import pytest
import torch
from error_messages import naming
from tiny_models import tiny_model
from tiny_trainer import HEADS, THRESHOLD, sharp_model, token_rows
from torch import Tensor
from transformers import PreTrainedModel

from hf_muonclip import MuonClipConfig, capture_max_logits, detect_head_layout, qk_clip_
from hf_muonclip.clip import QKClip, nonfinite_heads

CPU = torch.device("cpu")


class Clip(QKClip):
    """The smallest user of the clip, beside which nobody updates."""

    def __init__(self, model: PreTrainedModel, threshold: float = THRESHOLD, exact: bool = True) -> None:
        super().__init__(model, MuonClipConfig(qk_clip_threshold=threshold, exact_max_logits=exact))
        self.start()

    def step(self) -> None:
        self.max_logits = self.collect(CPU)
        self.gammas = self.apply(self.max_logits)


def tokens() -> Tensor:
    return torch.stack([row["input_ids"] for row in token_rows(count=4)])


def test_a_step_clips_what_all_forwards_since_the_last_one_measured() -> None:
    model, expected = sharp_model().train(), sharp_model()
    with torch.no_grad(), capture_max_logits(expected) as logits:
        expected(input_ids=tokens())
    gammas = qk_clip_(expected, detect_head_layout(expected), dict(logits), THRESHOLD)
    clip = Clip(model)
    for part in tokens().split(1):
        model(input_ids=part)
    clip.step()
    for name, gamma in gammas.items():
        torch.testing.assert_close(clip.gammas[name], gamma, rtol=1e-5, atol=0)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, expected.get_parameter(name), rtol=1e-5, atol=1e-7)
    assert clip.seconds > 0


def test_the_next_step_starts_again_and_detach_frees_the_model() -> None:
    model = sharp_model().train()
    clip = Clip(model)
    model(input_ids=tokens())
    clip.step()
    clip.step()
    assert all(torch.equal(values, torch.full((HEADS,), -math.inf)) for values in clip.max_logits.values())
    clip.detach()
    clip.detach()
    assert clip.capture is None
    assert not any(hasattr(module, "_attention_observer") for module in model.modules())


def test_an_infinite_threshold_and_exact_maxima_screen_nothing() -> None:
    assert Clip(tiny_model("llama_mha"), math.inf).screen_threshold is None


@pytest.mark.parametrize("exact", [False, True])
def test_heads_that_cannot_exceed_the_threshold_are_measured_only_where_asked(exact: bool) -> None:
    model = sharp_model().train()
    clip = Clip(model, 1e6, exact)
    model(input_ids=tokens())
    clip.step()
    for values in clip.max_logits.values():
        assert torch.equal(values.isfinite(), torch.full((HEADS,), exact))
        assert exact or torch.equal(values, torch.full((HEADS,), -math.inf))
    assert all(torch.equal(gammas, torch.ones(HEADS)) for gammas in clip.gammas.values())


@pytest.mark.parametrize(
    ("values", "named"),
    [([1.0, -math.inf], None), ([math.inf, 1.0], naming("head 0", "attention"))],
)
def test_maxima_that_are_not_finite_are_named(values: list[float], named: str | None) -> None:
    said = nonfinite_heads({"attention": torch.tensor(values)})
    assert re.search(named, said) if named else said == ""
