"""Settings that the user gives instead of those in the recipe's file.

    tenfold run RECIPE --set grpo.learning_rate=1e-5 --set seed=3 --set cluster.device=cpu

A name is that of a setting of a stage (STAGE.SETTING) or of the recipe. Further names after dots are nested settings, or
positions in a list, from 0 (`pretrain.phases.1.tokens`). The changes are made before the recipe is checked, so they have the
effect of the same values in the file.
"""

import contextlib
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from .... import disk
from ....core import UserError
from ... import cluster as clusters
from ...stages import KINDS

DOTTED = frozenset({"verl"})
"""Settings whose keys may contain dots: all that follows such a setting in a name is one key."""


def parse(texts: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Returns the settings of texts NAME=VALUE. A value is a YAML scalar or list.

    A value that YAML reads as a mapping is a text, such as the policy `micro:`.

    Args:
        texts: the texts.
        option: option of the command line, for errors.

    Raises:
        UserError: a text has no "=", or its value is not YAML.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise UserError(f"{option}: expected NAME=VALUE, got {text!r}")
        try:
            read = disk.yaml_value(value)
        except ValueError:
            raise UserError(f"{option} {name}: {value!r:.100} is not a YAML scalar or list; put a text in quotes") from None
        settings[name] = value if isinstance(read, dict) else read
    return settings


def options(stage: str, values: Mapping[str, object]) -> list[str]:
    """Returns the options of the command line that give settings of a stage their values; none if a value is a list or mapping.

    Args:
        stage: name of the stage.
        values: values by the name of the setting.
    """
    texts = []
    for name, value in values.items():
        if isinstance(value, list | dict):
            return []
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, str):
            with contextlib.suppress(UserError):  # as it is, unless YAML would read it as something else
                text = value if parse([f"{name}={value}"])[name] == value else text
        texts.append(f"--set {shlex.quote(f'{stage}.{name}={text}')}")
    return texts


def parse_sweep(seeds: str | None, texts: Sequence[str]) -> dict[str, Any]:
    """Returns the settings `seeds` and `sweep` of the command line.

    Args:
        seeds: integers, separated by commas.
        texts: texts NAME=VALUES. The values are separated by commas; each is a YAML scalar or list.

    Raises:
        UserError: a text has no "=", lacks a value or repeats a name, or a seed is no integer.
    """
    settings: dict[str, Any] = {}
    if seeds is not None:
        if not all(part.strip().isascii() and part.strip().isdigit() for part in seeds.split(",")):
            raise UserError(f"--seeds: expected integers separated by commas, such as 1,2,3, got {seeds!r}")
        settings["seeds"] = [int(part) for part in seeds.split(",")]
    swept: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, listed = text.partition("=")
        values = [value.strip() for value in _split(listed)]
        if not sign or not name or not all(values):
            raise UserError(f"--sweep: expected NAME=VALUE,VALUE,..., got {text!r}")
        if name in swept:
            raise UserError(f"--sweep: {name} is given twice; give all its values at once: {name}=VALUE,VALUE,...")
        swept[name] = [parse([f"{name}={value}"], "--sweep")[name] for value in values]
    return settings | ({"sweep": swept} if swept else {})


def _split(values: str) -> list[str]:
    """Splits a text at the commas that are not within brackets or quotes. An apostrophe within a word is no quote."""
    parts, depth, quote = [""], 0, ""
    for character in values:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and parts[-1].rstrip()[-1:] in ("[{,:" if depth else ""):
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def apply(content: Mapping[str, Any], settings: Mapping[str, Any], known: Sequence[str]) -> dict[str, Any]:
    """Returns a recipe's content with other settings. Only copies are changed.

    The argument stays as it is. Stages may share a value through an alias of YAML. It changes only in the stage that a name
    names.

    Args:
        content: as read from the file.
        settings: values by name.
        known: names of the recipe's own settings.

    Raises:
        UserError: there is no such stage or setting; the message lists the valid names.
    """
    changed = dict(content)
    for name, value in settings.items():
        listed = changed.get("stages")
        stages = listed if isinstance(listed, list) else []
        parts = name.split(".")
        named = {str(stage.get("name")): number for number, stage in enumerate(stages) if isinstance(stage, dict)}
        if size := _size(named, parts[:-1]):
            number = named[".".join(parts[:size])]
            _check_setting(stages[number], name, parts[size])
            changed["stages"] = [*stages[:number], _changed(stages[number], parts[size:], value, name), *stages[number + 1 :]]
        elif parts[0] in known and parts[0] != "stages":
            if parts[0] == "cluster" and isinstance(changed.get("cluster"), str):
                changed["cluster"] = clusters.named(changed["cluster"])
            changed = _changed(changed, parts, value, name)
        else:
            if name in named:
                raise UserError(f"{name}: this is a stage; use {name}.SETTING")
            own = ", ".join(each for each in known if each != "stages")
            raise UserError(
                f"{name}: there is no stage or setting {parts[0]!r}; use STAGE.SETTING with one of the stages "
                f"{', '.join(named)}, or one of the recipe's settings {own}"
            )
    return changed


def _check_setting(stage: Mapping[str, Any], name: str, setting: str) -> None:
    kind = KINDS.get(str(stage.get("kind")))
    if kind is not None and setting not in kind.model_fields:
        raise UserError(f"{name}: unknown setting {setting!r}; use one of {', '.join(kind.model_fields)}")


def _changed(value: Any, parts: Sequence[str], new: Any, name: str) -> Any:
    """Returns nested data with another value at a path. Only copies are changed, because YAML's aliases are shared data."""
    if not parts:
        return new
    if isinstance(value, list) and parts[0].isdecimal() and int(parts[0]) < len(value):
        number = int(parts[0])
        return [*value[:number], _changed(value[number], parts[1:], new, name), *value[number + 1 :]]
    if value is not None and not isinstance(value, Mapping):
        raise UserError(f"{name}: there is no setting {parts[0]!r} within {value!r:.60}")
    size = _size(value or {}, parts) or 1
    key = ".".join(parts[:size])
    rest = [".".join(parts[size:])] if key in DOTTED and parts[size:] else parts[size:]
    return {**(value or {}), key: _changed((value or {}).get(key), rest, new, name)}


def _size(names: Mapping[str, object], parts: Sequence[str]) -> int:
    """Returns the number of leading parts that form the longest possible name; 0 if none do. A name may contain dots."""
    return next((size for size in range(len(parts), 0, -1) if ".".join(parts[:size]) in names), 0)
