"""`tenfold autopsy`: judges a training's stored episodes by judges that it was not trained on."""

import argparse
import json
from pathlib import Path

from ...core import UserError
from .. import options
from ..options import Commands
from .environments import environments_of_run


def add(commands: Commands) -> None:
    """Adds the command and its options."""
    command = commands.add_parser("autopsy", help="say whether a training's reward was fooled, by other judges")
    command.add_argument("run", help="folder of a run, or of one of its GRPO stages")
    command.add_argument("--stage", help="name of the GRPO stage, if the run has several")
    command.add_argument(
        "--judge",
        dest="judges",
        action="append",
        default=[],
        metavar="URI",
        help="a policy that judges answers, prefer:URI of one that prefers one of two responses, or the name of a built-in "
        "judge (then only the named ones judge); may be repeated",
    )
    command.add_argument(
        "--samples", type=options.not_negative, help="samples of each step that are judged (default: 64; 0: all)"
    )
    command.add_argument("--out", help="folder of autopsy.html and autopsy.json (default: autopsy-STAGE in the run's folder)")
    command.add_argument("--trust", action="store_true", help="allow the run's recipe to run code from outside tenfold")
    command.add_argument("--json", action="store_true", help="print the findings as one line of JSON")
    command.set_defaults(call=run, command="autopsy")


def run(arguments: argparse.Namespace) -> None:
    """Judges the episodes, writes the page and prints a summary."""
    from ...pipelines.rl import show
    from ...terminal import Console, plain

    stage = show.stage_folder(Path(arguments.run), arguments.stage).resolve()
    from ...pipelines.autopsy import autopsy, findings, page  # takes seconds, so the folder is checked before

    out = Path(arguments.out) if arguments.out else stage.parent / f"autopsy-{stage.name}"
    per_step = findings.PER_STEP if arguments.samples is None else arguments.samples or None
    with environments_of_run(stage.parent, trust=arguments.trust, named=arguments.judges):
        request = autopsy.request(stage, judges=arguments.judges, per_step=per_step)
        with Console(stderr=True).status("judging") as status:
            found = findings.examine(request, lambda done, total: status.update(f"judging: {done} of {total}"))
    try:
        autopsy.write(out, found)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror or error}: choose another --out") from None
    if arguments.json:
        print(json.dumps(found))
        return
    for line in page.lines(found):
        print(plain(line))
    print(f"page: {out / autopsy.PAGE}")
