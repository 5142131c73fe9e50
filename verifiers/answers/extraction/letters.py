"""The letter of an option in its usual notations: C, (C), \\textbf{(C)} 24, option C."""

import re

BEFORE, AFTER = r"(?<![A-Za-z0-9_\\^])(?<![A-Za-z]['’])", r"(?![A-Za-z0-9_^]|['’][a-z])"
"""What may not stand beside a letter that names an option."""
_WRAPPED = re.compile(r"\\(?:text|mathrm|textbf|mathbf|boldsymbol|mbox|bf)\s*\{([^{}]*)\}")
_NAMED = re.compile(
    r"\W*(?:(?:the\s+)?(?:correct\s+)?(?:option|choice|answer)\s*(?:is\s*)?:?\s*)?[(\[]?([A-Za-z])(?:[)\].:]+|\s*$)\s*(.*)",
    re.IGNORECASE | re.DOTALL,
)
_SEVERAL = re.compile(r"\W*[A-Z](?:\W*(?:(?:and|or)\W*)?[A-Z]){1,8}\W*")


def unwrapped(text: str) -> str:
    """Returns the text without LaTeX font commands and dollar signs."""
    return _WRAPPED.sub(r"\1", text).replace("$", "").replace("\\ ", " ").strip()


def leading_letter(text: str) -> tuple[str, str] | None:
    """Returns the letter at the start of an unwrapped text and the words after it. None if there is none.

    The letter is in upper case before ")" or "]", else as written.
    """
    found = _NAMED.fullmatch(text)
    if found is None or not (found[1].isupper() or not found[2]):
        return None
    bracketed = text[found.end(1) : found.end(1) + 1] in (")", "]")
    return found[1].upper() if bracketed else found[1], found[2].strip()


def listed_letters(text: str) -> str | None:
    """Returns several letters in order: "D, A and C" as "ACD". "" for alternatives ("A or C"), None for any other text."""
    if not _SEVERAL.fullmatch(text):
        return None
    return "" if "or" in text else "".join(sorted(set(re.findall(r"[A-Z]", text))))
