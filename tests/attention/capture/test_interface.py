"""The interception comes and goes without a trace, whatever happens in between."""

from typing import Any

import pytest
import torch
from error_messages import naming
from tiny_models import random_batch, tiny_model
from torch import Tensor, nn
from transformers import AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface

from hf_muonclip import capture_max_logits
from hf_muonclip.attention import MaxLogitCapture
from hf_muonclip.attention.capture.interface import start_observing, stop_observing

ORIGINAL = AttentionInterface.get_interface
ATTRIBUTE = "_attention_observer"
COMPILER_SETTING = "skip_fwd_side_effects_in_bwd_under_checkpoint"  # which older torch lacks


class Recorder:
    """Keeps every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[nn.Module, Tensor, Tensor, Tensor, Any, dict[str, Any], Any]] = []

    keeps_graph = False

    def observe(self, *call: Any) -> None:
        self.calls.append(call)

    def observe_scores(self, *call: Any) -> None:
        raise AssertionError("Llama calls the interface")

    def wants(self, module: nn.Module) -> bool:
        return True


@pytest.fixture(autouse=True)
def leaves_no_trace() -> Any:
    setting = getattr(torch._dynamo.config, COMPILER_SETTING, None)
    yield
    assert AttentionInterface.get_interface is ORIGINAL
    assert getattr(torch._dynamo.config, COMPILER_SETTING, None) is setting


def attention_modules(model: nn.Module) -> dict[str, nn.Module]:
    return {name: module for name, module in model.named_modules() if name.endswith("self_attn")}


def carriers(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if hasattr(module, ATTRIBUTE)]


def test_an_observer_sees_the_final_operands_of_its_own_module_only() -> None:
    model = tiny_model("llama_gqa").eval()
    observed, recorder = attention_modules(model)["model.layers.1.self_attn"], Recorder()
    start_observing({"second": observed}, {"second": recorder})
    try:
        model(**random_batch(model))
    finally:
        stop_observing({"second": observed})
    [(module, query, key, value, _, kwargs, convention)] = recorder.calls
    assert convention == "sdpa"
    assert module is observed
    assert query.shape == (2, 4, 16, 16)
    assert key.shape == value.shape == (2, 2, 16, 16)  # not repeated
    assert kwargs["scaling"] == observed.scaling
    assert carriers(model) == []
    model(**random_batch(model))
    assert len(recorder.calls) == 1


def test_an_observed_model_computes_the_same_bits() -> None:
    model = tiny_model("llama_gqa").eval()
    batch = random_batch(model, padding="left")
    modules = attention_modules(model)
    alone = model(**batch).logits
    start_observing(modules, {name: Recorder() for name in modules})
    try:
        observed = model(**batch).logits
    finally:
        stop_observing(modules)
    assert torch.equal(observed, alone)


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_the_last_observation_to_end_takes_the_interception_away(first_to_end: int) -> None:
    models = [tiny_model("llama_gqa"), tiny_model("llama_mha")]
    modules = [attention_modules(model) for model in models]
    recorders = [Recorder(), Recorder()]
    for own, recorder in zip(modules, recorders, strict=True):
        start_observing(own, dict.fromkeys(own, recorder))
    wrapped = AttentionInterface.get_interface
    assert wrapped is not ORIGINAL
    stop_observing(modules[first_to_end])
    assert AttentionInterface.get_interface is wrapped
    for model in models:
        model(**random_batch(model))
    assert len(recorders[first_to_end].calls) == 0
    assert len(recorders[1 - first_to_end].calls) == 2
    stop_observing(modules[1 - first_to_end])


def test_a_second_observer_is_refused_and_nothing_is_added() -> None:
    model = tiny_model("llama_gqa")
    modules = attention_modules(model)
    second = {"model.layers.1.self_attn": modules["model.layers.1.self_attn"]}
    observer = Recorder()
    start_observing(second, {"model.layers.1.self_attn": observer})
    try:
        with pytest.raises(ValueError, match=naming("model.layers.1.self_attn", "detach()")):
            start_observing(modules, {name: Recorder() for name in modules})
        assert carriers(model) == ["model.layers.1.self_attn"]
        assert getattr(modules["model.layers.1.self_attn"], ATTRIBUTE) is observer
    finally:
        stop_observing(second)


def test_an_exception_inside_the_block_restores_everything() -> None:
    model = tiny_model("llama_gqa")

    def fail_while_measuring() -> None:
        with capture_max_logits(model):
            assert carriers(model) == list(attention_modules(model))
            assert AttentionInterface.get_interface is not ORIGINAL
            raise RuntimeError("out of the block")

    with pytest.raises(RuntimeError, match="out of the block"):
        fail_while_measuring()
    assert carriers(model) == []


def test_an_exception_inside_a_forward_leaves_the_capture_working() -> None:
    model = tiny_model("llama_gqa")
    batch = random_batch(model)
    with torch.no_grad(), capture_max_logits(model) as logits:
        with pytest.raises(IndexError):
            model(input_ids=batch["input_ids"] + 1000)
        model(**batch)
    assert len(logits) == 2


def test_closing_twice_takes_nothing_from_others() -> None:
    model, other = tiny_model("llama_gqa"), tiny_model("llama_mha")
    capture = MaxLogitCapture(attention_modules(model))
    with torch.no_grad(), capture_max_logits(other) as logits:
        capture.close()
        capture.close()
        other(**random_batch(other))
    assert len(logits) == 2
    assert carriers(model) == []


class OtherLibrary:
    """Lays a wrapper of its own around `get_interface`, and counts the calls that it sees."""

    def __init__(self) -> None:
        self.calls = 0
        self.below = AttentionInterface.get_interface
        below = self.below

        def get_interface(interface: AttentionInterface, *args: Any) -> Any:
            self.calls += 1
            return below(interface, *args)

        self.wrapper = get_interface
        AttentionInterface.get_interface = get_interface

    def end(self) -> None:
        """Put back what it found, as most libraries do."""
        AttentionInterface.get_interface = self.below


def test_the_wrapper_of_another_library_stays_when_we_end_first() -> None:
    model = tiny_model("llama_gqa").eval()
    batch = random_batch(model)
    other = None
    try:
        for _ in range(3):
            with torch.no_grad(), capture_max_logits(model) as logits:
                other = other or OtherLibrary()
                model(**batch)
            assert len(logits) == 2
            assert AttentionInterface.get_interface is other.wrapper
        before = other.calls
        model(**batch)
        assert other.calls == before + 2  # once a layer: nothing piles up
    finally:
        AttentionInterface.get_interface = ORIGINAL


def test_nothing_piles_up_where_another_library_ends_after_us() -> None:
    model = tiny_model("llama_gqa").eval()
    try:
        for _ in range(3):
            capture = MaxLogitCapture(attention_modules(model))
            other = OtherLibrary()
            capture.close()
            other.end()  # and puts our wrapper back, which passes on
            model(**random_batch(model))
        with torch.no_grad(), capture_max_logits(model) as logits:
            model(**random_batch(model))
        assert len(logits) == 2
        assert AttentionInterface.get_interface is ORIGINAL
    finally:
        AttentionInterface.get_interface = ORIGINAL


@pytest.mark.skipif(
    not hasattr(torch._dynamo.config, COMPILER_SETTING), reason="torch has no setting for effects under checkpointing"
)
def test_a_compiler_setting_that_somebody_else_changed_stays() -> None:
    config, name = torch._dynamo.config, COMPILER_SETTING
    before = getattr(config, name)
    with capture_max_logits(tiny_model("llama_gqa")):
        assert getattr(config, name) is True
        setattr(config, name, None)
    assert getattr(config, name) is None
    setattr(config, name, before)


def test_a_registered_attention_function_still_wins() -> None:
    calls = []

    def own_attention(module: nn.Module, query: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, None]:
        calls.append(module)
        return query.transpose(1, 2), None

    model = tiny_model("llama_gqa")
    AttentionInterface.register("own_attention", own_attention)
    AttentionMaskInterface.register("own_attention", eager_mask)
    try:
        model.set_attn_implementation("own_attention")
        with torch.no_grad(), capture_max_logits(model) as logits:
            model(input_ids=random_batch(model)["input_ids"])
    finally:
        ALL_ATTENTION_FUNCTIONS._global_mapping.pop("own_attention")
        AttentionMaskInterface._global_mapping.pop("own_attention")
    assert len(calls) == len(logits) == 2
