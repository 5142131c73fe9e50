"""Conversion between whole numbers and Roman numerals."""

SIGNS = {
    **{"M": 1000, "CM": 900, "D": 500, "CD": 400, "C": 100, "XC": 90},
    **{"L": 50, "XL": 40, "X": 10, "IX": 9, "V": 5, "IV": 4, "I": 1},
}
LARGEST = 3999
"""Largest number that has a numeral."""


def to_roman(number: int) -> str:
    """Returns the numeral of a number from 1 to 3999."""
    written = ""
    for sign, value in SIGNS.items():
        count, number = divmod(number, value)
        written += sign * count
    return written


def from_roman(numeral: str) -> int | None:
    """Returns the number of a numeral, or None if the numeral is not valid."""
    left, number = numeral, 0
    for sign, value in SIGNS.items():
        while left.startswith(sign):
            left, number = left.removeprefix(sign), number + value
    return number if not left and 0 < number <= LARGEST and to_roman(number) == numeral else None
