"""What is drawn follows the model's distribution, and each row's own random numbers alone."""

import math

import pytest
import torch

from hf_muonclip.evaluation.sampling import answer_seed, sampling_processors

LOGITS = torch.tensor([1.0, -2.0, 0.5, -math.inf, 2.0, 0.0])


def draw(seeds: list[str], temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> list[int]:
    scores = LOGITS.repeat(len(seeds), 1)
    drawn = sampling_processors(seeds, temperature, top_k, top_p)(torch.zeros(len(seeds), 1, dtype=torch.long), scores)
    assert drawn.isfinite().sum(-1).tolist() == [1] * len(seeds)
    return drawn.argmax(-1).tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_the_softmax_says(temperature: float) -> None:
    count = 20_000
    tokens = draw([answer_seed(0, run, 0) for run in range(count)], temperature)
    found = torch.bincount(torch.tensor(tokens), minlength=len(LOGITS)).double() / count
    wanted = (LOGITS.double() / temperature).softmax(-1)
    assert found[3] == 0
    assert torch.all((found - wanted).abs() <= 4.5 * (wanted * (1 - wanted) / count).sqrt())


def test_a_row_draws_the_same_among_others_and_goes_on_drawing() -> None:
    together = sampling_processors(["a", "b", "c"], 1.0, 0, 1.0)
    alone = sampling_processors(["b"], 1.0, 0, 1.0)
    ids = torch.zeros(3, 1, dtype=torch.long)
    rows = [together(ids, LOGITS.repeat(3, 1)).argmax(-1).tolist() for _ in range(20)]
    assert [row[1] for row in rows] == [alone(ids[:1], LOGITS[None]).argmax(-1).item() for _ in range(20)]
    assert len({tuple(column) for column in zip(*rows, strict=True)}) == 3
    assert len({row[1] for row in rows}) > 1


def test_truncated_distributions_never_leave_their_tokens() -> None:
    seeds = [f"{index}" for index in range(300)]
    assert set(draw(seeds, top_k=2)) == {0, 4}
    assert set(draw(seeds, top_p=0.5)) == {4}
    assert set(draw(seeds, top_p=0.7)) == {0, 4}
    assert len(set(draw(seeds))) > 3


def test_greedy_needs_no_processor() -> None:
    assert len(sampling_processors(["a"], 0.0, 5, 0.5)) == 0


def test_every_answer_has_a_seed_of_its_own() -> None:
    places = [(seed, run, question) for seed in range(3) for run in range(12) for question in range(12)]
    assert len({answer_seed(*place) for place in places}) == len(places)
