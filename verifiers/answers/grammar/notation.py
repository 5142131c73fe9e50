"""Normalization of LaTeX, plain text and Unicode to one notation, and the tokens of the normalized text.

Nothing is evaluated here. A text that cannot be split into tokens raises `ParseError`.
"""

import re
import unicodedata
from fractions import Fraction
from typing import NamedTuple

from ...disguises import visible
from .notation_variants import common
from .typesetting import plain, separated, two_names, without_lead

MAX_TOKENS = 1_000
"""Maximum number of tokens of an answer."""


class ParseError(Exception):
    """The text is not in the grammar of answers. The message names the first part that is not."""


class Token(NamedTuple):
    """A token of a text."""

    kind: str
    """number, name (a letter, a known word or a few capitals), command (LaTeX: a word without its backslash, or a sign with its
    backslash), text (words), mark (any other)"""
    value: str
    spaced: bool
    """True if white space precedes it."""


_UNICODE = str.maketrans(
    {
    "−": "-", "–": "-", "—": "-", "‐": "-", "‑": "-", "×": "*", "·": "*", "⋅": "*", "∙": "*", "∗": "*", "÷": "/", "∕": "/",
    "⁄": "/",
    "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "∞": r"\infty ", "√": r"\sqrt ",
    "∛": r"\sqrt[3] ", "∜": r"\sqrt[4] ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "∅": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ",
    "º": r"^\circ ",
    "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "λ": r"\lambda ", "φ": r"\phi ",
    "ω": r"\omega ",
    "σ": r"\sigma ", "ρ": r"\rho ", "Δ": r"\Delta ", "Ω": r"\Omega ", "µ": r"\mu ", "μ": r"\mu ", "∑": r"\sum ",
    "∫": r"\int ", "∏": r"\prod ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}", "ℓ": "l", "′": "'",
    "’": "'",
    "⟨": r"\langle ", "⟩": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ",
    "∖": r"\setminus ",
    "∼": r"\sim ", "≃": r"\simeq ", "≅": r"\cong ", "≒": r"\approx ", "ϕ": r"\phi ", "ε": r"\varepsilon ",
    "∧": r"\land ", "∨": r"\lor ", "¬": r"\neg ", "↔": r"\leftrightarrow ", "⇔": r"\iff ", "⟺": r"\iff ",
    "⟹": r"\implies ", "⊕": r"\oplus ", "∀": r"\forall ",
    "→": r"\to ", "⇒": r"\Rightarrow ", "…": "...", "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2005": " ",
    "\u2002": " ", "\u2003": " ",
    }
)  # fmt: skip
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿⁱ"
_SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉"
_RAISED = re.compile(f"[{_SUPERSCRIPTS}]+")
_LOWERED = re.compile(f"[{_SUBSCRIPTS}]+")
_PLAIN_SCRIPTS = str.maketrans(_SUPERSCRIPTS + _SUBSCRIPTS, "0123456789+-ni0123456789")
_UPRIGHT_DEGREES = re.compile(r"(\\(?:text|mathrm)\s*\{\s*)[°º]\s*([CF]\s*\})")
_VULGAR = re.compile("[¼½¾⅐-⅞]")

_SPACES = re.compile(r"(?<!\\)\\(?:quad|qquad|hspace\*?\{[^{}]*\}|,|;|:|!|>| |\n)|~")
_NOTHING = re.compile(
    r"\\(?:(?:left|right|[bB]ig+[lrm]?)(?![A-Za-z])\.?"
    r"|(?:displaystyle|textstyle|limits|nolimits|hfill|noindent|bf|it|rm|thinspace|mathstrut)(?![A-Za-z]))"
)
_WRAPPERS = re.compile(
    r"\\(?:mathbf|mathit|mathsf|mathcal|mathscr|boldsymbol|bm|vec|hat|tilde|displaylimits|ensuremath|underline|fbox)(?![A-Za-z])"
)
_ROW_SPACE = re.compile(r"\\\\\s*\[-?[\d.]+\s*(?:pt|em|ex|mm|cm|in)\]")
_NAMED_OPERATOR = re.compile(r"\\operatorname\*?\s*\{\s*([A-Za-z]+)\s*\}")
_TWICE_ESCAPED = re.compile(r"\\\\(?=[A-Za-z]{2})")
_GROUPING = re.compile(r"(?<=\d)(?:\s?\{[,']\s?\}|,\\!\s?|\\[,!;: ]|~)(?=\d{3}(?!\d))")
"""Separators of thousands that cannot separate the items of a list."""
_GROUPED = re.compile(r"(?<![\w.,'])\d{1,3}(?:(?:'\d{3})+|(?:\\?_\d{3})+|(?:\.\d{3}){2,})(?![\w']|[.,]\d)")
"""Thousands separated by apostrophes, underscores or points."""
_BARE_POINT = re.compile(r"(?<=\d)\.(?=\s*(?:[/*)\]^,}+]|-\s*\d|\\(?:times|cdot|pi|sqrt|frac|right)(?![A-Za-z])))")
"""A point after a whole number, as in 1./3."""
_ABOUT = re.compile(r"(?<=[A-Za-z)])\s*~\s*(?=[-+]?[\d.])")
_NOT = re.compile(r"(?:^|(?<=[\s(]))~(?=\s?[A-Za-z(])")
_VARIANTS = re.compile(r"\\var(phi|epsilon|theta|rho|sigma|kappa)(?![A-Za-z])")
"""Variant forms of Greek letters."""

_UPRIGHT = re.compile(r"\\(?:text|mathrm|mbox|textrm)\s*\{((?:[^{}]|\{[^{}]*\})*\{(?:[^{}]|\{[^{}]*\})*)\}")
"""Upright text that contains braces, such as `\\mathrm{m\\,s^{-1}}`."""

_NUMBER = r"\d+\.(?=\\(?:overline|bar|dot)(?![A-Za-z]))|\d+\.\d+(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\d+|\.\d+"
_SCANNER = re.compile(
    rf"(?P<number>{_NUMBER})"
    r"|(?P<text>\\(?:text|mathrm|mbox|textrm|textbf|textit|textnormal|textsf|operatorname\*?)\s*\{(?P<words>[^{}]*)\})"
    r"|(?P<command>\\[A-Za-z]+\*?|\\[{}|\\%#&_])"
    r"|(?P<name>[A-Za-z]+)"
    r"|(?P<mark>\*\*|<=|>=|!=|==|:=|\.\.\.|->|[-+*/^_(){}\[\]|=<>!,;:&%'])"
)
_RUN = re.compile(r"\s{2,}")
_GAP = re.compile(r"\s*")
KNOWN_WORDS = frozenset(
    (
        "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc asin acos atan sinh cosh tanh coth sech csch arsinh "
        "arcosh artanh asinh acosh atanh arcsinh arccosh arctanh log ln lg exp sqrt cbrt abs floor "
        "ceil max min gcd lcm det mod pi inf infinity oo and or binom union in sum prod"
    ).split()
)


def normalize(text: str) -> str:
    """Returns the text in one notation: Unicode signs as LaTeX or ASCII, without invisible characters, sizes and LaTeX spaces.

    Removes the delimiters of mathematics (`$`, `\\(`, `\\[`) and `\\boxed`. Keeps currency signs except `$`.
    """
    text = visible(text).strip("` \t\n\r")
    if not text.isascii():
        text = _UPRIGHT_DEGREES.sub(r"^\\circ\1\2", text)
        text = _VULGAR.sub(lambda found: " " + _slash(found[0]), text)
        text = _RAISED.sub(lambda found: "^{" + found[0].translate(_PLAIN_SCRIPTS) + "}", text)
        text = _LOWERED.sub(lambda found: "_{" + found[0].translate(_PLAIN_SCRIPTS) + "}", text)
        text = unicodedata.normalize("NFKC", text.translate(_UNICODE))
    text = _GROUPING.sub("", text)
    if "'" in text or "_" in text or text.count(".") > 1:
        text = _GROUPED.sub(lambda found: re.sub(r"\D", "", found[0]), text)
    if "." in text:
        text = _BARE_POINT.sub("", text)
    if "~" in text:
        text = _NOT.sub(r"\\sim ", _ABOUT.sub(r"\\approx ", text) if "\\" not in text else text)
    if "\\" in text:
        if "\\begin" not in text:
            text = _TWICE_ESCAPED.sub(r"\\", text)
        text = separated(plain(_ROW_SPACE.sub(r"\\\\", text)))
        text = _NAMED_OPERATOR.sub(r"\\\1 ", text)
        text = text.replace(r"\$", "$").replace(r"\%", "%").replace(r"\cfrac", r"\frac").replace(r"\dfrac", r"\frac")
        text = text.replace(r"\tfrac", r"\frac").replace(r"\lvert", "|").replace(r"\rvert", "|").replace(r"\vert", "|")
        text = re.sub(r"(?<!\\)\\[()\[\]]" if "\\begin" in text else r"\\[()\[\]]", " ", text)  # "\\\\(" starts a row
        text = re.sub(r"\^\s*(?:\{\s*\\prime\s*\}|\\prime(?![A-Za-z]))", "'", text)
        text = re.sub(r"(\^\s*\{?\s*)\\(?:top|intercal)(?![A-Za-z])", r"\1T", text)
        text = _NOTHING.sub(" ", text)
        text = _WRAPPERS.sub("", text)
        text = _SPACES.sub(" ", text)
        if "\\var" in text:
            text = _VARIANTS.sub(lambda found: "\\" + found[1] if "\\" + found[1] not in text else found[0], text)
        while "\\boxed" in text or "\\fbox" in text:
            unboxed = re.sub(r"\\f?boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}", r"\1", text)
            if unboxed == text:
                break
            text = unboxed
        text = _UPRIGHT.sub(_upright, text)
    elif "\n" in text:
        text = separated(text)
    text = two_names(_RUN.sub(" ", without_lead(text.replace("$", " ")).replace("~", " "))).strip().rstrip(";,").rstrip()
    return common(text.removesuffix(".").rstrip() if not text.endswith("...") else text)


def _upright(found: re.Match[str]) -> str:
    """Sets each word upright by itself and leaves the other characters outside."""
    return re.sub(r"(?<!\\)\b[A-Za-z]+", r"\\text{\g<0>}", found[1])


def _slash(character: str) -> str:
    value = Fraction(unicodedata.numeric(character)).limit_denominator(10)
    return f"{value.numerator}/{value.denominator}"


def tokens(text: str) -> list[Token]:
    """Returns the tokens of a normalized text.

    Raises:
        ParseError: A character is not in the grammar, or there are more than `MAX_TOKENS` tokens.
    """
    found: list[Token] = []
    position = 0
    while True:
        start = _GAP.match(text, position).end()  # type: ignore[union-attr]  # the pattern also matches the empty text
        if start == len(text):
            return found
        match = _SCANNER.match(text, start)
        if match is None:
            raise ParseError(f"unexpected character {text[start]!r}")
        spaced, kind = start > position, match.lastgroup
        value = match[0]
        if kind == "text":
            value = match["words"].strip()
        elif kind == "command":
            value = value[1:] if value[1].isalpha() else value
        if kind == "name" and len(value) > 1:
            found.extend(_names(value, spaced))
        else:
            found.append(Token(str(kind), value, spaced))
        if len(found) > MAX_TOKENS:
            raise ParseError(f"more than {MAX_TOKENS} tokens")
        position = match.end()


def _names(run: str, spaced: bool) -> list[Token]:
    """Splits a run of letters: a known word, a segment or polygon in capitals, a product of letters, or words."""
    if run.lower() in KNOWN_WORDS:
        return [Token("name", run.lower(), spaced)]
    if run.isupper() and len(run) <= 6:
        return [Token("name", run, spaced)]
    for end in range(len(run) - 1, 1, -1):  # a known word at the start or end: xsin, 2pix
        if run[:end] in ("pi", "sqrt", "sin", "cos", "tan", "log", "ln"):
            return [Token("name", run[:end], spaced), *_names(run[end:], False)]
        if run[-end:] in ("pi", "sqrt", "sin", "cos", "tan", "log", "ln") and len(run) - end <= 2:
            return [*_names(run[:-end], spaced), Token("name", run[-end:], False)]
    if len(run) <= 3:
        return [Token("name", letter, spaced and index == 0) for index, letter in enumerate(run)]
    return [Token("text", run, spaced)]


class TokenReader:
    """A reader of a text's tokens, from left to right."""

    def __init__(self, text: str):
        self.tokens, self.position = tokens(text), 0

    def peek(self, ahead: int = 0) -> Token | None:
        """Returns the next token, or the one `ahead` places after it. None at the end."""
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def at(self, *values: str) -> bool:
        """True if the next token is one of these marks, names or commands."""
        token = self.peek()
        return token is not None and token.value in values and token.kind != "text"

    def take(self, *values: str) -> bool:
        """Like `at`, but also reads the token."""
        if self.at(*values):
            self.position += 1
            return True
        return False

    def expect(self, value: str) -> None:
        """Reads a token that must come next."""
        if not self.take(value):
            raise ParseError(f"{value!r} is missing")

    def next(self) -> Token:
        """Reads the next token."""
        token = self.peek()
        if token is None:
            raise ParseError("the text ends too early")
        self.position += 1
        return token
