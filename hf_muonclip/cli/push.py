"""The command `hf-muonclip push`: show what a push does to every file, and run it."""

import argparse
import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from ..common.text_table import aligned
from ..common.wording import in_bytes

if TYPE_CHECKING:
    from rich.console import Console

    from ..hub.push import PushResult

_PUSH = """\
Push a checkpoint's folder to the Hub in one commit. Large files that the Hub already has are not sent again, so a push
that broke off goes on where it stopped. Another checkpoint is replaced only with --overwrite."""
_PUSH_HELP = """\
--json writes one object:
  repo_id, revision, url, exists: whether the repository did before, or null if that is not known
  files         [{path, size: bytes, state: "new" | "changed" | "same" | "stale" | "unknown"}]; stale: of an older
                checkpoint, deleted
  card          README.md's text, or null
  dry_run, obstacles: [why the push would be refused], unreached: why the Hub could not be asked, or null
  commit_url, pull_request_url   or null

exit codes: 0 ok, 1 the Hub or the connection failed, 2 the push is refused as it was given, 130 it was interrupted with
Ctrl-C; why: stderr. A dry run ends with 2 as well if the push would be refused, and with 0 if the Hub was not
reached."""
_STATES = {"new": "new", "changed": "changed", "same": "there already", "stale": "to be deleted", "unknown": "-"}


def add_push_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `push` to the parser's commands."""
    push = commands.add_parser(
        "push",
        help="push a checkpoint to the Hub",
        description=_PUSH,
        epilog=_PUSH_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    push.add_argument("folder", metavar="FOLDER", help="folder of a checkpoint, as save_checkpoint writes it")
    push.add_argument("repo", metavar="REPO", help="namespace/name, or a name of yours; created if it does not exist")
    push.add_argument("--private", action="store_true", help="create the repository private")
    push.add_argument("--dry-run", action="store_true", help="send nothing; list files, sizes and the card")
    push.add_argument("--revision", help="branch to commit to, created if it does not exist (main)")
    push.add_argument("--create-pr", action="store_true", help="open a pull request instead of committing")
    push.add_argument("--overwrite", action="store_true", help="replace another checkpoint in the repository")
    push.add_argument(
        "--allow-unused-ids", action="store_true", help="accept a vocabulary far larger than the tokenizer's"
    )
    push.add_argument("-m", "--message", help="title of the commit")
    push.add_argument("--json", action="store_true", help="write one JSON object, see below")
    push.set_defaults(run=run_push)


def run_push(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    with contextlib.redirect_stdout(sys.stderr):
        from rich.console import Console

        from ..hub.client import PushError
        from ..hub.push import push_to_hub

        try:
            result = push_to_hub(
                arguments.folder,
                arguments.repo,
                private=arguments.private,
                revision=arguments.revision,
                create_pr=arguments.create_pr,
                overwrite=arguments.overwrite,
                dry_run=arguments.dry_run,
                allow_unused_ids=arguments.allow_unused_ids,
                commit_message=arguments.message,
            )
        except PushError as error:
            return _fail(str(error), 1)
        except (ValueError, FileExistsError, FileNotFoundError, PermissionError) as error:
            return _fail(str(error), 2)
        except KeyboardInterrupt:
            return _fail("interrupted. Run the same command again; it sends only what is missing.", 130)
    if arguments.json:
        sys.stdout.write(json.dumps(as_json(result, arguments.dry_run)) + "\n")
    elif not arguments.dry_run:
        sys.stdout.write(summary(result) + "\n")
    elif sys.stdout.isatty():
        show(result, Console(file=sys.stdout))
    else:
        sys.stdout.write(as_plain(result))
    sys.stdout.flush()
    for reason in filter(None, (result.unreached, *result.obstacles)):
        _fail(reason, 2)
    return 2 if result.obstacles else 0


def _fail(reason: str, code: int) -> int:
    sys.stderr.write(f"hf-muonclip: {reason}\n")
    return code


def as_json(result: "PushResult", dry_run: bool) -> dict[str, Any]:
    """Return the facts as one JSON object; `hf-muonclip push --help` documents the keys."""
    return {
        "repo_id": result.repo_id,
        "revision": result.revision,
        "url": result.url,
        "exists": result.exists,
        "files": [{"path": file.path, "size": file.size, "state": file.state} for file in result.files],
        "card": result.card,
        "dry_run": dry_run,
        "obstacles": list(result.obstacles),
        "unreached": result.unreached,
        "commit_url": result.commit_url,
        "pull_request_url": result.pull_request_url,
    }


def as_plain(result: "PushResult") -> str:
    """Return the plan of a push as text: what it does to every file, and the card."""
    rows = [("file", "size", "on the Hub"), *_rows(result)]
    table = aligned(rows, right=[1])
    card = "no README.md: the repository will have no card" if result.card is None else result.card.rstrip()
    return "\n".join([headline(result), "", *table, "", _totals(result), "", "README.md", "-" * 9, card, ""])


def show(result: "PushResult", console: "Console") -> None:
    """Write the plan of a push to a terminal, with the card as it will look."""
    from huggingface_hub import ModelCard
    from rich import box
    from rich.markdown import Markdown
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    console.print(headline(result), style="bold", highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right")
    table.add_column("on the Hub")
    styles = {"new": "green", "changed": "yellow", "stale": "red", "same": "dim", "unknown": ""}
    for file, row in zip(result.files, _rows(result), strict=True):
        table.add_row(Text(row[0]), row[1], Text(row[2], style=styles[file.state]))
    console.print(table)
    console.print(_totals(result), highlight=False)
    if result.card is None:
        console.print("no README.md: the repository will have no card")
        return
    card = ModelCard(result.card)
    console.print(Panel(Text(card.data.to_yaml() or "no metadata"), title="README.md, metadata", border_style="dim"))
    console.print(Panel(Markdown(card.text), title="README.md", border_style="dim"))


def headline(result: "PushResult") -> str:
    """Return the target of a push."""
    there = {None: "its content is not known", False: "a new repository", True: "it exists"}[result.exists]
    return f"{result.url}, branch {result.revision}: {there}"


def summary(result: "PushResult") -> str:
    """Return what a push did."""
    sent, kept, deleted = result.of_state("new", "changed"), result.of_state("same"), result.of_state("stale")
    if not sent and not deleted:
        return f"All {len(kept)} files are there already: {result.commit_url}"
    done, deletion = ("proposed", "to be deleted") if result.pull_request_url else ("committed", "deleted")
    parts = [f"{_files(len(sent))} {done}, {in_bytes(sum(file.size for file in sent))}"]
    if kept:
        parts.append(f"{len(kept)} there already")
    if deleted:
        parts.append(f"{deletion}: {', '.join(file.path for file in deleted)}")
    where = f"pull request: {result.pull_request_url}" if result.pull_request_url else f"commit: {result.commit_url}"
    return f"{'; '.join(parts)}\n{where}"


def _rows(result: "PushResult") -> list[tuple[str, str, str]]:
    return [(file.path, in_bytes(file.size), _STATES[file.state]) for file in result.files]


def _totals(result: "PushResult") -> str:
    whole = [file for file in result.files if file.state != "stale"]
    sent = [file for file in whole if file.state != "same"]
    return (
        f"{_files(len(whole))}, {in_bytes(sum(file.size for file in whole))}; to commit: {_files(len(sent))}, "
        f"{in_bytes(sum(file.size for file in sent))}. This was a dry run: nothing was sent."
    )


def _files(count: int) -> str:
    return f"{count} file{'' if count == 1 else 's'}"
