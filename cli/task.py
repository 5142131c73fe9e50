"""`tenfold task`: checks a task file. `code_limits` limits the code that task files may name."""

import argparse
import contextlib
from collections.abc import Iterator, Mapping, Sequence

from .. import named_code
from ..core import UserError
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("task", help="check a benchmark task of your own")
    actions = command.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser(
        "check",
        help="read a task file, print its first prompt, and judge gold answers, empty ones and those of other problems",
    )
    action.add_argument("file", metavar="FILE", help="YAML file of a task of your own")
    action.add_argument("--trust", action="store_true", help="allow the file to name code outside tenfold, such as a verifier")
    action.set_defaults(call=check, command="task check")


def check(arguments: argparse.Namespace) -> None:
    """Checks a task file."""
    from ..benchmarks import task_check, task_file

    if not task_file.is_file_name(arguments.file):
        raise UserError(f"{arguments.file}: the name of a task file ends with .yaml; rename it")
    with code_limits([arguments.file], {"trust": arguments.trust}, arguments.trust):
        report = task_check.check(arguments.file)
    print(f"{report.name}: {report.problems} problems, avg@{report.samples}, verifier {report.verifier}")
    print("\nthe first prompt:\n")
    for message in report.prompt:
        print(f"[{message['role']}]\n{message['content']}\n")
    for line in report.lines:
        print(line)
    if report.findings:
        print("\nfindings:")
        for finding in report.findings:
            print(f"- {finding}")
        raise UserError(f"{arguments.file}: {len(report.findings)} findings; see the list above")
    print("passes")


@contextlib.contextmanager
def code_limits(tasks: Sequence[str], arguments: Mapping[str, object], trust: bool) -> Iterator[None]:
    """Limits the code that this process may name while it runs task files, which may come from someone else.

    Args:
        tasks: names of tasks.
        arguments: the values of the command line; the user may name any code there.
        trust: if true, there are no limits. The task files, too, may name any code, including modules in the working folder.
    """
    from ..benchmarks import catalogue, task_file
    from ..envs import registry

    files = [task for task in tasks if task_file.is_file_name(task)]
    if not files:
        yield
    elif trust:
        named_code.import_from_here([catalogue.settings(file) for file in files])
        yield
    else:
        names = {*registry.user_code_names(), *named_code.names_in(dict(arguments))}
        with named_code.limited(named_code.Limits(names=tuple(sorted(names)), origin=", ".join(files))):
            yield
