"""Parser of delimited parts: roots, functions with arguments, brackets, matrices, sums and limits."""

from fractions import Fraction
from typing import Protocol

from .notation import ParseError, Token
from .tree import ONE, Decimal, Node, matrix, number, product, substituted

FUNCTIONS = frozenset(
    (
        "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth sech csch arsinh arcosh artanh "
        "log ln lg exp abs floor ceil max min gcd lcm det mod sqrt cbrt binom"
    ).split()
)
_CLOSING = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "langle": "rangle", "lfloor": "rfloor", "lceil": "rceil"}
_MATRICES = frozenset(["matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array"])


class Grammar(Protocol):
    """The parser's methods that this module calls. `expressions` and `notation` document them."""

    # ruff: noqa: D102
    bars: int
    position: int

    def peek(self, ahead: int = 0) -> Token | None: ...
    def at(self, *values: str) -> bool: ...
    def take(self, *values: str) -> bool: ...
    def expect(self, value: str) -> None: ...
    def next(self) -> Token: ...
    def listing(self) -> Node: ...
    def relation(self) -> Node: ...
    def sum(self) -> Node: ...
    def product(self) -> Node: ...
    def primary(self) -> Node: ...
    def postfix(self, node: Node) -> Node: ...
    def exponent(self) -> Node: ...
    def group(self) -> Node: ...
    def digit_or_group(self) -> Node: ...
    def begins_factor(self, token: Token) -> bool: ...


def parse_numeral(grammar: Grammar, text: str) -> Node:
    """Parses a number, with its base or its repeating digits."""
    node = number(text)
    if grammar.at("_") and text.isdigit():
        grammar.next()
        base = grammar.group()
        if base.kind != "number" or not 2 <= base.value <= 36:
            raise ParseError("a base that is not a number from 2 to 36")
        if any(int(digit) >= base.value for digit in text):
            raise ParseError("a digit that its base does not have")
        return Node("based", (), (text.lstrip("0") or "0", int(base.value)))
    token = grammar.peek()
    if "." in text and token is not None and token.value in ("overline", "bar", "dot") and token.kind == "command":
        grammar.next()
        return parse_repeating_digits(grammar, text)
    if "." in text and token is not None and token.value in ("...", "ldots", "dots", "cdots"):
        grammar.next()
        return parse_ellipsis(text)
    return node


def parse_repeating_digits(grammar: Grammar, text: str) -> Node:
    """Parses repeating digits under a bar. `text` is the decimal before them, such as "0.1"."""
    braced = grammar.take("{")
    period = grammar.next()
    if braced:
        grammar.expect("}")
    if not period.value.isdigit() or len(period.value) > (60 if braced else 1):
        raise ParseError("repeating digits that are not digits")
    places = len(text.partition(".")[2])
    period_value = Fraction(int(period.value), (10 ** len(period.value) - 1) * 10**places)
    decimal = number(text)
    assert isinstance(decimal.value, Decimal)
    return Node("number", (), decimal.value.value + period_value)


def parse_ellipsis(text: str) -> Node:
    """Returns the fraction of a decimal such as "0.333..." or "0.142857142857...", whose last digits repeat."""
    places = text.partition(".")[2]
    for length in range(1, len(places) // 2 + 1):
        period = places[-length:]
        if places.endswith(period * max(2, 4 - length)):
            value = number(text).value.value
            return Node("number", (), value + Fraction(int(period), (10**length - 1) * 10 ** len(places)))
    raise ParseError("an ellipsis after digits without a period")


def parse_root(grammar: Grammar) -> Node:
    """Parses a root's argument, and its index if there is one."""
    index: Node | None = None
    if grammar.take("["):
        index = grammar.sum()
        grammar.expect("]")
    inside = grammar.group() if not grammar.at("(") else grammar.primary()
    return Node("call", (inside, index), "root") if index is not None else Node("call", (inside,), "sqrt")


def parse_function(grammar: Grammar, name: str) -> Node:
    """Parses a function's argument: a group, or the factors up to the next sign or function."""
    if name == "log" and grammar.take("_"):
        base: Node | None = _logarithm_base(grammar)
    else:
        base = None
    power = grammar.exponent() if grammar.take("^", "**") else None
    if name == "log" and base is None and grammar.take("_"):
        base = _logarithm_base(grammar)
    if name in ("sqrt", "cbrt") or grammar.at("(", "{"):
        inside = grammar.primary()
    else:
        factors = [
            grammar.postfix(grammar.primary()) if not grammar.take("-") else Node("neg", (grammar.postfix(grammar.primary()),))
        ]
        while (
            (token := grammar.peek()) is not None
            and grammar.begins_factor(token)
            and token.value not in FUNCTIONS
            and token.kind != "text"
        ):
            if token.kind == "number" or (token.value == "(" and token.spaced):
                break
            factors.append(grammar.postfix(grammar.primary()))
        inside = product(factors)
    several = inside.kind in ("tuple", "list") or (inside.kind == "set" and name in ("max", "min", "gcd", "lcm"))
    arguments = inside.items if several and inside.items else (inside,)
    if name == "cbrt":
        call = Node("call", (*arguments, Node("number", (), Fraction(3))), "root")
    elif base is not None:
        call = Node("call", (*arguments, base), "log")
    else:
        call = Node("call", arguments, "log" if name == "ln" else name)
    if power is None:
        return call
    if power == Node("neg", (ONE,)):
        for inverse in ("arc" + name, "ar" + name):
            if inverse in FUNCTIONS:
                return call._replace(value=inverse)
    return Node("pow", (call, power))


def _logarithm_base(grammar: Grammar) -> Node:
    """Parses the base of a logarithm. It is the first digit if no argument follows the number: 2 in `\\log_28`."""
    following = grammar.peek(1)
    has_argument = following is not None and (following.value in ("^", "**") or grammar.begins_factor(following))
    return grammar.group() if has_argument else grammar.digit_or_group()


def parse_subscript(grammar: Grammar) -> Node:
    """Parses a subscript: an expression, or words such as \\max that become a name."""
    start, bars = grammar.position, grammar.bars
    try:
        return grammar.group()
    except ParseError:
        grammar.position, grammar.bars = start, bars
    words = [grammar.next()]
    if words[0].value == "{":
        words = []
        while not grammar.take("}"):
            words.append(grammar.next())
    if not words or any(word.kind not in ("name", "command", "text") for word in words):
        raise ParseError("a subscript that is neither an expression nor a name")
    return Node("symbol", (), "index " + " ".join(word.value for word in words))


def parse_brackets(grammar: Grammar, opening: str) -> Node:
    """Parses the content of brackets: a group, a tuple, a set, an interval, a matrix, a floor or a ceiling."""
    closing = _CLOSING[opening]
    bars, grammar.bars = grammar.bars, 0
    if opening == "\\{" and grammar.take("\\}"):
        return Node("set")
    inside = grammar.listing()
    grammar.bars = bars
    end = grammar.next()
    value = end.value
    items = inside.items if inside.kind == "list" else (inside,)
    if opening == "\\{" and value == "\\}":
        return Node("set", items)
    if opening in ("(", "[") and value in (")", "]"):
        if opening == "(" and value == ")":
            return Node("tuple", items) if inside.kind == "list" else inside
        if opening == "[" and value == "]" and inside.kind == "list" and all(_is_row(item) for item in items):
            return matrix([list(item.items) for item in items])
        if len(items) == 2 and inside.kind == "list":
            return Node("interval", items, (opening == "[", value == "]"))
        if opening == "[" and value == "]":
            return Node("tuple", items, "[") if inside.kind == "list" else inside
    elif value == closing:
        if opening == "langle":
            return Node("tuple", items)
        if opening in ("lfloor", "lceil") and len(items) == 1:
            return Node("call", (inside,), "floor" if opening == "lfloor" else "ceil")
    raise ParseError(f"{opening!r} is closed by {value!r}")


def _is_row(node: Node) -> bool:
    """True if a list in square brackets can be the row of a matrix. Alone, [1, 2] is an interval."""
    return (node.kind == "tuple" and node.value == "[") or (node.kind == "interval" and node.value == (True, True))


def parse_environment(grammar: Grammar) -> Node:
    """Parses a matrix or determinant, from after `\\begin` to its `\\end{...}`."""
    name = _letters(grammar)
    determinant = name in ("vmatrix",)
    if name not in _MATRICES and not determinant:
        raise ParseError(f"unsupported environment {name}")
    if name == "array":
        _letters(grammar)
    rows: list[list[Node]] = [[]]
    while not grammar.take("end"):
        if grammar.take("\\\\"):
            rows.append([])
            continue
        if rows[-1]:
            grammar.expect("&")
        rows[-1].append(grammar.relation())  # raises for an empty cell
    _letters(grammar)
    node = matrix([row for row in rows if row])
    return determinant_of(node) if determinant else node


def determinant_of(square: Node) -> Node:
    """Returns a determinant, expanded along the first row.

    Raises:
        ParseError: The matrix is not square, or larger than 4 x 4.
    """
    rows, columns = square.value
    if rows != columns or rows > 4:
        raise ParseError("a determinant that is not square or larger than 4 x 4")
    if rows == 1:
        return square.items[0]
    terms = []
    for column in range(columns):
        minor = [cell for index, cell in enumerate(square.items[columns:]) if index % columns != column]
        term = Node("mul", (square.items[column], determinant_of(Node("matrix", tuple(minor), (rows - 1, rows - 1)))))
        terms.append(Node("neg", (term,)) if column % 2 else term)
    return Node("add", tuple(terms))


def _letters(grammar: Grammar) -> str:
    """Parses the letters between two braces: the name of an environment, or the alignment of its columns."""
    grammar.expect("{")
    letters = ""
    while not grammar.take("}"):
        letters += grammar.next().value
    return letters


def parse_sum_or_limit(grammar: Grammar, name: str) -> Node:
    """Parses a sum, product, integral or limit: lower bound, upper bound and body."""
    below = above = Node("tuple")
    while grammar.at("_", "^"):
        if grammar.next().value == "_":
            below = _limit_point(grammar) if name == "lim" else _lower_bound(grammar)
        else:
            above = grammar.exponent()
    body = grammar.product() if name != "int" else grammar.sum()
    if below.kind == "relation" and below.items[0].kind == "constant":
        # The index i of a sum is not the imaginary unit.
        index = Node("symbol", (), below.items[0].value)
        below, body = (substituted(node, {below.items[0]: index}) for node in (below, body))
    return Node("bound", (below, above, body), name)


def _lower_bound(grammar: Grammar) -> Node:
    if grammar.take("{"):
        node = grammar.listing()
        grammar.expect("}")
        return node
    return grammar.primary()


def _limit_point(grammar: Grammar) -> Node:
    grammar.expect("{")
    variable = grammar.sum()
    if not grammar.take("to", "rightarrow", "->"):
        raise ParseError("a limit without an arrow")
    target = grammar.sum()
    grammar.expect("}")
    return Node("relation", (variable, target), ("=",))
