"""`tenfold view`: shows runs and benchmarks in a browser."""

import argparse
from pathlib import Path

from ...core import UserError
from .. import options
from ..options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("view", help="show runs, episodes and benchmarks in a browser")
    command.add_argument(
        "folders",
        metavar="FOLDER",
        nargs="*",
        default=["runs"],
        help="runs, folders of runs or sweeps, and folders of tenfold bench (default: runs)",
    )
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    command.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    command.add_argument(
        "--token", action="store_true", help="demand the token in the printed URL also on this machine, against its other users"
    )
    command.add_argument("--export", metavar="FILE", help="write one page with all answers in it, instead of serving")
    command.add_argument(
        "--limit", type=options.positive, default=200, help="with --export: episodes of each stage (default: %(default)s)"
    )
    command.set_defaults(call=run, command="view")


def run(arguments: argparse.Namespace) -> None:
    """Serves the page, or writes it."""
    from ...pipelines.view import export, server

    if not 0 <= arguments.port <= 65535:
        raise UserError("--port: expected 0 to 65535")
    if arguments.export:
        size = export.write(Path(arguments.export), arguments.folders, arguments.limit)
        print(f"{arguments.export}: {size / 1e6:.1f} MB")
        return
    server.serve(
        arguments.folders,
        arguments.host,
        arguments.port,
        arguments.token,
        lambda url: print(f"{url}  (Ctrl-C ends)", flush=True),
    )
