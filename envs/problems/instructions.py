"""Rows of IFEval as problems: instructions that a program can check. `verifiers/instructions.py` judges them."""

from collections.abc import Mapping
from typing import Any

from ...core import Problem, UserError
from . import conversations


def is_instructions(row: Mapping[str, object]) -> bool:
    """True if a row has IFEval's fields."""
    return {"prompt", "instruction_id_list", "kwargs"} <= row.keys()


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """Returns the problem of a row.

    Args:
        row: values by column. `solution` (not in IFEval's own rows) is a response that follows all instructions.
        uri: the source of the row.
        name: id of the problem if the row has none.

    Raises:
        UserError: the numbers of instructions and of argument sets differ.
    """
    try:
        names = [str(name) for name in row["instruction_id_list"]]
        # Rows of the hub have all arguments of all instructions, most of them null.
        arguments = [{key: value for key, value in (kwargs or {}).items() if value is not None} for kwargs in row["kwargs"]]
    except (TypeError, AttributeError) as error:
        raise UserError(f"{uri}, {name}: instruction_id_list and kwargs must be lists ({error})") from None
    if not names or len(names) != len(arguments):
        raise UserError(f"{uri}, {name}: {len(names)} instructions but {len(arguments)} sets of arguments")
    answer = {"instructions": names, "arguments": arguments}
    meta = {"solution": row["solution"]} if "solution" in row else {}
    prompt = conversations.messages(row["prompt"] or "", f"{uri}, {name}")
    return Problem(str(row.get("key", name)), prompt, answer, uri, meta)
