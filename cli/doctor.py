"""`tenfold doctor`: says what works on this machine, or on each node of a Ray cluster."""

import argparse
import json

from ..core import UserError
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser(
        "doctor",
        help="say what works on this machine and on each node of a cluster",
        description="Says what works on this machine, or on each node of the Ray cluster that --cluster names: versions, GPUs, "
        "the protections of the sandbox, the languages that run in it, a shared folder. Exit status 2 if something does not "
        "work.",
    )
    command.add_argument("--cluster", metavar="CLUSTER", help="YAML file or name of a cluster, as for `tenfold run`")
    command.add_argument("--folder", metavar="FOLDER", help="folder that all nodes should share, such as the folder of a run")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(call=doctor, command="doctor")


def doctor(arguments: argparse.Namespace) -> None:
    """Prints the findings of each node."""
    import pydantic

    from ..pipelines import cluster as clusters
    from ..pipelines.launch import doctor
    from ..pipelines.recipe import recipe

    folder = doctor.check_folder(arguments.folder)
    settings = clusters.named(arguments.cluster) if arguments.cluster else {}
    try:
        cluster = clusters.Cluster.model_validate(settings)
    except pydantic.ValidationError as error:
        raise UserError(f"{arguments.cluster}: {recipe.first_error(error, clusters.Cluster)}") from None
    found = doctor.on_nodes(cluster, folder) if cluster.address else {"this machine": doctor.here(folder)}
    differing = doctor.differences(found)
    broken = [f"{each.name} on {node}" for node, findings in found.items() for each in findings if not each.works]
    if arguments.json:
        print(json.dumps({node: [each._asdict() for each in findings] for node, findings in found.items()}, indent=1))
    else:
        for node, findings in found.items():
            print(node)
            for each in findings:
                print(f"  {'ok  ' if each.works else 'FAIL'} {each.name:13} {each.text}")
        for line in differing:
            print(f"FAIL {line}")
    if broken or differing:
        raise UserError(f"{len(broken) + len(differing)} findings: {', '.join(broken + differing)}")
