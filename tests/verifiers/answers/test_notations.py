"""Notations of answers: LaTeX commands that do not affect the value, words and conditions around an answer, notations of numbers."""

# ruff: noqa: E501 (tables of answers)

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenfold
from tenfold.core import Status


def score(gold: str, answer: str) -> float | None:
    return tenfold.verify(gold, f"\\boxed{{{answer}}}").score


TYPESETTING = [
    r"\textcolor{blue}{%s}", r"\textcolor[rgb]{1,0,0}{%s}", r"{\color{red}%s}", r"\color{red}{%s}", r"\Large %s", r"{\large %s}",
    r"\LARGE{%s}", r"\therefore %s", r"\therefore\; x = %s", r"\mathtt{%s}", r"\bold{%s}", r"\pmb{%s}", r"\framebox{%s}",
    r"\colorbox{yellow}{$%s$}", r"%s \tag{2}", r"%s \tag*{(3)}", r"%s\label{eq:1}", r"%s\phantom{0}", r"\quad %s", r"%s \qquad",
    r"\begin{aligned}%s\end{aligned}", r"\begin{aligned} x &= %s \end{aligned}", r"\begin{align*} &%s \end{align*}",
    r"\begin{gathered} %s \end{gathered}", r"\scriptstyle %s", r"%s \checkmark", r"%s\;\blacksquare", r"\begin{split} x &= %s \end{split}", r"\begin{equation*}x=%s\end{equation*}",
    r"\begin{array}{c}%s\end{array}", r"\begin{array}{l} x = %s \end{array}", r"\implies %s", r"\approx %s", r"\simeq %s",
    r"\cong %s", r"\doteq %s", r"≈ %s", r"\text{≈ }%s", r"= %s",
]  # fmt: skip


@given(st.sampled_from(TYPESETTING), st.sampled_from(["7", r"\frac{3}{4}", "-2.5", r"3\sqrt{2}"]), st.integers(2, 9))
def test_typesetting_does_not_change_answer(setting: str, gold: str, factor: int) -> None:
    assert score(gold, setting % gold) == 1
    assert score(gold, setting % rf"{factor} \cdot {gold}") == 0


@pytest.mark.parametrize(
    "answer",
    [r"\cancel{7}", r"\phantom{7}", r"8 \tag{7}", r"\label{7}", r"\ne 7", r"\not\approx 7", "> 7", r"\begin{aligned}x&=8\\y&=7\end{aligned}"],
)  # fmt: skip
def test_number_outside_of_answer_does_not_count(answer: str) -> None:
    assert score("7", answer) != 1


@pytest.mark.parametrize(
    ("gold", "correct", "incorrect"),
    [
        ("5", [r"\text{5 apples}", r"\text{Answer: } 5", r"\text{Total} = 5", r"\text{The minimum is }5", r"\max = 5"],
         [r"\text{less than }5", r"\text{not }5", r"\text{twice }5", r"\text{divisible by }5", r"\text{Area} < 5", r"\text{6 apples}"]),
        ("7", [r"\text{maximum value } 7", r"\text{maximum value of } f \text{ is } 7", r"\text{Perimeter: } 7\text{ cm}"],
         [r"\text{maximum value } 8", r"\text{maximum less than }7", r"\text{exceeds }7", r"\text{maximum value is not }7"]),
        (r"\text{maximum value } 7", ["7"], [r"\text{minimum value } 7"]),
        ("29", [r"\text{USD }29", "USD 29", r"\text{Rs. }29", "₹29", r"\text{\$29}"], [r"\text{USD }-29", r"\text{USD }92"]),
        (r"\$29", [r"\text{USD }29", "29", r"2900\text{ cents}"], [r"\text{EUR }29", r"\text{Rs. }29"]),
        ("12", [r"12^{\text{th}}", "12^{th}", "12th", r"12^{\text{th}}\text{ day}"], [r"13^{\text{th}}", "12^{t}"]),
        ("1234567", ["1'234'567", "1_234_567", "1.234.567", r"1~234~567"], ["1'234'568", "1.234567", "12'345'67"]),
        ("52_8", ["(52)_8", r"52_{\text{eight}}", r"52\text{ (base 8)}", "42"], ["(52)_9", "(25)_8", r"52\text{ base }9"]),
        (r"\tfrac{3}{4}", [r"\nicefrac{3}{4}", r"\sfrac34", "3./4"], [r"\nicefrac{4}{3}", "4./3"]),
        ("-1./3", [r"-\frac13"], ["1/3", "-0.3"]),
        (r"m_{\max }=n^{2}-n-1", ["n^2-n-1", r"m_{\text{max}}=n^2-n-1"], ["n^2-n", r"m_{\min}=n^2-n-2"]),
        ("x=1, y=2", [r"\begin{array}{l}x=1\\y=2\end{array}", r"\left\{\begin{array}{l}x=1\\y=2\end{array}\right.", r"x=1 \; y=2",
                      r"\begin{cases}x&=1\\y&=2\end{cases}", r"\begin{cases}x=&1\\y=&2\end{cases}"],
         [r"\begin{aligned}x&=2\\y&=1\end{aligned}", "2", r"\begin{cases}x&=2\\y&=1\end{cases}"]),
        ("[1, 5)", ["[1, 5[", "[1; 5[", r"x \in [1, 5["], ["]1, 5[", "]1, 5]"]),
        (r"(-\infty,-1)\cup(2,\infty)", [r"]-\infty,-1[ \cup ]2,\infty[", r"\mathbb{R} - [-1, 2]"], [r"]-\infty,-1] \cup ]2,\infty[", r"\mathbb{R} - (-1, 2)"]),
        (r"\binom{8}{3}", ["{}^8C_3", "^8C_3", "_8C_3", "^{8}C_{3}", "8C3", "56"], ["^3C_8", "^8C_4", "8C4"]),
        (r"\frac{8}{15}", ["0.5(3)", r"0.5\dot{3}", r"0.5\overline{3}"], ["0.(53)", r"0.\dot{5}\dot{3}", "0.5(4)"]),
        (r"\frac{3}{11}", ["0.(27)", r"0.\dot{2}\dot{7}", r"0.\dot2\dot7"], ["0.2(7)", r"0.\dot{2}7"]),
        (r"60^\circ", [r"60\degree", r"60^\degree", r"60 \degrees"], [r"61\degree"]),
        ("1/4", ["^1/_4", "^{1}/_{4}"], ["^4/_1"]),
        ("1A_{16}", ["0x1A", "1a_{16}", "0b11010", "0o32", "26"], ["0x1B", "1b_{16}"]),
        (r"\infty", [r"\text{infinity}", r"\text{positive infinity}"], [r"\text{negative infinity}"]),
        (r"-\infty", [r"\text{minus infinity}", r"\text{-infinity}"], [r"\text{infinity}"]),
        ("5", [r"\text{five}"], [r"\text{-five}", r"\text{minus five}", r"\text{twenty-five}"]),
        ("-42", [r"\text{-forty-two}", r"\text{negative forty two}"], [r"\text{forty-two}"]),
        (r"\infty", [r"\text{infinity}"], [r"\text{-infinity}"]),
        ("H_2O", ["H2O", r"\text{H}_2\text{O}", r"\mathrm{H_2O}"], ["H_2O_2", "h2o", "HO_2"]),
        ("CO2", ["CO_2", r"\mathrm{CO}_2"], ["Co_2", "CO_3"]),
        (r"\text{DNE}", [r"\text{The limit does not exist}"], [r"\text{The limit exists}"]),
        ("35\\%", [r"35\text{ per cent}", r"35 \text{ percent}"], [r"3.5\text{ per cent}"]),
        ("2:3", [r"2 \text{ to } 3", "4 to 6"], [r"3 \text{ to } 2"]),
        ("(3,-1)", ["P(3,-1)", "A'(3, -1)"], ["P(-1,3)"]),
        ("a=3, b=5", ["3, 5", "b=5, a=3"], ["5, 3", "3"]),
        ("x_1=2, x_2=7", ["7, 2", "2, 7"], ["7, 3"]),
        ("x^2+C", ["x^2+c", "x^2+K", "C+x^2"], ["x^3+c", "x^2+2c", "x^2+x"]),
        (r"9.8\ \mathrm{m/s^2}", [r"9.8\ \frac{m}{s^2}", r"9.8\,\frac{\text{m}}{\text{s}^2}"], [r"9.8\ \frac{m}{s}"]),
        ("8", [r"\text{Ans. }8", r"\to 8", r"\star 8", r"\rightarrow 8"], [r"\text{Ans. }9", r"x \to 8y"]),
        (r"\ln(1+\sqrt{2})", [r"\sinh^{-1}(1)", r"\text{arcsinh}(1)", "asinh(1)", r"\operatorname{arcsinh} 1"], [r"(\sinh 1)^{-1}", r"\sinh^{-2} 1"]),
        (r"\frac{1}{\sinh 1}", [r"(\sinh 1)^{-1}"], [r"\sinh^{-1} 1", r"\cosh^{-1} 1"]),
        (r"\log_{2}3", [r"\log_23", "log2(3)", r"\log_2 3"], [r"\log_32", "log10(3)", r"\log_{23}2"]),
        (r"\log_{25}x+1", [r"\log_25x+1"], [r"\log_2(5x)+1"]),
        ("1/3", [r"0.\bar3", r"0.\overline 3", "x = 0.(3)"], [r"0.\bar6", "x = 0.(6)", r"0.\overline36"]),
        (r"\sqrt[3]{2x}", ["∛(2x)"], ["∜(2x)", "√(2x)", "∛2x^2"]),
        ("x_1^2+x_2^2", ["x^2_1+x^{2}_{2}", "x²₁+x²₂"], ["x^1_2+x^2_2", "x^2_1+x^2_1"]),
        (r"\binom{n}{k}", ["C^k_n", "C_n^k", "C^{k}_{n}"], ["C^n_k"]),
        ("20", ["2C_5^2", "2C^2_5"], ["C_5^2"]),
        (r"\frac13", [r"\int^1_0 x^2 dx"], [r"\int^0_1 x^2 dx"]),
        (r"\begin{pmatrix}x\\x+1\end{pmatrix}", [r"\(\begin{pmatrix}x\\(x+1)\end{pmatrix}\)"], [r"\begin{pmatrix}x\\(x-1)\end{pmatrix}"]),
        (r"\begin{pmatrix}1\\1\end{pmatrix}", [r"\begin{pmatrix}1\\1\\\end{pmatrix}"], [r"\begin{pmatrix}1&\\&1\end{pmatrix}"]),
        ("7", [r"\left|\begin{matrix}1&0\\0&7\end{matrix}\right|"], [r"\left|\begin{matrix}1&0\\0&-7\end{matrix}\right|"]),
        ("5", [r"\displaystyle 5", r"\left.5\right."], [r"\displaystyle.5"]),
        ("1C3_{16}", ["(1C3)_{16}", "451"], ["(1C4)_{16}", "3"]),
        (r"(-\infty, \frac{1}{2})", [r"]-\infty, \frac{1}{2}[", r"]-\infty; \frac{1}{2}["], [r"]-\infty, \frac{1}{2}]"]),
        (r"6.02\times10^{23}\text{ m}", ["6.02 x 10^{23} m", r"6.02x10^{23}\text{ m}"], ["6.02 x 10^{22} m"]),
        ("8", [r"\begin{aligned}x&=5\\&\quad+3\end{aligned}"], [r"\begin{aligned}x&=5\\&\quad-3\end{aligned}"]),
        ("(1) 3; (2) 5", ["(2) 5; (1) 3", "3, 5"], ["(1) 5; (2) 3", "5, 3"]),
        ("max = 5, min = 1", ["min=1, max=5", "5, 1"], ["min=5, max=1", "1, 5"]),
        ("quotient x+2, remainder 3", ["remainder 3, quotient x+2"], ["quotient 3, remainder x+2", "3, x+2"]),
        ("10", [r"\begin{aligned}x&=4+6\\&=10\end{aligned}", r"\begin{aligned}2x&=20\\ \Rightarrow x&=10\end{aligned}"], []),
    ],
)  # fmt: skip
def test_words_and_notations(gold: str, correct: list[str], incorrect: list[str]) -> None:
    assert {answer: score(gold, answer) for answer in correct} == dict.fromkeys(correct, 1.0)
    assert {answer: score(gold, answer) for answer in incorrect} == dict.fromkeys(incorrect, 0.0)


@pytest.mark.parametrize(
    ("gold", "correct", "incorrect"),
    [
        ("2^{n-1}",
         [r"2^{n-1}\text{ for }n\ge1", r"2^{n-1}, n\ge 1", r"2^{n-1}\;(n\geq 1)", r"2^{n-1}\text{ for all positive integers }n",
          r"2^{n-1},\quad n\in\mathbb{N}", r"a_n=2^{n-1}\text{ for }n=1,2,3,\ldots"],
         [r"2^{n}\text{ for }n\ge1", r"2^{n-1}\text{ if }n\text{ is odd}", r"2^{n-1}\text{ for }n=3", r"2^{n-1}\text{ or }2^n"]),
        ("f(x)=2x+1",
         [r"f(x)=2x+1 \text{ for all } x\in\mathbb{R}", r"f(x)=2x+1\text{ where } x \text{ is real}", r"2x+1\quad\forall x", "y=2x+1"],
         [r"f(x)=2x-1\text{ for all }x", r"f(x)=2x+1\text{ for }x=3", "y=2x-1"]),
        ("y=2x+3", ["f(x)=2x+3", "2x+3", r"f: x\mapsto 2x+3"], ["f(x)=2x+4", "x=2y+3"]),
        (r"Ce^{2x}", [r"y=Ce^{2x}\text{ where }C\text{ is a constant}"], [r"y=Ce^{-2x}\text{ where }C\text{ is a constant}"]),
        ("5", [r"5\text{ for all }n"], [r"5\text{ for }n=3", r"5\text{ for odd }n", r"5\text{ unless }n=1"]),
        (r"2^{n-1}\text{ for }n\ge1", ["2^{n-1}", r"2^{n-1}\text{ for }n>0"], ["2^n", r"2^{n-1}\text{ for }n\ge3", "1"]),
        ("y=2x, x>1", [r"y=2x\text{ for }x>1", r"y=2x\text{ for }x\in(1,\infty)"], ["y=2x", "2", r"y=2x\text{ for }x\in(2,\infty)"]),
        ("x^2",
         [r"x^2\text{ for }x\in[0,1]", r"x^2\;(x\in[0,1])", "x^2 for x, y > 0", "x^2 for x > 0, where x is real"],
         ["x^2 for x > 1, 2x for x < 1", "x^2 if x > 1 and 2x if x > 3", "x^2 for x > 1 or x for x < 1", "x^2 if x > 1; 2x",
          "x^2 for x > 1, f(0)=1", r"x^2\text{ for }x\in[0,1], 2x\text{ for }x\in[1,2]"]),
        ("x^2 if x > 1, 2x if x < 1", ["2x if x < 1, x^2 if x > 1"], ["x^2", "2x"]),
        (r"f(x)=2x\text{ for all }x\in(0,\infty)", ["f(x)=2x", "f(x)=2x for x > 0"], ["f(x)=3x", "f(x)=2x for x > 1"]),
        (r"x^2\text{ for }x>100", [r"x^2\text{ for }100<x"], [r"x^2\text{ for }x>70", r"x^2\text{ for }x<-100"]),
        ("x^2 for x > 1/4", ["x^2 for x > 0.25", "x^2 for 4x > 1"], ["x^2 for x > 0.3", r"x^2 for x \ge 1/4"]),
        ("x^2 for x > 0 and x < 5", ["x^2 for 0 < x < 5"], ["x^2 for x > 0 and x < 6"]),
        (r"2^n\text{ for }n\ge100", [r"2^n\text{ for }n>99", r"2^n\text{ for }n\in[100,\infty)"], [r"2^n\text{ for }n\ge200"]),
        ("p^2 for 0 < p < 1", ["p^2 for p > 0, p < 1"], ["p^2 for 0 < p < 2"]),
        ("a+b for a > b", ["a+b for b < a"], ["a+b for a < b"]),
    ],
)  # fmt: skip
def test_condition_after_formula_is_its_domain(gold: str, correct: list[str], incorrect: list[str]) -> None:
    assert {answer: score(gold, answer) for answer in correct} == dict.fromkeys(correct, 1.0)
    assert {answer: score(gold, answer) for answer in incorrect} == dict.fromkeys(incorrect, 0.0)


@pytest.mark.parametrize(
    "text", [" " * 1_900, "," * 1_900, r"\text{for " * 150, r"\quad x" * 300, "a" + " " * 1_900 + "=", r"\begin{array}{c}" * 100,
             r"\color{" * 250, "1'" * 900, r"\left\{\begin{array}{l}" * 80, "word " * 380 + "7", "$ $" * 600]
)  # fmt: skip
def test_long_answer_with_repetitions_is_judged(text: str) -> None:
    # Matching in linear time takes milliseconds. Matching in quadratic time would take minutes.
    assert tenfold.verify("7", f"\\boxed{{{text} 8}}").status in (Status.SCORED, Status.UNDECIDED)


@pytest.mark.parametrize("answer", ["maybe it is even", "It may be that it is even", "possibly it is even"])
def test_answer_that_is_not_certain_is_undecided(answer: str) -> None:
    assert score("even", r"\text{The function is even}") == 1
    assert score("even", rf"\text{{{answer}}}") is None
    assert score("unknown", r"\text{The value is unknown}") == 1


def test_inch_is_unit() -> None:
    assert score(r"36 \mbox{ inches}^2", r"36\text{ in}^2") == 1
    assert score("36 cm", r"36\text{ in}") == 0
