"""Complete what the Trainer saves and pushes: a config.json that engines read, and a model card of the run.

The Trainer calls back at the start of a push, then writes config.json and README.md again, without another callback
before the upload. So `HfApi.upload_folder` is wrapped from the start of a push to its upload, and in older transformers
the function `upload_folder` that its Trainer calls.
"""

import dataclasses
import json
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCard, ModelCardData, repocard
from torch import nn
from transformers import PreTrainedModel
from transformers import trainer as transformers_trainer
from transformers.trainer_callback import ExportableState, TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.training_args import TrainingArguments

from ..common.patching import PatchedMethod
from ..models.kind import UnknownKindError, base_model_of, kind_of
from ..runs.figures import figures_of_state
from .additions import Additions

_AUTOMATIC = "generated_from_trainer"  # the tag of cards that nobody wrote by hand; the Trainer's own have it too
# What cards say that nobody has edited: the Trainer's, of which PEFT drops the tag, and the one that PEFT saves.
_UNEDITED = (
    "generated automatically according to the information the Trainer had access to",
    "Model Card for Model ID",
)
_OLDER_ROPE = ("rope_theta", "rope_scaling")
_PICKLED = "training_args.bin"  # no checkpoint needs it, and unpickling it runs code


def complete_config(model: nn.Module | None, folder: Path, *, resumable: bool = False) -> None:
    """Rewrite the Trainer's config.json, if there is one, as engines read it.

    Engines run models that generate; the configuration of any other model stays as it is.

    Where the Trainer shall resume from the folder, the older names of a scaled rope's parameters are left out: it reads
    the file as a configuration of no model, which cannot tell the rope's context from them. Of a model with code of its
    own or with quantized weights the file stays as it is: neither can do without its fields.
    """
    path = folder / "config.json"
    if not isinstance(model, PreTrainedModel) or not model.can_generate() or not path.is_file():
        return
    config = model.config
    if getattr(config, "auto_map", None) or getattr(config, "quantization_config", None):
        return
    from ..export.engine_config import write_config  # loaded when a push or a save begins, as the card is
    from ..kimi_k2.model_type import KimiK2Config

    chosen = KimiK2Config.model_type if config.model_type == KimiK2Config.model_type else None
    with tempfile.TemporaryDirectory() as elsewhere:
        write_config(model, Path(elsewhere), dtype=model.dtype, model_type=chosen)
        completed = (Path(elsewhere) / path.name).read_text(encoding="utf-8")
    fields: dict[str, Any] = json.loads(completed)
    if resumable and fields.get("rope_scaling"):
        kept = {name: value for name, value in fields.items() if name not in _OLDER_ROPE}
        completed = json.dumps(kept, indent=2, sort_keys=True) + "\n"
    _replace(path, completed.encode())


def complete_next_push(
    model: nn.Module | None,
    args: TrainingArguments,
    state: TrainerState,
    callback: ExportableState,
    additions: Additions,
) -> None:
    """Complete the output folder just before the Trainer uploads it, and keep pickled arguments out of the repository.

    A README.md that somebody wrote by hand stays, although `trainer.push_to_hub()` writes over it. Before training, and
    where `kind_of` cannot say what the model is, the Trainer's own card stays.

    The Trainer does not say when a push fails. What was to be done is then forgotten at the next push of this
    callback or folder, by `forget_push`, or when the callback is gone.
    """
    push = _Push(model, args, state, additions)
    for other, left in list(_pushes.items()):
        if other is callback or left.folder == push.folder:
            forget_push(other)
    push.keep_card()
    _pushes[callback] = push
    for upload in _uploads:
        upload.start(callback)


def forget_push(callback: ExportableState) -> None:
    """Forget a push that never reached its upload; a README.md written by hand is restored."""
    push = _pushes.pop(callback, None)
    if push is not None:
        for upload in _uploads:
            upload.stop(callback)
        push.put_card_back()


class _Push:
    """A push that the Trainer has started."""

    def __init__(
        self, model: nn.Module | None, args: TrainingArguments, state: TrainerState, additions: Additions
    ) -> None:
        self.folder = Path(str(args.output_dir)).resolve()
        self._repository = args.hub_model_id or Path(str(args.output_dir)).absolute().name  # as the Trainer names it
        self._model = None if model is None else weakref.ref(model)
        self._state = state
        self._additions = additions
        self._card = self.folder / "README.md"
        self._written_by_hand: bytes | None = None

    def keep_card(self) -> None:
        """Remember a card written by hand before the Trainer overwrites it."""
        if not _is_automatic(self._card):
            self._written_by_hand = self._card.read_bytes()

    def put_card_back(self) -> None:
        """Restore a card written by hand that the Trainer has overwritten."""
        if self._written_by_hand is not None and _is_automatic(self._card):
            _replace(self._card, self._written_by_hand)

    def is_upload(self, folder: Path, repo_id: str, ignored: Sequence[str]) -> bool:
        """Return whether an upload is that of this push, which the Trainer makes without checkpoints."""
        is_repository = self._repository in (repo_id, repo_id.rpartition("/")[2])
        return folder == self.folder and is_repository and f"{PREFIX_CHECKPOINT_DIR}-*" in ignored

    def complete(self, repo_id: str, callback: ExportableState) -> None:
        """Complete the folder just before its upload."""
        model = None if self._model is None else self._model()
        with self._additions.adding("What engines read in the pushed config.json"):
            complete_config(model, self.folder)
        with self._additions.adding("The model card of the run"):
            self.put_card_back()
            if model is not None and self._state.global_step > 0 and _is_automatic(self._card):
                self._write_card(model, callback, repo_id)

    def _write_card(self, model: nn.Module, callback: ExportableState, repo_id: str) -> None:
        """Replace the Trainer's card by that of the run, keeping metadata that only the Trainer knows.

        Raises:
            UnknownKindError: the card would not describe what is pushed.
        """
        kind = kind_of(model)
        trainers = ModelCard.load(self._card).data.to_dict() if self._card.is_file() else {}
        library = trainers.get("library_name")
        if library not in (None, "transformers", kind.library_name):
            raise UnknownKindError(f"the Trainer's own card says that the library of the model is {library}")
        if not (self.folder / kind.file).is_file() and not (self.folder / f"{kind.file}.index.json").is_file():
            raise UnknownKindError(f"{kind.noun} is loaded from {kind.file}, and the Trainer has saved none")
        card = _card_of_run(model, self._state, callback, repo_id, trainers)
        _replace(self._card, str(card).encode())


def _complete_and_upload(
    upload: Callable[..., Any], *api: HfApi, folder_path: str | Path, repo_id: str, **options: Any
) -> Any:
    patterns = options.get("ignore_patterns") or []
    ignored = [patterns] if isinstance(patterns, str) else list(patterns)
    for callback, push in list(_pushes.items()):
        if push.is_upload(Path(folder_path).resolve(), repo_id, ignored):
            del _pushes[callback]
            for patched in _uploads:
                patched.stop(callback)
            push.complete(repo_id, callback)
            options["ignore_patterns"] = [*ignored, _PICKLED]
    return upload(*api, folder_path=folder_path, repo_id=repo_id, **options)


_pushes: "weakref.WeakKeyDictionary[ExportableState, _Push]" = weakref.WeakKeyDictionary()
_uploads = [PatchedMethod(HfApi, "upload_folder", _complete_and_upload)]
if hasattr(transformers_trainer, "upload_folder"):
    _uploads.append(PatchedMethod(transformers_trainer, "upload_folder", _complete_and_upload))


def _replace(path: Path, content: bytes) -> None:
    """Replace a file atomically, so that an upload in the background reads either the old or the new one."""
    written = path.with_name(f"_{path.name}")  # the Trainer uploads no file with such a name
    written.write_bytes(content)
    written.replace(path)


def _is_automatic(card: Path) -> bool:
    """Return whether a card may be replaced: there is none, or nobody wrote it by hand."""
    if not card.is_file():
        return True
    try:
        loaded = ModelCard.load(card)
        tagged = _AUTOMATIC in (loaded.data.to_dict().get("tags") or ())
        return tagged or any(said in loaded.text for said in _UNEDITED)
    except (ValueError, TypeError, repocard.yaml.YAMLError):  # type: ignore[attr-defined]
        return False


def _card_of_run(
    model: nn.Module, state: TrainerState, callback: ExportableState, repo_id: str, trainers: Mapping[str, Any]
) -> ModelCard:
    """Render the card of a run from its own history, with what the Trainer's card says of license, data and method."""
    from ..hub.model_card import render_model_card

    kept = dataclasses.asdict(state) | {"stateful_callbacks": {"MuonClipCallback": callback.state()}}
    run, clip = figures_of_state(kept)
    card = render_model_card(
        model,
        repo_id.rpartition("/")[2],
        load_from=repo_id,
        run=run,
        clip=clip,
        base_model=base_model_of(getattr(model, "name_or_path", None)),
    )
    data = card.data
    assert isinstance(data, ModelCardData)
    data.tags = list(dict.fromkeys([*(data.tags or ()), *_listed(trainers.get("tags")), _AUTOMATIC]))
    for name in ("license", "language", "datasets"):
        if getattr(data, name) is None:
            setattr(data, name, trainers.get(name))
    return card


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())
