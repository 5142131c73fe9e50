"""`tenfold task`: checks a task file."""

import argparse

from ..core import UserError
from . import task_files
from .options import Commands


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("task", help="check a benchmark task of your own")
    actions = command.add_subparsers(required=True, metavar="ACTION")
    action = actions.add_parser(
        "check", help="read a task file, print its first prompt, and judge gold, empty and swapped answers"
    )
    action.add_argument("file", metavar="FILE", help="YAML file of a task of your own")
    action.add_argument("--trust", action="store_true", help="allow the file to name code outside tenfold, such as a verifier")
    action.set_defaults(call=check, command="task check")


def check(arguments: argparse.Namespace) -> None:
    """Checks a task file."""
    from ..benchmarks import task_check, task_file

    if not task_file.is_file_name(arguments.file):
        raise UserError(f"{arguments.file}: the name of a task file ends with .yaml; rename it")
    with task_files.code_limits([arguments.file], {"trust": arguments.trust}, arguments.trust):
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
