"""`tenfold env play` and `tenfold env show`: an environment as a policy sees it."""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ... import faults
from ...core import Episode, Info, Message, Problem, UserError, message_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

END = "."
"""A line with only this text ends a response."""
SHOWN = 3
"""Number of problems that `env show` prints by default."""


def play(arguments: argparse.Namespace) -> None:
    """Plays one episode with responses from standard input or an editor, and appends it to a file."""
    from ...envs import registry
    from ...policies.play.games import prompt_messages_of, verdict_of
    from ...policies.store import episode_to_json

    environment = registry.make(arguments.id, **arguments.options)
    options = {} if arguments.problem is None else {"problem": arguments.problem}
    text, info = environment.reset(seed=arguments.seed, options=options)
    id = str(info.get("problem_id", arguments.problem))
    messages: list[Message] = [*prompt_messages_of(text, cast(Info, info))]
    print(shown(messages))
    if not arguments.editor:
        print(f"(end your response with a line that has only {END!r})", file=sys.stderr)
    rewards, ended = 0.0, False
    while not ended:
        response = _edited(messages) if arguments.editor else _typed()
        messages.append(Message(role="assistant", content=response))
        text, reward, terminated, truncated, info = environment.step(response)
        rewards, ended = rewards + float(reward), terminated or truncated
        if text:
            messages.append(Message(role=str(info.get("role", "user")), content=text))
            print(shown(messages[-1:]))
    verdict = verdict_of(cast(Info, info), rewards)
    reason = f": {verdict.reason}" if verdict.reason else ""
    print(f"reward {rewards:g}  ({verdict.status}, by {verdict.method}{reason})")
    for part in verdict.parts:
        print(
            f"  {part.name}: {'no score' if part.score is None else f'{part.score:g}'}, weight {part.weight:g}; {part.reason}"
        )
    out = arguments.out or f"{arguments.id.rpartition('/')[2]}.play.jsonl"
    row = episode_to_json(Episode(id, 0, tuple(messages), verdict, 0, "stop"))
    with faults.as_user_errors(out):
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        with open(out, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    print(f"transcript in {out}", file=sys.stderr)


def show(arguments: argparse.Namespace) -> None:
    """Prints problems as the policy sees them, with their gold answers where known."""
    from ...envs import registry
    from ...policies.play.games import count_problems, prompt_messages_of

    environment = registry.make(arguments.id, **arguments.options)
    problems, count = getattr(environment.unwrapped, "problems", None), count_problems(environment)
    first = 0 if arguments.problem is None else arguments.problem
    number = arguments.limit or (SHOWN if arguments.problem is None else 1)
    indices = range(first, first + number if count is None else min(count, first + number))
    if not indices:
        raise UserError(f"there is no problem {first}: {arguments.id} has {count}")
    tokenizer = _tokenizer(arguments.policy) if arguments.policy else None
    for index in indices:
        text, info = environment.reset(seed=index, options={"problem": index})
        messages = prompt_messages_of(text, cast(Info, info))
        print(f"--- problem {index}{'' if count is None else f' of {count:,}'}: {info.get('problem_id', index)}")
        if tokenizer is None:
            print(shown(messages))
        else:
            from ...policies.chat.prompts import prompt_tokens

            tokens = prompt_tokens(tokenizer, messages)
            print(tokenizer.decode(tokens))
            print(f"({len(tokens)} tokens)")
        if isinstance(problems, Sequence) and isinstance(problem := problems[index], Problem):
            gold = problem.answer if isinstance(problem.answer, str) else json.dumps(problem.answer, default=str)
            print(f"gold answer: {gold}{_counted(tokenizer, gold)}")
            if tokenizer is not None and (solution := problem.meta.get("solution")):
                print(f"solution:{_counted(tokenizer, str(solution))}")
            if "invalid_gold" in problem.meta:
                print(f"cannot be used: {problem.meta['invalid_gold']}")


def _counted(tokenizer: "PreTrainedTokenizerBase | None", text: str) -> str:
    """Returns the number of tokens of a text without special tokens, as text; empty without a tokenizer."""
    if tokenizer is None:
        return ""
    return f" ({len(tokenizer.encode(text, add_special_tokens=False))} tokens)"


def shown(messages: Sequence[Message]) -> str:
    """Returns messages as text, each after its role in brackets."""
    return "\n".join(f"[{message['role']}]\n{message_text(message)}" for message in messages)


def _typed() -> str:
    """Reads a response from standard input, up to a line with only a dot or up to the end of the input.

    Raises:
        UserError: the input has ended.
    """
    print("> ", end="", flush=True)
    lines: list[str] = []
    for line in sys.stdin:
        if line.rstrip("\r\n") == END:
            return "".join(lines).removesuffix("\n")
        lines.append(line)
    if not lines:
        raise UserError(f"standard input ended before the episode; end each response with a line that has only {END!r}")
    return "".join(lines).removesuffix("\n")


def _edited(messages: Sequence[Message]) -> str:
    """Opens $VISUAL or $EDITOR on an empty file, with the conversation in a second one, and returns what was written."""
    editor = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with tempfile.TemporaryDirectory() as folder:
        response, conversation = Path(folder, "response.txt"), Path(folder, "conversation.txt")
        response.touch()
        conversation.write_text(shown(messages), encoding="utf-8", errors="replace")
        try:
            subprocess.run([*editor, str(response)], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(f"the editor {editor[0]!r} failed ({error}); name another one in EDITOR") from None
        return response.read_text(encoding="utf-8", errors="replace").removesuffix("\n")


def _tokenizer(uri: str) -> "PreTrainedTokenizerBase":
    """Returns the tokenizer of a checkpoint. The weights are not loaded."""
    from ... import extras
    from ...policies import checkpoints

    if uri.startswith(("scripted:", "call:", "openai:")):
        raise UserError(f"{uri} has no chat template here; name a checkpoint: hf:ORG/NAME, path:FOLDER, stage:FOLDER")
    with extras.required_by(uri):
        return checkpoints.tokenizer_of(checkpoints.checkpoint(uri.rpartition("+")[2]))
