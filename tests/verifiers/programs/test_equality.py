from typing import Any

import pytest

from tenfold.verifiers.programs import equality
from tenfold.verifiers.sandbox.inside import wire


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("3", "3.0", 1),
        ("3", "3.", 1),
        ("3", "3.00000001", 0),
        ("3", "3e0", 1),
        ("3", "4.0", 0),
        ("3", "\n3\n\n", 1),
        ("3 4.5", "3.0 4.50", 1),
        ("0.5", "0.50", 1),
        ("0.5", ".5", 1),
        ("0.50", "0.5000000001", 1),
        ("0.5", "0.51", 0),
        ("0.333333333333", "0.333333", 1),
        ("0.333333333333", "0.33333", 0),
        ("0.333333333333", "0.3333333333333333", 1),
        ("0.333333333333", "0.333334", 1),
        ("0.333333333333", "0.333335", 0),
        ("0.0000001", "0.0", 0),
        ("0.0000001", "0.0000002", 0),
        ("100000000.25", "100000000", 0),
        ("100000000.25", "100000001.25", 0),
        ("2.0", "2", 1),
        ("2.5", "2", 0),
        ("2.5", "3", 0),
        ("1e-3", "0.001", 1),
        ("10000000000000000", "1e16", 1),
        ("50000000000000001", "50000000000000000", 0),
        ("50000000000000001", "5e16", 0),
        ("9" * 5000, "9" * 5000, 1),
        ("9" * 5000, "9" * 4999 + "8", 0),
        ("1e9999", "2e9999", 0),
        ("-0.0", "0.0", 1),
        ("5", "+5", 1),
        ("0", "-0", 1),
        ("5", "-5", 0),
        ("5", "+6", 0),
        ("11", "+011", 0),
        ("11", "011", 0),
        ("011", "11", 0),
        ("011.0", "11.0", 0),
        ("1000", "1_000", 0),
        ("1000", "1,000", 0),
        ("3", "0x3", 0),
        ("nan", "NaN", 0),
        ("inf", "Infinity", 0),
        ("3", "٣", 0),
        ("Case 1: 3", "Case 1: 3.0", 0),
        ("Yes", "YES", 0),
        ("1 2\n3", "1 2 3", 0),
        ("1 2", "1 2 3", 0),
        ("1 2", "1", 0),
        ("a b", "a  b", 1),
        ("a\n\nb", "a\nb", 0),
        ("3", "", 0),
        ("", "", 1),
        ("", "0", 0),
    ],
)
def test_only_printed_numbers_are_compared_by_value(expected: str, printed: str, same: int) -> None:
    assert equality.same_output(expected, printed) == same


@pytest.mark.parametrize(
    ("expected", "returned", "same"),
    [
        ([10.0, 9.5], [9.5, 9.9999999999], 1),
        ([10.0, 9.5], [9.5, 9.5], 0),
        ([-1.0, -0.5], [-0.5, -1.0000000001], 1),
        ([[10.0, 1], [9.5, 2]], [[9.5, 2], [9.9999999999, 1]], 1),
        ([[10.0, 1], [9.5, 2]], [[9.5, 1], [9.9999999999, 2]], 0),
        ([1, 1.0], [1.0, 1], 1),
        ([1, 1], [1.0, 1], 0),
        ([float("nan"), 2.0, None, "a"], ["a", None, 2.0, float("nan")], 1),
        ({10.0, 9.5}, {9.5, 9.9999999999}, 1),
        ({10.0, 9.5}, {9.5, 9.9}, 0),
        ({"a": [1, 2]}, {"a": [2, 1]}, 1),
        ({"a": [1, 2]}, {"a": [2, 2]}, 0),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2, 1]}}, 1),
        ({1: 2}, {2: 1}, 0),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}, 0),
        ({(1, 2)}, {(2, 1)}, 0),
    ],
)
def test_unordered_values_are_compared_as_multisets(expected: Any, returned: Any, same: int) -> None:
    encoded = wire.encode(expected), wire.encode(returned)
    assert equality.same(*encoded, close=equality.default_close, unordered=True) == same


@pytest.mark.parametrize(
    "sent", [{"dict": [["a"], 5]}, {"dict": [["a", 1], []]}, {"dict": "ab"}, {"dict": [5, {}]}, {"dict": 5}, {}]
)
def test_a_malformed_value_of_a_program_equals_nothing(sent: object) -> None:
    for unordered in (False, True):
        assert not equality.same(wire.encode({"a": 1, "b": 2}), sent, unordered=unordered)
