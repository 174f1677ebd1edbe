"""The commands `hf-muonclip synth rephrase` and `synth math-notes`: training data from one command, checked."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .named_model import UsageError
from .synth_report import add_price, add_report_command, checked_price

_REPHRASE = """\
Rewrite documents in other words, chunk by chunk, and keep what still says the same (hf_muonclip.synth.check_fidelity).
INPUT: JSON Lines, Parquet or text files, or folders of them. OUTPUT: a folder of Parquet shards, and of the run's page,
report.html. The same command goes on where it was ended; what was answered before is not generated again."""
_MATH_NOTES = """\
Write learning notes of mathematical texts, or translate them into English, and keep those whose final answer
math-verify finds equal to the source's and in which sympy finds no false equation (hf_muonclip.synth.check_math).
INPUT, OUTPUT and going on are those of synth rephrase."""
_REPHRASE_HELP = """\
exit codes: 0 ok, 1 the model or the server failed, or the disk is full (run it again), 2 usage, 130 Ctrl-C"""


def add_synth_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `synth` to the parser's commands."""
    synth = commands.add_parser("synth", help="make training data: rephrase documents, note mathematics, keep facts")
    kinds = synth.add_subparsers(title="commands", metavar="COMMAND", required=True)
    rephrase = kinds.add_parser(
        "rephrase",
        help="documents in other words, checked",
        description=_REPHRASE,
        epilog=_REPHRASE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_run(rephrase)
    add = rephrase.add_argument
    add("--rephrasings", type=int, default=1, help="of each document (1)")
    add("--styles", nargs="+", metavar="STYLE", help="to draw from (all ten)")
    add("--title-column", metavar="COLUMN", help="of their titles (the first heading)")
    add("--chunk-size", type=int, default=2000, help="characters of a chunk (2000)")
    add("--no-gate", action="store_true", help="keep rewritings whatever they say")
    rephrase.set_defaults(run=run_rephrase)
    notes = kinds.add_parser(
        "math-notes",
        help="notes and translations of mathematics, checked",
        description=_MATH_NOTES,
        epilog=_REPHRASE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_run(notes)
    add = notes.add_argument
    add("--styles", nargs="+", metavar="STYLE", default=["learning_note"], help="learning_note (default), translation")
    add("--problem-column", metavar="COLUMN", help="of the problems that texts solve")
    add("--answer-column", metavar="COLUMN", help="of right final answers (what a text states)")
    notes.set_defaults(run=run_math_notes)
    add_report_command(kinds)


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("inputs", metavar="INPUT", nargs="+", help="file or folder of documents")
    add("output", metavar="OUTPUT", help="folder of the shards")
    add("--model", help="folder or name on the Hub; with --server, its name there (SmolLM2-135M-Instruct)")
    add("--server", metavar="URL", help='server with OpenAI\'s API, up to "/v1"; without one the model runs here')
    add("--extra-body", metavar="JSON", type=_json_object, help="further fields of each request to the server")
    add("--api-key-file", metavar="FILE", type=Path, help="file that holds the server's key")
    add("--column", default="text", help="of the documents (text)")
    add("--id-column", metavar="COLUMN", help="of their names (file and place)")
    add("--max-new-tokens", type=int, default=1024, help="of an answer (1024)")
    add("--temperature", type=float, default=0.7, help="of sampling (0.7)")
    add("--batch-size", type=int, default=8, help="chats at a time, of a model or to a server (8)")
    add("--documents-per-shard", type=int, default=256, help="rephrased together (256)")
    add("--workers", type=int, default=1, help="processes, each with the model or asking the server (1)")
    add("--seed", type=int, default=0, help="of styles and sampling (0)")
    add("--cache", type=Path, help="file of answers (OUTPUT/answers.sqlite)")
    add_price(parser)


def run_rephrase(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""

    def rephraser(generator: Any) -> Any:
        from ..synth.rephraser import Rephraser, fidelity_gate
        from ..synth.styles import STYLES

        return Rephraser(
            generator,
            column=arguments.column,
            id_column=arguments.id_column,
            title_column=arguments.title_column,
            styles=arguments.styles or STYLES,
            rephrasings=arguments.rephrasings,
            chunk_size=arguments.chunk_size,
            seed=arguments.seed,
            gate=None if arguments.no_gate else fidelity_gate,
        )

    def page() -> str:
        from ..synth.report.page import write_report

        return f"{write_report(arguments.output, price=checked_price(arguments.price))}\n"

    return _run(arguments, rephraser, page)


def run_math_notes(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""

    def notes(generator: Any) -> Any:
        from ..synth.math_notes import MathNotes

        return MathNotes(
            generator,
            column=arguments.column,
            problem_column=arguments.problem_column,
            answer_column=arguments.answer_column,
            id_column=arguments.id_column,
            styles=arguments.styles,
            seed=arguments.seed,
        )

    def shares() -> str:
        from ..synth.math_shares import shares_of

        return f"{shares_of(arguments.output)}\n"

    return _run(arguments, notes, shares)


def _run(arguments: argparse.Namespace, maker: Callable[[Any], Any], told: Callable[[], str]) -> int:
    price = checked_price(arguments.price)
    try:
        from rich.console import Console

        from ..synth.generator import GenerationError
        from ..synth.response_cache import CachedGenerator
        from ..synth.run import run_rephrasing
        from .synth_progress import shown, summary
    except ModuleNotFoundError as error:
        raise UsageError(f"synth needs {error.name}. Install it with pip install hf_muonclip[synth].") from error
    try:
        cache = arguments.cache or Path(arguments.output, "answers.sqlite")
        made = maker(CachedGenerator(_generator(arguments), cache))
        with shown(price, Console(file=sys.stderr)) as line:
            progress = run_rephrasing(
                arguments.inputs,
                arguments.output,
                made,
                documents_per_shard=arguments.documents_per_shard,
                workers=arguments.workers,
                on_shard=line.on_shard,
                on_answer=line.on_answer,
            )
        more = told()
    except ModuleNotFoundError as error:
        raise UsageError(f"synth needs {error.name}. Install it with pip install hf_muonclip[synth].") from error
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from error
    except (GenerationError, OSError) as error:
        sys.stderr.write(f"hf-muonclip: {error}\nRun the same command again to go on.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("hf-muonclip: interrupted. Run the same command again to go on.\n")
        return 130
    sys.stdout.write(summary(progress, price, arguments.output) + more)
    return 0


def _generator(arguments: argparse.Namespace) -> Any:
    settings = {"max_new_tokens": arguments.max_new_tokens, "temperature": arguments.temperature}
    if arguments.server:
        from ..synth.server_generator import ServerGenerator

        if not arguments.model:
            raise UsageError("--server needs --model, the model's name there.")
        key = arguments.api_key_file.read_text(encoding="utf-8").strip() if arguments.api_key_file else None
        return ServerGenerator(
            arguments.server,
            arguments.model,
            concurrency=arguments.batch_size,
            api_key=key,
            extra_body=arguments.extra_body,
            **settings,
        )
    if arguments.extra_body:
        raise UsageError(
            "--extra-body is for --server, whose requests it is added to. Name the server, or leave it out."
        )
    from ..synth.transformers_generator import DEFAULT_MODEL, TransformersGenerator

    return TransformersGenerator(arguments.model or DEFAULT_MODEL, batch_size=arguments.batch_size, **settings)


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a JSON object; got {text!r}: {error}") from None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"must be a JSON object; got {text!r}")
    return found
