"""The letter of an option, in the ways people write it: C, (C), \\textbf{(C)} 24, option C."""

import re

_WRAPPED = re.compile(r"\\(?:text|mathrm|textbf|mathbf|boldsymbol|mbox|bf)\s*\{([^{}]*)\}")
_NAMED = re.compile(
    r"\W*(?:(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)\s*(?:is\s*)?:?\s*)?[(\[]?([A-Za-z])(?:[)\].:]+|\s*$)\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_SEVERAL = re.compile(r"\W*[A-Z](?:\W*(?:(?:and|or)\W*)?[A-Z]){1,8}\W*")


def unwrapped(text: str) -> str:
    """The text without the commands that only choose its type."""
    return _WRAPPED.sub(r"\1", text).replace("$", "").replace("\\ ", " ").strip()


def letter(text: str) -> tuple[str, str] | None:
    """The letter that an unwrapped text begins with, as it is written, and the words behind it; None where there is none."""
    found = _NAMED.fullmatch(text)
    if found is None or not (found[1].isupper() or not found[2]):
        return None
    bracketed = text[found.end(1) : found.end(1) + 1] == ")"
    return found[1].upper() if bracketed else found[1], found[2].strip()


def letters(text: str) -> str | None:
    """Several letters, "D, A and C" as "ACD"; none where it is one of them or another; None where the text is anything else."""
    if not _SEVERAL.fullmatch(text):
        return None
    return "" if "or" in text else "".join(sorted(set(re.findall(r"[A-Z]", text))))
