"""`tenfold push`: sends a checkpoint, the pages of a run, or a package of environments to the Hugging Face hub."""

import argparse
import sys
from typing import TYPE_CHECKING

from ..core import UserError
from ..terminal import plain
from .options import Commands

if TYPE_CHECKING:
    from ..pipelines.share.parcel import Parcel

SHOWN = 12
"""Files that do not go of which the lines are printed. A dry run prints all."""


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser(
        "push",
        help="send a checkpoint with its model card, a run's pages, or an environment's package to the Hugging Face hub",
        description="Sends files to the Hugging Face hub, after a question. A new repository is private. Files with secrets, "
        "pickles, hidden files and links out of the folder do not go.",
    )
    command.add_argument("folder", metavar="FOLDER", help="a stage or its adapter, a checkpoint, a run, or a package")
    command.add_argument("repository", metavar="ORG/NAME", help="where it goes; a repository that does not exist is created")
    kinds = command.add_mutually_exclusive_group()
    kinds.add_argument("--pages", action="store_true", help="send the pages of a run: report, viewer, tables, recipe")
    kinds.add_argument("--environment", action="store_true", help="send a package that registers environments")
    command.add_argument("--episodes", action="store_true", help="with --pages: send prompts and responses, too")
    command.add_argument("--license", metavar="ID", help="licence in the card, such as apache-2.0 (default: the base model's)")
    command.add_argument(
        "--without",
        metavar="PATTERN",
        action="append",
        default=[],
        help="leave files out; may be repeated (example: '*.jsonl')",
    )
    command.add_argument(
        "--public", action="store_true", help="everybody may read a new repository; also needed for a public one"
    )
    command.add_argument("--replace", action="store_true", help="replace other files that the repository has")
    command.add_argument("--dry-run", action="store_true", help="print all files and the card; ask nobody, send nothing")
    command.add_argument("--yes", action="store_true", help="send without a question")
    command.set_defaults(call=run, command="push")


def run(arguments: argparse.Namespace) -> None:
    """Prints what goes where, asks, and sends it."""
    from ..pipelines.share import address, card, checkpoint, environment, pages, push, search
    from ..policies.server import hub

    where = address.parse(arguments.repository)
    if where.revision:
        raise UserError("a push goes to the main branch: leave out @REVISION")
    if arguments.episodes and not arguments.pages:
        raise UserError("--episodes: expected with --pages; add it")
    licence = card.licence_name(arguments.license) if arguments.license else None
    if arguments.pages:
        parcel = pages.pack(arguments.folder, where, licence, arguments.without, episodes=arguments.episodes)
    elif arguments.environment:
        parcel = environment.pack(arguments.folder, where, licence, arguments.without)
    else:
        parcel = checkpoint.pack(arguments.folder, where, licence, arguments.without)
    if where.type and where.type != parcel.type:
        raise UserError(f"{where}: a {parcel.kind} goes to a repository of models: leave out datasets/")
    where = address.Address(parcel.type, where.name)
    search.check(parcel.all_files)
    _show(parcel, whole=arguments.dry_run)
    visibility = "public" if arguments.public else "private"
    print(f"to {where} on {hub.endpoint()}; if it does not exist it is created, {visibility}")
    if arguments.dry_run:
        return
    if not arguments.yes and not _agreed():
        raise UserError("nothing was sent: answer yes on a terminal, or add --yes")
    commit = push.send(parcel, where, lambda line: print(line, flush=True), public=arguments.public, replace=arguments.replace)
    print(f"{where} has all files, commit {commit}")
    print(f"fetch it: tenfold pull {where}@{commit}")


def _show(parcel: "Parcel", *, whole: bool) -> None:
    """Prints the files, what does not go, and the card."""
    for file in parcel.all_files:
        print(f"{file.size:15,}  {file.path}")
    total = sum(file.size for file in parcel.all_files)
    print(f"{total:15,}  bytes in {len(parcel.all_files)} files ({parcel.kind})")
    for each in parcel.left_out if whole else parcel.left_out[:SHOWN]:
        print(f"does not go: {each.path} ({each.reason})")
    if not whole and len(parcel.left_out) > SHOWN:
        print(f"does not go: {len(parcel.left_out) - SHOWN} others; --dry-run lists them")
    for note in parcel.notes:
        print(f"note: {note}")
    if whole:
        print(f"\n{plain(parcel.card)}")


def _agreed() -> bool:
    """Asks on the terminal. Without a terminal it returns False."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        return input("Send it? Type yes: ").strip().lower() == "yes"
    except EOFError:
        return False
