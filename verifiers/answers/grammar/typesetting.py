"""Removal of LaTeX that has no mathematical meaning: sizes, colours, fonts, labels, leading signs, alignment environments."""

import re

GROUP = r"\{(?:[^{}]|\{[^{}]*\})*\}"
"""Braces that contain at most one more level of braces."""

_SILENT = re.compile(
    r"\\(?:tiny|scriptsize|footnotesize|small|normalsize|[lL]arge|LARGE|[hH]uge|bfseries|itshape|rmfamily|boldmath|sf|tt|strut"
    r"|scriptstyle|scriptscriptstyle|checkmark|blacksquare|qed|qedsymbol|nonumber|notag|centering|enspace|newline|allowbreak|nobreak|relax|protect|par|hfil|null)(?![A-Za-z])"
)
"""Commands without an argument."""
_DROPPED = re.compile(
    rf"\\(?:tag\*?|label|[hv]?phantom|vspace\*?|(?:text)?color(?:\s*\[[^\]]*\])?|colorbox|fcolorbox\s*{GROUP}|bbox\s*(?=\[)"
    rf"|cssId|class|style|raisebox|scalebox|resizebox\s*{GROUP}|enclose)\s*(?:{GROUP}|\[[^\]]*\])"
)
"""Commands that are removed with their first argument. The text that they colour or move follows it and stays."""
_KEPT = re.compile(
    r"\\(?:bold|pmb|mathbin|mathop|mathord|mathrel|mathnormal|mathtt|framebox|makebox|smash|mathclap|uline|centerline)(?![A-Za-z])"
    r"(?:\s*\[[^\]]*\])?"
)
"""Commands that are removed while their argument stays."""
_UPRIGHT = re.compile(r"\\(?:texttt|emph|textsc|textup|textmd|textsl|hbox)(?=\s*\{)")
"""Commands that are replaced by \\text."""
_NO_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textrm|textbf)\s*\{\s*\}")
_SLANTED = re.compile(r"\\(?:nice|s|flat|x)frac(?![A-Za-z])")
_REPLACED = ((_DROPPED, " "), (_SILENT, " "), (_KEPT, " "), (_UPRIGHT, r"\\text"), (_NO_TEXT, " "), (_SLANTED, r"\\frac"))
_ANY_OF_THEM = re.compile("|".join(pattern.pattern for pattern, _ in _REPLACED))
"""Any of the patterns. One search suffices for most answers, because they contain none."""
_NUMBER_AHEAD = r"(?=\s*+[-+]?\s*+(?:\\?\$)?\s*+[\d.])"
_ABOUT = re.compile(rf"\\(?:sim|thicksim|cong|doteq|approxeq|thickapprox|fallingdotseq)(?![A-Za-z]){_NUMBER_AHEAD}")
"""Signs that mean "approximately" before a number, and something else before anything other than a number."""
_LEADING = re.compile(
    r"\s*(?:\\text\s*\{\s*)?(?:\\(?:approx|simeq|approxeq|thickapprox|fallingdotseq|doteq|cong|therefore|implies|Rightarrow"
    r"|Longrightarrow|to|rightarrow|longrightarrow|star|bullet)(?![A-Za-z])|∴|=(?![=<>])"
    r"|(?:\\(?:sim|thicksim)(?![A-Za-z])|~)(?=\s*(?:[^A-Za-z\s\\]|\\(?:frac|sqrt|pi)(?![A-Za-z]))))(?:\s*\})?[\s,]*"
)
"""Signs in front of an answer that mean "approximately", "therefore" or "equals"."""
_IMPLIES = re.compile(r"\\(?:implies|Rightarrow|Longrightarrow|therefore)(?![A-Za-z])")
_RELATES = re.compile(r"[=<>]|\\(?:le|ge|leq|geq|ne|neq|in|approx|equiv)(?![A-Za-z])")

_ALIGNING = r"(?:aligned|align|alignat|alignedat|gathered|gather|split|equation|multline|eqnarray|flalign|displaymath|math)\*?"
_LINED_UP = re.compile(
    rf"(?P<brace>\\left\s*\\\{{\s*)?\\begin\s*\{{(?P<name>{_ALIGNING}|array)\}}(?:\s*\[[tbc]\])?(?P<columns>\s*\{{[^{{}}&]*\}})?"
    r"(?P<body>(?:(?!\\begin).)*?)\\end\s*\{(?P=name)\}(?(brace)\s*\\right\s*\.)",
    re.DOTALL,
)
"""An alignment environment without another one inside. A brace on its left makes its rows a system or cases."""
_CONTINUES = re.compile(r"(?:[=<>+]|\\(?:le|ge|leq|geq|approx|equiv|times|cdot|pm)(?![A-Za-z]))")

_BREAK = re.compile(r"\\q?quad(?![A-Za-z])|\$\s+\$|\\\\(?=\s)|\n\s*")
"""Separators of two statements that stand side by side or on two lines."""
_COMPLETE = re.compile(r"[\w)\]}!'%]\s*\$?\s*$")
_JOINS = re.compile(r"(?:\\(?:text|mathrm|mbox|textrm)\s*\{\s*,?|\b)(?:and|or|if|for|where|when|with|all|is)\s*\}?\s*$")
_BEGINS = re.compile(
    r"\s*+\$?\s*+(?:[A-Za-z\d.\[{]|\\(?!(?:text|mathrm|mbox|textrm|textbf|in|forall|le|ge|leq|geq|ne|neq|cup|cap|cdot|times|div|to"
    r"|rightarrow|mid|vert|pmod|pmod|mod|bmod|equiv|Rightarrow|implies|iff|approx|sim|land|lor|vee|wedge|pm|mp|setminus|circ"
    r"|q?quad|right|end|mu|Omega|%)(?![A-Za-z]))[A-Za-z{])"
)
_WORD = re.compile(r"\s*+\$?\s*+(?:and|or|if|for|where|when|with|all|[A-Za-zµ]{1,3}(?:/[A-Za-z]{1,3})?\s*$)(?![A-Za-z])")
"""Words that join or restrict, and units."""
_TWO_NAMES = re.compile(r"(?<==)(\s*-?\s*(?:[\d./]+|\\frac\s*\{\d+\}\s*\{\d+\}))\s+(?=[A-Za-z](?:_(?:\w|\{\w+\}))?\s*=(?!=))")
"""Matches "x=1 y=2": a number after "=", then another name."""


def plain(text: str) -> str:
    """Returns the text without the LaTeX that has no mathematical meaning."""
    if "\\" not in text:
        return text
    if _ANY_OF_THEM.search(text):
        for pattern, replacement in _REPLACED:
            text = pattern.sub(replacement, text)
    if "\\begin" in text:
        for _ in range(3):
            text = _LINED_UP.sub(_rows, text)
    return _ABOUT.sub(r"\\approx ", text)


def without_lead(text: str) -> str:
    """Returns the text without leading signs. From a chain of implications only the last step remains."""
    for _ in range(3):
        if not (found := _LEADING.match(text)):
            break
        text = text[found.end() :]
    steps = _IMPLIES.split(text) if "\\" in text else [text]
    if len(steps) > 1 and all(_RELATES.search(step) for step in steps):
        return steps[-1]
    return text


def separated(text: str) -> str:
    """Returns the text with a comma where a wide space, a new line or a new formula separates two statements."""
    if "\\begin" in text:
        return text
    if _BREAK.search(text):
        parts, breaks = _BREAK.split(text), _BREAK.findall(text)
        result = parts[0]
        for between, part in zip(breaks, parts[1:], strict=True):
            separate = (
                _COMPLETE.search(result[-40:])
                and not _JOINS.search(result[-40:])
                and _BEGINS.match(part)
                and not _WORD.match(part)
            )
            result += (" , " if separate else " ") + ("$" if "$" in between else "") + part
        text = result
    return text


def two_names(text: str) -> str:
    """Returns the text with a comma before an assignment that directly follows another one: "x=1 y=2"."""
    return _TWO_NAMES.sub(r"\1 , ", text) if text.count("=") > 1 and "\\begin" not in text else text


def _rows(found: re.Match[str]) -> str:
    """Returns the rows of an environment as text: a continued equation, a list, cases, or the unchanged matrix."""
    name, body = found["name"], found["body"]
    rows = [row.strip() for row in re.split(r"\\\\(?:\s*\[[^\]]*\])?", body) if row.strip()]
    if name == "array":
        cells = [row.split("&") for row in rows]
        lined_up = any(len(row) > 1 and _CONTINUES.match(row[1].strip()) for row in cells)
        if found["brace"] and not lined_up:
            return r"\begin{cases}" + r" \\ ".join(rows) + r"\end{cases}"
        single = len(rows) == 1 and len(cells[0]) == 1
        if not (lined_up or single or (found["brace"] or all(len(row) == 1 and _RELATES.search(row[0]) for row in cells))):
            return found[0]
    elif found["columns"] and not re.fullmatch(r"\s*\{\d*\}", found["columns"]):
        rows[:1] = [found["columns"] + (rows[0] if rows else "")]
    statements: list[str] = []
    for row in rows:
        indented = re.match(r"(?:&\s*)?(?:\\q?quad(?![A-Za-z])\s*)*", row)[0]  # type: ignore[index]  # also matches ""
        row = row[len(indented) :]
        goes_on = "&" in indented and row.lstrip("& ").startswith("-")
        row = row.replace(r"\&", " and ").replace("&", " ").strip()
        if _IMPLIES.match(row):
            statements = [_IMPLIES.sub(" ", row, count=1)]
        elif statements and (goes_on or _CONTINUES.match(row)):
            statements[-1] += " " + row
        elif row:
            statements.append(row.rstrip(" ,;."))
    return " , ".join(statements)
