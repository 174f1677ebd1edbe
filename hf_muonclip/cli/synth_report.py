"""The command `hf-muonclip synth report`: the page of a rephrasing run."""

import argparse
import sys
from collections.abc import Sequence

from .named_model import UsageError

_REPORT = """\
Write report.html into OUTPUT, the folder of a run of hf-muonclip synth rephrase, ended or not: what was kept and
dropped and why, with examples side by side, tokens and cost, styles, near-duplicates, and a picture of embeddings. One
file that needs no network. A run that ends writes it by itself."""
_CODES = "exit codes: 0 ok, 1 the disk is full or cannot be read, 2 usage, or OUTPUT holds no run; why: stderr"


def add_report_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `report` to the commands of `synth`."""
    report = commands.add_parser(
        "report",
        help="write the page of a run",
        description=_REPORT,
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument("output", metavar="OUTPUT", help="folder of the run")
    add_price(report)
    report.add_argument(
        "--embeddings",
        metavar="MODEL",
        default="lexical",
        help="model of sentence-transformers, a folder or a name on the Hub (lexical ones, without a model)",
    )
    report.set_defaults(run=run_report)


def add_price(parser: argparse.ArgumentParser) -> None:
    """Add `--price` to a command."""
    parser.add_argument(
        "--price", type=float, nargs=2, metavar=("IN", "OUT"), help="of a million tokens read and written, to show cost"
    )


def run_report(arguments: argparse.Namespace) -> int:
    """Write the page; return the exit code."""
    try:
        from ..synth.report.page import write_report
    except ModuleNotFoundError as error:
        raise UsageError(f"synth needs {error.name}. Install it with pip install hf_muonclip[synth].") from error
    try:
        path = write_report(arguments.output, price=checked_price(arguments.price), embeddings=arguments.embeddings)
    except ValueError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        sys.stderr.write(f"hf-muonclip: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


def checked_price(price: Sequence[float] | None) -> Sequence[float] | None:
    """Return a price that can be one.

    Raises:
        UsageError: it is negative, infinite or no number.
    """
    for value in price or ():
        if not 0 <= value < float("inf"):
            raise UsageError(f"--price must be two prices of a million tokens, 0 or more; got {value:g}.")
    return price
