"""The model that a command line names: a preset, a Hub id, a folder or a config.json."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PRESETS = {"kimi-k2": "full"} | {
    f"kimi-k2-{name}": name for name in ("micro", "nano", "tiny", "small", "base", "large")
}


class UsageError(Exception):
    """The command cannot run with the given arguments."""


def load_model(source: str, weights: bool = False, trust_remote_code: bool = False) -> Any:
    """Return the model that a Hub id, a folder, a config.json or a preset names.

    Args:
        source: Hub id, folder, file, or a name in `PRESETS`.
        weights: load them; by default the model is built on the meta device, and only the config is read.
        trust_remote_code: let code that comes with the model run.

    Raises:
        UsageError: there is no such model, transformers does not know it, or it has no weights.
    """
    if source in PRESETS and not weights and not Path(source).exists():
        from ..kimi_k2 import kimi_k2_config

        return _build(source, kimi_k2_config(PRESETS[source]), trust_remote_code)
    origin = _origin(source, weights)
    config = _load_config(source, origin, trust_remote_code)
    model = _build(source, config, trust_remote_code)
    if not weights:
        return model
    try:
        return type(model).from_pretrained(origin, config=config)
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        raise UsageError(
            f"--weights needs weights that transformers can load; those of {source} cannot be: {_first_line(error)} "
            "Leave --weights out to inspect the config alone."
        ) from error


def _origin(source: str, weights: bool) -> str:
    """Return the folder, file or Hub id that transformers loads."""
    path = Path(source).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            adapter = " It holds an adapter: name its base model." if (path / "adapter_config.json").is_file() else ""
            raise UsageError(f"a model's folder holds config.json; {source} does not.{adapter}")
        return str(path)
    if path.is_file():
        if path.name == "config.json":
            return str(path.parent)  # where transformers looks for code and weights
        if weights:
            raise UsageError(f"--weights needs a folder or a Hub id; {source} is a file.")
        return str(path)
    if source.startswith((".", "/", "~")) or source.endswith(".json") or source.count("/") > 1:
        raise UsageError(f"there is no file or folder {source}. Name a Hub id, a folder, or a config.json.")
    return source


def _load_config(source: str, origin: str, trust_remote_code: bool) -> Any:
    from huggingface_hub.errors import HFValidationError, StrictDataclassError
    from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

    try:
        fields, _ = PreTrainedConfig.get_config_dict(origin)
    except (OSError, ValueError, HFValidationError) as error:
        raise UsageError(
            f"no config could be read from {source}: {_first_line(error)} Name a Hub id (log in with `hf auth login` "
            "if it is gated), a folder, or the path of a config.json; a file works without network."
        ) from error
    model_type = fields.get("model_type")
    remote = "AutoConfig" in (fields.get("auto_map") or {})
    if model_type not in CONFIG_MAPPING and not (remote and trust_remote_code):
        raise UsageError(_unknown_type(source, fields, remote))
    try:
        return AutoConfig.from_pretrained(origin, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, ImportError, StrictDataclassError) as error:
        raise UsageError(
            f"the config of {source} is not one that transformers accepts: {_first_line(error)}"
        ) from error


def _unknown_type(source: str, fields: dict[str, Any], remote: bool) -> str:
    import transformers

    model_type = fields.get("model_type")
    rule = f"a config must have a model_type that transformers {transformers.__version__} knows; {source} has "
    ways = []
    for name in fields.get("architectures") or []:
        known = getattr(getattr(getattr(transformers, str(name), None), "config_class", None), "model_type", None)
        if known:
            ways.append(f'write "model_type": "{known}" into a copy of its config.json ({name} is of that type)')
    if remote:
        ways.append("pass --trust-remote-code to run the code that comes with it")
    ways.append("upgrade transformers")
    return f"{rule}{'none' if model_type is None else repr(model_type)}. Ways out: {'; or '.join(ways)}."


def _build(source: str, config: Any, trust_remote_code: bool) -> Any:
    """Build the model on the meta device."""
    import torch
    import transformers

    from ..attention.modules.find import model_on_meta

    auto_map = getattr(config, "auto_map", None) or {}
    remote = [name for name in auto_map if name.startswith("AutoModel")]
    remote.sort(key=lambda name: name != "AutoModelForCausalLM")
    try:
        if trust_remote_code and remote:
            with torch.device("meta"):
                return getattr(transformers, remote[0]).from_config(config, trust_remote_code=True)
        return model_on_meta(config)
    except (OSError, ValueError, TypeError, RuntimeError, AttributeError, ImportError, KeyError) as error:
        raise UsageError(f"the model of {source} cannot be built: {_first_line(error)}") from error


@contextlib.contextmanager
def quiet(verbose: bool) -> Iterator[None]:
    """Silence warnings and progress bars of transformers inside the block."""
    if verbose:
        yield
        return
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _first_line(error: BaseException) -> str:
    """Return the first line of an error's text, as a sentence."""
    text = str(error).strip()
    line = text.splitlines()[0].strip() if text else type(error).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."
