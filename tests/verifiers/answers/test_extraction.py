import pytest

from tenfold.verifiers.answers import final_answer


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        # last box
        (r"so $x = \boxed{\frac{1}{2}}$ and no more", r"\frac{1}{2}"),
        (r"\boxed{1} or rather \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\text{a } \{1, 2\}}", r"\text{a } \{1, 2\}"),
        (r"\fbox{7}", "7"),
        (r"\boxed{16}. Wait, I forgot two. \boxed{18}", "18"),
        (r"\boxed{20} percent", "20 percent"),
        (r"I put it in \boxed{}, as asked. The answer is 5.", "5"),
        (r"\boxed{5}. That was \boxed{ }.", "5"),
        # adjacent boxes
        (r"\boxed{(2, 2)} \quad \text{and} \quad \boxed{(6, 2)}", "(2, 2), (6, 2)"),
        (r"$\boxed{1}$, $\boxed{2}$ and $\boxed{3}$", "1, 2, 3"),
        (r"\boxed{1} no no no no no \boxed{2}", "2"),
        # answer lines
        ("First 48.\n#### 72", "72"),
        ("The answer is: 12. Done", "12"),
        ("**Answer:** 12", "12"),
        ("A: 18\n", "18"),
        ("Answer:\n\\[\n9\n\\]", "9"),
        ("The final answer is $x-2y+z-1=0$. I hope it is correct.", "x-2y+z-1=0"),
        ("Final Answer: The largest $n$ is 34.", "34"),
        ("So the correct choice is **(A)**.", "(A)"),
        # result in the last line
        ("8-9=-1\n-1+8=7", "-1+8=7"),
        ("there were 3, then 4 more, so in the end a total of 7 of them", "7"),
        ("We add.\nSo she has $18$ dollars.", "18"),
        ("Therefore $x \\geq 5$ is the solution.", "x \\geq 5"),
        ("The function is even.", "even"),
        # headings, markup and languages
        ("Final Answer\n---\n41", "41"),
        ("Final Answer\n============\n41", "41"),
        ("<|begin_of_box|>41<|end_of_box|>", "41"),
        ("답: 41", "41"),
        ("정답은 41입니다.", "41"),
        ("The answer is: 41 !", "41"),
        ("The answer is 5!", "5!"),
        # reasoning
        ("<think>it is \\boxed{7}</think> The answer is 8", "8"),
        ("<think>it is 7</think>", None),
        # truncated response, or no answer
        ("<think>It must be \\boxed{12}, because", None),
        ("\\boxed{11} at first, but then \\boxed{12", None),
        ("We find \\boxed{\\frac{1}{2", None),
        ("There are 12 in the first box\nand we still have to count 13 of the", None),
        ("I cannot tell what this is about, and so I would rather not say.", None),
        ("That is not 5", None),
        ("", None),
    ],
)
def test_final_answer(response: str, answer: str | None) -> None:
    assert final_answer(response) == answer
