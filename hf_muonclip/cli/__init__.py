"""The command `hf-muonclip`: look at a model before training it, at a step's cost, at a run, and push the result.

    hf-muonclip doctor moonshotai/Moonlight-16B-A3B
    hf-muonclip inspect moonshotai/Moonlight-16B-A3B
    hf-muonclip plan --model kimi-k2 --world 2048 --mesh fsdp
    hf-muonclip watch runs/kimi_k2_nano/clipped
    hf-muonclip report runs/kimi_k2_nano/clipped
    hf-muonclip push runs/kimi_k2_nano/model me/kimi-k2-nano --dry-run
    hf-muonclip synth rephrase documents.jsonl rephrased --model Qwen/Qwen3-4B
    hf-muonclip synth report rephrased

Exit codes: 0 all is well; 1 the attention layout is refused, its proof failed, or the Hub or the connection failed,
with the reason on stderr; 2 the command cannot run with the given arguments.
"""

import argparse
import contextlib
import sys

from .doctor import add_doctor_command
from .inspect import add_inspect_command
from .named_model import UsageError
from .plan import add_plan_command
from .push import add_push_command
from .runs import add_viewing_commands
from .synth import add_synth_command


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: arguments without the program's name; by default those of the process.
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
    add_inspect_command(commands)
    add_plan_command(commands)
    add_viewing_commands(commands)
    add_push_command(commands)
    add_synth_command(commands)
    add_doctor_command(commands)
    return parser
