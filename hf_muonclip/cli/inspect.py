"""`hf-muonclip inspect`: what MuonClip does to a model, from its config alone or proven on its weights."""

import argparse
import contextlib
import json
import sys

from .named_model import load_model, quiet

_DESCRIPTION = """\
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


def add_inspect_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `inspect` to the parser's commands."""
    parser = commands.add_parser(
        "inspect",
        help="show how a model's attention is clipped and which parameters Muon and AdamW update",
        description=_DESCRIPTION,
        epilog=_JSON_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "model", metavar="MODEL_OR_CONFIG", help="Hub id, local folder, path of a config.json, or kimi-k2"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--tree", action="store_true", help="show the module tree instead of the tables")
    form.add_argument("--json", action="store_true", help="write one JSON object, see below")
    parser.add_argument("--weights", action="store_true", help="load the weights and prove the layout by running them")
    parser.add_argument("--trust-remote-code", action="store_true", help="let code that comes with the model run")
    parser.add_argument("-v", "--verbose", action="store_true", help="do not silence transformers' warnings")
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    # Standard output is for the result alone: what libraries and remote code print goes to stderr.
    with contextlib.redirect_stdout(sys.stderr), quiet(arguments.verbose):
        from rich.console import Console

        from ..inspection.display import as_plain, show
        from ..inspection.inspect import as_json, inspect_model

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
        way_out = " With --weights it may be found by behaviour." if inspection.needs_weights else ""
        sys.stderr.write(f"hf-muonclip: {inspection.refusal}{way_out}\n")
        return 1
    if inspection.proof.status == "failed":
        sys.stderr.write(f"hf-muonclip: the proof failed: {inspection.proof.detail}\n")
        return 1
    return 0
