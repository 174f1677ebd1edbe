"""The command `hf-muonclip synth rephrase`: documents in other words, checked, from one command."""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .named_model import UsageError

if TYPE_CHECKING:
    from ..synth.run import Progress

_REPHRASE = """\
Rewrite documents in other words, chunk by chunk, and keep what still says the same (hf_muonclip.synth.check_fidelity).
INPUT: JSON Lines, Parquet or text files, or folders of them. OUTPUT: a folder of Parquet shards. The same command goes on
where it was ended; what was answered before is not generated again."""
_REPHRASE_HELP = """\
exit codes: 0 ok, 1 the model or the server failed, or the disk is full (run it again), 2 usage, 130 Ctrl-C"""


def add_synth_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `synth` to the parser's commands."""
    synth = commands.add_parser("synth", help="make training data: rephrase documents and keep their facts")
    kinds = synth.add_subparsers(title="commands", metavar="COMMAND", required=True)
    rephrase = kinds.add_parser(
        "rephrase",
        help="documents in other words, checked",
        description=_REPHRASE,
        epilog=_REPHRASE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = rephrase.add_argument
    add("inputs", metavar="INPUT", nargs="+", help="file or folder of documents")
    add("output", metavar="OUTPUT", help="folder of the shards")
    add("--model", help="folder or name on the Hub; with --server, its name there (SmolLM2-135M-Instruct)")
    add("--server", metavar="URL", help='server with OpenAI\'s API, up to "/v1"; without one the model runs here')
    add("--api-key-file", metavar="FILE", type=Path, help="file that holds the server's key")
    add("--rephrasings", type=int, default=1, help="of each document (1)")
    add("--styles", nargs="+", metavar="STYLE", help="to draw from (all ten)")
    add("--column", default="text", help="of the documents (text)")
    add("--id-column", metavar="COLUMN", help="of their names (file and place)")
    add("--title-column", metavar="COLUMN", help="of their titles (the first heading)")
    add("--chunk-size", type=int, default=2000, help="characters of a chunk (2000)")
    add("--max-new-tokens", type=int, default=1024, help="of an answer (1024)")
    add("--temperature", type=float, default=0.7, help="of sampling (0.7)")
    add("--batch-size", type=int, default=8, help="chats at a time, of a model or to a server (8)")
    add("--seed", type=int, default=0, help="of styles and sampling (0)")
    add("--no-gate", action="store_true", help="keep rewritings whatever they say")
    add("--cache", type=Path, help="file of answers (OUTPUT/answers.sqlite)")
    add(
        "--price", type=float, nargs=2, metavar=("IN", "OUT"), help="of a million tokens read and written, to show cost"
    )
    rephrase.set_defaults(run=run_rephrase)


def run_rephrase(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    try:
        from ..synth.generator import GenerationError
        from ..synth.rephraser import Rephraser, fidelity_gate
        from ..synth.response_cache import CachedGenerator
        from ..synth.run import run_rephrasing
        from ..synth.styles import STYLES
    except ModuleNotFoundError as error:
        raise UsageError(f"synth needs {error.name}. Install it with pip install hf_muonclip[synth].") from error
    try:
        cache = arguments.cache or Path(arguments.output, "answers.sqlite")
        rephraser = Rephraser(
            CachedGenerator(_generator(arguments), cache),
            column=arguments.column,
            id_column=arguments.id_column,
            title_column=arguments.title_column,
            styles=arguments.styles or STYLES,
            rephrasings=arguments.rephrasings,
            chunk_size=arguments.chunk_size,
            seed=arguments.seed,
            gate=None if arguments.no_gate else fidelity_gate,
        )
        with _shown(arguments.price) as show:
            progress = run_rephrasing(arguments.inputs, arguments.output, rephraser, on_shard=show)
    except (ValueError, FileNotFoundError) as error:
        raise UsageError(str(error)) from error
    except (GenerationError, OSError) as error:
        sys.stderr.write(f"hf-muonclip: {error}\nRun the same command again to go on.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("hf-muonclip: interrupted. Run the same command again to go on.\n")
        return 130
    sys.stdout.write(_summary(progress, arguments.price, arguments.output))
    return 0


def _generator(arguments: argparse.Namespace) -> Any:
    settings = {"max_new_tokens": arguments.max_new_tokens, "temperature": arguments.temperature}
    if arguments.server:
        from ..synth.server_generator import ServerGenerator

        if not arguments.model:
            raise UsageError("--server needs --model, the model's name there.")
        key = arguments.api_key_file.read_text(encoding="utf-8").strip() if arguments.api_key_file else None
        return ServerGenerator(
            arguments.server, arguments.model, concurrency=arguments.batch_size, api_key=key, **settings
        )
    from ..synth.transformers_generator import DEFAULT_MODEL, TransformersGenerator

    return TransformersGenerator(arguments.model or DEFAULT_MODEL, batch_size=arguments.batch_size, **settings)


@contextlib.contextmanager
def _shown(price: list[float] | None) -> "Iterator[Callable[[Progress], None]]":
    """Show progress: a line that changes on a terminal, a line per shard elsewhere."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    began, earlier = time.monotonic(), [0]
    console = Console(file=sys.stderr)

    def line(progress: "Progress") -> str:
        if progress.shards and not earlier[0]:
            earlier[0] = progress.new_tokens
        seconds = max(time.monotonic() - began, 1e-9)
        speed = (progress.new_tokens - earlier[0]) / seconds
        parts = [
            f"{progress.documents:,} documents",
            f"{progress.kept:,} kept",
            f"{progress.dropped:,} dropped",
            f"{progress.new_tokens:,} tokens, {speed:,.0f} per second",
        ]
        return " · ".join(parts + ([f"cost {_cost(progress, price):,.2f}"] if price else []))

    if not console.is_terminal:

        def write(progress: "Progress") -> None:
            sys.stderr.write(f"{line(progress)}\n")

        yield write
        return
    with Live(console=console, refresh_per_second=4) as live:
        yield lambda progress: live.update(Text(line(progress)))


def _cost(progress: "Progress", price: list[float]) -> float:
    return (progress.prompt_tokens * price[0] + progress.new_tokens * price[1]) / 1e6


def _summary(progress: "Progress", price: list[float] | None, output: str) -> str:
    from ..common.text_table import aligned
    from ..synth.answer_checks import CAUSES

    rows = [["kept", f"{progress.kept:,}", f"{progress.kept_tokens:,} tokens"]]
    rows += [[cause, f"{progress.causes[cause]:,}", CAUSES[cause]] for cause in CAUSES if progress.causes[cause]]
    lines = [f"{progress.documents:,} documents in {progress.shards} shards of {output}", *aligned(rows)]
    if price and progress.kept_tokens:
        each = _cost(progress, price) / progress.kept_tokens * 1e6
        lines.append(f"cost {_cost(progress, price):,.2f}, {each:,.2f} per million kept tokens")
    return "\n".join(lines) + "\n"
