"""`tenfold pull`: fetches what `tenfold push` has sent to the Hugging Face hub."""

import argparse

from .. import disk
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser(
        "pull",
        help="fetch what `tenfold push` has sent, and check it",
        description="Fetches the files that the repository's card lists, and checks their SHA-256. Nothing of them is imported "
        "or run, and nothing is overwritten. A stopped pull is resumed.",
    )
    command.add_argument(
        "repository", metavar="ORG/NAME", help="also datasets/ORG/NAME, and ORG/NAME@REVISION (a branch, tag or commit)"
    )
    command.add_argument("folder", metavar="FOLDER", nargs="?", help="where it comes (default: NAME)")
    command.add_argument("--dry-run", action="store_true", help="print the files and their sizes; fetch the card only")
    command.set_defaults(call=run, command="pull")


def run(arguments: argparse.Namespace) -> None:
    """Prints the files and their sizes, and fetches them."""
    from ..pipelines.share import address, pull
    from ..pipelines.share.contents import CHECKPOINT, ENVIRONMENT
    from ..policies.models import adapter

    where = address.parse(arguments.repository)
    offer = pull.look(where)
    folder = disk.expanded(arguments.folder or where.name.rpartition("/")[2])
    for path, size in sorted(offer.sizes.items()):
        print(f"{size:15,}  {path}")
    print(f"{sum(offer.sizes.values()):15,}  bytes in {len(offer.sizes)} files ({offer.kind}) of {offer.address}", flush=True)
    for path in offer.others:
        print(f"not fetched: {path} (the card does not list it)")
    if arguments.dry_run:
        return
    pull.fetch(offer, folder, lambda line: print(line, flush=True))
    print(f"{folder}: all files have the SHA-256 that the card lists")
    if offer.kind == CHECKPOINT:
        other = "; its card says whether it needs the option base=" if adapter.is_adapter(folder) else ""
        print(f"policy: path:{folder}{other}")
    elif offer.kind == ENVIRONMENT:
        print(f"The package is not installed. Read its code, then: pip install {folder}")
    else:
        print(f"open {folder}/viewer.html or {folder}/report.html in a browser")
