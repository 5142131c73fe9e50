"""Which answers that equal the gold answer are correct. `verifiers/answers/worked_out.py` has the rule."""

import pytest

import tenfold
from tenfold.core import Message, Problem, UserError, Verdict
from tenfold.verifiers import load


def judge(prompt: str, gold: str, answer: str, form: str = "worked_out") -> Verdict:
    problem = Problem("", (Message(role="user", content=prompt),), gold, "")
    return load({"name": "math", "form": form})(problem, f"\\boxed{{{answer}}}")


NOT_WORKED_OUT = [
    # a number
    ("What is 17 + 25?", "42",
     ["17+25", "25 + 17", "34/2+50/2", "84/2", "41+1", "6 \\cdot 7", "\\sqrt{1764}", "42 \\cdot 1", "42^1"]),
    ("In how many ways can 5 people queue?", "120",
     ["5!", "5 \\cdot 4!", "\\binom{10}{3}", "2^7-8", "\\frac{6!}{6}", "5!!\\cdot 8"]),
    ("What is the square root of 121?", "11",
     ["\\sqrt{121}", "121^{1/2}", "\\sqrt[3]{1331}", "|{-11}|", "\\gcd(22, 33)", "\\log_2 2048"]),
    ("Convert 11111111 from base 2.", "255", ["11111111_2", "FF_{16}", "2^8-1", "0xFF"]),
    ("Convert 45 to base 8.", "55_8", ["45", "45_{10}"]),
    ("What is $i^{10}$?", "-1", ["i^{10}", "i^2", "e^{i\\pi}"]),
    ("What is $(1+i)^2$?", "2i", ["(1+i)^2", "1+2i+i^2", "\\frac{2i(1+i)}{1+i}"]),
    ("Where do they meet?", "(3, 4)", ["(1+2, 4)", "(\\sqrt{9}, 2^2)", "(3, \\log_2 16)"]),
    ("Which matrix?", r"\begin{pmatrix}3\\4\end{pmatrix}",
     [r"\begin{pmatrix}1+2\\4\end{pmatrix}", r"\begin{pmatrix}1\\1\end{pmatrix}+\begin{pmatrix}2\\3\end{pmatrix}",
      r"\begin{pmatrix}1+2&4\end{pmatrix}^T"]),
    ("What is the transpose?", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}", [r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^T"]),
    ("How far?", "3 m", [r"\sqrt{9}\text{ m}", r"1+2\text{ m}"]),
    ("Find the sum.", "55", [r"\sum_{k=1}^{10} k", r"\int_0^1 110x\,dx", "1+2+3+4+5+6+7+8+9+10", r"\frac{10\cdot 11}{2}"]),
    # roots
    (r"What is $\sin 45^\circ$?", r"\frac{\sqrt{2}}{2}",
     [r"\sin 45^\circ", r"\cos 45^\circ", r"\sin\frac{\pi}{4}", r"\sqrt{1-\cos^2 45^\circ}"]),
    ("What angle?", r"\frac{\pi}{4}", [r"\arctan 1", r"\frac{\pi}{8}+\frac{\pi}{8}"]),
    ("How long?", r"\sqrt{10}", [r"\sqrt{3^2+1^2}", r"\sqrt{9+1}"]),
    ("What area?", r"36\pi", [r"\pi\cdot 6^2", r"4\cdot 9\pi", r"30\pi+6\pi"]),
    # solved
    ("Solve $3x+1=7$.", "x=2", ["3x+1=7", "3x=6", "x=6/3", "x=7-5", "x-2=4-2x"]),
    ("Solve $x-5=0$.", "x=5", ["x-5=0"]),
    ("Solve $x^2-3x+2=0$.", "x=1 or x=2", ["x^2-3x+2=0", "(x-1)(x-2)=0"]),
    ("Solve $x+y=3$, $x-y=1$.", "x=2, y=1", ["x+y=3, x-y=1", "x=3-y, y=1"]),
    ("Solve $2x+1>5$.", r"(2,\infty)", ["2x+1>5", "2x>4", "x>4/2", "-x<-2"]),
    ("Solve $x^2<9$.", "-3<x<3", ["x^2<9", "x^2-9<0"]),
    ("Solve $2x-y+3=0$ for $y$.", "y=2x+3", ["2x-y+3=0", "y-3=2x"]),
    # factored or expanded
    ("Factor $x^2-3x+2$.", "(x-1)(x-2)", ["x^2-3x+2", "2-3x+x^2", "x(x-3)+2", "1(x^2-3x+2)", "x^2-2x-x+2"]),
    ("Factor x^2+2x+1.", "(x+1)^2", ["x^2+2x+1", "x(x+2)+1"]),
    ("Find the prime factorization of 24.", r"2^3\cdot 3", ["24", r"4\cdot 6", r"8\cdot 3"]),
    ("Expand $(a+b)^2$.", "a^2+2ab+b^2", ["(a+b)^2", "(b+a)^2", "(a+b)(a+b)", "a(a+b)+b(a+b)", "a^2+ab+ab+b^2"]),
    # simplified
    (r"Simplify $\frac{x^2-1}{x-1}$.", "x+1", [r"\frac{x^2-1}{x-1}", r"\frac{(x-1)(x+1)}{x-1}", r"\frac{1-x^2}{1-x}", "x+2-1"]),
    (r"What is $f$?", r"\frac{x+2}{x+3}", [r"\frac{(x+1)(x+2)}{(x+1)(x+3)}", r"\frac{x^2+3x+2}{x^2+4x+3}"]),
    ("Simplify $3x+4x-2$.", "7x-2", ["3x+4x-2", "4x-2+3x", "8x-x-2"]),
    (r"Simplify $\sin^2 x+\cos^2 x$.", "1", [r"\sin^2 x+\cos^2 x", r"\frac{x}{x}"]),
    (r"Simplify $\sqrt{8}$.", r"2\sqrt{2}", [r"\sqrt{8}", r"\sqrt{4}\sqrt{2}"]),
    (r"Simplify $\frac{8}{12}$.", r"\frac{2}{3}", [r"\frac{8}{12}", r"\frac{4}{6}", "8/12"]),
    ("Write $0.75$ as a fraction.", "3/4", ["0.75"]),
    ("Write 1,234,000 in scientific notation.", r"1.234\times 10^6", ["1234000", "1,234,000"]),
    (r"Write $\frac{3}{4}$ as a decimal.", "0.75", [r"\frac34", "3/4"]),
    # derivatives
    ("Differentiate $x^2$.", "2x",
     [r"\frac{d}{dx}x^2", r"\frac{d}{dx}(x^2)", r"\frac{d}{dx} x\cdot x", r"\lim_{h\to 0}\frac{(x+h)^2-x^2}{h}"]),
    (r"Find $\int 2x\,dx$.", "x^2+C", [r"\int 2x\,dx"]),
    ("Find 1 + 2 + ... + n.", r"\frac{n(n+1)}{2}", [r"\sum_{i=1}^n i", r"1+2+\cdots+n"]),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "gold", "answers"), NOT_WORKED_OUT)
def test_unfinished_answer_is_incorrect(prompt: str, gold: str, answers: list[str]) -> None:
    for answer in answers:
        assert judge(prompt, gold, answer).score == 0, answer
    assert judge(prompt, gold, gold).score == 1


WORKED_OUT = [
    ("What is 17 + 25?", "42",
     ["42", "42.0", "17+25=42", "x = 17+25 = 42", r"4.2\times 10^1", "(42)", r"\text{42}", "42 apples"]),
    ("How many subsets has a set of 100 elements?", str(2**100), ["2^{100}"]),
    ("How many subsets has a set of 64 elements?", str(2**64), ["2^{64}"]),  # 20 digits
    ("How many subsets has a set of 100 elements?", "2^{100}", ["4^{50}", str(2**100)]),
    ("What is 2 million and a half?", "2500000", [r"2.5\text{ million}", r"2.5\times 10^6"]),
    ("What part of 12 is 8?", "2/3", [r"\frac{8}{12}", "4/6", r"\frac23"]),
    ("How much?", "2.5", [r"2\frac{1}{2}", "5/2", r"\frac{10}{4}", "-(-2.5)"]),
    ("What is a third of 5, as a decimal?", "1.67", [r"\frac53", "1.667"]),
    ("How long?", r"\frac{\sqrt{2}}{2}", [r"\frac{1}{\sqrt2}", r"\sqrt{\frac12}", "2^{-1/2}", r"0.5\sqrt 2"]),
    ("How long is the diagonal?", r"2\sqrt2", [r"\sqrt8", r"8^{1/2}"]),
    ("What area, to two places?", "3.14", [r"\pi"]),
    ("Which number?", r"2e^{i\pi/3}", [r"2\left(\cos\frac{\pi}{3}+i\sin\frac{\pi}{3}\right)"]),
    ("Which number?", "3+4i", ["4i+3", "3+4i+0i"]),
    ("How large is the angle?", "60", [r"60^\circ", r"60\text{ degrees}"]),
    ("How large is the angle?", r"60^\circ", ["60", r"\frac{\pi}{3}"]),
    ("Which slope?", r"-\frac{3}{4}", ["-3/4", "-0.75", r"\frac{3}{-4}", r"m=-\frac34"]),
    ("Which price?", "15", [r"\$15", r"\$15.00", "15 dollars"]),
    ("Solve $3x+1=7$.", "x=2", ["2", "2=x", r"3x+1=7 \Rightarrow x=2", "3x+1=7, x=2", "x=6/3=2"]),
    ("Solve $x^2=2$.", r"x=\pm\sqrt2", [r"\sqrt2, -\sqrt2", r"x=-\sqrt2\text{ or }x=\sqrt2"]),
    ("What is the domain?", "(-3,3)", ["|x|<3", "-3<x<3", "3>x>-3"]),
    ("Which line?", "y=2x+3", ["2x-y+3=0", "y-3=2x", "y=3+2x"]),
    ("Which circle?", "x^2+y^2=25", ["x^2+y^2=5^2", "25=y^2+x^2"]),
    ("Factor $x^2-3x+2$.", "(x-1)(x-2)", ["(x-2)(x-1)", "(1-x)(2-x)", "x^2-3x+2=(x-1)(x-2)"]),
    (r"Simplify $\frac{x^2-1}{x-1}$.", "x+1", ["1+x", r"\frac{x^2-1}{x-1}=x+1"]),
    ("Differentiate $x^2$.", "2x", ["f'(x)=2x", r"\frac{d}{dx}x^2=2x", r"\frac{dy}{dx}=2x", r"2\cdot x"]),
    ("How many diagonals has an n-gon?", r"\frac{n(n-3)}{2}", [r"\binom{n}{2}-n", r"\frac{n^2-3n}{2}", r"\frac12n(n-3)"]),
    ("Find 1 + 2 + ... + n.", r"\frac{n(n+1)}{2}", [r"\frac{n^2+n}{2}"]),
    ("What energy?", r"\frac{1}{2}mv^2", [r"\frac{mv^2}{2}", "0.5mv^2", r"E=\frac12 m v^2"]),
    ("What is the antiderivative?", r"\frac{x^3}{3}+C", [r"\frac13x^3+c"]),
    ("Find the vector.", r"\begin{pmatrix}6\\8\end{pmatrix}", [r"\begin{pmatrix}6&8\end{pmatrix}^T"]),
    ("Find the matrix.", r"\begin{pmatrix}6&8\end{pmatrix}", [r"2\begin{pmatrix}3&4\end{pmatrix}"]),
    ("Simplify the product.", "6x", [r"\frac{2x}{0.\overline{3}}"]),
    (f"Which is larger? Convert to scientific notation: {5_000 * '1'}", r"1.5\times 10^1", ["15"]),
]  # fmt: skip


@pytest.mark.parametrize(("prompt", "gold", "answers"), WORKED_OUT)
def test_worked_out_answer_is_correct_in_any_notation(prompt: str, gold: str, answers: list[str]) -> None:
    for answer in answers:
        verdict = judge(prompt, gold, answer)
        assert verdict.score == 1, (answer, verdict.reason)


def test_without_prompt_or_with_form_any_equality_decides() -> None:
    for prompt, gold, answer in (("What is 5!?", "120", "5!"), (r"Simplify $\frac{x^2-1}{x-1}$.", "x+1", r"\frac{x^2-1}{x-1}")):
        assert judge(prompt, gold, answer).method == "unevaluated"
        assert judge(prompt, gold, answer, form="any").score == 1
        assert tenfold.verify(gold, f"\\boxed{{{answer}}}").score == 1


def test_science_verifier_has_option_form() -> None:
    problem = Problem("", (Message(role="user", content="What is 5!?"),), "120", "")
    assert load("science")(problem, r"\boxed{5!}").score == 0
    assert load({"name": "science", "form": "any"})(problem, r"\boxed{5!}").score == 1


def test_unknown_form_raises_user_error() -> None:
    with pytest.raises(UserError, match="worked_out, any"):
        load({"name": "math", "form": "exact"})


@pytest.mark.parametrize(("prompt", "score"), [("What is 17 + 25?", 0), ("What percentage is it?", 1), ("What % of 100?", 1)])
def test_percent_sign_is_optional_if_prompt_mentions_percent(prompt: str, score: float) -> None:
    for answer in (r"42\%", "42 percent"):
        assert judge(prompt, "42", answer).score == score
    assert judge(prompt, "0.42", r"42\%").score == 1
    assert tenfold.verify("42", r"\boxed{42\%}").score == 1  # the prompt is unknown


@pytest.mark.parametrize("answer", ["x=43=42", "43=42", "17+26=42", "17+26=43=42", "x=42=43", "x = 40 + 3 = 42", "f(1)=43=42"])
def test_false_chain_of_equations_is_incorrect(answer: str) -> None:
    assert tenfold.verify("42", f"\\boxed{{{answer}}}").score == 0


@pytest.mark.parametrize(("gold", "answer"), [("2x", "f(x)=3x=2x"), ("2x", "y'=x^2=2x"), ("n^2", "a_n=n=n^2")])
def test_false_chain_with_letters_is_incorrect(gold: str, answer: str) -> None:
    assert tenfold.verify(gold, f"\\boxed{{{answer}}}").score == 0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("42", "x=42.0=42"),
        ("0.67", r"p=\frac{2}{3}=0.67"),
        (r"25\pi", r"A=\pi r^2=25\pi"),
        ("5", "f(2)=5"),
        ("255", "FF_{16}=255"),
    ],
)
def test_true_chain_is_correct(gold: str, answer: str) -> None:
    assert tenfold.verify(gold, f"\\boxed{{{answer}}}").score == 1


@pytest.mark.parametrize(
    "response",
    [
        "Answer: 42\nor 43",
        "The answer is 42.\nOr 43.",
        r"\boxed{42} or 43",
        r"\boxed{42}, or maybe $43$",
        r"\boxed{42 (or 43)}",
        r"\boxed{42\ [43]}",
        "Answer: 42\nAlternatively, 43",
        "Answer: x = 42\nor x = 43",
        "Answer: 42\nor 43 apples",
    ],
)
def test_second_answer_makes_response_incorrect(response: str) -> None:
    assert tenfold.verify("42", response).score == 0


@pytest.mark.parametrize(
    "response", ["Answer: 42\nor in words: forty-two", r"\boxed{42}, or about 40", "Answer: 42\nor so I think"]
)
def test_restated_answer_is_correct(response: str) -> None:
    assert tenfold.verify("42", response).score == 1


def test_several_answers_match_several_gold_answers() -> None:
    assert tenfold.verify("x=1 or x=2", "Answer: x = 1\nor x = 2").score == 1
