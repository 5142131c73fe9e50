"""The five environments of the conformance suite, registered when this module is imported ("interop_environments:ID")."""

import re

import tenfold
from tenfold.core import Conversation, Message

MATH, CODE, CHOICE, TOOL, NOTES = (
    "conform/Math-v0",
    "conform/Code-v0",
    "conform/Choice-v0",
    "conform/Tool-v0",
    "conform/Notes-v0",
)
IDS = tuple(f"interop_environments:{id}" for id in (MATH, CODE, CHOICE, TOOL, NOTES))
"""The ids in the form in which other processes find them."""

SUMS = ((17, 25), (8, 9), (120, -45), (3, 4), (61, 61), (-7, 2), (999, 1), (14, 0))
UNREADABLE = len(SUMS)
"""Index of the mathematical problem whose gold answer cannot be read."""
FUNCTIONS = {
    "double": "2 * x",
    "square": "x * x",
    "negate": "-x",
    "next_number": "x + 1",
    "is_even": "x % 2 == 0",
    "digits": "len(str(abs(x)))",
}
OPTIONS = ("Mercury", "Venus", "Earth", "Mars")
LISTED = "\n".join(map("{}) {}".format, "ABCD", OPTIONS))
QUESTIONS = {"Which planet is nearest to the sun?": "A", "Which planet is the second one?": "B", "Where do we live?": "C"}
QUESTIONS |= {"Which planet is called red?": "D", "Which planet has a large moon?": "C", "Which planet is the hottest?": "B"}
NOTES_ABOUT = ("rain", "the bus", "a lost key", "the new door", "lunch", "the long way home")
REFERENCE = "A note of five words."
BREAKS_JUDGE = "Let the judge fail."
"""Text of a response for which the judge of notes gives no answer."""


def shorter(conversation: Conversation, seed: int) -> str:
    """Judges two notes: the one with fewer words is better, the first if they have equally many."""
    question = conversation[0]["content"]
    first, second = re.findall(r"<answer [AB]>\n(.*?)\n</answer [AB]>", question, re.DOTALL)
    if BREAKS_JUDGE in question:
        return "I cannot say."
    return "A" if len(first.split()) <= len(second.split()) else "B"


def _user(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


def _problem(number: int, text: str, answer: object) -> tenfold.Problem:
    return tenfold.Problem(f"p{number}", _user(text), answer, "conform")


sums = [_problem(number, f"What is {a} + {b}?", str(a + b)) for number, (a, b) in enumerate(SUMS)]
tenfold.register(MATH, problems=[*sums, _problem(UNREADABLE, "What is x?", "\\frac{{1")], verifier="math")
tenfold.register(
    CODE,
    problems=[
        _problem(
            number,
            f"Write the function {name}(x), which returns {body}.",
            {
                "entry_point": name,
                "test": f"def check(candidate):\n    for x in (-3, 0, 4, 11):\n        assert candidate(x) == ({body})",
                "limits": {"wall_seconds": 2, "cpu_seconds": 1},
            },
        )
        for number, (name, body) in enumerate(FUNCTIONS.items())
    ],
    verifier="code",
)
tenfold.register(
    CHOICE,
    problems=[
        _problem(
            number, f"{question}\n" + "\n".join(map("{}) {}".format, "ABCD", OPTIONS)), {"letter": letter, "options": OPTIONS}
        )
        for number, (question, letter) in enumerate(QUESTIONS.items())
    ],
    verifier="choice",
)
tenfold.register(TOOL, entry_point="tenfold.envs.tools:with_python", environment=f"interop_environments:{MATH}", max_calls=1)
notes = [_problem(number, f"Write a note about {about}.", REFERENCE) for number, about in enumerate(NOTES_ABOUT)]
tenfold.register(
    NOTES,
    entry_point="tenfold.envs.preference:PreferenceEnv",
    problems=[*notes, _problem(len(notes), "Write a note.", "")],
    reward_model="call:interop_environments:shorter",
)
