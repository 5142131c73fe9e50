"""Units of physical quantities: the factor and dimension of a unit's text, from pint.

Only the names listed here are units. pint itself has thousands of names, some of them single letters that answers use as
variables.
"""

import functools
import re
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from ...budget import uncounted

if TYPE_CHECKING:
    import pint


class Unit(NamedTuple):
    """A unit, in the base units of its dimension."""

    factor: Fraction
    """Number of base units in one of this unit; for a scale with an offset, in one degree."""
    dimension: str
    offset: Fraction = Fraction(0)
    """Value in base units where this unit reads zero: 273.15 K for degrees Celsius."""


_PREFIXED = {
    "m": "meter", "g": "gram", "s": "second", "A": "ampere", "K": "kelvin", "mol": "mole", "N": "newton", "J": "joule",
    "W": "watt",
    "Pa": "pascal", "Hz": "hertz", "V": "volt", "C": "coulomb", "F": "farad", "H": "henry", "T": "tesla", "L": "liter",
    "l": "liter",
    "eV": "electron_volt", "cal": "calorie", "Wh": "watt_hour", "bar": "bar", "Ω": "ohm", "ohm": "ohm", "Sv": "sievert",
    "Gy": "gray",
    "S": "siemens", "cd": "candela",
    "Wb": "weber", "Bq": "becquerel", "M": "molar", "lm": "lumen", "lx": "lux", "rad": "radian", "B": "byte",
}  # fmt: skip
_PREFIXES = {
    "": "", "k": "kilo", "m": "milli", "c": "centi", "d": "deci", "μ": "micro", "µ": "micro", "u": "micro", "n": "nano",
    "p": "pico", "M": "mega", "G": "giga", "T": "tera", "h": "hecto",
}  # fmt: skip
_SYMBOLS = {
    "min": "minute", "h": "hour", "hr": "hour", "hrs": "hour", "sec": "second", "secs": "second", "mins": "minute",
    "d": "day", "yr": "year", "yrs": "year",
    "in": "inch", "ft": "foot", "yd": "yard", "mi": "mile", "mph": "mile_per_hour", "kph": "kilometer_per_hour",
    "lb": "pound", "lbs": "pound", "oz": "ounce",
    "gal": "gallon", "qt": "quart", "pt": "pint", "atm": "atmosphere", "Torr": "torr", "mmHg": "mmHg", "psi": "psi",
    "u": "unified_atomic_mass_unit",
    "amu": "unified_atomic_mass_unit", "Å": "angstrom", "AU": "astronomical_unit", "ly": "light_year", "pc": "parsec",
    "ha": "hectare", "t": "tonne",
    "°C": "degC", "°F": "degF", "degC": "degC", "degF": "degF", "°": "degree", "deg": "degree", "sr": "steradian",
    "rpm": "rpm", "bit": "bit",
    "cc": "cubic_centimeter",
    "Nm": "newton * meter", "ms": "millisecond", "¢": "cent", "€": "euro", "£": "pound_sterling", "$": "dollar",
    "USD": "dollar", "EUR": "euro", "GBP": "pound_sterling", "INR": "rupee", "Rs": "rupee", "₹": "rupee", "CNY": "yuan",
    "RMB": "yuan", "JPY": "yen",
}  # fmt: skip
_WORDS = frozenset(
    (
        "meter metre gram second ampere amp kelvin mole newton joule watt pascal hertz volt coulomb farad henry tesla liter "
        "litre calorie ohm minute hour day week month year decade century inch foot yard mile pound ounce gallon quart pint "
        "cup ton tonne degree radian acre hectare angstrom byte bit dollar cent euro penny atmosphere bar torr molar knot "
        "micron fortnight electronvolt dyne erg weber siemens candela parsec lightyear rupee yuan yen"
    ).split()
)
_PLURALS = {
    "feet": "foot", "inches": "inch", "centuries": "century", "pennies": "cent", "pence": "pence", "penny": "cent",
    "henries": "henry", "hertz": "hertz", "amp": "ampere", "electronvolt": "electron_volt", "metre": "meter",
    "litre": "liter", "lightyear": "light_year", "celsius": "degC", "centigrade": "degC", "fahrenheit": "degF",
}  # fmt: skip
_JOINED = (
    (re.compile(r"\bdegrees?[\s-]+(celsius|centigrade|fahrenheit)\b", re.IGNORECASE), r"\1"),
    (re.compile(r"\bdeg(?:rees?)?\.?[\s-]+([CF])\b"), r"deg\1"),
    (re.compile(r"\blight[\s-]years?\b", re.IGNORECASE), "lightyear"),
    (re.compile(r"\belectron[\s-]volts?\b", re.IGNORECASE), "electronvolt"),
    (re.compile(r"\b(kilo|milli|centi|deci|micro|nano|pico|mega|giga|tera|hecto)[\s-]+(?=[a-z]{3})", re.IGNORECASE), r"\1"),
    (re.compile(r"(?<=[a-z]{3})-(?=[a-z]{3})"), " "),
)
"""Names of several words are joined to one. Other hyphens between words become spaces."""
_LONG_PREFIXES = ("kilo", "milli", "centi", "deci", "micro", "nano", "pico", "mega", "giga", "tera", "hecto")
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = {"squared": 2, "cubed": 3}
_PIECE = re.compile(r"([A-Za-zµμΩ°Å$€£¢₹]+)\.?\s*(?:\^?\s*\{?\s*(-?\d{1,2})\s*\}?)?|([/*·×])|(\S)")


@functools.cache
def _registry() -> "pint.UnitRegistry[float]":
    with uncounted():
        import pint

        registry: pint.UnitRegistry[float] = pint.UnitRegistry(cache_folder=None)
        registry.define("dollar = [dollar]")
        registry.define("cent = dollar / 100")
        registry.define("rupee = [rupee]")
        registry.define("yuan = [yuan]")
        registry.define("yen = [yen]")
        registry.define("euro = [euro]")
        registry.define("pound_sterling = [sterling]")
        registry.define("pence = pound_sterling / 100")
    return registry


@functools.lru_cache(maxsize=4096)
def unit(text: str) -> Unit | None:
    """Returns the unit of a text such as "km/h", "meters per second squared" or "cm^2". None if it is not a unit.

    The caller must limit the length of the text.
    """
    powers = _names_and_powers(text)
    if not powers:
        return None
    registry = _registry()
    if len(powers) == 1 and powers[0] in (("degC", 1), ("degF", 1)):
        celsius = powers[0][0] == "degC"
        return Unit(
            Fraction(1) if celsius else Fraction(5, 9),
            "[temperature]",
            Fraction("273.15") if celsius else Fraction("459.67") * 5 / 9,
        )
    total = registry.Quantity(1)
    try:
        for name, power in powers:
            total = total * registry.Quantity(1, name.replace("degC", "kelvin").replace("degF", "delta_degF")) ** power
        base = total.to_base_units()
    except Exception:  # a large power overflows a float, and pint rejects some names; neither is a unit
        return None
    dimension = "°" if str(base.units) == "radian" else str(base.dimensionality)
    return Unit(Fraction(repr(float(base.magnitude))), dimension)


def _names_and_powers(text: str) -> list[tuple[str, int]] | None:
    """Returns the names and powers in a unit's text. None if a part is unknown."""
    found: list[tuple[str, int]] = []
    sign, power_of_next = 1, 1
    if len(text) > 4:
        for pattern, replacement in _JOINED:
            text = pattern.sub(replacement, text)
    for name, power, operator, other in _PIECE.findall(text):
        if other:
            return None
        if operator == "/" or name in ("per", "a", "an"):
            sign = -1
        elif operator or name in ("of", "and"):
            continue
        elif name in _POWERS:
            power_of_next = _POWERS[name]
        elif name in _AFTER and found:
            found[-1] = (found[-1][0], found[-1][1] * _AFTER[name])
        elif pint_name := _pint_name(name):
            found.append((pint_name, sign * power_of_next * int(power or 1)))
            power_of_next = 1
        else:
            return None
    return found


@functools.lru_cache(maxsize=4096)
def _pint_name(text: str) -> str | None:
    """Returns pint's name of one unit, from a symbol or a word in singular or plural."""
    if text in _SYMBOLS:
        return _SYMBOLS[text]
    for prefix, long in _PREFIXES.items():
        if text.startswith(prefix) and text[len(prefix) :] in _PREFIXED and text != "dB":  # dB is not a tenth of a byte
            return long + _PREFIXED[text[len(prefix) :]]
    word = text.lower()
    for prefix in _LONG_PREFIXES:
        if word.startswith(prefix) and (rest := _singular(word[len(prefix) :])) in _WORDS | set(_PLURALS.values()):
            return prefix + rest
    word = _singular(word)
    return _PLURALS.get(word, word) if word in _WORDS or word in _PLURALS.values() else None


def _singular(word: str) -> str:
    """Returns the singular of a unit's word, as pint names it."""
    word = _PLURALS.get(word, word)
    if word not in _WORDS and word.endswith("s"):
        word = word[:-1]
    return _PLURALS.get(word, word)
