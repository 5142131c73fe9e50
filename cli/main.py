"""The command line: `tenfold …`. One file a command."""

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence

from .. import extras, faults, signals, terminal
from ..core import UserError
from . import bench, env, rollout, run, show, synthesize, verify

COMMANDS = (run, env, rollout, show, bench, synthesize, verify)
"""In the order of `--help`."""
EXTRAS = {"run": "train", "bench": "bench", "synthesize": "synthesis"}
"""The extra that brings all that a command needs."""
EPILOG = """examples:
  tenfold run quickstart                                 sft, filter, GRPO and benchmarks, from nothing
  tenfold env list                                       what can be played
  tenfold env play tenfold/ChainSum-v0                   answer a problem yourself
  tenfold rollout tenfold/ChainSum-v0 --policy stage:runs/quickstart/grpo --samples 16
  tenfold bench chain_sum_avg8 --policy stage:runs/quickstart/grpo
  tenfold synthesize human_eval: --limit 30 --compare
  tenfold verify --gold 1/2 --answer 'so it is \\boxed{0.5}'
  tenfold verify --audit own --baselines                    who judges how well, against labels

policies:  micro:  smollm2:  hf:ORG/NAME  path:FOLDER  stage:FOLDER  vllm+hf:ORG/NAME  openai:MODEL?base_url=URL  scripted:TEXT
"""


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    main = argparse.ArgumentParser(
        prog="tenfold",
        description="Train small language models to reason: environments, verifiers, GRPO on verl, avg@k on lm-eval.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = main.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; the process's exit status: 0, 2 for what a user can mend, 128 + n where signal n ended it."""
    parsed = parser().parse_args(arguments)
    _quiet_libraries()
    for stream in (sys.stdout, sys.stderr):  # a name of a file may have bytes that are no text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with terminal.cleaned():
        return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    try:
        with signals.heard(), extras.wanted_by(f"tenfold {parsed.command}", EXTRAS.get(parsed.command, "")):
            parsed.call(parsed)
            sys.stdout.flush()
    except KeyboardInterrupt as error:
        number = signals.number_of(error)
        by = "" if number == signals.INTERRUPT else f" by {error}"
        _say(f"stopped{by}; the same command goes on from here")
        return 128 + number
    except BrokenPipeError:
        if not signals.leave(sys.stdout):
            raise
        return 128 + signals.PIPE  # whoever read the output has enough
    except Exception as error:
        said = str(error) if isinstance(error, UserError) else faults.line(error)
        if said is None:
            raise
        _say(f"error: {said}")
        return 2
    return 0


def _say(line: str) -> None:
    """One line on stderr, where anybody can still be told."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _quiet_libraries() -> None:
    """Bars and notices of the libraries below would tear our own."""
    for name, value in {
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
