"""`tenfold env`: lists, checks and plays environments."""

import argparse

from ..core import UserError
from . import options
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    environments = commands.add_parser("env", help="list, check or play environments")
    actions = environments.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="ids and where their problems come from").set_defaults(call=list_ids, command="env list")
    for name, words in (
        ("check", "Gymnasium's checker, and that gold answers score 1"),
        ("play", "play one episode, typing the answers"),
    ):
        action = actions.add_parser(name, help=words)
        options.environment(action)
        if name == "play":
            action.add_argument("--problem", type=int, help="index of the problem (default: one at random)")
            action.add_argument("--seed", type=int)
        action.set_defaults(call={"check": check, "play": play}[name], command=f"env {name}")


def list_ids(arguments: argparse.Namespace) -> None:
    """Lists the environments."""
    import gymnasium

    from ..envs import registry

    for id in registry.ids():
        spec = gymnasium.spec(id)
        print(f"{id:32} {spec.kwargs.get('problems', spec.entry_point)}")


def check(arguments: argparse.Namespace) -> None:
    """Checks an environment: Gymnasium's checker, and that gold answers score 1."""
    from ..envs import check as checks

    checks.check(arguments.id, arguments.options)
    print(f"{arguments.id}: passes")


def play(arguments: argparse.Namespace) -> None:
    """Plays one episode with answers typed in."""
    from ..envs import registry

    environment = registry.make(arguments.id, **arguments.options)
    options = {} if arguments.problem is None else {"problem": arguments.problem}
    text, info = environment.reset(seed=arguments.seed, options=options)
    ended = False
    while not ended:
        print(text)
        try:
            answer = input("> ")
        except EOFError:
            raise UserError("the answers ended before the episode did") from None
        text, reward, terminated, truncated, info = environment.step(answer)
        ended = terminated or truncated
    verdict = info.get("verdict")
    print(f"reward {reward:g}" + (f"  ({verdict.status}, by {verdict.method}: {verdict.reason})" if verdict else ""))
