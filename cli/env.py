"""`tenfold env`: lists, checks, shows and plays environments."""

import argparse

from . import env_play, options
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    environments = commands.add_parser("env", help="list, check, show or play environments")
    actions = environments.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help="list the environment ids and their sources of problems").set_defaults(
        call=list_ids, command="env list"
    )
    calls = {"check": check, "show": env_play.show, "play": env_play.play}
    for name, words in (
        ("check", "check an environment: Gymnasium's checker, gold and wrong answers, seeds, other processes, times"),
        ("show", "print problems with their gold answers, as the policy sees them"),
        ("play", "play one episode by hand"),
    ):
        action = actions.add_parser(name, help=words)
        options.environment(action)
        if name == "show":
            action.add_argument("--problem", type=int, help="index of the first problem to print (default: 0)")
            action.add_argument("--limit", type=options.positive, help=f"number of problems (default: {env_play.SHOWN})")
            action.add_argument("--policy", help="checkpoint whose chat template the prompts are printed in")
        if name == "play":
            action.add_argument("--problem", type=int, help="index of the problem (default: a random problem)")
            action.add_argument("--seed", type=int, help="seed of the random problem")
            action.add_argument("--editor", action="store_true", help="write the responses in $VISUAL or $EDITOR")
            action.add_argument("--out", help="file that the episode is appended to (default: NAME.play.jsonl)")
        action.set_defaults(call=calls[name], command=f"env {name}")


def list_ids(arguments: argparse.Namespace) -> None:
    """Lists the environments."""
    import gymnasium

    from ..envs import registry

    for id in registry.ids():
        spec = gymnasium.spec(id)
        print(f"{id:32} {spec.kwargs.get('problems', spec.entry_point)}")


def check(arguments: argparse.Namespace) -> None:
    """Checks an environment, and prints each finding with what to do about it."""
    from ..envs import check as checks

    findings = []
    for finding in checks.check(arguments.id, arguments.options):
        findings.append(finding)
        print(finding, flush=True)
    checks.require(findings)
    print(f"{arguments.id}: passes")
