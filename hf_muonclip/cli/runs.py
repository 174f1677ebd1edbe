"""The commands `hf-muonclip report` and `hf-muonclip watch`: view a run during and after training."""

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..runs.log import LOG_NAME

if TYPE_CHECKING:
    from ..runs.follower import Follower

_REPORT = """\
Write the page of a run, report.html, and its pictures: the max logit of every head, who was clipped when, the moment
at which the clip fell silent, the loss. Works while training runs and after. The page is one file that needs no
network. RUN is the output_dir of a Trainer with MuonClipCallback."""
_WATCH = """\
Show a run in the terminal while it trains: step, loss, the highest max logit against tau, every head as a colored
block, who was clipped. Waits for a run that has not started, ends with it; Ctrl-C leaves, and training goes on."""
_CODES = "exit codes: 0 ok, 2 there is no such run, its log cannot be read, or the page cannot be written; why: stderr"
_SECONDS_BETWEEN_LOOKS = 1.0


def add_viewing_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `report` and `watch` to the parser's commands."""
    report = commands.add_parser(
        "report",
        help="write a page with pictures of a run's heads, clips and losses",
        description=_REPORT,
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument("folder", metavar="RUN", help="folder of the run")
    report.add_argument("--output", metavar="DIR", help="folder for the page and its pictures (RUN/report)")
    report.set_defaults(run=run_report)
    watch = commands.add_parser(
        "watch",
        help="show a run in the terminal while it trains",
        description=_WATCH,
        epilog=_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    watch.add_argument("folder", metavar="RUN", help="folder of the run")
    watch.add_argument("--once", action="store_true", help="write one frame and exit, as without a terminal")
    watch.set_defaults(run=run_watch)


def run_report(arguments: argparse.Namespace) -> int:
    """Write the page and its pictures; return the exit code."""
    try:
        return _report(arguments.folder, arguments.output)
    except (ValueError, OSError) as error:
        return _fail(str(error))


def _report(folder: str, output: str | None) -> int:
    with contextlib.redirect_stdout(sys.stderr):
        from ..runs.page import render_page
        from ..runs.run import Run

        run = Run.load(folder)
        log = run.folder / LOG_NAME
        if not run.steps:
            if run.finished is not None:
                return _fail(
                    f"{log} has no log: training ended after step {run.finished}, before its first one. "
                    "Train again with a smaller logging_steps; the Trainer's default is 500."
                )
            return _fail(f"{log} has no log yet: training has not logged since it began. Come back later.")
        target = Path(output) if output else run.folder / "report"
        page = render_page(run)
        target.mkdir(parents=True, exist_ok=True)
        written = [target / "report.html"]
        written[0].write_text(page, encoding="utf-8")
        try:
            import matplotlib
        except ModuleNotFoundError:
            sys.stderr.write("hf-muonclip: the PNGs need matplotlib, the page does not. pip install matplotlib\n")
        else:
            from ..runs.pictures import write_pictures

            matplotlib.use("agg")  # no display is needed
            written += write_pictures(run, target, run.title)
    sys.stdout.write("".join(f"{path}\n" for path in written))
    sys.stdout.flush()
    return 0


def run_watch(arguments: argparse.Namespace) -> int:
    """Draw the run until it ends; return the exit code."""
    from ..runs.follower import Follower

    follower = Follower(arguments.folder)
    try:
        if arguments.once or not sys.stdout.isatty():
            return _draw_once(follower)
        with contextlib.suppress(KeyboardInterrupt):
            _follow(follower)
    except (ValueError, OSError) as error:
        return _fail(str(error))
    return 0


def _draw_once(follower: "Follower") -> int:
    from rich.console import Console

    from ..runs.terminal import frame

    follower.read_new()
    run = follower.run
    if not run.steps:
        return _fail(f"{run.folder / LOG_NAME} has no log yet: training has not logged since it began.")
    console = Console(file=sys.stdout)
    console.print(frame(run, console.width, console.height))
    return 0


def _follow(follower: "Follower") -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from ..runs.terminal import frame

    console = Console(file=sys.stdout)
    drawn_for = None
    with Live(console=console, auto_refresh=False) as live:
        while True:
            new = False
            with contextlib.suppress(FileNotFoundError):  # a run that has not started
                new = follower.read_new()
            run = follower.run
            if new or console.size != drawn_for:
                drawn_for = console.size
                waiting = Text(f"waiting for {run.folder / LOG_NAME} (Ctrl-C leaves)")
                live.update(frame(run, *drawn_for) if run.steps else waiting, refresh=True)
            if run.finished is not None:
                return
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def _fail(reason: str) -> int:
    sys.stderr.write(f"hf-muonclip: {reason}\n")
    return 2
