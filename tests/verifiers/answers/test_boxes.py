import pytest

from tenfold.verifiers.answers import final_answer
from tenfold.verifiers.answers.extraction.response import tagged


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"Therefore the result is $\boxed5$.", "5"),
        (r"$\boxed 5$", "5"),
        (r"\boxed12", "12"),
        (r"$\boxed-5$", "-5"),
        (r"$\boxed\frac{1}{2}$", r"\frac{1}{2}"),
        (r"\boxed x", "x"),
        (r"\boxed(C)", "C"),
        (r"\framebox{5}", "5"),
        (r"\framebox[2cm]{5}", "5"),
        (r"$\fbox{5}$.", "5"),
        (r"\colorbox{yellow}{5}", "5"),
        (r"\boxed{\fbox{5}}", "5"),
        ("boxed{5}", "5"),  # the backslash was lost in an escape sequence
        (r"\boxed{5} apples are left.", "5"),
        # denied box
        (r"It is not \boxed{5} but \boxed{6}.", "6"),
        (r"\boxed{5}, i.e. not \boxed{6}", "5"),
        (r"It is not \boxed{5}.", None),
        (r"It cannot be \boxed{5}.", None),
        (r"It isn’t \boxed{5}.", None),
        (r"It cannot be \boxed{5}, so it is \boxed{6}.", "6"),
        (r"\boxed{5}, in the form \boxed{\_\_\_}", "5"),
        (r"\boxed{\text{correct}}", r"\text{correct}"),
        (r"\boxed{5}, in the form \boxed{\text{correct answer}}", "5"),
        (r"\boxed{5} is wrong, so \boxed{6}", "6"),
        # no box: the text counts
        (r"As asked, \boxed marks my result. The answer is 5.", "5"),
        (r"In \boxed A clean answer is given. The answer is 5.", "5"),
        (r"\boxed{\text{your answer}}, that is: the answer is 5", "5"),
        (r"\boxed{...} The answer is 5", "5"),
        (r"\boxed{?} The answer is 5.", "5"),
        # truncated
        (r"so \boxed{5}. In the end \boxed{6", None),
        (r"so \boxed{5}. Let me write it: \boxed{", None),
        (r"so \boxed{5. Let me write it: \boxed{...}", None),
        (r"so \boxed{\frac{1}{2}. Let me write it again: \boxed{5}", "5"),
    ],
)
def test_box_in_each_usual_notation_is_found(response: str, answer: str | None) -> None:
    assert final_answer(response) == answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("<answer>5</answer>", "5"),
        ("<answer>\n5\n</answer>", "5"),
        ("<think>6</think>\n<answer> 5 </answer><|im_end|>", "5"),
        ("<reasoning>\nx\n</reasoning>\n<answer>\n5\n</answer>", "5"),
        ("<ANSWER>5</ANSWER>", "5"),
        ("[ANSWER]5[/ANSWER]", "5"),
        ("5</answer>", "5"),  # the prompt contains the opening tag
        ("<solution>\n5\n</solution>", "5"),
        (r"<answer>$\frac{1}{2}$</answer>", r"\frac{1}{2}"),
        ("<answer>The answer is $5$.</answer>", "5"),
        ("<answer>\nWe add 2 and 3.\n\nSo the total is 5.\n</answer>", "5"),
        ("<answer>5 because 2+3=5</answer>", "5"),
        # the last box or tag counts; a box in a tag belongs to the tag
        (r"<answer>\boxed{5}</answer>", "5"),
        (r"\boxed{6} <answer>5</answer>", "5"),
        (r"<answer>6</answer> \boxed{5}", "5"),
        ("<answer>6</answer> Wait, <answer>5</answer>", "5"),
        ("The answer is 6. <answer>5</answer>", "5"),
        ("<answer>5</answer> The answer is 6.", "5"),
        # quoted instruction
        ("I put it in <answer> </answer> tags. The answer is 5.", "5"),
        ("I will write it between <answer> and </answer>.\n<answer>5</answer>", "5"),
        ("Format: <answer>your answer</answer>\n\nThe answer is 5.", "5"),
        # truncated response, or reasoning
        ("<answer>5", None),
        ("<answer>5</answer>\n<answer>", None),
        (r"<answer>So \boxed{5}", "5"),
        ("<think><answer>5</answer>", None),
    ],
)
def test_answer_tag_is_read_like_box(response: str, answer: str | None) -> None:
    assert final_answer(response) == answer


def test_tag_content_keeps_its_lines() -> None:
    assert tagged("<think>0 0</think><answer>\n1 2\n3 4\n</answer>") == "1 2\n3 4"
    assert tagged("no tag") is None


def test_all_lines_of_tag_are_read() -> None:
    assert final_answer("<answer>\n5\n6\n</answer>") == "5\n6"
