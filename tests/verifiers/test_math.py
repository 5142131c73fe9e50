import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tenfold
from tenfold import verifiers
from tenfold.benchmarks.audit.answer_pairs import own_pairs
from tenfold.benchmarks.audit.hostile_answers import hostile
from tenfold.core import Message, Problem, Status
from tenfold.verifiers import load, pool
from tenfold.verifiers.math import invalid_gold


@pytest.mark.parametrize(
    ("gold", "response", "score", "method"),
    [
        ("72", "72", 1, "exact"),
        ("72", "First 48, then 24.\n#### 72", 1, "exact"),
        ("1,000", "The final answer is 1000.", 1, "exact"),
        ("18", "She makes $18 every day.", 1, "exact"),
        (7, "8-9=-1\n-1+8=7", 1, "rational"),
        ("1/2", r"so \boxed{0.5}", 1, "rational"),
        ("0.5", r"\boxed{\frac{1}{2}}", 1, "decimal"),
        ("3.14", r"\boxed{\pi}", 1, "symbolic"),
        ("7", "8", 0, "rational"),
        ("C", r"\boxed{\textbf{(C)}\ 24}", 1, "choice"),
        ("C", r"\boxed{D}", 0, "choice"),
        ("5000", r"\boxed{5 \times 10^{3}}", 1, "rational"),
        ("12", r"The answer is $\dfrac12$ hours.", 0, "rational"),
        ("3", "The answer is 3x plus y", 0, "words"),
        ("3 m", r"\boxed{300\text{ cm}}", 1, "quantity"),
        ("3 m", r"\boxed{3\text{ km}}", 0, "quantity"),
        ("x>=5", r"\boxed{[5,\infty)}", 1, "interval"),
        ("(3,1)", r"\boxed{(1,3)}", 0, "tuple"),
        ("-2, 1", r"\boxed{1} and \boxed{-2}", 1, "set"),
        (r"2x+4y=3", r"\boxed{y=\frac{3-2x}{4}}", 1, "equation"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\boxed{\begin{bmatrix}1\\3\end{bmatrix}}", 0, "matrix"),
        ("3+4i", r"\boxed{(2+i)^2}", 1, "complex"),
        (r"\sqrt{8}", r"\boxed{2\sqrt{2}}", 1, "symbolic"),
        ("1:2", r"\boxed{3:6}", 1, "ratio"),
        (r"\text{even}", r"\boxed{\text{odd}}", 0, "words"),
        (r"\frac{1}{3}", r"\boxed{\int_0^1 x^2 dx}", 1, "math-verify"),
        ("7", r"\boxed{\frac{7}}", 0, "parse"),
        ("7", "", 0, "extract"),
        ("5", "That is not 5", 0, "extract"),
    ],
)
def test_cheapest_method_that_decides_is_named(gold: object, response: str, score: float, method: str) -> None:
    verdict = tenfold.verify(gold, response)
    assert (verdict.score, verdict.method) == (score, method)


KINDS = sorted({pair.kind for pair in own_pairs()})
REFUSED = {
    ("D", "After eliminating A, B and C, we are left with D."),
    ("Alice", "Alice wins."),
    ("Alice", "Alice has a winning strategy."),
    (r"5 \bmod 12", r"\boxed{5 \pmod{12}}"),
}
"""The four of 1,737 correct answers (0.2%) that are known to be judged incorrect. No other may be."""


@pytest.mark.parametrize("kind", KINDS)
def test_labelled_pairs_are_judged_correctly(kind: str) -> None:
    pairs = [pair for pair in own_pairs() if pair.kind == kind]
    wrong = [pair for pair in pairs if (tenfold.verify(pair.gold, pair.response).score == 1) != pair.equal]
    assert not [pair for pair in wrong if not pair.equal]
    assert {(pair.gold, pair.response) for pair in wrong} <= REFUSED


def test_gold_answer_with_alternatives_and_tolerance() -> None:
    assert tenfold.verify(["C(10, 5)", "252"], r"\boxed{252}").score == 1
    assert tenfold.verify(["C(10, 5)", "252"], r"\boxed{253}").score == 0
    assert tenfold.verify({"gold": "9.81 m/s^2", "tolerance": 0.01}, r"\boxed{9.8\text{ m/s}^2}").score == 1
    assert tenfold.verify({"gold": "9.81 m/s^2", "tolerance": 0.01}, r"\boxed{9.6\text{ m/s}^2}").score == 0


@pytest.mark.parametrize("golds", [["72 pencils", "80"], ["80", "72 pencils"], ["80", "72 pencils", "81"]])
def test_order_of_gold_answers_does_not_matter(golds: list[str]) -> None:
    assert tenfold.verify(golds, r"\boxed{80}").score == 1
    assert tenfold.verify(golds, r"\boxed{72\text{ clips}}").status == Status.UNDECIDED


@pytest.mark.parametrize("tolerance", [-0.01, "1/0", "nan", float("inf"), True, [1]])
def test_a_tolerance_that_is_not_a_number_from_0_is_undecided(tolerance: object) -> None:
    verdict = tenfold.verify({"gold": "5", "tolerance": tolerance}, r"\boxed{5}")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)
    assert "the tolerance is negative or not a number" in verdict.reason


@pytest.mark.parametrize("answer", ["7+4-6", "4 - 6 + 7", r"7 + 4 - 6 + 0", r"1 \cdot (7+4) - 6", r"(7+4-6)e^0"])
def test_expression_of_prompt_is_incorrect(answer: str) -> None:
    """A policy that is rewarded for repeating the problem learns to repeat it."""
    problem = Problem("", (Message(role="user", content="What is 7 + 4 - 6?"),), "5", "")
    verdict = load("math")(problem, f"\\boxed{{{answer}}}")
    assert (verdict.score, verdict.method) == (0, "unevaluated")
    assert load("math")(problem, r"\boxed{5}").score == 1
    assert tenfold.verify("5", f"\\boxed{{{answer}}}").score == 1  # without a prompt only equality counts


@pytest.mark.parametrize(
    ("question", "gold", "left", "worked_out"),
    [
        (r"What is $\int_0^1 x^2 dx$?", "1/3", r"\int_0^1 x^2 dx", r"\int_0^1 x^2 dx = \frac{1}{3}"),
        ("Find 1 + 2 + ... + n in closed form.", r"\frac{n(n+1)}{2}", r"\sum_{i=1}^n i", r"\frac{n^2+n}{2}"),
    ],
)
def test_requested_sum_or_integral_must_be_worked_out(question: str, gold: str, left: str, worked_out: str) -> None:
    problem = Problem("", (Message(role="user", content=question),), gold, "")
    assert load("math")(problem, f"\\boxed{{{left}}}").method == "unevaluated"
    assert load("math")(problem, f"\\boxed{{{worked_out}}}").score == 1


@pytest.mark.parametrize(
    ("answer", "score"),
    [(r"\binom{2n}{n}", 1), (r"\frac{(2n)!}{n!^2}", 1), (r"\binom{2n}{n} + 1", 0), (r"\binom{2n-1}{n}", 0)],
)
def test_sum_with_symbolic_bound_is_compared_at_integers(answer: str, score: float) -> None:
    assert tenfold.verify(r"\sum_{k=0}^{n} \binom{n}{k}^2", f"\\boxed{{{answer}}}").score == score


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("The midpoints form a regular hexagon", "a hexagon that is regular"),
        (r"(-1)^n", r"\cos(n\pi)"),  # equal for integers only
        ("204_5", "204"),  # unknown base
        ("72 clips", "72 pencils"),
        (r"\frac{x}{", "x"),
        (r"\sum_{k=1}^{\infty} \frac{1}{k^3}", r"\zeta(3)"),
    ],
)
def test_undecided_comparison_has_no_score(gold: str, answer: str) -> None:
    verdict = tenfold.verify(gold, f"\\boxed{{{answer}}}")
    assert (verdict.status, verdict.score) == (Status.UNDECIDED, None)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("5", r"\lim_{x\to 0} f(x)"),
        ("1/2", r"\int_0^1 g(x) dx"),
        ("(1,3]", "[3,1)"),
        ("(1,3]", "x^2<9"),
        ("no solution", "5"),
        ("5", r"\sum_{k=1}^{1/0} k"),
        ("5", r"\prod_{k=1}^{0^{-1}} 5"),
    ],
)
def test_answer_that_cannot_be_evaluated_is_incorrect_for_plain_gold_answer(gold: str, answer: str) -> None:
    """An undecided verdict would be better for the policy than an incorrect answer."""
    assert tenfold.verify(gold, f"\\boxed{{{answer}}}").score == 0


@pytest.mark.parametrize(
    "response",
    [
        "The answer is less than 5.",
        "The answer is minus 5.",
        "Answer: anything except 5",
        "Therefore the total is 20 minus 5.",
        "So it is $3$ or $5$.",
        "the answer is $5$ or more",
        r"\boxed{5 tenths}",
        r"\boxed{5 \ldots}",
        r"\boxed{4 = 5}",
        "<think>" + "a " * 15_000 + r"\boxed{5}",
    ],
)
def test_answer_that_contains_gold_answer_is_incorrect(response: str) -> None:
    assert tenfold.verify("5", response).score == 0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("all integers n > 3", "all integers n < 3"),
        ("AaBb", "AABB"),
        ("x < 3", r"\sqrt{x} < 3"),
        ("x < 3", "|x+1| < 4"),
        ("|y|+1", "y+1"),
        ("x", r"\min(x,100)"),
        (r"\frac{1}{2} m g h", r"\frac{1}{2}"),
        ("1", r"\tanh(200)"),
        ("x", "x + 1/200!"),
        (r"\pi", r"\pi+10^{-1500}"),
        ("2432902008176640000", "2432902008176640001.0"),
        ("1:20:30", "1:20:40"),
        ("12", r"\$1,2"),
        ("{1.50, 2}", r"\{1.50, 1.504, 2\}"),
        ("x<1 or x>3", "x<1 and x>3"),
    ],
)
def test_known_exploits_are_incorrect(gold: str, answer: str) -> None:
    assert tenfold.verify(gold, f"\\boxed{{{answer}}}").score != 1


def test_tiny_difference_is_found() -> None:
    assert tenfold.verify(r"\sqrt{2}", r"\boxed{\sqrt{2}+10^{-60}}").score == 0
    assert tenfold.verify(r"\sqrt{2}", r"\boxed{\sqrt{2}+10^{-600}}").score == 0
    assert tenfold.verify(r"e^{-99}", r"\boxed{e^{-98}}").score == 0
    assert tenfold.verify("0", r"\boxed{10^{-99}}").score == 0
    assert tenfold.verify("0", r"\boxed{\cos 90^\circ}").score == 1


def test_gold_answer_that_does_not_parse_is_reported_by_id() -> None:
    assert invalid_gold(Problem("p", (), r"\frac{1}{", "")) is not None
    assert invalid_gold(Problem("p", (), "", "")) is not None
    assert invalid_gold(Problem("p", (), r"\int_0^1 x^2 dx", "")) is None


def test_gold_answer_that_math_verify_takes_too_long_to_read_is_invalid() -> None:
    slow = Problem("slow", (), r"\frac{d}{dx} \int \frac{\sqrt{1+x^5}\ln(x)}{\sin x+x} dx", "")
    [(found, reason)] = verifiers.invalid_gold("math", [Problem("fast", (), "2", ""), slow])
    assert found is slow
    assert "math-verify failed: more than 1.5 s of processor time" in reason


@pytest.mark.parametrize("name", ["math", "science"])
@pytest.mark.parametrize("failure", [pool.MemoryLimit("too large"), pool.WorkerFault("the worker ended"), OSError("no file")])
def test_failure_of_math_verify_does_not_stop_the_check_of_gold_answers(
    failure: Exception, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(self: pool.Pool, *arguments: object) -> object:
        raise failure

    monkeypatch.setattr(pool.Pool, "call", call)
    problems = [Problem("p", (), r"\frac{d}{dx}\left(x^{x}\right)", ""), Problem("q", (), "2", "")]
    [(found, reason)] = verifiers.invalid_gold(name, problems)
    assert found.id == "p"
    assert str(failure) in reason


@pytest.mark.parametrize("text", ["0^0", "0^{1-1}", "(1-1)^0", "0^{0/3}", "2^{0^0}-1"])
def test_power_with_exponent_0_is_1_also_for_base_0(text: str) -> None:
    assert [tenfold.verify(gold, f"\\boxed{{{text}}}", {"name": "math", "form": "any"}).score for gold in ("0", "1")] == [0, 1]


def test_hostile_responses_get_verdict_and_are_not_executed(tmp_path: Path) -> None:
    """A response that uses unlimited time or memory would stop the test run. `benchmarks.speed.math` measures durations."""
    mark = tmp_path / "was-here"
    responses = hostile(str(mark))
    assert len(responses) >= 120
    assert any(str(mark) in response for response in responses)
    for gold in ("7", r"\{1, \sqrt{2}\}"):
        for response in responses:
            verdict = tenfold.verify(gold, response)
            assert verdict.status != Status.FAULT, (response[:80], verdict)
            assert verdict.score in (0, None) or gold == "7", (response[:80], verdict)
    assert not mark.exists()


FRAGMENTS = [
    *"0123456789+-*/^_(){}[]|=<>!,;:&%'. $abcxyznei", r"\frac", r"\frac{1}{2}", r"\sqrt{2}", r"\boxed{", r"\left(",
    r"\right)", r"\pi", r"\infty", r"\cup", r"\pm", r"\text{", r"\text{ cm}", r"\begin{pmatrix}", r"\end{pmatrix}",
    "\\\\", r"\le", "≤", "×", r"\sum_{k=1}^{5}", "²", "½", "√", "€", " km", " percent", "answer is ", "####", " and ",
    "e3", "10^{99}", "\x00", "\u202e", "\u0301", "sin ", "x=", "1,000",
]  # fmt: skip
GOLDS = ["7", r"\frac{1}{2}", "x^2+1", "[0,1)", r"\{1,2\}", "3.14", "3 m", "C", "x=2", r"\text{even}", "1:2", "2+3i"]


@pytest.mark.parametrize("count", [1_500, pytest.param(100_000, marks=pytest.mark.slow)])
def test_random_string_raises_no_error(count: int) -> None:
    draw = random.Random(7)
    statuses = set()
    for number in range(count):
        if number % 2:
            text = "".join(draw.choices(FRAGMENTS, k=draw.randint(1, 5)))
        else:
            text = "".join(
                chr(draw.choice((draw.randrange(32, 127), draw.randrange(0xD800)))) for _ in range(draw.randint(1, 12))
            )
        statuses.add(tenfold.verify(draw.choice(GOLDS), f"\\boxed{{{text}}}" if number % 4 else text).status)
    assert Status.FAULT not in statuses


@given(st.text(max_size=300))
def test_response_without_gold_answer_is_not_correct(response: str) -> None:
    assert tenfold.verify("the gold that no text holds: 31337", response).score != 1


@given(st.integers(), st.integers())
def test_integers_are_compared_exactly(gold: int, answer: int) -> None:
    assert tenfold.verify(str(gold), f"\\boxed{{{answer}}}").score == float(gold == answer)


def test_concurrent_threads() -> None:
    def judged(number: int) -> tuple[float | None, float | None]:
        right = tenfold.verify(rf"\sqrt{{{number}}}+x", rf"\boxed{{x+{number}^{{1/2}}}}")
        return right.score, tenfold.verify(rf"\int_0^1 {number} x dx", rf"\boxed{{\frac{{{number}}}{{2}}}}").score

    with ThreadPoolExecutor(16) as threads:
        assert set(threads.map(judged, range(2, 34))) == {(1.0, 1.0)}


def test_ray_workers() -> None:
    program = r"""
import ray, shlex, sys, tenfold
python = {"py_executable": shlex.quote(sys.executable)}  # Ray does not quote it, and its path may hold a space
spare = {"prestart_worker_first_driver": False}  # such workers would not have the runtime environment
ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False, runtime_env=python, _system_config=spare)
pairs = [("1/2", "0.5"), (r"\int_0^1 x dx", r"\boxed{1/2}")]
judge = ray.remote(lambda n: [tenfold.verify(*pair).score for pair in pairs])
print(ray.get([judge.remote(n) for n in range(4)]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == str([[1.0, 1.0]] * 4), done.stderr[-2000:]
