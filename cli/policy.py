"""`tenfold policy`: serves a policy."""

import argparse

from ..core import UserError
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    policies = commands.add_parser("policy", help="serve a policy with OpenAI's API, to other harnesses and trainers")
    actions = policies.add_subparsers(required=True, metavar="ACTION")
    command = actions.add_parser("serve", help="serve a policy with OpenAI's API; vllm+… starts vLLM's own server")
    command.add_argument("uri", metavar="URI", help="policy, such as stage:FOLDER, hf:ORG/NAME or vllm+hf:ORG/NAME")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    command.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    command.add_argument("--name", help="name of the model in requests (default: the URI without its options)")
    command.add_argument(
        "--token", action="store_true", help="demand the printed token also on this machine, against its other users"
    )
    command.set_defaults(call=serve, command="policy serve")


def serve(arguments: argparse.Namespace) -> None:
    """Serves the policy."""
    from ..policies import check_uri, load_policy

    if not 0 <= arguments.port <= 65535:
        raise UserError("--port: expected 0 to 65535")
    check_uri(arguments.uri)
    name = arguments.name or arguments.uri.partition("?")[0]
    from ..policies.serving import server

    def show(url: str, token: str) -> None:
        print(f"{url}  model {name}  (Ctrl-C ends)", flush=True)
        if token:
            print(f"API key: {token}", flush=True)

    server.serve(lambda: load_policy(arguments.uri), name, arguments.host, arguments.port, arguments.token, show)
