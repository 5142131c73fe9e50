"""IFEval's own checks, as lm-eval implements them.

A worker imports this module when it starts, because the import takes seconds.
"""

import contextlib

import langdetect
from lm_eval.tasks.ifeval import instructions, instructions_registry

from .disguises import with_plain_commas

langdetect.DetectorFactory.seed = 0  # otherwise its results are random
with contextlib.suppress(langdetect.LangDetectException):
    langdetect.detect("The first text has it read its tables.")  # makes it load its data now


def check_instructions(
    prompt: str, names: list[str], arguments: list[dict[str, object] | None], response: str
) -> list[bool] | str:
    """Returns for each instruction whether a response follows it, or why no response can be checked by these instructions.

    Args:
        prompt: some instructions are checked against it.
        names: IFEval's names of the instructions.
        arguments: for each instruction its arguments; those without a value are left out.
        response: the response's text.

    Raises:
        LookupError: data of nltk is missing on this machine.
    """
    checks = _instructions(prompt, names, arguments)
    if isinstance(checks, str):
        return checks
    plain = with_plain_commas(response)
    return [_follows(check, plain if check.id == "punctuation:no_comma" else response) for check in checks]


def check_strict_and_loose(
    prompt: str, names: list[str], arguments: list[dict[str, object] | None], response: str
) -> tuple[list[bool], list[bool]] | str:
    """Returns for each instruction whether a response follows it, by IFEval's strict and by its loose test.

    An instruction is followed in the loose test if the response follows it with or without its first line, its last line and
    its stars.

    Args:
        prompt, names, arguments, response: as in `check_instructions`.

    Raises:
        LookupError: data of nltk is missing on this machine.
    """
    checks = _instructions(prompt, names, arguments)
    if isinstance(checks, str):
        return checks
    lines = response.split("\n")
    texts = [response, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))]
    texts += [text.replace("*", "") for text in texts]
    distinct = [text for text in dict.fromkeys(texts) if text.strip()]
    strict = [bool(response.strip()) and _follows(check, response) for check in checks]
    loose = [
        followed or any(_follows(check, text) for text in distinct if text != response)
        for check, followed in zip(checks, strict, strict=True)
    ]
    return strict, loose


def _instructions(
    prompt: str, names: list[str], arguments: list[dict[str, object] | None]
) -> list[instructions.Instruction] | str:
    """Returns the instructions with their arguments, or why they cannot be used."""
    found = []
    for number, name in enumerate(names):
        if name not in instructions_registry.INSTRUCTION_DICT:
            return f"unknown instruction {name!r}"
        instruction = instructions_registry.INSTRUCTION_DICT[name](name)
        values = (arguments[number] if number < len(arguments) else None) or {}
        try:
            instruction.build_description(**{key: value for key, value in values.items() if value})
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            return f"the arguments of {name} cannot be used: {error}"
        if "prompt" in (instruction.get_instruction_args() or {}):
            instruction.build_description(prompt=prompt)
        found.append(instruction)
    return found


def _follows(instruction: instructions.Instruction, text: str) -> bool:
    try:
        return bool(instruction.check_following(text))
    except LookupError as error:
        if "punkt" not in str(error):
            return False
        raise LookupError("counting sentences needs nltk's data: run python -m nltk.downloader punkt_tab") from None
    except MemoryError:
        raise
    except Exception:  # a response that a check cannot read, for example deeply nested JSON, does not follow it
        return False
