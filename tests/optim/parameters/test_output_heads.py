"""Heads of every kind are AdamW's, wherever they stand, and what leads to them is Muon's."""

import re
from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import tiny_model
from torch import Tensor, nn
from transformers import BertConfig, BertModel, CLIPConfig, CLIPForImageClassification, LlamaConfig, LlamaForCausalLM

from hf_muonclip import MuonClip
from hf_muonclip.optim.parameters import forward_trace
from hf_muonclip.optim.parameters.forward_trace import trace_forward
from hf_muonclip.optim.parameters.output_heads import find_output_heads
from hf_muonclip.optim.parameters.param_groups import PlannedParameter, plan_parameters
from hf_muonclip.projection_views import projection_views

WIDTH = 16


def planned(model: nn.Module) -> dict[str, PlannedParameter]:
    return {entry.name: entry for entry in plan_parameters(model, projection_views(model))}


def muon_names(model: nn.Module) -> set[str]:
    return {name for name, entry in planned(model).items() if entry.algorithm == "muon"}


class Block(nn.Module):
    """A pre-norm layer of a plain transformer, with attention that no rule knows."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.to_q, self.to_k, self.to_v = (nn.Linear(WIDTH, size) for size in (WIDTH, 8, 8))
        self.out = nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 40), nn.Linear(40, WIDTH)

    def forward(self, states: Tensor) -> Tensor:
        normed = self.norm1(states)
        query, key, value = self.to_q(normed), self.to_k(normed).repeat(1, 1, 2), self.to_v(normed).repeat(1, 1, 2)
        states = states + self.out((query @ key.mT).softmax(-1) @ value)
        return states + self.down(self.up(self.norm2(states)).relu())


class Transformer(nn.Module):
    """A plain transformer as timm and nanoGPT write theirs: a stem, blocks, a norm, and what a subclass makes of it."""

    def __init__(self, image: bool = False) -> None:
        super().__init__()
        self.embed: nn.Module = nn.Conv2d(3, WIDTH, 4, stride=4) if image else nn.Embedding(100, WIDTH)
        self.img_size = 16
        self.blocks = nn.ModuleList([Block(), Block()])
        self.norm = nn.LayerNorm(WIDTH)

    def states(self, inputs: Tensor) -> Tensor:
        states = self.embed(inputs)
        states = states.flatten(2).mT if states.ndim == 4 else states
        for block in self.blocks:
            states = block(states)
        return self.norm(states)


BODY = {f"blocks.{i}.{name}.weight" for i in (0, 1) for name in ("to_q", "to_k", "to_v", "out", "up", "down")}


class Backbone(Transformer):
    def forward(self, inputs: Tensor) -> Tensor:
        return self.states(inputs)


class ImageClassifier(Transformer):
    def __init__(self, classes: int) -> None:
        super().__init__(image=True)
        self.head = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.states(x).mean(1))


class LanguageModelWithHeads(Transformer):
    """Several heads in a list, each as wide as the states, and a loss inside the forward."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.outs = nn.ModuleList([nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)])

    def forward(self, tokens: Tensor, targets: Tensor | None = None) -> Any:
        states = self.mix(self.states(tokens)).tanh()
        logits = [out(states) / 30.0 for out in self.outs]
        if targets is None:
            return {"logits": logits}
        return sum(nn.functional.cross_entropy(each.flatten(0, 1), targets.flatten()) for each in logits)


class RequiresTargets(LanguageModelWithHeads):
    def forward(self, tokens: Tensor, targets: Tensor) -> Any:  # returns the loss alone
        return super().forward(tokens, targets)


class Joiner(nn.Module):
    """A transducer: two encoders whose states are added, and a vocabulary of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.predictor = nn.Linear(20, WIDTH), nn.Linear(20, WIDTH)
        self.ctc = nn.Linear(WIDTH, 32)
        self.proj = nn.Linear(WIDTH, 32)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        heard = self.encoder(features)
        return self.proj((heard + self.predictor(features)).tanh()), self.ctc(heard.relu()).log_softmax(-1)


class Contrastive(Transformer):
    def __init__(self) -> None:
        super().__init__()
        self.to_space = nn.Linear(WIDTH, 24)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        return {"text_embeds": self.to_space(self.states(tokens)[:, 0])}


class WithoutForward(nn.Module):
    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


def bert(**fields: Any) -> BertModel:
    return BertModel(
        BertConfig(
            vocab_size=100,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=1,
            num_attention_heads=4,
            max_position_embeddings=32,
            **fields,
        )
    )


def llama(**fields: Any) -> LlamaForCausalLM:
    fields = {"vocab_size": 100, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, **fields}
    return LlamaForCausalLM(LlamaConfig(num_attention_heads=4, **fields))


def test_a_model_without_a_head_keeps_every_matrix() -> None:
    assert muon_names(Backbone()) == BODY
    base = llama().model
    assert muon_names(base) == {name for name, p in base.named_parameters() if p.ndim == 2 and "embed" not in name}
    encoder = bert()
    assert muon_names(encoder) == {
        name for name, p in encoder.named_parameters() if p.ndim == 2 and "embeddings" not in name
    }


@pytest.mark.parametrize("classes", [7, WIDTH, 40, 3 * WIDTH])  # also as many as the states, the MLP or a fused map
def test_an_image_classifier(classes: int) -> None:
    model = ImageClassifier(classes)
    assert muon_names(model) == BODY
    assert re.search(naming("head"), planned(model)["head.weight"].reason)


def test_heads_as_wide_as_the_states_are_told_from_a_matrix_before_them() -> None:
    for model in (LanguageModelWithHeads(), RequiresTargets()):
        assert muon_names(model) == BODY | {"mix.weight"}
    assert re.search(naming("head", "logits"), planned(LanguageModelWithHeads())["outs.1.weight"].reason)


def test_transducer_and_ctc_heads_are_found_and_their_encoders_kept() -> None:
    assert muon_names(Joiner()) == {"encoder.weight", "predictor.weight"}


def test_a_projection_into_a_space_of_embeddings_stays_a_hidden_matrix() -> None:
    assert muon_names(Contrastive()) == BODY | {"to_space.weight"}


def test_scores_of_plain_sequences() -> None:
    assert muon_names(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8))) == {
        "0.weight",
        "2.weight",
    }


def test_what_stands_around_transformers_models_in_a_module_that_does_not_run() -> None:
    model = WithoutForward(
        encoder=bert(),
        projector=nn.Linear(64, 96),
        lm=llama(hidden_size=96),
        value=nn.Linear(96, 1),
        out=nn.Linear(64, 1000),
    )
    plan = planned(model)
    heads = {"lm.lm_head.weight", "value.weight", "out.weight"}
    assert {name for name in heads if plan[name].algorithm != "adamw"} == set()
    assert plan["projector.weight"].algorithm == "muon"
    assert re.search(naming("head", "group_overrides"), plan["projector.weight"].reason)
    assert plan["lm.model.layers.0.mlp.down_proj.weight"].algorithm == "muon"
    assert plan["encoder.encoder.layer.0.output.dense.weight"].algorithm == "muon"


def test_a_name_decides_where_nothing_else_does() -> None:
    plan = planned(WithoutForward(encoder=bert(), classifier=nn.Linear(64, 64), mixer=nn.Linear(64, 64)))
    assert plan["classifier.weight"].algorithm == "adamw"
    assert re.search(naming("head", "muon"), plan["classifier.weight"].reason)
    assert plan["mixer.weight"].algorithm == "muon"


class ActorCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lm = llama()
        self.critic = nn.Sequential(nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        output = self.lm(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        return output.logits, self.critic(output.hidden_states[-1])


def test_an_actor_with_a_value_head_that_runs() -> None:
    model = ActorCritic()
    plan = planned(model)
    assert plan["lm.lm_head.weight"].algorithm == plan["critic.2.weight"].algorithm == "adamw"
    assert plan["critic.0.weight"].algorithm == "muon"
    assert "group_overrides" not in plan["critic.0.weight"].reason


def test_heads_inside_lists_of_layers_are_known_by_their_vocabulary() -> None:
    medusa = nn.ModuleList([nn.Sequential(nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 100)) for _ in range(2)])
    plan = planned(WithoutForward(lm=llama(), medusa=medusa))
    for index in range(2):
        assert re.search(naming("head", 100), plan[f"medusa.{index}.2.weight"].reason)
        assert plan[f"medusa.{index}.0.weight"].algorithm == "muon"


def test_a_classifier_that_stands_in_a_transformers_model_without_a_base() -> None:
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**tower, "vocab_size": 64},
        vision_config={**tower, "image_size": 32, "patch_size": 16},
        num_labels=32,
    )
    reason = planned(CLIPForImageClassification(config))["classifier.weight"].reason
    assert re.search(naming("head", "logits"), reason)


def test_a_table_tied_to_a_head_that_is_registered_first_is_an_embedding() -> None:
    model = Transformer()
    first = WithoutForward(unembed=nn.Linear(WIDTH, 100, bias=False), body=model)
    first.unembed.weight = model.embed.weight
    assert "embedding" in planned(first)["unembed.weight"].reason


def test_the_decision_is_the_same_without_weights() -> None:
    for build in (lambda: ImageClassifier(WIDTH), ActorCritic, LanguageModelWithHeads, Joiner):
        model = build()
        with torch.device("meta"):
            weightless = build()
        assert find_output_heads(model) == find_output_heads(weightless)


def test_a_trace_leaves_no_mark_on_the_model() -> None:
    class Marks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
            self.calls: list[int] = []
            self.cache: Any = None

        def forward(self, x: Tensor) -> Tensor:
            self.calls.append(1)
            self.cache = self.linear(x)
            return self.norm(self.cache)

    model = Marks().train()
    called: list[int] = []
    model.register_forward_hook(lambda *_: called.append(1))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seed = torch.random.get_rng_state()
    assert trace_forward(model) is not None
    assert (model.calls, model.cache, called, model.training) == ([], None, [], True)
    assert all(not tensor.is_meta for tensor in model.state_dict().values())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(seed, torch.random.get_rng_state())


def test_a_forward_that_asks_for_values_or_never_ends_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward_trace, "_MOST_OPERATIONS", 300)

    class Asks(ImageClassifier):
        def forward(self, x: Tensor) -> Tensor:
            states = self.states(x).mean(1)
            if states.sum().item() > 0 and bool((states > 0).any()):
                states = states[states[:, 0] > 0]
            return self.head(states)

    class Endless(ImageClassifier):
        def forward(self, x: Tensor) -> Tensor:
            while True:
                x = x + 1

    assert trace_forward(Asks(7)) is not None
    assert trace_forward(Endless(7)) is None
    assert planned(Endless(7))["head.weight"].algorithm == "adamw"


@pytest.mark.parametrize("name", ["llama_gqa", "deepseek_v3", "mixtral", "gpt_oss"])
def test_language_models_run_without_weights_and_their_head_is_what_they_return(name: str) -> None:
    trace = trace_forward(tiny_model(name))
    assert trace is not None
    assert dict(trace.returned) == {"lm_head.weight": "logits"}
    assert "model.embed_tokens.weight" in trace.looked_up
    assert any(name.endswith("down_proj") or name.endswith("down_proj.weight") for name in trace.multiplied)


def test_a_head_can_be_given_back() -> None:
    model = ActorCritic()
    overrides = {"critic.2.weight": {"algorithm": "muon"}}
    plan = {p.name: p for p in MuonClip(model, qk_clip_threshold=None, group_overrides=overrides).plan}
    assert plan["critic.2.weight"].algorithm == "muon"
