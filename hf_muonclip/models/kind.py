"""What kind of model a module is, for its card: its task on the Hub, its name for people, and the code that loads it.

All of it follows from the module's own class: which of transformers' Auto classes loads this very class, where else the
class can be imported from, whether it is an adapter. What cannot be told is left out, or raises `UnknownKindError`.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from torch import nn
from transformers import PreTrainedModel

# The Auto class, its task on the Hub (None where the Hub has none) and its name for people. Of several that
# load a class, the first here says most.
_KINDS: tuple[tuple[str, str | None, str], ...] = (
    ("AutoModelForDocumentQuestionAnswering", "document-question-answering", "document question-answering model"),
    ("AutoModelForVisualQuestionAnswering", "visual-question-answering", "visual question-answering model"),
    ("AutoModelForTableQuestionAnswering", "table-question-answering", "table question-answering model"),
    ("AutoModelForQuestionAnswering", "question-answering", "extractive question-answering model"),
    ("AutoModelForSequenceClassification", "text-classification", "text classifier"),
    ("AutoModelForTokenClassification", "token-classification", "token classifier"),
    ("AutoModelForMultipleChoice", "multiple-choice", "multiple-choice model"),
    ("AutoModelForNextSentencePrediction", None, "next-sentence classifier"),
    ("AutoModelForImageClassification", "image-classification", "image classifier"),
    ("AutoModelForVideoClassification", "video-classification", "video classifier"),
    ("AutoModelForAudioClassification", "audio-classification", "audio classifier"),
    ("AutoModelForAudioFrameClassification", None, "classifier of audio frames"),
    ("AutoModelForAudioXVector", None, "speaker embedding model"),
    ("AutoModelForCTC", "automatic-speech-recognition", "speech recognition model (CTC)"),
    ("AutoModelForRNNT", "automatic-speech-recognition", "speech recognition model (transducer)"),
    ("AutoModelForTDT", "automatic-speech-recognition", "speech recognition model (transducer)"),
    ("AutoModelForSpeechSeq2Seq", "automatic-speech-recognition", "encoder-decoder speech recognition model"),
    ("AutoModelForTextToWaveform", "text-to-audio", "text-to-audio model"),
    ("AutoModelForTextToSpectrogram", "text-to-speech", "text-to-speech model"),
    ("AutoModelForAudioTokenization", None, "audio tokenizer"),
    ("AutoModelForZeroShotObjectDetection", "zero-shot-object-detection", "zero-shot object detector"),
    ("AutoModelForObjectDetection", "object-detection", "object detector"),
    ("AutoModelForUniversalSegmentation", "image-segmentation", "image segmentation model"),
    ("AutoModelForInstanceSegmentation", "image-segmentation", "image segmentation model"),
    ("AutoModelForSemanticSegmentation", "image-segmentation", "image segmentation model"),
    ("AutoModelForImageSegmentation", "image-segmentation", "image segmentation model"),
    ("AutoModelForMaskGeneration", "mask-generation", "mask generation model"),
    ("AutoModelForDepthEstimation", "depth-estimation", "depth estimation model"),
    ("AutoModelForKeypointDetection", "keypoint-detection", "keypoint detector"),
    ("AutoModelForPoseEstimation", "keypoint-detection", "pose estimation model"),
    ("AutoModelForKeypointMatching", None, "keypoint matching model"),
    ("AutoModelForImageToImage", "image-to-image", "image-to-image model"),
    ("AutoModelForImageMatting", None, "image matting model"),
    ("AutoModelForTextRecognition", "image-to-text", "text recognition model"),
    ("AutoModelForTableRecognition", None, "table recognition model"),
    ("AutoModelForTimeSeriesPrediction", "time-series-forecasting", "time series forecaster"),
    ("AutoModelForImageTextToText", "image-text-to-text", "vision-language model"),
    ("AutoModelForMultimodalLM", None, "multimodal language model"),
    ("AutoModelForSeq2SeqLM", "text2text-generation", "encoder-decoder language model"),
    ("AutoModelForCausalLM", "text-generation", "causal language model"),
    ("AutoModelForMaskedLM", "fill-mask", "masked language model"),
    ("AutoModelForZeroShotImageClassification", "zero-shot-image-classification", "model of images and texts"),
    ("AutoModelForMaskedImageModeling", None, "masked image model"),
    ("AutoModelForPreTraining", None, "model with its pretraining heads"),
    ("AutoModel", None, "model without a head"),
    ("AutoModelForTextEncoding", "feature-extraction", "text encoder"),
    ("AutoBackbone", "image-feature-extraction", "vision backbone"),
)
_FEATURES = {"input_ids": "feature-extraction", "pixel_values": "image-feature-extraction"}
_CONTINUE_TEXT = ("AutoModelForCausalLM", "AutoModelForSeq2SeqLM")  # and mean the loss of tokens by their loss
_METHODS = {"LORA": "LoRA", "ADALORA": "AdaLoRA", "LOHA": "LoHa", "LOKR": "LoKr"}  # as their papers write them
_DEFAULT_CLASSES = 2  # of a configuration that names no number


class UnknownKindError(ValueError):
    """A model's kind is not known well enough for its card."""


@dataclass(frozen=True, kw_only=True)
class ModelKind:
    """What a card says of a model's kind.

    Attributes:
        noun: for people, with its article: "a causal language model".
        pipeline_tag: the Hub's name of its task; None where it has none or none is known.
        library_name: the Hub's name of the library that loads it; None for a module of no library.
        tags: tags for its library and form.
        continues_text: whether it continues a prompt, and its own loss is one of tokens.
        imports: lines of its loading code.
        loading: lines that define `model` from `name`; of a plain module, `weights`.
        result: what those lines define.
        file: that a folder must hold for this code to load it.
        base_model: the Hub's name of the model under an adapter.
    """

    noun: str
    pipeline_tag: str | None
    library_name: str | None
    tags: tuple[str, ...] = ()
    continues_text: bool = False
    imports: tuple[str, ...]
    loading: tuple[str, ...]
    result: str = "model"
    file: str = "config.json"
    base_model: str | None = None


def kind_of(model: nn.Module) -> ModelKind:
    """Return what kind of model a module is.

    Args:
        model: transformers' or of a class of its own, with or without PEFT's adapters, or any other module.

    Raises:
        UnknownKindError: a card could not say how the model is loaded; the message says why.
    """
    model = uncompiled(model)
    if not isinstance(model, PreTrainedModel):
        return _adapter(model) if hasattr(model, "peft_config") else _plain_module(model)
    return _native_adapter(model) if getattr(model, "_hf_peft_config_loaded", False) else _pretrained(model)


def base_model_of(name: object) -> str | None:
    """Return the Hub name that a model was loaded from; None if it cannot be one, such as a local folder."""
    if not isinstance(name, str) or not name or Path(name).exists():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name


def own_class(model: nn.Module) -> type[nn.Module]:
    """Return a model's original class, behind the one that FSDP2 derives from it."""
    return next((each for each in type(model).__mro__ if not each.__module__.startswith("torch.")), type(model))


def uncompiled(model: nn.Module) -> nn.Module:
    """Return the module inside torch.compile's wrapper."""
    return getattr(model, "_orig_mod", model)


def _pretrained(model: PreTrainedModel) -> ModelKind:
    auto, task, noun, remote = _auto_class(model)
    imports, name = _loading_class(model, auto)
    arguments = ", trust_remote_code=True" if remote else ""
    return ModelKind(
        noun=noun,
        pipeline_tag=task,
        library_name="transformers",
        continues_text=auto in _CONTINUE_TEXT,
        imports=imports,
        loading=(f"model = {name}.from_pretrained(name{arguments})",),
    )


def _auto_class(model: PreTrainedModel) -> tuple[str | None, str | None, str, bool]:
    """Return the Auto class that loads a model's class, its task and noun, and whether it needs remote code."""
    of_repository: Mapping[str, Any] = getattr(model.config, "auto_map", None) or {}
    for auto, task, noun in _KINDS:
        remote = str(of_repository.get(auto, "")).rpartition(".")[2] == own_class(model).__name__
        if remote or _loads(auto, model):
            if auto == "AutoModel":
                task = _FEATURES.get(model.main_input_name)
            # AutoBackbone asks the Hub before it looks into a folder; the class itself does not.
            loaded_by = None if auto == "AutoBackbone" else auto
            return loaded_by, task, _with_classes(model, auto, noun), remote
    return None, None, "a model", False


def _loads(auto: str, model: PreTrainedModel) -> bool:
    """Return whether an Auto class makes this very class from the model's configuration."""
    mapping: Any = getattr(getattr(transformers, auto, None), "_model_mapping", None)
    config_class = type(model.config)
    if mapping is None or config_class not in mapping:
        return False
    found = mapping[config_class]
    return own_class(model) in (found if isinstance(found, tuple | list) else (found,))


def _with_classes(model: PreTrainedModel, auto: str, noun: str) -> str:
    article = "an" if noun[0] in "aeiou" else "a"
    if auto == "AutoModelForSequenceClassification" and model.config.num_labels == 1:
        rewards = "reward-trainer" in (getattr(model, "model_tags", None) or ())
        return "a reward model" if rewards else "a text model that gives one number"
    if auto.endswith("Classification") and not auto.startswith("AutoModelForZeroShot"):
        return f"{article} {noun} with {model.config.num_labels} classes"
    return f"{article} {noun}"


def _loading_class(model: PreTrainedModel, auto: str | None) -> tuple[tuple[str, ...], str]:
    """Return the imports and the name of the class that loads a model.

    Raises:
        UnknownKindError: the class is known to this process alone.
    """
    if auto is not None:
        registered_by = type(model.config).__module__
        known = registered_by.startswith("transformers.") or getattr(model.config, "auto_map", None)
        imports = [] if known else [f"import {registered_by}  # registers the type {model.config.model_type}"]
        if not known:
            _refuse_main(registered_by, type(model.config).__name__)
        return (*imports, f"from transformers import {auto}"), auto
    own = own_class(model)
    if getattr(transformers, own.__name__, None) is own:
        return (f"from transformers import {own.__name__}",), own.__name__
    _refuse_main(own.__module__, own.__qualname__)
    return (f"from {own.__module__} import {own.__name__}",), own.__name__


def _refuse_main(module: str, name: str) -> None:
    """Refuse a class that nobody else can import."""
    importable = getattr(sys.modules.get(module), name, None) is not None and module.partition(".")[0] not in (
        "__main__",
        "__mp_main__",
        "transformers_modules",
    )
    if not importable:
        raise UnknownKindError(
            f"the class {name} is defined in {module}, which others cannot import; register it for an Auto class "
            "(register_for_auto_class), or put it into a module that can be imported"
        )


def _base_of(model: Any, inner: PreTrainedModel) -> tuple[str, str]:
    """Return the name of the base of an adapter, and of the kind of adapter."""
    configs: Mapping[str, Any] = model.peft_config
    config = next(iter(configs.values()))
    base = base_model_of(config.base_model_name_or_path) or base_model_of(inner.name_or_path)
    if base is None:
        raise UnknownKindError(
            "an adapter is loaded onto its base model, and this one's has no name on the Hub "
            f"(base_model_name_or_path is {config.base_model_name_or_path!r})"
        )
    method = str(getattr(config.peft_type, "value", config.peft_type))
    return base, _METHODS.get(method, method)


def _adapter(model: Any) -> ModelKind:
    """Return the kind of a PeftModel."""
    inner = model.get_base_model()
    if not isinstance(inner, PreTrainedModel):
        raise UnknownKindError(f"the adapter's base, {type(inner).__name__}, is no model of transformers")
    base, method = _base_of(model, inner)
    auto, task, noun, remote = _auto_class(inner)
    imports, name = _loading_class(inner, auto)
    arguments = ", trust_remote_code=True" if remote else ""
    if name.endswith("Classification") and inner.config.num_labels != _DEFAULT_CLASSES:
        arguments += f", num_labels={inner.config.num_labels}"
    return ModelKind(
        noun=f"{_article(method)} {method} adapter for {noun}",
        pipeline_tag=task,
        library_name="peft",
        tags=("peft", method.lower()),
        continues_text=auto in _CONTINUE_TEXT,
        imports=("from peft import PeftModel", *imports),
        loading=(
            f'base = {name}.from_pretrained("{base}"{arguments})',
            "model = PeftModel.from_pretrained(base, name)",
        ),
        file="adapter_config.json",
        base_model=base,
    )


def _native_adapter(model: PreTrainedModel) -> ModelKind:
    """Return the kind of a model of transformers with adapters added to it: the Auto class finds the base by itself."""
    base, method = _base_of(model, model)
    auto, task, noun, _ = _auto_class(model)
    imports, name = _loading_class(model, auto)
    return ModelKind(
        noun=f"{_article(method)} {method} adapter for {noun}",
        pipeline_tag=task,
        library_name="peft",
        tags=("peft", method.lower()),
        continues_text=auto in _CONTINUE_TEXT,
        imports=imports,
        loading=(f"model = {name}.from_pretrained(name)  # with its base; needs peft",),
        file="adapter_config.json",
        base_model=base,
    )


def _plain_module(model: nn.Module) -> ModelKind:
    """Return the kind of a module whose state dict alone is saved."""
    if hasattr(model, "save_pretrained"):
        raise UnknownKindError(f"{type(model).__name__} is a model of another library, which knows its own card")
    return ModelKind(
        noun="a PyTorch module",
        pipeline_tag=None,
        library_name=None,
        tags=("pytorch",),
        imports=("from huggingface_hub import hf_hub_download", "from safetensors.torch import load_file"),
        loading=(f'weights = load_file(hf_hub_download(name, "model.safetensors"))  # of {own_class(model).__name__}',),
        result="weights.keys()",
        file="model.safetensors",
    )


def _article(word: str) -> str:
    """Return "a" or "an" for a word or an abbreviation, by how it is pronounced."""
    return "an" if word[0] in "AEIOaeio" else "a"
