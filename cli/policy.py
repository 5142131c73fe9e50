"""`tenfold policy`: serves a policy."""

import argparse
import os

from ..core import UserError
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    policies = commands.add_parser("policy", help="serve a policy with OpenAI's API, to other harnesses and trainers")
    actions = policies.add_subparsers(required=True, metavar="ACTION")
    command = actions.add_parser("serve", help="serve a policy with OpenAI's API; for vllm+… start vLLM's own server")
    command.add_argument("uri", metavar="URI", help="policy, such as stage:FOLDER, hf:ORG/NAME or vllm+hf:ORG/NAME")
    command.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)")
    command.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    command.add_argument("--name", help="name of the model in requests (default: the URI without its options)")
    command.add_argument(
        "--token", action="store_true", help="demand the printed token also on this machine, against its other users"
    )
    command.add_argument(
        "--vllm", metavar="OPTIONS", default="", help="for vllm+…: further options of `vllm serve`, as --vllm='--a 1 --b'"
    )
    command.set_defaults(call=serve, command="policy serve")


def serve(arguments: argparse.Namespace) -> None:
    """Serves the policy."""
    from ..policies import check_uri, load_policy

    if not 0 <= arguments.port <= 65535:
        raise UserError("--port: expected 0 to 65535")
    check_uri(arguments.uri)
    name = arguments.name or arguments.uri.partition("?")[0]
    if arguments.uri.startswith("vllm+"):
        _start_vllm(arguments, name)
        return
    if arguments.vllm:
        raise UserError("--vllm: only a policy vllm+… is served by vLLM")
    from ..policies.serving import server

    server.serve(
        lambda: load_policy(arguments.uri),
        name,
        arguments.host,
        arguments.port,
        arguments.token,
        lambda url, token: _show(url, name, token),
    )


def _start_vllm(arguments: argparse.Namespace, name: str) -> None:
    """Replaces this process by vLLM's server."""
    from ..policies.server import listening
    from ..policies.serving import access, vllm_server

    token, is_new = access.token(arguments.host, arguments.token)
    with listening.bound(arguments.host, arguments.port) as bound:  # finds a free port, and says whether the given one is
        url, port = listening.url(arguments.host, bound), bound.getsockname()[1]
    command = vllm_server.command(arguments.uri, name, arguments.host, port, arguments.vllm)
    _show(f"{url}/v1", name, token if is_new else "")
    os.execve(command[0], command, {**os.environ, **({vllm_server.KEY_VARIABLE: token} if token else {})})


def _show(url: str, name: str, token: str) -> None:
    print(f"{url}  model {name}  (Ctrl-C ends)", flush=True)
    if token:
        print(f"API key: {token}", flush=True)
