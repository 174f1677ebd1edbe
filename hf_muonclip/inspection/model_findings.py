"""What a user should know about a model before training it with MuonClip, derived from its inspection."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..attention.modules.class_source import calls_attention_interface
from ..common.name_ranges import fold, fold_names
from ..common.wording import some_of
from ..models.quantized_saves import method_of, ways_out, why_not_saved_once_loaded
from .findings import Finding
from .inspect import Inspection

# What a note of a module that is only monitored says -> is it a warning, what to do.
_MONITORED: tuple[tuple[str, bool, str], ...] = (
    (
        "LoRA layer",
        True,
        "Watch qk_clip/max_logit in the logs. To clip, train DoRA, or pass scale_lora_base=True and save the whole "
        "model.",
    ),
    ("bound its logits", False, ""),
    ("quantized", True, "Watch qk_clip/max_logit in the logs. To clip, load the model without quantization."),
    ("frozen", True, "Watch qk_clip/max_logit in the logs. To clip, train its query or key projection."),
)
_WATCH = "Watch qk_clip/max_logit in the logs."


def model_findings(inspection: Inspection, compiles: bool = False) -> list[Finding]:
    """Return what a user should know about a model before training it.

    Args:
        inspection: the result of `inspect_model`.
        compiles: whether torch.compile will be on.
    """
    return [
        *_of_refusal(inspection),
        *_of_plan(inspection),
        *_of_granularity(inspection),
        *_of_notes(inspection),
        *_of_config(inspection),
        *_of_other_scores(inspection, compiles),
    ]


def _of_refusal(inspection: Inspection) -> Iterator[Finding]:
    if inspection.refusal:
        way_out = f"With weights it may be found by behaviour: hf-muonclip inspect {inspection.source} --weights"
        yield Finding("refused", inspection.refusal, way_out if inspection.needs_weights else "")


def _of_plan(inspection: Inspection) -> Iterator[Finding]:
    if not any(planned.algorithm == "muon" for planned in inspection.plan):
        yield Finding(
            "refused",
            "Muon needs at least one trainable hidden matrix; this model has none.",
            "Unfreeze layers, or train with AdamW.",
        )
    whole = [planned.name for planned in inspection.plan if "kept whole" in planned.reason]
    if whole:
        yield Finding(
            "warning",
            f"{_listed(whole)}: fused weights that no rule can cut apart; Muon orthogonalizes each as one matrix.",
            'Nothing must be done. group_overrides={"PATTERN": {"algorithm": "adamw"}} gives them to AdamW.',
        )
    experts = [p.name for p in inspection.plan if p.algorithm == "muon" and len(p.shape) == 3 and "expert" in p.reason]
    if experts:
        yield Finding(
            "note",
            f"{_listed(experts)}: Muon treats each expert as its own matrix. The Trainer saves experts in another "
            "form than it loads.",
            "To resume, give MuonClipCallback() to the Trainer's constructor, or call attach(trainer).",
        )


def _of_granularity(inspection: Inspection) -> Iterator[Finding]:
    layouts = inspection.layout
    by_layer = [name for name in layouts if layouts[name].granularity == "layer"]
    if by_layer:
        yield Finding(
            "warning",
            f"{_listed(by_layer)}: all heads share a norm's gain (QK-norm). The clip scales that gain, so a layer is "
            "clipped as one, by its highest head.",
            "Nothing must be done. qk_clip_threshold=inf measures without clipping.",
        )
    by_key = [name for name in layouts if layouts[name].granularity == "key head"]
    if by_key:
        yield Finding(
            "note", f"{_listed(by_key)}: heads that share a key are clipped together, by the highest of them.", ""
        )


def _of_notes(inspection: Inspection) -> Iterator[Finding]:
    layouts = inspection.layout

    def key(name: str) -> Any:
        return layouts[name].granularity, layouts[name].note, bool(layouts[name].shares_weights_with)

    for folded, members in fold({name: key(name) for name in layouts}):
        layout = layouts[members[0]]
        if layout.granularity == "monitored":
            said = f"{folded}: measured and not clipped. {layout.note[:1].upper()}{layout.note[1:]}."
            is_warning, way_out = next(
                ((warning, way) for phrase, warning, way in _MONITORED if phrase in layout.note), (True, _WATCH)
            )
            yield Finding("warning" if is_warning else "note", said, way_out)
        elif layout.note:
            yield Finding("note", f"{folded}: {layout.note}.")
        if layout.shares_weights_with:
            yield Finding(
                "note", f"{folded}: shares weights with another layer; both are scaled once, by the smaller gamma."
            )
    for folded, members in fold(layouts.not_applicable):
        yield Finding(
            "note", f"{folded}: no softmax attention, so nothing to clip ({layouts.not_applicable[members[0]]})."
        )


def _of_config(inspection: Inspection) -> Iterator[Finding]:
    config: Any = getattr(inspection.model, "config", None)
    if config is None:
        return
    text = config.get_text_config()
    if getattr(config, "auto_map", None):
        yield Finding(
            "note",
            "The model comes with its own code. What is said here is of the class that was built, "
            f"{type(inspection.model).__name__}.",
            "--trust-remote-code runs that code. An attention that no rule knows is found by running it.",
        )
    quantization = getattr(config, "quantization_config", None)
    if quantization:
        yield _of_quantization(inspection.model, quantization)
    cap = getattr(text, "attn_logit_softcapping", None)
    if cap:
        yield Finding("note", f"The model caps its logits softly at {cap:g}. Max logits are measured before that cap.")


def _of_quantization(model: Any, quantization: Any) -> Finding:
    method = method_of(quantization)
    reason = why_not_saved_once_loaded(model)
    if reason:
        return Finding(
            "refused",
            f"The config asks for quantized weights ({method}) that train as plain weights once they are loaded, and "
            f"save_pretrained fails: {reason}. A Trainer that saves is refused.",
            ways_out(quantization),
        )
    unknown = " Whether what is trained can be saved cannot be tried here." if reason is None else ""
    return Finding(
        "warning",
        f"The config asks for quantized weights ({method}), whose rows cannot be scaled: they are frozen, and their "
        f"heads measured and not clipped.{unknown}",
        f"{ways_out(quantization)} With adapters, watch qk_clip/max_logit.",
    )


def _of_other_scores(inspection: Inspection, compiles: bool) -> Iterator[Finding]:
    model = inspection.model
    own = [name for name in inspection.layout if not calls_attention_interface(model.get_submodule(name))]
    if own:
        finding = Finding(
            "warning",
            f"{_listed(own)}: computes scores outside of transformers' attention interface, where torch.compile cannot "
            "measure them.",
            "Leave torch_compile off, or pass qk_clip_threshold=None.",
        )
        yield replace(finding, level="refused") if compiles else finding


def _listed(names: Sequence[str]) -> str:
    return some_of(fold_names(names), 2)
