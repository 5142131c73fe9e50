"""Which words of a response are its answer. One protocol, for every verifier of final answers:

1. Reasoning is set aside (`core.without_thinking`). A response that was cut while it reasoned has no answer.
2. The last `\\boxed{...}` that is not empty. Boxes that only "and", "or", a comma or a few words join count as one list. A
   last box that never closes was cut: no answer, whatever was boxed before.
3. Else the last answer line: what follows the last `####`, "answer is", "answer:", "A:" or "答案", up to the sentence's end.
4. Else the response's last line, where it states a result and nothing else: mathematics alone, or a short sentence that ends
   in a formula or number. A line of a longer response must conclude ("so", "therefore", ...) or be mathematics alone.
5. Else nothing.
"""

import itertools
import re

from ...core import without_thinking

MAX_ANSWER = 2_000
"""Characters of a final answer that are looked at; a longer one is no answer."""
MAX_TAIL = 20_000
"""Characters at a response's end in which its answer is looked for."""
MAX_LINE = 400
"""Characters of a last line that can be a result."""
MAX_SENTENCE = 80
"""Characters of a sentence whose last word can be a result."""
MAX_BOXES = 30

_MARKER = re.compile(
    r"(?:\b(?:answer|correct)\b(?:\s+(?:choice|option|answer|statement))?\s{0,9}(?:is|are|:|=)|^[ \t]{0,9}A:"
    r"|\banswer\b:?\s{0,9}(?=[\\$\d-])|答案?\s{0,9}(?:是|为|:|：))[ \t:]{0,9}",
    re.IGNORECASE | re.MULTILINE,
)
_DOUBT = frozenset(
    ["rather", "not", "no", "wait", "actually", "instead", "but", "correction", "check", "hmm", "however", "earlier"]
)
_CONCLUDES = re.compile(
    r"^\W*(?:so|thus|therefore|hence|then|final(?:ly)?|in total|altogether|in conclusion|we (?:get|have|find|obtain|conclude)"
    r"|this gives|it follows)\b",
    re.IGNORECASE,
)
_FORMULA = re.compile(
    r"\$\$([^$]+)\$\$|(?<!\\)\$((?:\\.|[^$\\])+)\$|\\\(((?:[^\\]|\\[^()])+)\\\)|\\\[((?:[^\\]|\\[^\[\]])+)\\\]"
)
"""What stands between `$`, `$$`, `\\(` and `\\)`, `\\[` and `\\]`; no delimiter opens twice, so that it is read once."""
_NUMBER = re.compile(
    r"(?<![\w.,/^{\\])[-+]?(?:\d+(?:[,\s]\d{3})+(?!\d)(?:[.,]\d+)?|\d+(?:[.,]\d+)?|\.\d+)(?:/\d+)?\s?%?(?=[^\w}^_!*/×·]|m²|m³|$)"
)
_BOLD = re.compile(r"(?<![\w)\]}*])\*\*|\*\*(?![\w(\\*-])")
"""Two stars of bold type, not of a power."""
_EMPTY_BOX = re.compile(r"\\(?:boxed|fbox)\s{0,9}\{\s{0,9}\}")
"""As in "I put it in \\boxed{}", which repeats what was asked for."""
_TURN_END = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end)\|>")
"""Marks of chat templates behind which another turn begins."""
_SENTENCE_END = re.compile(r"。|(?<=[^\d\s][.!?])\s+(?=[A-Z<])|(?<=\d\.)\s+(?=[A-Z<])|<\|")
_QUOTES = "\"'“”*` "
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{3,}")
_CHANGES = re.compile(
    r"\b(?:less|more|greater|fewer|than|except|half|twice|double|thrice|triple|third|quarter|times|minus|plus|over|under"
    r"|at (?:least|most)|up to|between|either|neither)\b",
    re.IGNORECASE,
)
"""Words that make another answer of the number beside them."""
_NEGATION = re.compile(r"\b(?:not|never|neither|nor|isn't|unknown|no)\b", re.IGNORECASE)
_MATHEMATICS = frozenset(
    (
        "sin cos tan cot sec csc log exp sqrt cbrt floor ceil max min gcd lcm mod inf infinity and binom frac arcsin arccos "
        "arctan sinh cosh tanh abs"
    ).split()
)
_LEAD = re.compile(
    r"^(?:it|they|the\s[a-z ]{1,40}|that|this|we|there|she|he|you)?\s*"
    r"(?:is|are|equals?|was|were|be|gives?|has|have|makes?|gets?|got"
    r"|will be|would be)\s+(?:about\s+|approximately\s+|equal to\s+|exactly\s+|now\s+)?",
    re.IGNORECASE,
)

_CLAUSES = re.compile(r"\b(?:is|are|=)\s.{1,60}?(?:\band\b|[,;]).{1,40}?\b(?:is|are|=)\s", re.IGNORECASE)
"""Two things said of two: "the mean is 6 and the variance is 4"."""


def final_answer(response: str) -> str | None:
    """The answer that a response ends with, by the protocol above, or None."""
    text = without_thinking(response)[-MAX_TAIL:]
    text = _TURN_END.split(text, maxsplit=1)[0]
    text = re.sub(r"\s*I hope (?:it|this) is correct\.?\s*$", "", _BOLD.sub("", text))
    text = _EMPTY_BOX.sub(" ", text)
    answer = boxed(text) if "\\boxed" in text or "\\fbox" in text else _said(text)
    answer = (answer or "").strip()
    return answer if 0 < len(answer) <= MAX_ANSWER else None


def boxed(text: str) -> str | None:
    """What the last `\\boxed{...}` holds, or all the last ones that stand together, as a list; None where it never closes."""
    found: list[tuple[int, int, str]] = []
    for match in list(re.finditer(r"\\(?:boxed|fbox)\s*(?=\{)", text))[-MAX_BOXES:]:
        if found and match.start() < found[-1][1]:
            continue  # a box within a box
        end = _closing(text, match.end())
        if end is None:
            return None
        found.append((match.start(), end, text[match.end() + 1 : end - 1].strip()))
    if not found:
        return None
    together = [found[-1]]
    for box in reversed(found[:-1]):
        if not _joined(text[box[1] : together[0][0]]):
            break
        together.insert(0, box)
    if len({box[2] for box in together}) == 1:
        # Percent and degree signs stand outside of a box as often as within.
        after = re.match(r"\s*\$?\s*(\\?%|percent\b|pct\b)", text[together[-1][1] :])
        return together[-1][2] + (" percent" if after and together[-1][2][-1:].isdigit() else "")
    return ", ".join(box[2] for box in together)


def _closing(text: str, start: int) -> int | None:
    """The position behind the brace that closes the one at `start`."""
    depth = 0
    for brace in re.compile(r"\\.|[{}]").finditer(text, start):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return brace.end()
    return None


def _joined(between: str) -> bool:
    """Whether what stands between two boxes makes them one answer."""
    if len(between) > 80 or "\n\n" in between.strip("\n"):
        return False
    words = re.findall(r"[A-Za-z']+", re.sub(r"\\(?:text|mathrm|q?quad|mbox)", " ", between))
    if _DOUBT & {word.lower() for word in words}:
        return False
    joins = {"and", "or"} & {word.lower() for word in words} or "," in between or ";" in between
    return len(words) <= 5 if joins else not words and not between.strip(" $\\()[]\n.")


def _said(text: str) -> str | None:
    """The answer of a text without a box."""
    if "####" in text:
        return _sentence(text.rsplit("####", 1)[1].strip().split("\n", 1)[0])
    markers = list(_MARKER.finditer(text))
    if markers:
        said = text[markers[-1].end() :]
        if display := re.match(r"\s*(?:\$\$|\\\[)(.{1,400}?)(?:\$\$|\\\])", said, re.DOTALL):
            return display[1]
        return _sentence(next((line for line in said.split("\n") if line.strip()), ""))
    lines = [line.strip() for line in text.strip().split("\n") if line.strip()]
    if not lines:
        return None
    if len(lines) > 1 and (block := _display(text.rstrip(" .\n"))) and not _prose(block):
        return block
    line = lines[-1]
    if len(line) > MAX_LINE:  # the whole response in one line, say: its last sentence counts
        line = _SENTENCE_END.split(line[-2 * MAX_LINE :])[-1]
        lines.append(line)
    if not _prose(line) and (len(lines) > 1 or not _FORMULA.search(line)):
        return _trimmed(_LEAD.sub("", line))
    if len(lines) == 1 or _CONCLUDES.search(line):
        return _result(line)
    return None


def _display(text: str) -> str | None:
    """The displayed formula that a text ends with."""
    for opening, closing in (("\\[", "\\]"), ("$$", "$$")):
        if text.endswith(closing) and (start := text.rfind(opening, 0, len(text) - 2)) >= 0:
            return text[start + 2 : -2][:MAX_LINE]
    return None


def _prose(text: str) -> bool:
    """Whether there are words in a text beside those of mathematics."""
    bare = re.sub(r"\\(?:text|mathrm|mbox|textbf|operatorname)\s*\{[^{}]*\}|\\[A-Za-z]+", " ", text)
    return any(word.lower() not in _MATHEMATICS for word in _WORD.findall(bare))


def _trimmed(text: str) -> str:
    return text.strip().rstrip(".").strip()


def _sentence(said: str) -> str | None:
    """What an answer line says: its one formula, or the words up to the sentence's end."""
    said = _SENTENCE_END.split(said.strip(), maxsplit=1)[0].strip(_QUOTES)
    said = re.sub(r"\.\s+I hope.*$", "", said)
    if "$" not in said and "\\" not in said:
        said = re.sub(r"(?<=\w)\.(?:\s+[a-z].*)?$", "", said)
    said = said.strip(_QUOTES)
    if corrected := re.search(r"\bnot\b.{1,40}?\bbut\s+(\S.*)$", said):
        said = corrected[1]
    said = re.sub(r"\b(?:negative|minus)\s+(?=\d)", "-", said) if not _NUMBER.match(said) else said
    outside = _FORMULA.sub(" ", said)
    if not _NEGATION.search(outside) and not _CHANGES.search(outside):
        if formula := _last_formula(said):
            return formula
        said = said if _CLAUSES.search(said) else _LEAD.sub("", said)
        numbers = _NUMBER.findall(said)
        if len(numbers) == 1 and _prose(said) and re.match(r"[A-Za-z]{2,}", said):
            return numbers[0].strip()
    return _trimmed(said)


def _last_formula(said: str) -> str | None:
    """The formula that a sentence ends in, or what it says of one ("the largest $n$ is 34"); several where words join them."""
    found = list(_FORMULA.finditer(said))
    if not found:
        return None
    formulas = [next(part for part in match.groups() if part) for match in found]
    rest = said[found[-1].end() :]
    if re.match(r"\s*(\\?%|percent\b|pct\b)", rest):
        return formulas[-1] + " percent"
    if numbers := _NUMBER.findall(rest):
        return numbers[-1].strip()
    together = formulas[-1:]
    for one, other in reversed(list(itertools.pairwise(found))):
        if not re.fullmatch(r"[\s,]*(?:and|or)?[\s,]*", said[one.end() : other.start()]):
            break
        together.insert(0, next(part for part in one.groups() if part))
    return ", ".join(together)


def _result(line: str) -> str | None:
    """The formula or number that a short sentence ends in."""
    if _CHANGES.search(re.split(r"[,;]\s", _FORMULA.sub(" ", line))[-1]):
        return None
    if formula := _last_formula(line):
        return formula
    if relation := re.search(r"(?<![A-Za-z])([A-Za-z]\w{0,9}\s*(?:[<>=]=?|!=)\s*[^\s].*?)(?:\s+is\b.*)?[.\s]*$", line):
        return _trimmed(relation[1]) if not _prose(relation[1].partition("=")[2]) else None
    if "\\" in line:
        return None  # LaTeX that no delimiter sets off: which of its numbers is the answer nobody can say
    absent = re.search(r"\b(?:does not exist|no (?:real |integer )?solutions?)\W*$", line, re.IGNORECASE)
    if (
        not absent
        and _NEGATION.search(line)
        and line.strip(" .").casefold() != "no"
        and not re.search(r"\b(?:is|it's)\s[\d.,]{1,30}\S{0,9}$", line.rstrip())
    ):
        return None
    sentences = [sentence for sentence in _SENTENCE_END.split(line) if sentence.strip()]
    if numbers := _NUMBER.findall(sentences[-1] if sentences else ""):
        return numbers[-1].strip().rstrip(",")
    if found := re.search(r"\b(?:[Oo]ption|[Cc]hoice)\s*[(\[]?([A-J])\b", line):
        return found[1]
    return _last_words(_trimmed(line))


def _last_words(line: str) -> str | None:
    """The word that a short sentence says of something ("the function is even"), or the few words that it is."""
    if len(line) > MAX_SENTENCE:
        return None
    if found := re.search(
        r"\b(?:does not exist|no (?:real |integer )?solutions?|infinitely many(?: solutions)?)$", line, re.IGNORECASE
    ):
        return found[0]
    if found := re.search(r"\b(?:is|are|be|was)\s+(?:an?\s+|the\s+)?([A-Za-z]+)$", line):
        return found[1]
    return line if len(line.split()) <= 2 and not _CONCLUDES.search(line) else None
