"""IFEval's own checks, as lm-eval has them. A worker imports this module when it starts: that takes seconds."""

import contextlib
from typing import Any

import langdetect
from lm_eval.tasks.ifeval import instructions_registry

from .disguises import with_plain_commas

langdetect.DetectorFactory.seed = 0  # or it would say now this, now that
with contextlib.suppress(langdetect.LangDetectException):
    langdetect.detect("The first text has it read its tables.")


def followed(prompt: str, names: list[str], arguments: list[dict[str, Any]], response: str) -> list[bool] | str:
    """Which instructions a response keeps to, or what is missing here to tell."""
    kept = []
    for number, name in enumerate(names):
        if name not in instructions_registry.INSTRUCTION_DICT:
            return f"there is no instruction {name!r}"
        instruction = instructions_registry.INSTRUCTION_DICT[name](name)
        given = arguments[number] if number < len(arguments) else {}
        instruction.build_description(**{key: value for key, value in given.items() if value})
        if "prompt" in (instruction.get_instruction_args() or {}):
            instruction.build_description(prompt=prompt)
        try:
            shown = with_plain_commas(response) if name == "punctuation:no_comma" else response
            kept.append(bool(instruction.check_following(shown)))
        except LookupError as error:
            if "punkt" not in str(error):
                kept.append(False)
                continue
            return "counting sentences wants nltk's data: python -m nltk.downloader punkt_tab"
        except MemoryError:
            raise
        except Exception:  # JSON nested too deeply, say: what a check cannot read does not keep to it
            kept.append(False)
    return kept
