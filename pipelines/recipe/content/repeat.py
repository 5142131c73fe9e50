"""Repeated stages: stages that a recipe runs in several rounds, for example to filter again after some steps of training.

    stages:
      - {kind: sft, name: sft, ...}
      - repeat: 3
        stages:
          - {kind: filter, name: "filter_{round}", environment: tenfold/ChainSum-v0}
          - {kind: grpo, name: "grpo_{round}", environment: tenfold/ChainSum-v0, keep: "filter_{round}", steps: 16}

`{round}` is the number of the round, from 1. `repeat` may also be a list with a dictionary for each round. Its keys are further
placeholders, for example for harder problems and a band that moves:

      - repeat: [{level: 1, band: [0.1, 0.9]}, {level: 2, band: [0.05, 0.7]}]
        stages:
          - {kind: filter, name: "filter_{round}", band: "{band}", options: {level: "{level}"}, ...}

A text that consists of one placeholder becomes the placeholder's value; in a longer text the value is inserted. For levels
that depend on the pass rate, see `raise_level_above` of the filter.
"""

import re
from collections.abc import Mapping
from typing import Any

from ....core import UserError

MAX_ROUNDS = 1_000
"""Largest number of rounds. Our choice."""
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def expanded(content: object) -> object:
    """Returns a recipe's content with repeated stages replaced by the stages of their rounds.

    Raises:
        UserError: an entry with repeated stages is malformed.
    """
    if not isinstance(content, Mapping) or not isinstance(listed := content.get("stages"), list):
        return content
    stages: list[Any] = []
    for entry in listed:
        if isinstance(entry, Mapping) and "repeat" in entry:
            stages += _rounds(entry)
        else:
            stages.append(entry)
    return {**content, "stages": stages}


def _rounds(entry: Mapping[str, Any]) -> list[Any]:
    if unknown := entry.keys() - {"repeat", "stages"}:
        raise UserError(f"repeat: unknown setting {min(unknown, key=str)!r} beside it; use repeat and stages")
    stages, repeat = entry.get("stages"), entry["repeat"]
    if not isinstance(stages, list) or not stages:
        raise UserError("repeat: give the stages of a round in `stages` beside it")
    if isinstance(repeat, int) and not isinstance(repeat, bool) and 1 <= repeat <= MAX_ROUNDS:
        rounds: list[Mapping[str, Any]] = [{}] * repeat
    elif isinstance(repeat, list) and 1 <= len(repeat) <= MAX_ROUNDS and all(isinstance(each, Mapping) for each in repeat):
        rounds = repeat
    else:
        raise UserError(f"repeat: expected a number from 1 to {MAX_ROUNDS:,}, or a list of dictionaries, got {repeat!r:.100}")
    return [_filled(stage, {"round": number, **values}) for number, values in enumerate(rounds, start=1) for stage in stages]


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Returns nested data with the placeholders of a round replaced. Other text in braces is left as it is."""
    if isinstance(value, str):
        alone = _PLACEHOLDER.fullmatch(value)
        if alone and alone[1] in values:
            return values[alone[1]]
        return _PLACEHOLDER.sub(lambda found: str(values[found[1]]) if found[1] in values else found[0], value)
    if isinstance(value, Mapping):
        return {key: _filled(item, values) for key, item in value.items()}
    return [_filled(item, values) for item in value] if isinstance(value, list) else value
