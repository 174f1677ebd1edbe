"""Complete what the Trainer saves and pushes: a config.json that engines read, and a model card of the run.

The Trainer says that a push begins, then writes config.json and README.md anew, and calls nobody between that and the
upload. So the upload itself is awaited: from the beginning of a push until then, `HfApi.upload_folder` is wrapped.
"""

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import HfApi, ModelCard, ModelCardData, repocard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerState
from transformers.training_args import TrainingArguments

from ..export.engine_config import write_configs
from ..kimi_k2.model_type import KimiK2Config
from ..model_card import render_model_card
from ..run_figures import figures_of_state

if TYPE_CHECKING:
    from ..trainer import MuonClipCallback

_AUTOMATIC = "generated_from_trainer"  # the tag of cards that nobody wrote by hand; the Trainer's own have it too
_PICKLED = "training_args.bin"  # no checkpoint needs it, and unpickling it runs code

_awaited: dict[Path, Callable[[str], None]] = {}  # what to do before the next upload of a folder
_originals: list[Callable[..., Any]] = []  # the unwrapped upload_folder, while any is awaited


def complete_config(model: nn.Module | None, folder: Path) -> None:
    """Write the config.json that the Trainer has written, if it has, again as engines read it.

    Of a model with code of its own or with quantized weights it stays as it is: neither can do without its fields.
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
        _replace(path, (Path(elsewhere) / path.name).read_text(encoding="utf-8"))


def newest_checkpoint(args: TrainingArguments, state: TrainerState) -> Path:
    """Return the folder of the checkpoint of this step."""
    return Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"


def complete_next_push(
    model: nn.Module | None, args: TrainingArguments, state: TrainerState, callback: "MuonClipCallback"
) -> None:
    """Complete the output folder just before it is next uploaded, and keep pickled arguments out of the repository.

    A README.md that somebody wrote by hand stays. Of a model with adapters, and before training, the Trainer's own card
    stays too: ours would not be true.
    """
    folder = Path(str(args.output_dir))

    def complete(repo_id: str) -> None:
        complete_config(model, folder)
        if isinstance(model, PreTrainedModel) and state.global_step > 0 and _is_automatic(folder / "README.md"):
            _replace(folder / "README.md", str(_card_of_run(model, state, callback, repo_id)))

    _before_upload_of(folder, complete)


def _replace(path: Path, text: str) -> None:
    """Write a file so that an upload in the background reads it whole, as it was or as it is now."""
    written = path.with_name(f"_{path.name}")  # the Trainer uploads no file with such a name
    written.write_text(text, encoding="utf-8")
    written.replace(path)


def _before_upload_of(folder: Path, action: Callable[[str], None]) -> None:
    """Do something just before a folder is next uploaded to a repository; once."""
    _awaited[folder.resolve()] = action
    if _originals:
        return
    original = HfApi.upload_folder

    @functools.wraps(original)
    def upload_folder(self: HfApi, *, folder_path: str | Path, repo_id: str, **options: Any) -> Any:
        action = _awaited.pop(Path(folder_path).resolve(), None)
        if action is not None:
            if not _awaited:
                HfApi.upload_folder = _originals.pop()  # type: ignore[method-assign]
            action(repo_id)
            ignored = options.get("ignore_patterns") or []
            options["ignore_patterns"] = [*([ignored] if isinstance(ignored, str) else ignored), _PICKLED]
        return original(self, folder_path=folder_path, repo_id=repo_id, **options)

    _originals.append(original)
    HfApi.upload_folder = upload_folder  # type: ignore[method-assign]


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
