"""`tenfold env new`: writes a plug-in package with a new environment."""

import argparse
from pathlib import Path

from ..options import Commands

LICENCES = ("Apache-2.0", "MIT", "none")
"""The same as `envs.new.LICENCES`, which takes longer to import."""


def add(actions: Commands) -> None:
    """Adds the action and its options."""
    action = actions.add_parser("new", help="write a plug-in package with a new environment, its verifier, problems and tests")
    action.add_argument("name", help="name of the Python package, and namespace of the environment's id")
    action.add_argument("--dir", type=Path, metavar="FOLDER", help="folder to create (default: NAME); nothing is overwritten")
    action.add_argument(
        "--licence", "--license", choices=LICENCES, default="none", help="licence of the package (default: none)"
    )
    action.add_argument("--author", default="", help="holder of the copyright in the licence")
    action.set_defaults(call=new, command="env new")


def new(arguments: argparse.Namespace) -> None:
    """Writes the package, and prints what to do next."""
    from ...envs import new as package

    folder, id = package.write(arguments.name, arguments.dir, arguments.licence, arguments.author)
    print(f"{folder} has the package {arguments.name} with the environment {id}. Next: pip install --editable {folder}")
