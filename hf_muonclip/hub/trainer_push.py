"""Complete what the Trainer saves and pushes: a config.json that engines read, and a model card of the run.

The Trainer says that a push begins, then writes config.json and README.md anew, and calls nobody between that and the
upload. So the upload itself is awaited: from the beginning of a push until then, `HfApi.upload_folder` is wrapped.
"""

import dataclasses
import json
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, ModelCard, ModelCardData, repocard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.training_args import TrainingArguments

from ..export.engine_config import write_configs
from ..kimi_k2.model_type import KimiK2Config
from ..model_card import render_model_card
from ..patched_method import PatchedMethod
from ..run_figures import figures_of_state

if TYPE_CHECKING:
    from ..trainer import MuonClipCallback

_AUTOMATIC = "generated_from_trainer"  # the tag of cards that nobody wrote by hand; the Trainer's own have it too
_OLDER_ROPE = ("rope_theta", "rope_scaling")
_PICKLED = "training_args.bin"  # no checkpoint needs it, and unpickling it runs code


def complete_config(model: nn.Module | None, folder: Path, *, resumable: bool = False) -> None:
    """Write the config.json that the Trainer has written, if it has, again as engines read it.

    Where the Trainer shall resume from the folder, the older names of a scaled rope's parameters are left out: it reads
    the file as a configuration of no model, which cannot tell the rope's context from them. Of a model with code of its
    own or with quantized weights the file stays as it is: neither can do without its fields.
    """
    path = folder / "config.json"
    if not isinstance(model, PreTrainedModel) or not path.is_file():
        return
    config = model.config
    if getattr(config, "auto_map", None) or getattr(config, "quantization_config", None):
        return
    chosen = KimiK2Config.model_type if config.model_type == KimiK2Config.model_type else None
    with tempfile.TemporaryDirectory() as elsewhere:
        write_configs(model, Path(elsewhere), dtype=model.dtype, model_type=chosen)
        completed = (Path(elsewhere) / path.name).read_text(encoding="utf-8")
    fields: dict[str, Any] = json.loads(completed)
    if resumable and fields.get("rope_scaling"):
        kept = {name: value for name, value in fields.items() if name not in _OLDER_ROPE}
        completed = json.dumps(kept, indent=2, sort_keys=True) + "\n"
    _replace(path, completed.encode())


def complete_next_push(
    model: nn.Module | None, args: TrainingArguments, state: TrainerState, callback: "MuonClipCallback"
) -> None:
    """Complete the output folder just before the Trainer uploads it, and keep pickled arguments out of the repository.

    A README.md that somebody wrote by hand stays, although `trainer.push_to_hub()` writes over it. Of a model with
    adapters, and before training, the Trainer's own card stays too: ours would not be true.

    The Trainer does not say when a push fails. What was to be done is then forgotten with the next push of this
    callback or folder, by `forget_push`, or with the callback.
    """
    push = _Push(model, args, state)
    for other, left in list(_pushes.items()):
        if other is callback or left.folder == push.folder:
            forget_push(other)
    push.keep_card()
    _pushes[callback] = push
    _upload_folder.start(callback)


def forget_push(callback: "MuonClipCallback") -> None:
    """Forget a push that began and never came to its upload; a README.md written by hand is put back."""
    push = _pushes.pop(callback, None)
    if push is not None:
        _upload_folder.stop(callback)
        push.put_card_back()


class _Push:
    """A push of the Trainer that has begun."""

    def __init__(self, model: nn.Module | None, args: TrainingArguments, state: TrainerState) -> None:
        self.folder = Path(str(args.output_dir)).resolve()
        self._repository = args.hub_model_id or Path(str(args.output_dir)).absolute().name  # as the Trainer names it
        self._model = None if model is None else weakref.ref(model)
        self._state = state
        self._card = self.folder / "README.md"
        self._written_by_hand: bytes | None = None

    def keep_card(self) -> None:
        """Remember what somebody wrote by hand, before the Trainer writes over it."""
        if not _is_automatic(self._card):
            self._written_by_hand = self._card.read_bytes()

    def put_card_back(self) -> None:
        """Undo what the Trainer wrote over a card written by hand."""
        if self._written_by_hand is not None and _is_automatic(self._card):
            _replace(self._card, self._written_by_hand)

    def is_upload(self, folder: Path, repo_id: str, ignored: Sequence[str]) -> bool:
        """Tell whether an upload is this push: the Trainer leaves its checkpoints out of it."""
        is_repository = self._repository in (repo_id, repo_id.rpartition("/")[2])
        return folder == self.folder and is_repository and f"{PREFIX_CHECKPOINT_DIR}-*" in ignored

    def complete(self, repo_id: str, callback: "MuonClipCallback") -> None:
        """Complete the folder, which is uploaded next."""
        self.put_card_back()
        model = None if self._model is None else self._model()
        complete_config(model, self.folder)
        if isinstance(model, PreTrainedModel) and self._state.global_step > 0 and _is_automatic(self._card):
            card = _card_of_run(model, self._state, callback, repo_id)
            _replace(self._card, str(card).encode())


def _complete_and_upload(
    upload: Callable[..., Any], api: HfApi, *, folder_path: str | Path, repo_id: str, **options: Any
) -> Any:
    patterns = options.get("ignore_patterns") or []
    ignored = [patterns] if isinstance(patterns, str) else list(patterns)
    for callback, push in list(_pushes.items()):
        if push.is_upload(Path(folder_path).resolve(), repo_id, ignored):
            del _pushes[callback]
            _upload_folder.stop(callback)
            push.complete(repo_id, callback)
            options["ignore_patterns"] = [*ignored, _PICKLED]
    return upload(api, folder_path=folder_path, repo_id=repo_id, **options)


_pushes: "weakref.WeakKeyDictionary[MuonClipCallback, _Push]" = weakref.WeakKeyDictionary()
_upload_folder = PatchedMethod(HfApi, "upload_folder", _complete_and_upload)


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that an upload in the background reads it whole, as it was or as it is now."""
    written = path.with_name(f"_{path.name}")  # the Trainer uploads no file with such a name
    written.write_bytes(content)
    written.replace(path)


def _is_automatic(card: Path) -> bool:
    """Tell whether a card may be replaced: there is none, or nobody wrote it by hand."""
    if not card.is_file():
        return True
    try:
        return _AUTOMATIC in (ModelCard.load(card).data.to_dict().get("tags") or ())
    except (ValueError, TypeError, repocard.yaml.YAMLError):  # type: ignore[attr-defined]
        return False


def _card_of_run(model: PreTrainedModel, state: TrainerState, callback: "MuonClipCallback", repo_id: str) -> ModelCard:
    """Render the card of a run from its own history."""
    kept = dataclasses.asdict(state) | {"stateful_callbacks": {"MuonClipCallback": callback.state()}}
    run, clip = figures_of_state(kept)
    card = render_model_card(
        model, repo_id.rpartition("/")[2], load_from=repo_id, run=run, clip=clip, base_model=_base_model(model)
    )
    assert isinstance(card.data, ModelCardData)
    card.data.tags = [*(card.data.tags or ()), _AUTOMATIC]
    return card


def _base_model(model: PreTrainedModel) -> str | None:
    """Return the name on the Hub that a model was loaded from, as far as it can be one."""
    name = model.name_or_path
    if not name or Path(name).exists():
        return None
    try:
        validate_repo_id(name)
    except HFValidationError:
        return None
    return name
