"""Property tests: expressions generated with sympy, numbers, tuples, intervals, matrices, families, quantities."""

import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tenfold
from tenfold.verifiers.answers import ParseError, comparison, readings_of
from tenfold.verifiers.answers.values.exact import TooLarge
from tenfold.verifiers.answers.values.identity import Undecided

x, y = sympy.symbols("x y", real=True)
LEAVES = st.sampled_from([x, y, sympy.pi, sympy.sqrt(2), sympy.Rational(1, 2), sympy.E]) | st.integers(-9, 9).map(sympy.Integer)


def vanishes(expression: sympy.Expr) -> bool:
    """True if the expression is 0 at a point at which only the zero expression vanishes. Faster than sympy's own test."""
    return abs(complex(expression.subs({x: 0.73, y: -1.37}).evalf())) < 1e-9


def _grown(inner: st.SearchStrategy) -> st.SearchStrategy:
    two = st.tuples(inner, inner)
    return (
        two.map(lambda pair: pair[0] + pair[1])
        | two.map(lambda pair: pair[0] * pair[1])
        | two.filter(lambda pair: not vanishes(pair[1])).map(lambda pair: pair[0] / pair[1])
        | inner.map(lambda part: part**2)
        | inner.map(sympy.sin)
        | inner.map(lambda part: sympy.sqrt(1 + part**2))
    )


EXPRESSIONS = st.recursive(LEAVES, _grown, max_leaves=6).filter(lambda e: not e.has(sympy.zoo, sympy.nan))
FRACTIONS = st.fractions(min_value=-1000, max_value=1000, max_denominator=60)


def score(gold: str, answer: str) -> float | None:
    return tenfold.verify(gold, f"\\boxed{{{answer}}}").score


def latex(fraction: object) -> str:
    return sympy.latex(sympy.Rational(str(fraction)))


@given(EXPRESSIONS)
def test_expression_equals_itself_in_latex_and_plain_text(expression: sympy.Expr) -> None:
    assert score(sympy.latex(expression), sympy.latex(expression)) == 1
    plain = str(expression).replace("E", "e")
    assert score(sympy.latex(expression), plain) == 1
    assert score(plain, sympy.latex(expression)) == 1


@settings(deadline=None)
@given(
    EXPRESSIONS,
    st.sampled_from([sympy.expand, sympy.factor, sympy.together, lambda e: sympy.expand(e * (x + 1)) / (x + 1)]),
)
def test_rewritten_expression_is_equal(expression: sympy.Expr, rewrite: object) -> None:
    assert score(sympy.latex(expression), sympy.latex(rewrite(expression))) == 1  # type: ignore[operator]


@given(
    EXPRESSIONS,
    st.sampled_from(
        [
            lambda e: e + 1,
            lambda e: 2 * e,
            lambda e: -e,
            lambda e: e * x,
            lambda e: e - y,
        ]
    ),
)
def test_changed_expression_is_not_equal(expression: sympy.Expr, perturb: object) -> None:
    assume(not vanishes(expression))
    assert score(sympy.latex(expression), sympy.latex(perturb(expression))) == 0  # type: ignore[operator]


@given(EXPRESSIONS)
def test_typesetting_does_not_change_expression(expression: sympy.Expr) -> None:
    gold = sympy.latex(expression)
    assert score(gold, gold.replace(r"\left", "").replace(r"\right", "")) == 1
    assert score(gold, gold.replace(r"\frac", r"\dfrac")) == 1
    assert score(gold, gold.replace(" ", r"\, ").replace("+", " + ")) == 1
    assert score(gold, f"$ {gold} $") == 1


@given(EXPRESSIONS, EXPRESSIONS)
def test_equality_is_symmetric(one: sympy.Expr, other: sympy.Expr) -> None:
    assert score(sympy.latex(one), sympy.latex(other)) == score(sympy.latex(other), sympy.latex(one))


@given(st.text(alphabet=r"0123456789+-*/^(){}[]|=<>,;:.%! \xyabceinopsqrtfe", max_size=30))
def test_parsed_text_equals_itself(text: str) -> None:
    try:
        readings = readings_of(text)
    except ParseError:
        return
    assert all(comparison.equivalent(reading, reading) for reading in readings)


@given(
    st.text(alphabet=r"0123456789+-*/^(){}[]|=<>,;:.% xyi", max_size=12),
    st.text(alphabet=r"0123456789+-*/^()[]|=,: xyi", max_size=12),
)
def test_comparison_of_parsed_texts_raises_only_documented_errors(one: str, other: str) -> None:
    try:
        assert comparison.equivalent(readings_of(one)[0], readings_of(other)[0]) in (True, False)
    except (ParseError, Undecided, TooLarge):
        return


@given(FRACTIONS, FRACTIONS)
def test_rational_numbers_are_compared_exactly(gold: object, answer: object) -> None:
    assert score(latex(gold), latex(answer)) == float(gold == answer)
    assert score(str(gold), latex(gold)) == 1


@given(st.lists(FRACTIONS, min_size=2, max_size=4), st.integers(0, 3), st.integers(1, 5))
def test_points_with_one_different_coordinate_differ(numbers: list, place: int, change: int) -> None:
    place %= len(numbers)
    other = [number + change * (index == place) for index, number in enumerate(numbers)]
    point, moved = ("(" + ", ".join(map(latex, these)) + ")" for these in (numbers, other))
    assert score(point, point.replace(" ", "")) == 1
    assert score(point, moved) == 0
    if numbers != numbers[::-1]:
        assert score(point, "(" + ", ".join(map(latex, numbers[::-1])) + ")") == 0
    vector = r"\begin{pmatrix}" + r" \\ ".join(map(latex, numbers)) + r"\end{pmatrix}"
    assert score(vector, vector.replace("pmatrix", "bmatrix")) == 1
    assert score(vector, vector.replace(latex(numbers[place]), latex(numbers[place] + change))) == 0


@given(st.lists(FRACTIONS, min_size=1, max_size=5, unique=True), st.randoms(use_true_random=False))
def test_sets_are_equal_in_any_order(numbers: list, draw: object) -> None:
    gold = r"\{" + ", ".join(map(latex, numbers)) + r"\}"
    shuffled = sorted(numbers, key=lambda _: draw.random())  # type: ignore[attr-defined]
    assert score(gold, r"\{" + ", ".join(map(latex, shuffled)) + r"\}") == 1
    assert score(gold, r"\{" + ", ".join(map(latex, [*shuffled, 2000])) + r"\}") == 0


@given(FRACTIONS, FRACTIONS, st.sampled_from(["[]", "()", "[)", "(]"]), st.sampled_from(["[]", "()", "[)", "(]"]))
def test_intervals_are_equal_if_ends_and_closedness_are_equal(low: object, high: object, gold: str, answer: str) -> None:
    assume(low < high)  # type: ignore[operator]
    ends = f"{latex(low)}, {latex(high)}"
    signs = {"[": r"\le", "(": "<", "]": r"\le", ")": "<"}
    said = f"{latex(low)} {signs[answer[0]]} x {signs[answer[1]]} {latex(high)}"
    assert score(f"{gold[0]}{ends}{gold[1]}", f"{answer[0]}{ends}{answer[1]}") == float(gold == answer)
    assert score(f"{gold[0]}{ends}{gold[1]}", said) == float(gold == answer)


@given(st.integers(-(10**6), 10**6), st.integers(-6, 6))
def test_power_of_ten_equals_its_digits(mantissa: int, exponent: int) -> None:
    assume(mantissa)
    gold = sympy.latex(sympy.Rational(mantissa) * sympy.Integer(10) ** exponent)
    assert score(gold, rf"{mantissa} \times 10^{{{exponent}}}") == 1
    assert score(gold, f"{mantissa}e{exponent}") == 1
    assert score(gold, rf"{mantissa} \times 10^{{{exponent + 1}}}") == 0


@pytest.mark.parametrize(
    ("one", "other"), [("m", "km"), ("kg", "g"), ("m/s", "km/h"), ("cm^2", "m^2"), ("h", "min"), ("J", "kJ")]
)
@given(number=st.integers(1, 10**6))
def test_same_number_with_other_unit_differs(one: str, other: str, number: int) -> None:
    assert score(f"{number} {one}", rf"{number}\text{{ {one}}}") == 1
    assert score(f"{number} {one}", rf"{number}\text{{ {other}}}") == 0


STEPS = st.sampled_from(["2", "3/4", r"\pi", r"\frac{2\pi}{3}", r"\sqrt{2}"])


@given(FRACTIONS, STEPS, st.integers(-5, 5), st.sampled_from([1, -1]))
def test_family_is_independent_of_offset_and_direction(offset: object, step: str, shift: int, sign: int) -> None:
    gold = rf"x = {latex(offset)} + {step} k, k \in \mathbb{{Z}}"
    assert (
        score(
            gold, rf"{latex(offset)} + {shift} \cdot {step} {'+' if sign > 0 else '-'} n \cdot {step} \quad (n \in \mathbb Z)"
        )
        == 1
    )
    assert score(gold, rf"x = {latex(offset)} + \frac{{1}}{{2}} \cdot {step} + {step} k, k \in \mathbb{{Z}}") == 0
    assert score(gold, rf"x = {latex(offset)} + 2 \cdot {step} k, k \in \mathbb{{Z}}") == 0


@given(st.integers(2, 60), st.integers(-100, 100), st.integers(-3, 3), st.integers(2, 4))
def test_congruence_equals_union_of_finer_congruences(modulus: int, residue: int, turn: int, parts: int) -> None:
    gold = rf"x \equiv {residue} \pmod{{{modulus}}}"
    finer = [residue + part * modulus for part in range(parts)]
    assert score(gold, rf"x \equiv {residue + turn * modulus} \pmod {{{modulus}}}") == 1
    assert score(gold, rf"n = {modulus}k + {residue}, k ∈ ℤ".replace("n", "x")) == 1
    assert score(gold, rf"x \equiv {', '.join(map(str, finer))} \pmod{{{parts * modulus}}}") == 1
    assert score(gold, rf"x \equiv {', '.join(map(str, finer[1:]))} \pmod{{{parts * modulus}}}") == 0
    assert score(gold, rf"x \equiv {residue + 1} \pmod{{{modulus}}}") == 0


def test_expression_that_vanishes_at_integers_differs_from_its_double() -> None:
    assert score(r"\sin(\pi x)", r"2\sin(\pi x)") == 0
    assert score(r"(-1)^n", r"\cos(n\pi)") is None  # equal only for integers n
