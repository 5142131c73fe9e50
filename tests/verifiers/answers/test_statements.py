import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenfold
from tenfold.verifiers.answers import final_answer


def is_correct(gold: str, response: str) -> bool:
    return tenfold.verify(gold, response).score == 1


@pytest.mark.parametrize(
    "behind",
    [
        ", which is all of them.",
        ", all told, so that is what she saves.",
        ", as shown",
        " as required.",
        " since x=2",
        ", since $x=2$.",
        " because 3 and 4 are excluded.",
        ", where 2 is the base.",
        " (not 6)",
        ", not 6.",
        " rather than 6.",
        " (since 2+3 is more).",
        " — as we saw.",
        "; that completes the proof.",
        ", by the pigeonhole principle.",
        ", using $x+y=7$.",
        " for $n=3$.",
        " when x = 2",
        " in total.",
        " apples left over.",
        " more apples.",
        " and we are done.",
        ", i.e. five.",
        " (approximately).",
        ". As a check, 2*7 = 14.",
        ". Let me check: 2+3 is right.",
        "\n\nQuestion: What is 3+4?\nAnswer: 7",
        "，因为2+3=5。",
    ],
)
@pytest.mark.parametrize("value", ["5", "$5$"])
def test_words_after_answer_are_ignored(value: str, behind: str) -> None:
    assert is_correct("5", f"The answer is {value}{behind}")
    assert not is_correct("6", f"The answer is {value}{behind}")
    assert not is_correct("2", f"The answer is {value}{behind}")


@pytest.mark.parametrize(
    "response",
    [
        "The wrong answer is 5.",
        "The incorrect answer is 5",
        "One wrong answer is 5.",
        "A tempting answer is $5$.",
        "An incorrect answer would be 5.",
        "The answer cannot be 5.",
        "The answer can't be 5",
        "The answer isn't $5$.",
        "The answer must not be 5.",
        "The answer is never 5.",
        "The answer is definitely not 5.",
        "The answer is anything but 5.",
        "I doubt that the answer is 5.",
        "If the answer is 5, we are done",
        "5 is not the answer.",
        "5 is the wrong answer.",
        "So $5$ is impossible.",
        "So it cannot be 5",
        "It isn't $5$.",
        "Is the answer 5?",
        "The answer is 5? No, it is 6.",
        "The answer is 5. Wait, that's wrong.",
        "The answer is 5. No wait, it is 6.",
        "The answer is 5.\nThe answer is not 5.",
        "答案不是5。",
        "The answer is unlikely to be 5.",
        "I first thought the answer is 5.",
        "The sum of the digits of the answer is 5.",
        "The number of digits in the answer is 5.",
    ],
)
def test_denied_value_is_not_answer(response: str) -> None:
    assert not is_correct("5", response)


@pytest.mark.parametrize(
    "response",
    [
        "The answer is not 5 but 6.",
        "The answer is not 5, it is 6.",
        "The answer isn't 5. It is 6.",
        "The answer is 5. Actually, it should be 6.",
        "The answer is 5? No, it is 6.",
        "The wrong answer is 5. The answer is 6.",
        "The last digit of the answer is 5. The answer is 6.",
        "I first thought the answer is 5. But it is 6.",
        "The answer is 6. The wrong answer is 5.",
        "The answer is 5\nWait, the answer is 6",
        "答案不是5，是6。",
    ],
)
def test_corrected_value_is_answer(response: str) -> None:
    assert is_correct("6", response)
    assert not is_correct("5", response)


@pytest.mark.parametrize(
    "response",
    [
        "The answer is divisible by 5.",
        "The answer is a multiple of 5.",
        "The answer is at least 5.",
        "The answer is greater than $5$",
        "The answer is coprime to 5.",
        "The answer is the square root of $5$.",
        "The answer ends in 5.",
        "The answer has 5 digits.",
        "The answer is 5 if n is even.",
        "The answer is $6$ if n is odd and $5$ otherwise",
        "The answer is 6 for odd n and 5 for even n.",
        "The answer is 5 unless n = 2.",
        "The answer is 5 or 6.",
        "The answer is $5$ or more",
        "The answer is 5, or maybe 6.",
        "The answers are 6 and $5$",
        "The answer is $6$; $5$",
        "The answer is $2$ times $5$",
        "The answer is $1$ out of $5$.",
        "The answer is from $1$ to $5$.",
        "The answer is 1/$5$.",
        "The answer is -$5$.",
        "The answer is 5 with remainder 2.",
        "The answer is 5, so x = 7.",
        "The answer is 2$\\cdot 5$.",
        "The answer is 5 factorial.",
        "The answer is 5 whenever n is odd, and 6 whenever n is even.",
        "The answer is 5 assuming n is odd, and 6 assuming n is even.",
        "The answer is 5 given n < 3, and 6 given n > 3.",
    ],
)
def test_changed_value_is_not_answer(response: str) -> None:
    assert not is_correct("5", response)


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("The answer is 1/$5$.", "1/{5}"),
        ("The answer is 3 $\\pi$.", "3 \\pi"),
        ("Thus, the answer is 1;$\\frac{8}{9}$.", "1;\\frac{8}{9}"),
        ("The answer is 20 $\\text{cm}^2$.", "20 \\text{cm}^2"),
        ("The answer is $5$;$10$.", "5;10"),
        ("The answers are $5$ and 6.", "5, 6"),
        ("The answer is “5”.", "5"),
        ("The answer is ≈ 2.5", "2.5"),
        ("The answer is $200,000 - $130,000 = $70,000.", "$200,000 - $130,000 = $70,000"),
        ("The answer is the largest $n$, which is $34$.", "34"),
        ("The answer is the maximum of $f(x)$ on $[0,1]$, which is $5$.", "5"),
        ("The answer is the line $y=2x$.", "y=2x"),
        ("The answer to the problem is 5.", "5"),
        ("The answer turns out to be 5.", "5"),
        ("Die Antwort ist 5.", "5"),
        ("Answer: Let's think step by step. He has 2+3=5 apples.", "5"),
        ("The answer is C because A fails.", "C"),
        ("Option (B) is correct.", "(B)"),
        ("The answer is $k! S(n,k)$.", "k! S(n,k)"),
        ("Answer: $n! D$. This is Stirling's.", "n! D"),
        ("the answer is that the mean is 6 and the variance = 4", "the mean is 6 and the variance = 4"),
        ("The answer is 5.\n\nThis answer is reasonable.", "5"),
        ("The answer is 5. This answer is correct because 6 is wrong.", "5"),
        ("This answer is 6.", "6"),
        ("This answer is correct.", None),
        ("The answer is valid.", "valid"),
        ("The answer isn't 5, but 6.", "6"),
        ("The wrong answer is 5, but 6 is close.", None),
    ],
)
def test_answer_is_assembled_from_formulas_and_text(response: str, answer: str | None) -> None:
    assert final_answer(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("Thus he has 5 apples in total (2 red and 3 green).", "5"),
        ("So he needs 5 more apples.", "5"),
        ("So, x = 5.", "x = 5"),
        ("So it takes 5 days, because he works on 2 fields.", "5"),
        ("So there are 5 apples (3 were eaten).", "5"),
        ("It takes 5 hours (300 minutes).", "300"),
        ("In total he has 5 apples, 2 of which are red.", "5"),
        ("So 5 is the answer.", "5"),
        ("Since they have 4 cats, they have 3*4 = 12 paws, the same as before.", "12"),
        ("So the cost is $12/bag * 160 bags = $1920", "1920"),
        ("So they are 8 in total: 5 girls, 3 boys.", "8"),
        ("It could be 40 or 41.", "40, 41"),
        ("So he has 41 apples or 42.", "41, 42"),
        ("So he needs 5 apples more than Bob.", None),
        ("Hence the number is divisible by 5.", None),
        ("Therefore 5 does not work.", None),
        ("So 5 is wrong.", None),
        ("So yes.", "yes"),
        ("Therefore, no.", "no"),
        ("Hence not.", None),
    ],
)
def test_result_of_last_line(response: str, answer: str | None) -> None:
    assert final_answer(response) == answer


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_correction_replaces_denied_number(wrong: int, right: int) -> None:
    assert final_answer(f"The answer is not {wrong} but {right}.") == str(right)
    assert final_answer(f"The answer is {right} (not {wrong}).") == str(right)
    assert final_answer(f"The wrong answer is {wrong}.") is None


@given(st.text(max_size=80))
def test_no_statement_raises(said: str) -> None:
    final_answer(f"The answer is {said}")
    final_answer(f"So {said}")
    final_answer(f"<answer>{said}</answer>")
