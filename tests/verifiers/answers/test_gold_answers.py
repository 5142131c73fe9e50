"""Gold answers with several formulas, rounded numbers, identities and names, and the equality of answers."""

# ruff: noqa: E501 (tables of answers)

import pytest

from tenfold.core import Message, Problem
from tenfold.envs.problems import sources
from tenfold.envs.text import TextEnv
from tenfold.verifiers import invalid_gold, load


def score(gold: str, answer: str, prompt_text: str = "") -> float | None:
    prompt = (Message(role="user", content=prompt_text),) if prompt_text else ()
    return load("math")(Problem("", prompt, gold, ""), f"\\boxed{{{answer}}}").score


SEVERAL = r"$y_1 = c_1 e^{x}\left(\cos 2x + \sin 2x\right)$, $y_2 = c_2 e^{-x}\left(\cos 3x - \sin 3x\right)$, and also $y_3 = c_3 x e^{4x}$"
SENTENCE = (
    r"The function is increasing on $(-\infty,-1)$ and on $(3,\infty)$, and it has an inflection point at the place $x=1$"
)
LINES = "$u(1)=(.25, .5, .25)$\n\n$u(2)=(.3125, .4375, .25)$\n\n$u(3)=(.328125, .421875, .25)$ and more, as far as one wants"


@pytest.mark.parametrize(
    ("gold", "part"),
    [
        (SEVERAL, "y_3=c_3xe^{4x}"),
        (SEVERAL, "c_3xe^{4x}"),
        (SENTENCE, "1"),
        (SENTENCE, "x=1"),
        (LINES, "(.328125, .421875, .25)"),
    ],
)
def test_gold_answer_of_several_formulas_needs_all_of_them(gold: str, part: str) -> None:
    assert score(gold, gold) == 1
    assert score(gold, gold.replace("$", "").replace("\n\n", "\n")) == 1
    assert score(gold, part) == 0


def test_answer_of_worked_solution_is_extracted() -> None:
    solution = "First we add both sides, which gives 12, and then we divide by two, as the problem asks us to do.\n\nThe answer is $6$."
    assert score(solution, "6") == 1
    assert score(solution, "12") == 0


@pytest.mark.parametrize(
    ("gold", "correct", "incorrect"),
    [
        (r"$\sin (3.5) \approx-0.351$", ["-0.351", r"\sin(3.5)"], [r"\sin (3.5) \approx 7", "7"]),
        (r"x=\frac{\ln 5}{2}\approx 0.805", ["0.805", r"\frac{\ln5}{2}", r"x=\ln\sqrt5"], ["0.85", r"x=\frac{\ln 5}{2}\approx 805"]),
        (r"\approx 17.10 \mathrm{ft}", [r"17.1\text{ ft}", "17.1"], [r"17.2\text{ ft}"]),
        (r"a(b+c)=ab+ac", ["ab+ac", "ac+ab=a(b+c)"], ["q=7", "a(b+c)", "(c+b)a", "0=0", "a(b+c)=a(b+c)"]),
        (r"\cos(2x)=2\cos^2 x-1", [r"2\cos^2x-1", r"\cos 2x=2\cos^2x-1"], ["q=7", r"\cos(2x)", "x=y", r"\cos(2x)=2\cos^2x"]),
        (r"\log(xy)=\log x+\log y", [r"\log y+\log x"], ["y=5", r"\log(xy)"]),
        (r"\frac{-1}{\sin \arctan t}+C=-\sqrt{1+t^{2}} / t+C", [r"-\sqrt{1+t^{2}} / t+C"], ["y=5"]),
        (r"y=x^5 \quad y=-2x", [r"y=-2x \quad y=x^5"], ["y=-2x", "-2x", r"y=x^5 \quad y=2x"]),
        (r"x=1 \quad y=2", ["x=1, y=2"], ["2", r"x=9 \quad y=2"]),
        (r"\angle A = 30^\circ, \angle B = 60^\circ", [r"\angle B=60^\circ, \angle A=30^\circ"],
         [r"\angle A = 60^\circ, \angle B=30^\circ"]),
        ("P(A)=1/6, P(B)=1/3", [r"P(B)=\frac13, P(A)=\frac16"], ["P(A)=1/3, P(B)=1/6"]),
        ("P(X=1)=1/6, P(X=2)=1/3", ["P(X=2)=1/3, P(X=1)=1/6"], ["P(X=1)=1/3, P(X=2)=1/6"]),
        ("P(X=1)=1/6", ["1/6"], ["1/3", "P(X=2)=1/6"]),
        ("|AB|=3,|BC|=4", ["|BC|=4,|AB|=3"], ["|AB|=4,|BC|=3"]),
        (r"\mu_A=2,\mu_B=5", [r"\mu_B=5,\mu_A=2"], [r"\mu_A=5,\mu_B=2"]),
        ("x=5", ["5", "5=x", "x-5=0"], ["2x=10", "x+1=6"]),
    ],
)  # fmt: skip
def test_answers_to_gold_answer(gold: str, correct: list[str], incorrect: list[str]) -> None:
    assert {answer: score(gold, answer) for answer in correct} == dict.fromkeys(correct, 1.0)
    assert {answer: score(gold, answer) for answer in incorrect} == dict.fromkeys(incorrect, 0.0)


@pytest.mark.parametrize(
    ("gold", "correct", "incorrect"),
    [
        ("[x, x+1]", ["[x, 1+x]", r"x \le y \le x+1"], ["(x, x+1)", "[x, x+2]", "[x+1, x]", "[x, x+1)"]),
        (r"(-\infty,a]\cup[b,\infty)", [r"[b,\infty)\cup(-\infty,a]"], [r"(-\infty,b]\cup[a,\infty)"]),
        # the ends of an interval that an inequality has as roots, which may be irrational
        (r"(-\sqrt2,\sqrt2)", ["x^2<2", r"-\sqrt2<x<\sqrt2"], [r"x^2\le2", "x^2<2.0000001", "x<2"]),
        (r"[-\sqrt3,\sqrt3]", [r"x^2\le3"], ["x^2<3", r"x^2\le 3.0000001"]),
        (r"(-\sqrt3,\sqrt3)", ["x^2<3"], [r"x^2\le3"]),
        (r"(0,\ln2)", ["1<e^x<2"], [r"1<e^x\le2"]),
        ("x^2<4", ["-2<x<2", "(-2,2)", "|x|<2"], ["x<2", r"-2<x\le2", r"x^2\le4"]),
        ("x(x-100)(x-200)<0", [r"x<0\text{ or }100<x<200"], ["x<0", r"(-\infty,0)"]),
        (r"(-\infty,-1)\cup(1,\infty)", [r"(-\infty,-1)\text{ and }(1,\infty)", "x<-1, x>1"],
         [r"x<-1\text{ and }x>1", r"x\in(-\infty,-1)\text{ and }x\in(1,\infty)"]),
        (r"\emptyset", [r"x<-1\text{ and }x>1"], [r"(-\infty,-1)\text{ and }(1,\infty)"]),
        # vectors
        (r"\begin{pmatrix}1\\2\end{pmatrix}",
         [r"\begin{pmatrix}1&2\end{pmatrix}^T", r"\begin{pmatrix}1&2\end{pmatrix}^{\top}", "(1,2)^T"],
         [r"\begin{pmatrix}2&1\end{pmatrix}^T", r"\begin{pmatrix}1\\2\end{pmatrix}^T", "(2,1)^T"]),
        ("(1,2)", ["i+2j", r"\mathbf{i}+2\mathbf{j}", "(1,2)^T"], ["i^2+2j", "i+2j+ij", "i+2j+1", "j+2i"]),
        (r"(\sqrt2,a)", [r"\sqrt2 i+aj"], [r"\sqrt2 i^2+aj"]),
        ("(0,0)", ["0i+0j"], ["ij"]),
        ("7!!", ["105"], ["5040", "7!"]),
        ("(2n-1)!!", [r"\frac{(2n)!}{2^n n!}"], ["(2n)!!", "((2n-1)!)!"]),
        (r"\gcd(m,n)", [r"\gcd(n,m)", r"\text{gcd}(m,n)"], [r"\gcd(m,2n)", "1", r"\operatorname{lcm}(m,n)"]),
        (r"\operatorname{lcm}(a,b)", [r"\frac{ab}{\gcd(a,b)}"], ["ab"]),
        (r"\varphi", [r"\phi", "φ"], [r"\psi"]),
        (r"\phi+\varphi", [r"\varphi+\phi"], [r"2\phi"]),
        (r"A\cup B", [r"B\cup A"], [r"A\cap B", "A", r"A\setminus B"]),
        (r"A\setminus B", [r"A\cap\overline{B}"], [r"B\setminus A"]),
        (r"P(A\cup B)", [r"P(B\cup A)"], [r"P(A\cap B)"]),
        (r"p\to q", [r"p\rightarrow q", r"p\implies q", "p -> q"], [r"q\to p", r"\neg q\to\neg p", r"p\land q", "p"]),
        (r"\neg p\lor q", [r"q\lor\lnot p", r"~p \vee q"], [r"p\lor q", r"\neg(p\lor q)"]),
        (r"p\lor q", [r"q\vee p"], [r"p\land q"]),
        (r"y=\frac1x", ["xy=1", "2xy=2"], ["xy=2", "x=y", "xy=y"]),
        ("y=2x+1", ["2x-y+1=0", "2y=4x+2"], ["2x-y-1=0", "x(y-2x-1)=0", "(x-2)(y-2x-1)=0"]),
        ("x^2+y^2=4", [r"\frac{x^2}{4}+\frac{y^2}{4}=1"], [r"y=\sqrt{4-x^2}", "x^2-y^2=4"]),
        (r"\frac{1}{2004!}", ["1/2004!", r"\frac{2005}{2005!}"], [r"\frac{1}{2006!}", "2004!", r"-\frac{1}{2004!}"]),
        ("2^{100000}", ["4^{50000}"], ["2^{100001}", r"2^{100000}(1+10^{-80})"]),
        (r"10\,\mathrm{\mu A}", ["10^{-5} A", r"10\text{ microamperes}", r"\SI{10}{\micro\ampere}"], ["10^{-6} A", "10^{-5} V"]),
        ("100 J", ["100 N m", r"100\,\mathrm{N\cdot m}", "100 W s"], ["100 N", "100 N/m", "1000 N m"]),
        ("2 hours 30 minutes", ["2.5 hours", "150 minutes", r"2\text{ h }30\text{ min}"], ["2.3 hours", "30 minutes", "150", "2.5"]),
        ("2.5 hours", ["2 hours 30 minutes"], ["2 hours 50 minutes", "2 minutes 30 hours"]),
        ("2 millihenries", [r"2\text{ mH}", "2 millihenry"], ["2 henries"]),
        (r"3\text{ kWh}", ["3 kilowatt-hours"], ["3 kilowatts"]),
        ("5", [], ["5 A", "5 N m"]),
        ("5A", ["5A"], ["5"]),
        ("5", ["5 months", r"5\text{ paths}", "5 teeth", r"5\text{ times}"], [r"5\text{ tenths}", "5 fifteenths", "5 times 2", "5 thousand five hundred"]),
        ("18 months", ["1.5 years", "1 year 6 months"], ["17 months"]),
        (r"\$0.01", ["1 cent"], ["1 per cent"]),
        ("36", ["3 dozen", "3 dozen eggs"], ["3 dozen minus one", "3 dozen less", "3 dozen and a half"]),
        ("5000", ["5 thousand", "5 thousand people"], ["5 thousand five hundred"]),
        (r"\frac{1234}{5}", [r"\frac{1,234}{5}"], [r"\frac{1,235}{5}"]),
        (r"\sqrt{1234}", [r"\sqrt{1,234}"], [r"\sqrt{(1,234)}"]),
        ("1000, 2000", ["1,000, 2,000", "1,000, and 2,000"], ["2,000, 3,000"]),
        ("100, 200, 300", ["100,200, 300"], ["100200, 300"]),
        ("(1, 234)", ["(1,234)"], ["1234"]),
        ("-5", ["-(101)_2", "-0b101"], ["-(110)_2", "--(101)_2"]),
        ("7:30 pm", ["7:30 P.M."], ["7:30 am", "7:30:15 pm"]),
        (r"(A\cup B)^c", [r"A'\cap B'", r"\overline{A\cup B}"], [r"A'\cup B'", r"\overline{A\cap B}", r"A\cup B"]),
        (r"p\leftrightarrow q", ["p ⇔ q", "q ⟺ p"], ["p ⟹ q", "p ⊕ q"]),
        ("x=1, y=1", ["x=y=1"], ["x=y=2", "x=1=1"]),
        ("a=b=c=2", ["a=2, b=2, c=2"], ["a=2, b=2, c=3"]),
        ("f(x)=x+1", ["f(t)=t+1"], ["f(t)=x+1"]),
        ("7x-3=0", ["14x=6"], ["14x=7"]),
        ("5x-3y>0", [r"y<\frac{5}{3}x"], [r"y>\frac{5}{3}x", r"y<\frac{3}{5}x"]),
        (r"\sum_{n=0}^{\infty} \frac{x^n}{n!}", [r"\sum_{k=1}^{\infty} \frac{x^{k-1}}{(k-1)!}"],
         [r"\sum_{n=1}^{\infty} \frac{x^n}{n!}", r"\sum_{n=0}^{\infty} \frac{x^n}{(n+1)!}"]),
        (r"\sum_{n=0}^{\infty} 2(-1)^n x^n", [r"2\sum_{n=0}^{\infty} \cos(n\pi) x^n"],
         [r"\sum_{n=0}^{\infty} (-1)^n x^n", r"2\sum_{n=1}^{\infty} (-1)^n x^{n-1}"]),
    ],
)  # fmt: skip
def test_equality_of_answers(gold: str, correct: list[str], incorrect: list[str]) -> None:
    assert {answer: score(gold, answer) for answer in correct} == dict.fromkeys(correct, 1.0)
    assert {answer: score(gold, answer) for answer in incorrect} == dict.fromkeys(incorrect, 0.0)


@pytest.mark.parametrize(
    ("gold", "correct", "incorrect"),
    [
        (r"2k\pi, k\in\mathbb{Z}", [r"2n\pi, n\in\mathbb{Z}", r"2\pi-2k\pi\text{ for all integers }k"],
         [r"2\sqrt{k^2}\pi, k\in\mathbb{Z}", r"2(k^3-3k^2+3k)\pi, k\in\mathbb{Z}", r"2k\pi, k\ge0"]),
        (r"\frac{\pi}{6}+2k\pi, \frac{5\pi}{6}+2k\pi, k\in\mathbb{Z}", [r"(-1)^n\frac{\pi}{6}+n\pi, n\in\mathbb{Z}"],
         [r"(-1)^{n+1}\frac{\pi}{6}+n\pi, n\in\mathbb{Z}", r"\frac{\pi}{6}+n\pi, n\in\mathbb{Z}"]),
        (r"x\equiv 1, 4 \pmod{5}", [r"x\equiv\pm1\pmod{5}", r"5k\pm1, k\in\mathbb{Z}"], [r"x\equiv\pm2\pmod{5}", r"x\equiv1\pmod{5}"]),
        (r"x\equiv 3\pmod{1000}", [r"x\equiv 1003\pmod{1000}"], [r"x\equiv 3\pmod{7}", r"x\equiv 3\pmod{500}"]),
        (r"(\frac{\pi}{12}+\frac{k\pi}{2}, 0), k\in\mathbb{Z}", [r"(\frac{k\pi}{2}-\frac{5\pi}{12}, 0), k\in\mathbb{Z}"],
         [r"(\frac{k\pi}{2}+\frac{\pi}{6}, 0), k\in\mathbb{Z}", r"(\frac{k\pi}{2}-\frac{5\pi}{12}, 1), k\in\mathbb{Z}"]),
        (r"(2k\pi\pm\frac{\pi}{3}, 0), k\in\mathbb{Z}", [r"(2k\pi-\frac{\pi}{3}, 0), (2k\pi-\frac{5\pi}{3}, 0), k\in\mathbb{Z}"],
         [r"(2k\pi+\frac{\pi}{3}, 0), k\in\mathbb{Z}"]),
        (r"[k\pi-\frac{\pi}{3}, k\pi+\frac{\pi}{6}], k\in\mathbb{Z}", [r"[k\pi+\frac{2\pi}{3}, k\pi+\frac{7\pi}{6}] (k\in\mathbb{Z})"],
         [r"(k\pi-\frac{\pi}{3}, k\pi+\frac{\pi}{6}), k\in\mathbb{Z}", r"[2k\pi-\frac{\pi}{3}, 2k\pi+\frac{\pi}{6}], k\in\mathbb{Z}"]),
    ],
)  # fmt: skip
def test_equality_of_families(gold: str, correct: list[str], incorrect: list[str]) -> None:
    assert {answer: score(gold, answer) for answer in correct} == dict.fromkeys(correct, 1.0)
    assert {answer: score(gold, answer) for answer in incorrect} == dict.fromkeys(incorrect, 0.0)


@pytest.mark.parametrize(
    ("prompt_text", "gold", "repeated", "worked_out"),
    [
        (r"Compute $e^{-2}$ to three decimals.", "0.135", "e^{-2}", r"e^{-2} \approx 0.135"),
        (r"Give $\sin (3.5)$ to three places.", r"$\sin (3.5) \approx-0.351$", r"\sin(3.5)", "-0.351"),
        ("Find the sum of the first $n$ odd numbers.", "n^2", r"\sum_{k=1}^{n}(2k-1)", r"\sum_{k=1}^{n}(2k-1)=n^2"),
    ],
)
def test_repeated_problem_is_incorrect(prompt_text: str, gold: str, repeated: str, worked_out: str) -> None:
    assert score(gold, repeated, prompt_text) == 0
    assert score(gold, worked_out, prompt_text) == 1


def test_file_with_row_without_box_is_read(tmp_path: object) -> None:
    path = tmp_path / "rows.jsonl"  # type: ignore[operator]
    path.write_text(
        '{"problem": "1+1?", "solution": "It is \\\\boxed{2}."}\n{"problem": "1+2?", "solution": "\\\\boxed is 3"}\n'
    )
    read = sources.load(f"jsonl:{path}")
    assert [problem.answer for problem in read] == ["2", None]
    assert [problem.id for problem, _ in invalid_gold("math", read)] == [read[1].id]
    kept = TextEnv(f"jsonl:{path}", "math", invalid_gold="drop").problems
    assert [problem.answer for problem in kept] == ["2"]
