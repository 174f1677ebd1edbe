"""Each answer is what its chat and seed alone give, sampled from the model's own distribution."""

import json
import pickle
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from error_messages import naming
from killed_runs import running
from tiny_models import tiny_model, tiny_tokenizer

from hf_muonclip.synth.generator import Generated, GenerationError
from hf_muonclip.synth.response_cache import CachedGenerator
from hf_muonclip.synth.transformers_generator import TransformersGenerator

WORDS = ["w7 w8", "w9", "w10 w11 w12 w13 w14", "w15 w16", "w17"]
CHATS = [[{"role": "user", "content": words}] for words in WORDS]


def tokenizer() -> Any:
    made = tiny_tokenizer()
    made.chat_template = "[BOS] {% for message in messages %}{{ message['content'] }} {% endfor %}w5"
    return made


def generator(**settings: Any) -> TransformersGenerator:
    model = tiny_model("llama_gqa").eval()
    model.generation_config.eos_token_id = [2, *range(115, 128)]  # many, so that answers end at different lengths
    with torch.no_grad():
        model.lm_head.weight.mul_(8)  # a distribution that is worth sampling from
    return TransformersGenerator(
        model, tokenizer(), **{"max_new_tokens": 12, "temperature": 1.0, "top_p": 1.0, **settings}
    )


def alone(made: TransformersGenerator, place: int, seed: int) -> Generated:
    (answer,) = made.generate([CHATS[place]], [seed])
    return answer


def test_an_answer_does_not_depend_on_its_batch() -> None:
    seeds = [5, 6, 7, 8, 5]
    together = generator(batch_size=5).generate(CHATS, seeds)
    by_two = generator(batch_size=2).generate(CHATS[::-1], seeds[::-1])[::-1]
    assert together == by_two == [alone(generator(), place, seed) for place, seed in enumerate(seeds)]
    assert len({answer.text for answer in together}) == 5
    assert {answer.finished for answer in together} == {True, False}
    for answer in together:
        assert answer.new_tokens == 12 if not answer.finished else 1 <= answer.new_tokens <= 12
    assert [answer.prompt_tokens for answer in together] == [4, 3, 7, 4, 3]


def test_answers_are_told_as_they_come() -> None:
    told: dict[int, Generated] = {}
    answers = generator(batch_size=2).generate(CHATS, range(5), lambda place, answer: told.update({place: answer}))
    assert [told[place] for place in range(5)] == answers


class Noted(TransformersGenerator):
    """The same, which notes in a file the seeds of each batch that it begins, and takes its time."""

    paid = Path()

    def _batch(self, prompts: list[list[int]], seeds: list[int]) -> list[Generated]:
        with self.paid.open("a") as file:
            file.write("".join(f"{seed}\n" for seed in seeds))
        time.sleep(0.02)
        return super()._batch(prompts, seeds)


KILLED_BATCH = 3
KILLED_CHATS = [CHATS[number % 5] for number in range(40)]


def answer_all(folder: Path) -> None:
    torch.set_num_threads(1)
    made = generator()
    noted = Noted(*made._loaded(), max_new_tokens=12, temperature=1.0, top_p=1.0, batch_size=KILLED_BATCH)
    noted.paid = folder / "paid"
    found = CachedGenerator(noted, folder / "cache").generate(KILLED_CHATS, range(40))
    (folder / "done.json").write_text(json.dumps([answer.text for answer in found if isinstance(answer, Generated)]))


def paid_and_stored(folder: Path) -> tuple[int, int]:
    paid, cache = folder / "paid", folder / "cache"
    if not cache.exists() or not paid.exists():
        return 0, 0
    with closing(sqlite3.connect(cache)) as connection:
        stored = connection.execute("SELECT count(*) FROM answers").fetchone()[0]
    return len(paid.read_text().split()), int(stored)


@pytest.mark.slow
def test_a_kill_costs_the_batch_under_way_at_most(tmp_path: Path) -> None:
    """All chats are one call, as those of a shard are: what was answered before in it is kept."""
    draw, kills, lost = random.Random(0), 0, 0
    with running("test_transformers_generator") as runner:
        for _ in range(5):
            before = paid_and_stored(tmp_path)[1]
            runner.start("answer_all", tmp_path)
            deadline = time.monotonic() + 60
            while paid_and_stored(tmp_path)[1] == before and before < 40 and time.monotonic() < deadline:
                time.sleep(0.002)
            time.sleep(draw.random() * 0.05)
            kills += runner.kill()
            paid, stored = paid_and_stored(tmp_path)
            assert 0 <= paid - stored - lost <= KILLED_BATCH
            assert stored > before or before == 40
            lost = paid - stored
        runner.start("answer_all", tmp_path)
        assert runner.ended() == 0
    assert kills >= 3
    expected = generator().generate(KILLED_CHATS, range(40))
    assert json.loads((tmp_path / "done.json").read_text()) == [answer.text for answer in expected]


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (1.0, 0.5)])
def test_tokens_are_sampled_from_the_models_distribution(temperature: float, top_p: float) -> None:
    made = generator(max_new_tokens=1, temperature=temperature, top_p=top_p, batch_size=500)
    draws = 2000
    answers = made.generate([CHATS[0]] * draws, range(draws))
    model, own = made._loaded()
    ids = torch.tensor([made._prompt(CHATS[0])])
    with torch.no_grad():
        p = torch.softmax(model(ids).logits[0, -1].double() / temperature, -1)
    ordered = sorted(range(len(p)), key=lambda token: -p[token])
    kept, total = [], 0.0
    for token in ordered:
        if total >= top_p:
            break
        kept.append(token)
        total += float(p[token])
    found = Counter(answer.text for answer in answers)
    assert {*found} <= {own.decode([token], skip_special_tokens=True) for token in kept}
    for token in kept[:3]:
        share = float(p[token]) / total
        text = own.decode([token], skip_special_tokens=True)
        if text and share > 0.05:
            deviation = (share * (1 - share) / draws) ** 0.5
            assert found[text] / draws == pytest.approx(share, abs=4 * deviation)


def test_greedy_answers_are_those_of_the_model() -> None:
    made = generator(temperature=0.0)
    assert made.generate(CHATS, range(5)) == made.generate(CHATS, range(5, 10))
    model, own = made._loaded()
    ids = torch.tensor([made._prompt(CHATS[2])])
    output = model.generate(ids, do_sample=False, max_new_tokens=12, pad_token_id=0)
    assert alone(made, 2, 0).text == own.decode(output[0, ids.shape[1] :], skip_special_tokens=True)


def test_without_a_chat_template_messages_are_joined() -> None:
    made = generator()
    made._loaded()[1].chat_template = None
    chat = [{"role": "system", "content": "w6"}, {"role": "user", "content": "w7"}]
    assert made._prompt(chat) == made._loaded()[1]("w6\n\nw7\n\n")["input_ids"]


@pytest.mark.parametrize("switch", ["enable_thinking", "thinking"])
def test_a_model_that_can_think_does_not(switch: str) -> None:
    made = generator()
    own = made._loaded()[1]
    own.chat_template = "{% if " + switch + " is not defined or " + switch + " %}w99{% else %}w5{% endif %}"
    assert made._prompt(CHATS[0]) == own("w5", add_special_tokens=False)["input_ids"]


def test_a_full_accelerator_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    made = generator(batch_size=3)

    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(made._loaded()[0], "generate", full)
    with pytest.raises(GenerationError, match=naming("batch_size=3", "max_new_tokens=12")):
        made.generate(CHATS, range(5))


def test_what_does_not_fit_the_window_is_refused() -> None:
    made = generator(max_new_tokens=10_000)
    window = made._loaded()[0].config.max_position_embeddings
    with pytest.raises(ValueError, match=naming(str(window), "10000", "max_new_tokens")):
        made.generate(CHATS, range(5))


def test_the_identity_names_weights_and_settings(tmp_path: Path) -> None:
    first, same = generator(), generator()
    assert first.identity == same.identity
    assert generator(temperature=0.5).identity != first.identity
    with torch.no_grad():
        same._loaded()[0].model.norm.weight[0] += 1
    changed = TransformersGenerator(*same._loaded(), max_new_tokens=12, temperature=1.0, top_p=1.0)
    assert changed.identity != first.identity


def test_a_folder_is_loaded_where_it_is_needed(tmp_path: Path) -> None:
    made = generator()
    model, own = made._loaded()
    model.save_pretrained(tmp_path)
    own.save_pretrained(tmp_path)
    of_folder = TransformersGenerator(tmp_path, max_new_tokens=12, temperature=1.0, top_p=1.0, device="cpu")
    sent = pickle.loads(pickle.dumps(of_folder))
    assert sent.generate(CHATS, range(5)) == made.generate(CHATS, range(5))
    assert sent.identity == of_folder.identity
    assert len(pickle.dumps(sent)) < 2000
    model.bfloat16().save_pretrained(tmp_path)
    rounded = TransformersGenerator(tmp_path, max_new_tokens=12, temperature=1.0, top_p=1.0, device="cpu")
    assert rounded._loaded()[0].dtype == torch.float32
    as_saved = TransformersGenerator(
        tmp_path, max_new_tokens=12, temperature=1.0, top_p=1.0, device="cpu", dtype="bfloat16"
    )
    assert as_saved._loaded()[0].dtype == torch.bfloat16
    assert len({of_folder.identity, rounded.identity, as_saved.identity}) == 3
    model.float()
    with pytest.raises(ValueError, match=naming("LlamaForCausalLM", "folder")):
        pickle.dumps(made)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"max_new_tokens": 0}, ["max_new_tokens", "0"]),
        ({"temperature": -1.0}, ["temperature", "-1.0"]),
        ({"top_p": 0.0}, ["top_p", "0.0"]),
        ({"batch_size": 0}, ["batch_size", "0"]),
        ({"dtype": "float31"}, ["dtype", "float31"]),
        ({"dtype": "nn"}, ["dtype", "nn"]),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], named: list[str]) -> None:
    with pytest.raises(ValueError, match=naming(*named)):
        TransformersGenerator("none", **settings)


def test_other_input_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=naming("tokenizer", "LlamaForCausalLM")):
        TransformersGenerator(tiny_model("llama_gqa"))
    with pytest.raises(ValueError, match=naming("1 seeds", "5 chats")):
        generator().generate(CHATS, [1])
