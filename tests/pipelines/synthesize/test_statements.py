import pytest

from tenfold.pipelines.refine.answer_cache import Answer
from tenfold.pipelines.synthesize import statements

LEAP = '''def is_leap(year: int, strict: bool = True) -> bool:
    """Returns whether a year of the Gregorian calendar has a 29th of February."""
    if not strict:
        year = abs(year)
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
'''
WORDS = (
    "Write `is_leap(year, strict)`, which says whether a year has a 29th of February: every fourth, but not every hundredth."
)
CALLS = "```python\n>>> is_leap(2000, True)\nTrue\nassert is_leap(1900, True) == False\n```"


def flaw(text: str, truncated: bool = False, program: str = LEAP, name: str = "is_leap") -> str | None:
    return statements.flaw(Answer(text, truncated), program, name)


@pytest.mark.parametrize(
    "text",
    [
        WORDS,
        f"{WORDS} It returns whether a year of the Gregorian calendar has a 29th of February.",
        f"{WORDS}\n\nFor example:\n\n{CALLS}",
        f"{WORDS}\n\n```python\ndef is_leap(year: int, strict: bool = True) -> bool:\n    ...\n```",
        f'{WORDS}\n\n```python\ndef is_leap(year, strict):\n    """Says so."""\n    pass\n```',
        f"{WORDS}\n\ndef is_leap(year: int, strict: bool = True) -> bool:\n\nIf `strict` is false, the sign is ignored.",
        f"{WORDS}\n\nReturn `True` if it does; for other years, return `False`.",
        f"<think>It is the program\n{LEAP}</think>\n\n{WORDS}",
    ],
)
def test_a_statement_may_have_the_signature_calls_and_words_of_the_docstring(text: str) -> None:
    assert flaw(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty"),
        (" \n", "empty"),
        (f"<think>{WORDS}</think>", "empty"),
        ("is_leap(year, strict): a leap year?", "too short"),
        (f"{WORDS}\n\n```python\nis_leap(2000, True)", "truncated"),
        (WORDS.replace("is_leap", "leap"), "does not name the function"),
        (WORDS.replace("is_leap", "is_leap_year"), "does not name the function"),
        (WORDS.replace(", strict", ""), "does not name each parameter"),
        (f"{WORDS}\n\n```python\n{LEAP}```", "contains a program"),
        (f"{WORDS}\n\n{LEAP}", "contains a program"),
        (f"{WORDS}\n\ndef is_leap(y: int, s: bool = True) -> bool: return calendar(y)", "contains a program"),
        (f"{WORDS}\n\n```\ny = abs(year)\nif y % 400 == 0:\n    print(True)\n```", "contains a program"),
        (f"{WORDS}\n\n```python\nclass Leap:\n\n    # the rule\n    every = 4\n```", "contains a program"),
        (f"{WORDS} That is `year%4==0 and (year%100!=0 or year%400==0)`.", "contains a line of the solution"),
        (f"{WORDS} That is\nyear % 4 == 0 and\n (year % 100 != 0 or year % 400 == 0).", "contains a line of the solution"),
    ],
)
def test_an_incomplete_statement_and_one_with_the_solution_are_refused(text: str, why: str) -> None:
    assert flaw(text) == why


def test_a_truncated_answer_is_no_statement() -> None:
    assert flaw(WORDS, truncated=True) == "truncated"


def test_the_quotes_of_a_line_of_the_solution_do_not_matter() -> None:
    program = "def split(text):\n    parts = [part.strip() for part in text.split(',')]\n    return parts"
    words = "Write the function `split`, which takes a text and returns its parts between commas."
    assert flaw(words, program=program, name="split") is None
    copied = f'{words} Use [part.strip() for part in text.split(",")] for it.'
    assert flaw(copied, program=program, name="split") == "contains a line of the solution"


@pytest.mark.parametrize(
    ("line", "copied"),
    [
        ("return (a * b) + (a - b) * 3", "(a * b) + (a - b) * 3"),
        ("return (a * b) + (a - b) * 3", "a*b + (a - b)*3"),
        ("return a * 1_000_000 + b * 1_000", "a * 1_000_000 + b * 1_000"),
        ("return a * 1_000_000 + b * 1_000", "a * 1000000 + b * 1000"),
        ("return a * 0xFF + b * 0x10", "a * 0xFF + b * 0x10"),
        ("r[a] = sorted(b, key=len)[0] + a * 2", "sorted(b, key=len)[0] + a * 2"),
        ("r.total += a * a + 2 * b", "a * a + 2 * b"),
        ("total: int = a * a + 2 * b", "a * a + 2 * b"),
        ("while a % 2 == 0 and b > 1: a //= 2", "a % 2 == 0 and b > 1"),
        ("for n in range(a * a, b + 1, 2): print(n)", "range(a * a, b + 1, 2)"),
        ("yield a ** 2 + b ** 2", "a ** 2 + b ** 2"),
        ("r.append(a * a + 2 * b)", "r.append(a * a + 2 * b)"),
        ("if not a: raise ValueError(f'{a} is not in {b}' + str(b - 1))", "ValueError(f'{a} is not in {b}' + str(b - 1))"),
    ],
)
def test_the_form_of_a_line_of_the_solution_does_not_matter(line: str, copied: str) -> None:
    program = f"def combine(a, b, r=[]):\n    {line}\n"
    words = "Write the function combine(a, b, r), which takes two numbers and a list. See the tests."
    assert flaw(words, program=program, name="combine") is None
    assert flaw(f"{words} It is {copied}.", program=program, name="combine") == "contains a line of the solution"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("return sorted(set(a))", "Write combine(a, b, c). The result has the sorted set a."),
        ("return (a, b, c)", "Write combine(a, b, c), which returns all three of its arguments."),
        ("for n in range(a, b): print(n, c)", "Write combine(a, b, c), which prints the numbers in the range (a, b) with c."),
    ],
)
def test_words_that_resemble_a_line_of_the_solution_are_a_description(line: str, words: str) -> None:
    assert flaw(words, program=f"def combine(a, b, c):\n    {line}\n", name="combine") is None


def test_a_text_that_the_function_returns_may_be_named() -> None:
    program = "def verdict(count):\n    message = 'There are too many of them, sorry!'\n    return message if count > 9 else ''"
    words = "Write verdict(count). Above 9 it returns 'There are too many of them, sorry!', else an empty text."
    assert flaw(words, program=program, name="verdict") is None


def test_a_short_expression_is_a_description() -> None:
    assert (
        flaw("The function add takes a and b, and has to return a + b.", program="def add(a, b): return a + b", name="add")
        is None
    )


def test_the_prompts_have_the_solution_or_the_signature_and_the_public_tests() -> None:
    tests = ["assert is_leap(2000, True) == True", "assert is_leap(1900, False) == False"]
    asked = statements.prompt(LEAP, "is_leap", tests)[0]["content"]
    assert LEAP in asked
    assert "\n".join(tests) in asked
    assert "`is_leap` and its parameters `year`, `strict`" in asked
    posed = statements.problem_text(WORDS, LEAP, "is_leap", tests)
    assert posed == (
        f"{WORDS}\n\nThe function has this signature:\n\n```python\ndef is_leap(year: int, strict: bool=True) -> bool:\n```\n\n"
        f"Your program should pass tests such as these:\n\n{tests[0]}\n{tests[1]}"
    )
    assert "tests" not in statements.problem_text(WORDS, LEAP, "is_leap", [])


@pytest.mark.parametrize("text", ['"""' * 2_000, "def f(x):\n" * 1_000, "```\n" * 2_000, "(" * 10_000, "is_leap year " * 1_000])
def test_a_very_long_statement_is_refused(text: str) -> None:
    assert flaw(f"{WORDS}\n{text}") == "too long"
