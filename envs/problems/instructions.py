"""Instructions that can be checked: rows of IFEval's form as problems (`verifiers/instructions.py` judges them)."""

from collections.abc import Mapping
from typing import Any

from ...core import Message, Problem, UserError


def is_instructions(row: Mapping[str, Any]) -> bool:
    """Whether a row has IFEval's fields."""
    return {"prompt", "instruction_id_list", "kwargs"} <= row.keys()


def problem_of(row: Mapping[str, Any], uri: str, name: str) -> Problem:
    """A problem of such a row; `solution`, which IFEval's own rows lack, is a response that keeps to them all.

    Raises:
        UserError: there is not one set of arguments an instruction.
    """
    try:
        names = [str(one) for one in row["instruction_id_list"]]
        # The hub gives every row all arguments of all instructions, most of them empty.
        arguments = [{key: value for key, value in (given or {}).items() if value is not None} for given in row["kwargs"]]
    except (TypeError, AttributeError) as error:
        raise UserError(f"{uri}, {name}: instruction_id_list and kwargs are lists ({error})") from None
    if not names or len(names) != len(arguments):
        raise UserError(f"{uri}, {name}: {len(names)} instructions with {len(arguments)} sets of arguments")
    answer = {"instructions": names, "arguments": arguments}
    meta = {"solution": row["solution"]} if "solution" in row else {}
    return Problem(str(row.get("key", name)), (Message(role="user", content=str(row["prompt"])),), answer, uri, meta)
