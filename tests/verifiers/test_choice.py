import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenfold.core import Problem, Status
from tenfold.verifiers import choice, invalid_gold, math

OPTIONS = ["an enzyme", "a lipid", r"$2.5 \times 10^{3}$ J", "none of these", "a hormone"]


def judge(response: str, letter: str = "C", options: list[str] = OPTIONS) -> choice.Verdict:
    return choice.verify(Problem("p", (), {"letter": letter, "options": options}, ""), response)


@pytest.mark.parametrize(
    ("response", "letter", "method"),
    [
        (r"\boxed{C}", "C", "letter"),
        (r"\boxed{\text{(C)}}", "C", "letter"),
        ("The answer is (C).", "C", "letter"),
        ("The correct option is B", "B", "letter"),
        ("**Answer: D**", "D", "letter"),
        (r"\boxed{D) none of these}", "D", "letter"),
        (r"\boxed{D none of these}", "D", "letter"),
        (r"\boxed{D\text{ none of these}}", "D", "letter"),
        (r"\boxed{\text{a lipid}}", "B", "option"),
        (r"\boxed{2500\text{ J}}", "C", "option"),
        ("After some thought I choose (E).", "E", "letter"),
        ("c", "C", "letter"),
    ],
)
def test_option_is_chosen_by_letter_or_text(response: str, letter: str, method: str) -> None:
    for right in "ABCDE":
        verdict = judge(response, right)
        assert (verdict.score, verdict.method) == (float(right == letter), method)


@pytest.mark.parametrize(
    "response",
    [
        "",
        r"\boxed{A, C}",
        r"\boxed{A and C}",
        r"\boxed{(A) or (C)}",
        r"\boxed{A) a lipid}",  # letter A with the text of option B
        r"\boxed{D a lipid}",
        r"\boxed{F}",
        r"\boxed{an acid}",
        r"\boxed{2500}, or was it \boxed{C",
        "It is one of A, B, C, D and E.",
    ],
)
def test_no_option_or_two_options_are_incorrect(response: str) -> None:
    assert [judge(response, right).score for right in "ABCDE"] == [0.0] * 5


STATED = ["stable equilibrium", "a heavy lid", "the integral diverges", "zero"]


def chosen(response: str) -> str:
    """Returns the letters of `STATED` for which the response is correct."""
    return "".join(letter for letter in "ABCD" if judge(response, letter, STATED).score == 1)


@pytest.mark.parametrize(
    "response",
    [
        "The answer is C because I checked the units.",
        "{C}",
        "Only C is true.",
        "So only option C holds.",
        "Thus, (C) the integral diverges.",
        "The answer is C since the integral diverges.",
        "The answer is (C) because (A) is wrong and (B) is wrong.",
        "The answer is C, not A.",
        "The answer is not A. It is C.",
        "The answer isn't A but C",
        "The answer is letter C.",
        "The answer is C, the integral diverges.",
        "The answer is **C) the integral diverges** because x.",
        "The correct answer is C: the integral diverges because of x.",
        "Answer: C (the integral diverges)",
        "Answer: C - the integral diverges",
        "Answer: C — the integral diverges",
        "Answer: C,",
        "Answer: $C",
        "Answer:\n\nC",
        "Antwort:\n\nAntwort: C",
        "C is correct.",
        "**C** is the correct answer.",
        "Therefore, option C is the best answer.",
        "The most likely answer is C.",
        "I'd go with C.",
        "I take C — a sound guess.",
        "I think that C is the answer, as A is wrong.",
        "It must be C.",
        "So C.",
        "Eliminate A, B and D, leaving C.",
        "A, B and D can be ruled out, so C is correct.",
        "A is incorrect. B is incorrect. D is incorrect. So the answer is C.",
        "Answer: rules out D, leaving C",
        "A: wrong\nB: wrong\nC: correct\nD: wrong",
        "C) the integral diverges\n\nReasoning: blah.",
        "C, it can't be A or B",
        "Not A, not B, so C.",
        "Answer: the integral diverges.",
        "The answer is C\nA: no\nB: no",
        "c) the integral diverges",
        "Let me think.\n\n(C) the integral diverges",
        "The integral diverges.",
        "The answer is that the integral diverges.",
        "The integral diverges (C).",
        "While option A is correct for gases, option C is the correct answer.",
        "The answer is C. D is too large.",
        "ANSWER IS C. A FAILS.",
        "The answer is A.\n\nActually, it is C.",
        "The answer is A? No, it is C.",
        "Answer: A\nI need to correct this.\nAnswer: C",
        "The answer is C.\n\nQuestion: next?\nAnswer: D",
        "<answer>C</answer>",
        "<think>A</think><answer>\n(C)\n</answer><|im_end|>",
        "<answer>C. the integral diverges</answer>",
        "<answer>the integral diverges</answer>",
        "\\boxed{A}\n<answer>C</answer>",
        r"We find \boxed{\langle H\rangle \ll \Delta E}. **Answer: C**",
        r"\boxed{\text{The answer is C}}",
        "答案：（C）",
        "故选C。",
        "只有选项C是对的",
        "答案不是A，是C",
        "The answer is C; A and B are wrong.",
        "Only C satisfies the condition.",
        "C is my final answer.",
        "The closest option is C.",
        "The most suitable one is C.",
        "The answer is actually C.",
        "A. Wrong.\nB. False.\nC. Correct.\nD. Wrong because x.",
        "The answer is C. Wrong answers are A and B.",
        "The answer is C. D fails too.",
    ],
)
def test_option_asserted_by_sentence_is_chosen(response: str) -> None:
    assert chosen(response) == "C"


@pytest.mark.parametrize(
    "response",
    [
        "We can rule out option C.",
        "Only C fails.",
        "Thus, (C) fails.",
        "{C}, {D}",
        "Option C is incorrect.",
        "Option C fails.",
        "Option C is false.",
        "Choice C contradicts the data.",
        "C is too small.",
        "C cannot be correct.",
        "C is the wrong answer.",
        "The worst option is C",
        "The least likely option is C.",
        "The only wrong option is C",
        "The answer cannot be C",
        "The answer is definitely not C.",
        "I would not pick C",
        "I don't think it is C.",
        "It isn't C.",
        "Anything but C",
        "Neither A nor C.",
        "If the answer is C, then the pressure is zero.",
        "It could be C.",
        "Is it C? No.",
        "Answer: C or D",
        "The answer is C/D",
        "A is correct. C is correct.",
        "The answer is C. A is also correct.",
        "Both A and C are correct.",
        "I'm torn between C and D.",
        "The answer is C, a heavy lid.",
        "<answer>A or C</answer>",
        "<answer>C",
        "None of A, B, C and D",
        "Vitamin C is needed.",
        "A car moves",
        "A force acts on the body.",
        "选项C错误",
        "不选C",
        "C. Wrong.",
        "The answer is C. False.",
        "The answer is C; wrong",
        "The answer is C; D; both are wrong",
        "The answer is C; A and D are correct",
        "It is false that C is correct.",
        "It is incorrect to say that C is correct.",
        "The answer is actually not C.",
        "The answer is C, and D is correct too.",
        "The answer is C. D works too.",
        "The answer is C. However, D is also possible.",
    ],
)
def test_denied_or_contradicted_option_is_not_chosen(response: str) -> None:
    assert chosen(response) == ""


def test_word_that_starts_with_letter_is_not_letter() -> None:
    assert chosen("The answer is a heavy lid") == "B"
    assert chosen("The answer is A heavy lid.") == "B"
    ten = [f"option text {number}" for number in range(10)]
    assert judge("I computed the integral. The answer is I.", "I", ten).score == 1
    assert judge("The answer is C because I computed the integral.", "I", ten).score == 0


@pytest.mark.parametrize(
    "response",
    [
        "The answer is (B) False.",
        "The answer is B: False",
        "B) False",
        "**B) False**",
        "Answer: B (False)",
        "I choose B) False.",
        "A) True\nB) False\nThe answer is (B) False.",
        "(A) True is wrong, so the answer is (B) False",
        r"\boxed{B) False}",
    ],
)
def test_text_of_chosen_option_is_no_denial(response: str) -> None:
    assert [judge(response, letter, ["True", "False"]).score for letter in "AB"] == [0, 1]


@pytest.mark.parametrize(
    "response",
    [
        "B is false.",
        "The answer is not (B) False.",
        "(B) False is wrong.",
        "A) True\nB) False",
        "(B) False or (A) True",
        "Is it B) False?",
    ],
)
def test_denied_option_with_the_text_of_a_denial_is_not_chosen(response: str) -> None:
    assert judge(response, "B", ["True", "False"]).score == 0


def test_beginning_of_the_chosen_text_is_no_denial() -> None:
    options = ["red", "blue", "Not enough information to tell", "No effect"]
    assert judge("The answer is C) Not enough information to tell", "C", options).score == 1
    assert judge(r"\boxed{C) Not enough information}", "C", options).score == 1
    for response in (r"\boxed{C) not}", r"\boxed{C) not red}", r"\boxed{D) no}", r"\boxed{C) but it is not enough}"):
        assert [judge(response, letter, options).score for letter in "CD"] == [0, 0]


@pytest.mark.parametrize("response", [r"\boxed{e}", r"\boxed{$e$}", "The answer is $e$.", "Answer: e", "<answer>e</answer>"])
def test_lower_case_letter_that_is_an_option_is_its_text(response: str) -> None:
    options = ["1", "$e$", r"\pi", "0", "2"]
    assert [judge(response, letter, options).score for letter in "BE"] == [1, 0]


@pytest.mark.parametrize(
    "response", [r"\boxed{E}", r"\boxed{(e)}", "The answer is E, because e is too small.", "Answer: (e)", "e)"]
)
def test_label_of_an_option_is_not_the_text_of_another(response: str) -> None:
    options = ["1", "$e$", r"\pi", "0", "2"]
    assert [judge(response, letter, options).score for letter in "BE"] == [0, 1]


def test_letter_outside_the_alphabet_is_not_z() -> None:
    options = [f"option number {number}" for number in range(26)]
    assert judge("\\boxed{\u212a}", "Z", options).score == 0  # the sign for kelvin
    assert judge(r"\boxed{Z}", "Z", options).score == 1


@pytest.mark.parametrize(
    ("options", "response", "letters"),
    [
        (["True", "False"], "B) False", "B"),
        (["True", "False"], "The answer is B) False, since 3 is odd.", "B"),
        (["True", "False"], "Answer: B (False)", "B"),
        (["True", "False"], "B. False", "B"),
        (["True", "False"], "B - False", "B"),
        (["No", "Yes"], "A) No\nB) Yes\n\nSo B is correct.", "B"),
        (["No", "Yes"], "A) No - wrong\nB) Yes - correct", "B"),
        (["small", "too large"], "The answer is B: too large.", "B"),
        (["A", "B", "AB", "O"], "The answer is D) O", "D"),
        (["A", "B", "AB", "O"], r"\boxed{AB}", "C"),
        (["DNA", "RNA"], r"\boxed{RNA}", "B"),
        (["DNA", "RNA"], r"\boxed{B. RNA}", "B"),
        (["x", "y", "z", "A and B"], r"\boxed{D. A and B}", "D"),
        (["True", "False"], "The answer is A) False", ""),
        (["True", "False"], "B) False is incorrect", ""),
        (["True", "False"], "The answer is not B) False", ""),
        (["True", "False"], "The answer is B) False or A) True", ""),
        (["A", "B", "AB", "O"], "The answer is A: B", ""),
        (["DNA", "RNA"], r"\boxed{AB}", ""),
        (["x", "y", "z", "A and B"], r"\boxed{C. A and B}", ""),
    ],
)
def test_option_whose_text_is_a_denial_or_letters(options: list[str], response: str, letters: str) -> None:
    assert "".join(letter for letter in "ABCD"[: len(options)] if judge(response, letter, options).score == 1) == letters


def test_text_of_two_options_chooses_none() -> None:
    assert judge(r"\boxed{1/2}", "A", ["0.5", r"\frac{2}{4}", "2"]).score == 0
    assert judge(r"\boxed{2.0}", "C", ["0.5", r"\frac{2}{4}", "2"]).score == 1


def test_time_of_earlier_answer_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(math, "SECONDS", 0.0)
        math.verify(Problem("p", (), "x^2 + 1", ""), r"\boxed{1 + x^2}")
    assert judge(r"\boxed{2.0}", "C", ["0.5", "0.25", "2"]).score == 1


def test_number_of_options() -> None:
    ten = [f"option number {number}" for number in range(10)]
    assert judge(r"\boxed{J}", "J", ten).score == 1
    assert judge(r"\boxed{J}", "J", OPTIONS).status == Status.UNDECIDED
    assert choice.invalid_gold(Problem("p", (), {"letter": "J", "options": OPTIONS}, "")) is not None
    assert choice.invalid_gold(Problem("p", (), {"letter": "A", "options": ["x", "x "]}, "")) is not None


@pytest.mark.parametrize("options", ["ABCD", {"A": "red", "B": "blue"}])
def test_options_that_are_no_list_are_invalid(options: object) -> None:
    assert "must be a list" in str(choice.invalid_gold(Problem("p", (), {"letter": "A", "options": options}, "")))


@pytest.mark.parametrize("response", ["The answer is B and C.", r"\boxed{B) but it is not}", r"\boxed{some ester}"])
def test_reason_for_a_response_that_does_not_choose_one_option(response: str) -> None:
    verdict = judge(response)
    assert verdict.score == 0
    assert verdict.reason.endswith(" does not choose exactly one of the 5 options")


def test_answer_without_options_is_invalid_for_choice_and_valid_for_science() -> None:
    problem = Problem("p", (), "5", "")
    assert [found.id for found, _ in invalid_gold("choice", [problem])] == ["p"]
    assert invalid_gold("science", [problem]) == []


@given(st.text(max_size=60))
def test_random_response_raises_no_error(response: str) -> None:
    assert judge(f"\\boxed{{{response}}}").status == Status.SCORED


@pytest.mark.parametrize(
    "response",
    [
        "Option C is wrong",
        "Answer: C\nor B",
        "Answer: C\n\n(or maybe B)",
        "The answer is C. Or B.",
        "Answer: C (or B)",
        "Answer: C, alternatively B",
        "Answer: C\nand B",
        "Answer: C\nOn second thought, B",
        "Answer: C. But it could also be B",
        "C. all options",
        "C. All of the options",
        "C, all of them",
        "C) any option",
        "C. everything",
        "C, or any other",
        "Answer: C (all are correct)",
    ],
)
@pytest.mark.parametrize("form", ["{}", "\\boxed{{{}}}"])
def test_response_with_second_answer_chooses_nothing(response: str, form: str) -> None:
    assert judge(form.format(response)).score == 0


@pytest.mark.parametrize(
    "response",
    [
        "Answer: C. All other options are wrong.",
        "C is correct; all other options are wrong",
        "Answer: C\nA and B are wrong.",
        "Checking A or B: no.\nAnswer: C",
    ],
)
def test_rejecting_all_other_options_chooses(response: str) -> None:
    assert judge(response).score == 1


def test_option_all_of_the_above() -> None:
    options = ["red", "green", "all of the above"]
    assert judge("C. All of the above", options=options).score == 1
    assert judge("\\boxed{C. all of the above}", options=options).score == 1
    assert judge("B. all of the above", "B", options=options).score == 0


def test_gold_letter_without_options() -> None:
    for response in ("Answer: C\nor B", "Answer: C. all options", "Answer: C\nOn second thought, B", r"\boxed{C. all options}"):
        assert math.verify(Problem("p", (), "C", ""), response).score == 0
    for response in ("Answer: C", r"\boxed{\textbf{(C)}\ \text{all of the above}}", "The answer is C since B is wrong."):
        assert math.verify(Problem("p", (), "C", ""), response).score == 1
