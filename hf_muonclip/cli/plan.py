"""`hf-muonclip plan`: what one optimizer step costs each of many ranks."""

import argparse
import contextlib
import json
import sys

from .named_model import PRESETS, UsageError, load_model, quiet

_DESCRIPTION = """\
Count what one optimizer step costs each of many ranks, from the config alone: bytes of parameters, gradients and
optimizer state, floating-point operations in products and how evenly they are shared, bytes sent; for AdamW, a Muon
that every rank computes by itself, and MuonClip."""
_HELP = """\
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


def add_plan_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `plan` to the parser's commands."""
    parser = commands.add_parser(
        "plan",
        help="count what an optimizer step costs each of many ranks",
        description=_DESCRIPTION,
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help=f"Hub id, folder, config.json, or one of {', '.join(PRESETS)}")
    parser.add_argument("--world", type=int, required=True, help="number of ranks")
    parser.add_argument("--mesh", default="ddp", help="how ranks hold the model, see below (ddp)")
    parser.add_argument("--experts-dim", type=int, choices=(0, 1), default=0, help="FSDP2's dim of expert tensors (0)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="dtype of parameters; by default the config's")
    parser.add_argument("--tflops", type=float, default=400.0, help="10^12 operations per second of products (400)")
    parser.add_argument("--gbps", type=float, default=400.0, help="10^9 bits per second that a rank sends (400)")
    parser.add_argument("--json", action="store_true", help="write one JSON object, see below")
    parser.add_argument("--trust-remote-code", action="store_true", help="let code that comes with the model run")
    parser.add_argument("-v", "--verbose", action="store_true", help="do not silence transformers' warnings")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    with contextlib.redirect_stdout(sys.stderr), quiet(arguments.verbose):
        import torch
        from rich.console import Console

        from ..inspection.inspect import inspect_model
        from ..inspection.step_cost import Mesh, count_step
        from ..inspection.step_cost_display import as_json, as_plain, show

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
        step = count_step(model, inspection.plan, heads, mesh)
    weights = sum(parameter.numel() for parameter in model.parameters())
    title = f"{arguments.model}: {weights:,} weights in {str(next(model.parameters()).dtype).removeprefix('torch.')}"
    speeds = arguments.tflops, arguments.gbps
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(step, *speeds)) + "\n")
    elif sys.stdout.isatty():
        show(title, step, *speeds, Console(file=sys.stdout))
    else:
        sys.stdout.write(as_plain(title, step, *speeds))
    return 0
