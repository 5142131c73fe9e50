"""Questions about two tables, to be answered with one SQLite query.

Each problem has `DATABASES` databases with the same tables and other rows, and one with many equal numbers. The prompt shows
the first. The results on at least two of them differ, so that no query with the answer written into it is correct on all. On
the last one, a nearly correct query (with > for >=, or without an order of equal rows) has another result.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ...core import Problem
from ...verifiers.formats import sql
from ..problems.parts import Draft, choices, distinct, integer

URI = "generate:tenfold.envs.generators.sql_queries:problems"
DATABASES = 3
"""Number of databases with random rows on which a query is judged. Our choice."""
CLOSE_ROWS = 12
"""Number of rows of the child table of the database with many equal numbers. Our choice."""
NAMES = "Ada Ben Clara David Emma Felix Grace Henry Ida Jonas Karla Leo Mona Nils Olga Paul Rosa Simon Tina Viktor".split()
CITIES = "Berlin Cairo Delhi Lima London Madrid Oslo Paris Quito Rome Seoul Tokyo".split()


class Domain(NamedTuple):
    """A parent table with a name and a city, and a child table with a name and two numbers."""

    parent: str
    """Name of the table; the singular is without the last letter."""
    parents: Sequence[str]
    child: str
    children: Sequence[str]
    numbers: Mapping[str, range]
    """The columns with numbers, and their values."""

    @property
    def key(self) -> str:
        """Name of the child's column with the id of its parent."""
        return f"{self.parent[:-1]}_id"

    @property
    def schema(self) -> str:
        """The statements that create the tables."""
        numbers = ", ".join(f"{name} INTEGER" for name in self.numbers)
        return (
            f"CREATE TABLE {self.parent} (id INTEGER PRIMARY KEY, name TEXT, city TEXT);\n"
            f"CREATE TABLE {self.child} (id INTEGER PRIMARY KEY, name TEXT, {numbers}, {self.key} INTEGER);"
        )


DOMAINS = (
    Domain(
        "departments",
        "Sales Research Legal Support Design Finance Logistics Training".split(),
        "employees",
        NAMES,
        {"salary": range(2000, 9001, 50), "age": range(20, 65)},
    ),
    Domain(
        "shops",
        "Corner Central Harbour Garden Station Market Bridge Castle".split(),
        "products",
        "lamp chair table clock mirror vase carpet shelf cup kettle pan fork blanket pillow basket candle".split(),
        {"price": range(2, 400), "stock": range(0, 60)},
    ),
    Domain(
        "clubs",
        "Lions Tigers Bears Wolves Hawks Foxes Otters Ravens".split(),
        "players",
        NAMES,
        {"goals": range(0, 40), "height": range(155, 205)},
    ),
)


class Question(NamedTuple):
    """A question with its gold query."""

    text: str
    query: str
    ordered: bool = False
    near: Sequence[str] = ()
    """Queries that are nearly correct."""
    value: int | None = None
    """The number with which the gold query compares a column."""


def problems(
    size: int = 500,
    seed: int = 0,
    part: str = "train",
    min_rows: int = 6,
    max_rows: int = 12,
    tasks: Sequence[str] | None = None,
) -> Iterator[Problem]:
    """Yields problems.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        min_rows: smallest number of rows of the child table.
        max_rows: largest number of rows of the child table.
        tasks: names of `TASKS`; by default all.
    """
    integer("max_rows", max_rows, integer("min_rows", min_rows, 4), 14)
    names = choices("tasks", tasks, TASKS)

    def draw(rng: random.Random) -> Draft:
        domain, name = rng.choice(DOMAINS), rng.choice(names)
        databases = [_database(rng, domain, rng.randint(min_rows, max_rows)) for _ in range(DATABASES)]
        question = TASKS[name](rng, domain)
        answer = {"schema": domain.schema, "databases": databases, "query": question.query, "ordered": question.ordered}
        while _are_equal(sql.gold_results(answer)):
            databases[:] = [_database(rng, domain, rng.randint(min_rows, max_rows)) for _ in range(DATABASES)]
        databases.append(_close_database(rng, domain, question))
        shown = "\n\n".join(f"{table}:\n{_listed(rows)}" for table, rows in databases[0].items())
        order = "The order of the rows counts." if question.ordered else "The order of the rows does not count."
        prompt = (
            f"Answer this question with one SQLite query: {question.text}\n\nThe tables:\n\n{domain.schema}\n\nTheir rows:\n\n"
            f"{shown}\n\n{order} The query is judged on these rows and on other rows of the same tables. Put it in one "
            "```sql block."
        )
        return Draft(prompt, answer, {"solution": f"```sql\n{question.query}\n```", "task": name})

    return distinct(URI, draw, size, seed, part)


def _database(rng: random.Random, domain: Domain, rows: int) -> dict[str, list[list[object]]]:
    parents = rng.sample(domain.parents, rng.randint(3, 5))
    parent_rows: list[list[object]] = [[id, name, rng.choice(CITIES[:6])] for id, name in enumerate(parents, start=1)]
    used = range(1, len(parents) + (rng.random() < 0.3))  # the last parent often has no children
    children = rng.sample(domain.children, rows)
    child_rows: list[list[object]] = [
        [id, name, *(rng.choice(values) for values in domain.numbers.values()), rng.choice(used)]
        for id, name in enumerate(children, start=1)
    ]
    return {domain.parent: parent_rows, domain.child: child_rows}


def _close_database(rng: random.Random, domain: Domain, question: Question) -> dict[str, list[list[object]]]:
    """Returns a database with three different numbers in each column, on which no near query has the gold query's result."""
    while True:
        numbers = {}
        for name, values in domain.numbers.items():
            value = question.value
            if value is None or value not in values:
                value = rng.choice(values[1:-1])
            middle = values.index(value)
            numbers[name] = values[middle - 1 : middle + 2]
        database = _database(rng, domain._replace(numbers=numbers), CLOSE_ROWS)
        answer = {"schema": domain.schema, "databases": [database], "ordered": question.ordered}
        result = sql.gold_results(answer | {"query": question.query})
        if all(sql.gold_results(answer | {"query": query}) != result for query in question.near):
            return database


def _are_equal(results: Sequence[object]) -> bool:
    return results.count(results[0]) == len(results)


def _listed(rows: Sequence[Sequence[object]]) -> str:
    return "\n".join(" | ".join(map(str, row)) for row in rows)


def _joined(domain: Domain) -> str:
    return f"{domain.child} c JOIN {domain.parent} p ON p.id = c.{domain.key}"


def _number(rng: random.Random, domain: Domain) -> tuple[str, int]:
    """Returns a column with numbers, and a value in the middle of its range."""
    name = rng.choice([*domain.numbers])
    values = domain.numbers[name]
    return name, values[rng.randint(len(values) // 4, 3 * len(values) // 4)]


def _filter(rng: random.Random, domain: Domain) -> Question:
    column, value = _number(rng, domain)
    sign, words = rng.choice(((">", "greater than"), ("<", "less than"), (">=", "at least"), ("<=", "at most")))
    text = f"What are the names of the {domain.child} whose {column} is {words} {value}?"
    query = f"SELECT name FROM {domain.child} WHERE {column}"
    other = f"{sign}=" if len(sign) == 1 else sign[0]
    return Question(text, f"{query} {sign} {value}", near=[f"{query} {other} {value}"], value=value)


def _count_each(rng: random.Random, domain: Domain) -> Question:
    text = f"How many {domain.child} does each of the {domain.parent} have? Return name and number, also where it is 0."
    query = (
        f"SELECT p.name, COUNT(c.id) FROM {domain.parent} p LEFT JOIN {domain.child} c ON c.{domain.key} = p.id GROUP BY p.id"
    )
    return Question(text, query)


def _aggregate_city(rng: random.Random, domain: Domain) -> Question:
    column, city = rng.choice([*domain.numbers]), rng.choice(CITIES[:6])
    functions = (("MAX", "largest"), ("MIN", "smallest"), ("AVG", "average"), ("SUM", "total"))
    function, words = rng.choice(functions)
    text = (
        f"What is the {words} {column} of the {domain.child} of the {domain.parent} in {city}? Return NULL if there are none."
    )
    query = f"(c.{column}) FROM {_joined(domain)} WHERE p.city = '{city}'"
    near = [f"SELECT {other}{query}" for other, _ in functions if other != function]
    return Question(text, f"SELECT {function}{query}", near=near)


def _top(rng: random.Random, domain: Domain) -> Question:
    column, count = rng.choice([*domain.numbers]), rng.randint(2, 4)
    words, direction = rng.choice((("largest", "DESC"), ("smallest", "ASC")))
    text = (
        f"Which {count} {domain.child} have the {words} {column}? Return name and {column}, the {words} {column} first, and "
        "where it is equal in the order of the names."
    )
    query = f"SELECT name, {column} FROM {domain.child} ORDER BY {column} {direction}"
    return Question(text, f"{query}, name LIMIT {count}", True, [f"{query} LIMIT {count}"])


def _having(rng: random.Random, domain: Domain) -> Question:
    count = rng.randint(1, 3)
    text = f"What are the names of the {domain.parent} that have more than {count} {domain.child}?"
    query = f"SELECT p.name FROM {_joined(domain)} GROUP BY p.id HAVING COUNT(*) >"
    return Question(text, f"{query} {count}", near=[f"{query} {count - 1}", f"{query} {count + 1}"])


def _without(rng: random.Random, domain: Domain) -> Question:
    text = f"What are the names and cities of the {domain.parent} that have no {domain.child}?"
    query = f"SELECT name, city FROM {domain.parent} WHERE id NOT IN (SELECT {domain.key} FROM {domain.child})"
    return Question(text, query)


def _totals(rng: random.Random, domain: Domain) -> Question:
    column = rng.choice([*domain.numbers])
    text = (
        f"What is the total {column} of the {domain.child} of each of the {domain.parent} that have {domain.child}? Return "
        "name and total, the largest total first, and where it is equal in the order of the names."
    )
    query = f"SELECT p.name, SUM(c.{column}) FROM {_joined(domain)} GROUP BY p.id ORDER BY SUM(c.{column}) DESC"
    return Question(text, f"{query}, p.name", True, [query])


def _above_average(rng: random.Random, domain: Domain) -> Question:
    column = rng.choice([*domain.numbers])
    text = (
        f"What are the names of the {domain.child} whose {column} is greater than the average {column} of all {domain.child}?"
    )
    query = f"SELECT name FROM {domain.child} WHERE {column}"
    average = f"(SELECT AVG({column}) FROM {domain.child})"
    return Question(text, f"{query} > {average}", near=[f"{query} >= {average}"])


def _cities(rng: random.Random, domain: Domain) -> Question:
    column, value = _number(rng, domain)
    text = (
        f"In which cities are {domain.parent} with at least one of the {domain.child} whose {column} is at most {value}? "
        "Return each city once, in alphabetical order."
    )
    query, order = f"SELECT DISTINCT p.city FROM {_joined(domain)} WHERE c.{column}", " ORDER BY p.city"
    return Question(text, f"{query} <= {value}{order}", True, [f"{query} < {value}{order}", f"{query} <= {value}"], value)


def _best_each(rng: random.Random, domain: Domain) -> Question:
    column = rng.choice([*domain.numbers])
    text = (
        f"Which {domain.child} have the largest {column} among the {domain.child} of the same {domain.parent[:-1]}? Return the "
        f"name of the {domain.parent[:-1]} and the name of the {domain.child[:-1]}; several where the {column} is equal."
    )
    query = (
        f"SELECT p.name, c.name FROM {_joined(domain)} WHERE c.{column} = "
        f"(SELECT MAX(o.{column}) FROM {domain.child} o WHERE o.{domain.key} = c.{domain.key})"
    )
    return Question(text, query)


TASKS: dict[str, Callable[[random.Random, Domain], Question]] = {
    "filter": _filter,
    "count_each": _count_each,
    "aggregate_city": _aggregate_city,
    "top": _top,
    "having": _having,
    "without": _without,
    "totals": _totals,
    "above_average": _above_average,
    "cities": _cities,
    "best_each": _best_each,
}
"""The kinds of questions by name."""
