from fractions import Fraction

import pytest

from tenfold.verifiers.answers.values.units import unit


@pytest.mark.parametrize(
    ("one", "other", "factor"),
    [
        ("km", "m", 1000),
        ("kilometers per hour", "m/s", Fraction(5, 18)),
        ("cm^2", "square meters", Fraction(1, 10_000)),
        ("N m", "J", 1),
        ("kg m/s^2", "newtons", 1),
        ("minutes", "s", 60),
        ("mL", "cm^3", 1),
        ("feet", "inches", 12),
        ("cents", "$", Fraction(1, 100)),
        ("meters per second squared", "m/s^2", 1),
        ("m s^{-1}", "m/s", 1),
        ("μm", "m", Fraction(1, 10**6)),
        ("degrees C", "°C", 1),
        ("deg F", "degrees Fahrenheit", 1),
        ("pence", "£", Fraction(1, 100)),
        ("S", "siemens", 1),
        ("cd", "candela", 1),
    ],
)
def test_units_of_same_dimension_are_multiples(one: str, other: str, factor: Fraction) -> None:
    a, b = unit(one), unit(other)
    assert a is not None
    assert b is not None
    assert a.dimension == b.dimension
    assert float(a.factor / b.factor) == pytest.approx(float(factor))


@pytest.mark.parametrize(("one", "other"), [("m", "s"), ("J", "W"), ("m^2", "m"), ("$", "€"), ("degrees", "m"), ("mol", "kg")])
def test_units_of_different_dimensions_differ(one: str, other: str) -> None:
    a, b = unit(one), unit(other)
    assert a is not None
    assert b is not None
    assert a.dimension != b.dimension


@pytest.mark.parametrize("text", ["x", "apples", "n", "", "kg + m", "__import__('os')", "m^999", "q", "sqrt", "e"])
def test_text_that_is_not_unit_is_none(text: str) -> None:
    assert unit(text) is None


def test_degree_celsius_has_offset() -> None:
    celsius = unit("°C")
    assert celsius is not None
    assert celsius.offset == Fraction("273.15")
