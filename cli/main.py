"""The entry point of the command line: parses the arguments, runs a command, and returns the exit status."""

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence

from .. import cpu_threads, extras, faults, named_code, signals, terminal
from ..core import UserError
from . import autopsy, bench, doctor, env, fetch, policy, pull, push, rollout, run, serve, synthesize, task, verify
from .runs import show, status, track, view

COMMANDS = (
    *(run, status, view, track, env, rollout, show, autopsy, bench, task, synthesize, verify),
    *(policy, serve, fetch, push, pull, doctor),
)
"""The commands in the order of `--help`."""
EXTRAS = {
    "run": "train",
    "track": "train",
    "doctor": "train",
    "bench": "bench",
    "task check": "bench",
    "synthesize": "synthesis",
    "view": "view",
    "serve": "serve",
    "policy serve": "view",
}
"""The optional dependencies ("extra") that each command needs."""
EPILOG = """examples:
  tenfold run quickstart                                 SFT, filter, GRPO and benchmarks with a tiny model
  tenfold status runs/quickstart                         say what a run is doing, also from another terminal
  tenfold view                                           show the runs in runs/ in a browser
  tenfold autopsy runs/quickstart                        say whether a training's reward was fooled, by other judges
  tenfold env list                                       list the environments
  tenfold env play tenfold/ChainSum-v0                   answer a problem by hand
  tenfold rollout tenfold/ChainSum-v0 --policy stage:runs/quickstart/grpo --samples 16
  tenfold bench chain_sum_avg8 --policy stage:runs/quickstart/grpo
  tenfold bench env:tenfold/ChainSum-v0 --policy stage:runs/quickstart/grpo
  tenfold synthesize human_eval: --limit 30 --compare
  tenfold verify --gold 1/2 --response 'so it is \\boxed{0.5}'
  tenfold verify --audit built-in --baselines                    measure verifiers on labelled pairs
  tenfold serve tenfold/ChainSum-v0 --port 8000          serve an environment to other trainers (OpenEnv)
  tenfold policy serve stage:runs/quickstart/grpo                serve a checkpoint with OpenAI's API
  tenfold push runs/quickstart/grpo ORG/NAME --dry-run   show what would go to the Hugging Face hub, with its model card
  tenfold doctor                                         say what works on this machine

policies:  micro:  smollm2:  packaged:NAME  gguf:FILE  config:FILE?tokenizer=FOLDER  hf:ORG/NAME  path:FOLDER
           stage:FOLDER  vllm+hf:ORG/NAME
           openai:MODEL?base_url=URL  scripted:TEXT  call:MODULE:FUNCTION
"""


def parser() -> argparse.ArgumentParser:
    """Returns the parser of all commands."""
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
    """Runs one command and returns the exit status: 0, 2 after a user's mistake, or 128 + n after signal n."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the command was started with a closed stream
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    parsed = parser().parse_args(arguments)
    _quiet_libraries()
    cpu_threads.stop_spinning()  # before a command imports torch
    for stream in (sys.stdout, sys.stderr):  # file names may contain bytes that are not text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with terminal.plain_output():
        return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    try:
        with signals.as_interrupts(), extras.required_by(f"tenfold {parsed.command}", EXTRAS.get(parsed.command, "")):
            if parsed.command != "run":  # a recipe has its own rules for the modules that it may import
                typed = {name: value for name, value in vars(parsed).items() if name not in ("gold", "response")}
                named_code.import_from_here(typed)
            parsed.call(parsed)
            sys.stdout.flush()
    except KeyboardInterrupt as error:
        number = signals.number_of(error)
        by = "" if number == signals.INTERRUPT else f" by {error}"
        _print_error(f"stopped{by}; run the same command again to resume")
        return 128 + number
    except BrokenPipeError:
        if not signals.discard_if_closed(sys.stdout):
            raise
        return 128 + signals.PIPE  # the reader of the output closed the pipe
    except Exception as error:
        message = str(error) if isinstance(error, UserError) else _explained(error)
        if message is None:
            raise
        _print_error(f"error: {message}")
        return 2
    return 0


def _explained(error: Exception) -> str | None:
    """Returns a line on an error of the machine or of the user's code; None for any other error."""
    at, machine = faults.place(error), faults.explain(error)
    return machine if at is None else f"{machine or faults.message(error)}{faults.shown(at)}"


def _print_error(line: str) -> None:
    """Prints a line on stderr."""
    with contextlib.suppress(OSError):  # stderr may be closed
        print(line, file=sys.stderr, flush=True)


def _quiet_libraries() -> None:
    """Switches off progress bars and notices of libraries, because they would overwrite tenfold's own."""
    for name, value in {
        "TQDM_DISABLE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
    }.items():
        os.environ.setdefault(name, value)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
