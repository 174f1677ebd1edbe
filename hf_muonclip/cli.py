"""The command `hf-muonclip`: look at a model before training it, at a step's cost, at a run, and push the result.

    hf-muonclip doctor moonshotai/Moonlight-16B-A3B
    hf-muonclip inspect moonshotai/Moonlight-16B-A3B
    hf-muonclip plan --model kimi-k2 --world 2048 --mesh fsdp
    hf-muonclip watch runs/kimi_k2_nano/clipped
    hf-muonclip report runs/kimi_k2_nano/clipped
    hf-muonclip push runs/kimi_k2_nano/model me/kimi-k2-nano --dry-run

Exit codes: 0 all is well; 1 the attention layout is refused, its proof failed, or the Hub or the way to it failed, with
the reason on stderr; 2 the command cannot be carried out as it was given.
"""

import argparse
import contextlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .doctor.command import add_doctor_command
from .hub.command import add_push_command
from .viewing.command import add_viewing_commands

_INSPECT = """\
Show what MuonClip does to a model: the head layout of every attention module and how QK-Clip scales it, which
parameters Muon and AdamW update and why. Works from the config alone, without weights; --weights loads them and proves
the layout by running the model. Remote code never runs unless --trust-remote-code is given."""
_JSON_HELP = """\
--json writes one object:
  model           {source, class, model_type, weights: number of them, loaded: whether they were}
  refusal         why the attention layout was refused, or null
  layouts         one object per attention module: {name, attention_class, kind, num_attention_heads,
                  num_key_value_heads, head_dim, granularity: "head" | "key head" | "layer" | "monitored",
                  head_rows: [[parameter, dim, role, offset, [[start, stop] per head]]], gamma_groups, note,
                  shares_weights_with, found_by_behavior, proof: "passed" | "failed" | "not reached" | "not run"}
  not_applicable  {module name: reason}
  parameters      [{name, shape, algorithm: "muon" | "adamw", decays, reason}]
  frozen          [names of parameters that nothing updates]
  proof           {status: "passed" | "partial" | "failed" | "not_run", detail}; partial: the forward on random
                  tokens did not reach every module (a vision tower, say)

exit codes: 0 ok, 1 the layout is refused or its proof failed (why: stderr), 2 usage"""

_PLAN = """\
Count what one optimizer step costs each of many ranks, from the config alone: bytes of parameters, gradients and
optimizer state, floating-point operations in products and how evenly they are shared, bytes sent; for AdamW, a Muon
that every rank computes by itself, and MuonClip."""
_PLAN_HELP = """\
meshes:
  ddp                      every rank holds everything
  fsdp                     FSDP2 over all ranks
  hsdp:RxS                 R copies, each spread over S ranks; also replicate=R,fsdp=S
  ep=E,fsdp=F              experts over E ranks, each expert tensor by FSDP2 over F; all else by FSDP2 over E*F

--json writes one object:
  world, placements: [sentences]
  parameter_bytes, gradient_bytes   {busiest, mean} over ranks
  optimizers  [{name, state_bytes, flops: {busiest, mean}, balance: busiest / mean,
              sent_bytes: {collective: {busiest, mean}}, seconds: {products, sending}}]"""
_PRESETS = {"kimi-k2": "full"} | {
    f"kimi-k2-{name}": name for name in ("micro", "nano", "tiny", "small", "base", "large")
}


class UsageError(Exception):
    """The command cannot be carried out as it was given."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: without the program's name; by default that of the process.
    """
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as finished:  # argparse has written help or the error
        return int(finished.code or 0)
    try:
        return int(arguments.run(arguments))
    except UsageError as error:
        sys.stderr.write(f"hf-muonclip: {error}\n")
        return 2
    except BrokenPipeError:  # `| head`
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hf-muonclip", description="MuonClip for Hugging Face transformers.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    inspect = commands.add_parser(
        "inspect",
        help="show how a model's attention is clipped and which parameters Muon and AdamW update",
        description=_INSPECT,
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inspect.add_argument(
        "model", metavar="MODEL_OR_CONFIG", help="Hub id, local folder, path of a config.json, or kimi-k2"
    )
    form = inspect.add_mutually_exclusive_group()
    form.add_argument("--tree", action="store_true", help="show the module tree instead of the tables")
    form.add_argument("--json", action="store_true", help="write one JSON object, see below")
    inspect.add_argument("--weights", action="store_true", help="load the weights and prove the layout by running them")
    inspect.add_argument("--trust-remote-code", action="store_true", help="let code that comes with the model run")
    inspect.add_argument("-v", "--verbose", action="store_true", help="do not silence transformers' warnings")
    inspect.set_defaults(run=_inspect)
    plan = commands.add_parser(
        "plan",
        help="count what an optimizer step costs each of many ranks",
        description=_PLAN,
        epilog=_PLAN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    plan.add_argument("--model", required=True, help=f"Hub id, folder, config.json, or one of {', '.join(_PRESETS)}")
    plan.add_argument("--world", type=int, required=True, help="number of ranks")
    plan.add_argument("--mesh", default="ddp", help="how they hold the model, see below (ddp)")
    plan.add_argument("--experts-dim", type=int, choices=(0, 1), default=0, help="FSDP2's dim of expert tensors (0)")
    plan.add_argument("--dtype", choices=("float32", "bfloat16"), help="of parameters; by default as the config says")
    plan.add_argument("--tflops", type=float, default=400.0, help="10^12 operations a second in products (400)")
    plan.add_argument("--gbps", type=float, default=400.0, help="10^9 bits a second that a rank sends (400)")
    plan.add_argument("--json", action="store_true", help="write one JSON object, see below")
    plan.add_argument("--trust-remote-code", action="store_true", help="let code that comes with the model run")
    plan.add_argument("-v", "--verbose", action="store_true", help="do not silence transformers' warnings")
    plan.set_defaults(run=_plan)
    add_viewing_commands(commands)
    add_push_command(commands)
    add_doctor_command(commands, _load_quietly)
    return parser


def _inspect(arguments: argparse.Namespace) -> int:
    # Standard output is for the result alone: what libraries and remote code print goes to stderr.
    with contextlib.redirect_stdout(sys.stderr), _quiet(arguments.verbose):
        from rich.console import Console

        from .inspection import as_json, inspect_model
        from .inspection_display import as_plain, show

        model = load_model(arguments.model, arguments.weights, arguments.trust_remote_code)
        inspection = inspect_model(arguments.model, model)
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(inspection)) + "\n")
    elif sys.stdout.isatty():
        show(inspection, Console(file=sys.stdout), arguments.tree)
    else:
        sys.stdout.write(as_plain(inspection, arguments.tree))
    sys.stdout.flush()
    if inspection.refusal:
        way_out = "" if arguments.weights else " With --weights it may be found by behaviour."
        known = "without weights" in inspection.refusal.lower()
        sys.stderr.write(f"hf-muonclip: {inspection.refusal}{way_out if known else ''}\n")
        return 1
    if inspection.proof.status == "failed":
        sys.stderr.write(f"hf-muonclip: the proof failed: {inspection.proof.detail}\n")
        return 1
    return 0


def _plan(arguments: argparse.Namespace) -> int:
    with contextlib.redirect_stdout(sys.stderr), _quiet(arguments.verbose):
        import torch
        from rich.console import Console

        from .inspection import inspect_model
        from .step_plan import Mesh, plan_step
        from .step_plan_display import as_json, as_plain, show

        for option in ("tflops", "gbps"):
            if not getattr(arguments, option) > 0:
                raise UsageError(f"--{option} must be positive, got {getattr(arguments, option):g}.")
        try:
            mesh = Mesh.parse(arguments.mesh, arguments.world, arguments.experts_dim)
        except ValueError as error:
            raise UsageError(str(error)) from error
        model = load_model(arguments.model, trust_remote_code=arguments.trust_remote_code)
        model.to(getattr(torch, arguments.dtype) if arguments.dtype else model.config.dtype or torch.float32)
        inspection = inspect_model(arguments.model, model)
        heads = sum(layout.num_attention_heads for layout in inspection.layout.values())
        plan = plan_step(model, inspection.plan, heads, mesh)
    weights = sum(parameter.numel() for parameter in model.parameters())
    title = f"{arguments.model}: {weights:,} weights in {str(next(model.parameters()).dtype).removeprefix('torch.')}"
    speeds = arguments.tflops, arguments.gbps
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(plan, *speeds)) + "\n")
    elif sys.stdout.isatty():
        show(title, plan, *speeds, Console(file=sys.stdout))
    else:
        sys.stdout.write(as_plain(title, plan, *speeds))
    return 0


def _load_quietly(source: str, trust_remote_code: bool) -> Any:
    """Build a model from its config alone, without transformers' warnings."""
    with _quiet(False):
        return load_model(source, trust_remote_code=trust_remote_code)


def load_model(source: str, weights: bool = False, trust_remote_code: bool = False) -> Any:
    """Return the model that a Hub id, a folder, a config.json or a preset names.

    Args:
        source: Hub id, folder, file, or a name in `_PRESETS`.
        weights: load them; by default the model is built on the meta device, and only the config is read.
        trust_remote_code: let code that comes with the model run.

    Raises:
        UsageError: there is no such model, transformers does not know it, or it has no weights.
    """
    if source in _PRESETS and not weights and not Path(source).exists():
        from .kimi_k2 import kimi_k2_config

        return _build(source, kimi_k2_config(_PRESETS[source]), trust_remote_code)
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
    """Return what transformers shall load: a folder, a file or a Hub id."""
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

    from .attention.attention_modules import model_on_meta

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
def _quiet(verbose: bool) -> Iterator[None]:
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
