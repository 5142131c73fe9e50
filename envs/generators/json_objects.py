"""Records that are described in sentences and must be written as JSON under a schema.

The schema says how a value is written (a price as a number or as an object with amount and currency, a date as text or as three
numbers, labels with fixed spelling), so the sentences alone do not determine the answer.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ...core import Problem, UserError
from ..problems.parts import Draft, distinct, integer
from .words import WORDS

URI = "generate:tenfold.envs.generators.json_objects:problems"
MONTHS = "January February March April May June July August September October November December".split()
NAMES = "Ada Ben Clara David Emma Felix Grace Henry Ida Jonas Karla Leo Mona Nils Olga Paul Rosa Simon Tina Viktor".split()
CITIES = "Berlin Cairo Delhi Lima London Madrid Oslo Paris Prague Quito Rome Seoul Sofia Tokyo Vienna Warsaw".split()
CURRENCIES = {"euros": "EUR", "US dollars": "USD", "yen": "JPY"}


class Field(NamedTuple):
    """One property of a record: a sentence, its schema and its value."""

    sentence: str
    schema: dict[str, Any]
    value: object


def problems(
    size: int = 500, seed: int = 0, part: str = "train", min_fields: int = 3, max_fields: int = 6, nested: bool = True
) -> Iterator[Problem]:
    """Yields problems.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        min_fields: smallest number of properties of a record.
        max_fields: largest number of properties of a record.
        nested: if true, records may contain objects and lists.
    """
    if nested not in (True, False):
        raise UserError(f"nested: expected true or false, got {nested!r:.100}")
    kinds = {name: kind for name, kind in FIELDS.items() if nested or name not in NESTED}
    integer("max_fields", max_fields, integer("min_fields", min_fields, 1, len(kinds)), len(kinds))

    def draw(rng: random.Random) -> Draft:
        names = rng.sample([*kinds], rng.randint(min_fields, max_fields))
        fields = {name: kinds[name](rng) for name in names}
        optional = [name for name in kinds if name not in names][:1]
        properties = {name: field.schema for name, field in fields.items()}
        properties |= {name: kinds[name](rng).schema for name in optional}  # the sentences say nothing about it
        schema = {
            "type": "object",
            "properties": dict(sorted(properties.items())),
            "required": sorted(names),
            "additionalProperties": False,
        }
        value = {name: fields[name].value for name in sorted(names)}
        sentences = " ".join(field.sentence for field in fields.values())
        prompt = (
            f"{sentences}\n\nWrite this as one JSON object that is valid under the schema below. Use the facts above and no "
            f"others: leave out properties that they do not determine.\n\n{json.dumps(schema, indent=1)}"
        )
        solution = f"```json\n{json.dumps(value, indent=1)}\n```"
        return Draft(prompt, {"schema": schema, "value": value}, {"solution": solution})

    return distinct(URI, draw, size, seed, part)


def _name(rng: random.Random) -> Field:
    name = rng.choice(NAMES)
    return Field(f"The customer is called {name}.", {"type": "string"}, name)


def _age(rng: random.Random) -> Field:
    age = rng.randint(18, 90)
    return Field(f"The customer is {age} years old.", {"type": "integer", "minimum": 0, "maximum": 150}, age)


def _member(rng: random.Random) -> Field:
    is_member = rng.random() < 0.5
    return Field(f"The customer is {'' if is_member else 'not '}a member of the club.", {"type": "boolean"}, is_member)


def _status(rng: random.Random) -> Field:
    status, words = rng.choice((("SHIPPED", "on its way"), ("OPEN", "not yet packed"), ("DELIVERED", "with the customer")))
    return Field(f"The parcel is {words}.", {"enum": ["OPEN", "SHIPPED", "DELIVERED"]}, status)


def _weight(rng: random.Random) -> Field:
    grams = rng.randint(11, 99) * 100
    if rng.random() < 0.5:
        return Field(f"The parcel weighs {grams / 1000:g} kg.", {"type": "integer", "description": "grams"}, grams)
    return Field(f"The parcel weighs {grams} g.", {"type": "number", "description": "kilograms"}, grams / 1000)


def _price(rng: random.Random) -> Field:
    currency, amount = rng.choice([*CURRENCIES]), rng.randint(2, 500)
    money = {
        "type": "object",
        "properties": {"amount": {"type": "number"}, "currency": {"enum": [*CURRENCIES.values()]}},
        "required": ["amount", "currency"],
        "additionalProperties": False,
    }
    return Field(f"The price is {amount} {currency}.", money, {"amount": amount, "currency": CURRENCIES[currency]})


def _date(rng: random.Random) -> Field:
    year, month, day = rng.randint(1990, 2030), rng.randint(1, 12), rng.randint(1, 28)
    sentence = f"The order was placed on {day} {MONTHS[month - 1]} {year}."
    if rng.random() < 0.5:
        schema = {"type": "string", "minLength": 10, "maxLength": 10, "description": "YYYY-MM-DD"}
        return Field(sentence, schema, f"{year}-{month:02}-{day:02}")
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3, "description": "year, month, day"}
    return Field(sentence, schema, [year, month, day])


def _items(rng: random.Random) -> Field:
    items = [{"name": word, "count": rng.randint(1, 9)} for word in rng.sample(WORDS, rng.randint(2, 4))]
    listed = ", ".join(f"{item['count']} x {item['name']}" for item in items)
    one = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "count": {"type": "integer", "minimum": 1}},
        "required": ["name", "count"],
        "additionalProperties": False,
    }
    return Field(f"The order, in this sequence: {listed}.", {"type": "array", "items": one, "minItems": 1}, items)


def _cities(rng: random.Random) -> Field:
    cities = rng.sample(CITIES, rng.randint(2, 4))
    schema = {"type": "array", "items": {"type": "string"}, "minItems": 2, "description": "in the order of the journey"}
    return Field(f"The parcel goes from {', then to '.join(cities)}.", schema, cities)


def _note(rng: random.Random) -> Field:
    if rng.random() < 0.5:
        return Field("There is no note for the driver.", {"type": ["string", "null"], "description": "note or null"}, None)
    word = rng.choice(WORDS)
    return Field(f'The note for the driver is "{word}".', {"type": ["string", "null"], "description": "note or null"}, word)


FIELDS: dict[str, Callable[[random.Random], Field]] = {
    "customer": _name,
    "age": _age,
    "member": _member,
    "status": _status,
    "weight": _weight,
    "note": _note,
    "price": _price,
    "ordered": _date,
    "items": _items,
    "route": _cities,
}
"""The properties of a record by name."""
NESTED = frozenset({"price", "ordered", "items", "route"})
"""Properties whose value may be an object or a list."""
