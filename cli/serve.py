"""`tenfold serve`: an environment for clients of OpenEnv."""

import argparse

from ..core import UserError
from . import options
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("serve", help="serve an environment to other trainers, by the protocol of OpenEnv")
    options.environment(command)
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    command.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    command.add_argument("--token", action="store_true", help="demand the printed token also on this machine")
    command.add_argument("--sessions", type=options.positive, metavar="N", help="largest number of sessions (default: 256)")
    command.add_argument(
        "--idle",
        type=options.positive,
        metavar="SECONDS",
        help="end a session after this time without a message (default: 600)",
    )
    command.add_argument(
        "--step", type=options.positive, metavar="SECONDS", help="time limit of one call of the environment (default: 600)"
    )
    command.add_argument(
        "--message", type=options.positive, metavar="MIB", help="largest message from a client, in MiB (default: 4)"
    )
    command.add_argument(
        "--memory", type=options.positive, metavar="MIB", help="accept no session above this memory of the server, in MiB"
    )
    command.set_defaults(call=run, command="serve")


def run(arguments: argparse.Namespace) -> None:
    """Serves the environment."""
    from ..envs.interop.openenv import server as openenv_server
    from ..envs.interop.openenv.session import Limits

    if not 0 <= arguments.port <= 65535:
        raise UserError("--port: expected 0 to 65535")
    given = {
        "sessions": arguments.sessions,
        "idle": arguments.idle,
        "step": arguments.step,
        "message": arguments.message and arguments.message << 20,
        "memory": arguments.memory and arguments.memory << 20,
    }
    limits = Limits(**{name: value for name, value in given.items() if value is not None})
    server = openenv_server.Server(arguments.id, arguments.options, limits)
    openenv_server.serve(server, arguments.host, arguments.port, arguments.token, _show)


def _show(url: str, token: str) -> None:
    print(f"{url}  (Ctrl-C ends)", flush=True)
    if token:
        print(f"Authorization: Bearer {token}", flush=True)
