"""The parser: tokens of LaTeX or plain text to a tree, by recursive descent.

    listing   := relation ((","|";"|"and"|"or") relation)*
    relation  := ratio (("="|"<"|"\\le"|"\\in"|...) ratio)*
    ratio     := sets (":" sets)*
    sets      := sum (("\\cup"|"\\cap"|"\\setminus") sum)*
    sum       := product (("+"|"-"|"\\pm") product)*
    product   := factor (("*"|"/"|nothing) factor)*
    factor    := ("-"|"+"|"\\pm") factor | primary postfix*

Nothing is computed here. A text outside the grammar raises `ParseError`.
"""

from . import parts
from .notation import ParseError, Token, TokenReader
from .parts import FUNCTIONS
from .tree import INFINITY, MINUS_ONE, Node, fraction, grouped, is_mixed, is_whole, mixed, number, product

MAX_DEPTH = 80
"""Maximum depth of nested factors. A pair of brackets counts as two."""
MAX_POSTFIX = 8
"""Maximum number of exponents, factorials and percent signs after one factor."""


_ALIASES = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arsinh", "acosh": "arcosh", "atanh": "artanh",
    "arcsinh": "arsinh", "arccosh": "arcosh", "arctanh": "artanh",
}  # fmt: skip
_RELATIONS = {
    "=": "=", "==": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">=", "!=": "!=", ":=": "=",
    "le": "<=", "leq": "<=", "leqslant": "<=", "ge": ">=", "geq": ">=", "geqslant": ">=", "lt": "<", "gt": ">", "ne": "!=",
    "neq": "!=",
    "in": "in", "approx": "~", "simeq": "~", "equiv": "=",
}  # fmt: skip
_MULTIPLY = frozenset(["*", "times", "cdot", "ast"])
_GREEK = frozenset(
    (
        "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta kappa lambda mu nu xi rho sigma tau phi varphi chi "
        "psi omega ell Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega hbar"
    ).split()
)
_SETS = {"cup": "union", "union": "union", "cap": "intersection", "setminus": "difference", "backslash": "difference"}
_FUNCTION_WORDS = FUNCTIONS | _ALIASES.keys()
NAMED_FUNCTIONS = frozenset([*"fghFGHPQWT", "zeta", "Gamma", "Pr"])
"""Letters that are functions if a parenthesis follows. Other letters are multiplied by it."""
_NOT_FACTORS = frozenset(
    r"div bmod cup cap setminus backslash \} rangle rfloor rceil end \\ pm mp to rightarrow lor land vee wedge".split()
)
"""Commands that begin no factor."""
_BOUND = {"sum": "sum", "prod": "prod", "int": "int", "lim": "lim", "iint": "int", "oint": "int"}
_D = Node("symbol", (), "d")


def parse(text: str) -> Node:
    """Returns the tree of a normalized text.

    Raises:
        ParseError: The text is not in the grammar.
    """
    parser = _Parser(text)
    if not parser.tokens:
        raise ParseError("the text is empty")
    tree = parser.listing()
    if parser.position != len(parser.tokens):
        raise ParseError(f"unexpected {parser.tokens[parser.position].value!r}")
    return tree


class _Parser(TokenReader):
    """The parser of one text. The methods are ordered from the weakest to the strongest binding."""

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = self.bars = 0

    def listing(self) -> Node:
        groups, separators = [self.relation()], []
        while True:
            separator = self._separator()
            if separator is None:
                break
            separators.append(separator)
            groups.append(self.relation())
        if not separators:
            return groups[0]
        if ";" in separators and "," in separators:
            return grouped(groups, separators)
        joined = {"or", "and"} & set(separators)
        return Node("list", tuple(groups), joined.pop() if len(joined) == 1 and len(set(separators)) == 1 else None)

    def _separator(self) -> str | None:
        found: str | None = None
        while (token := self.peek()) is not None:
            word = token.value.lower().strip(" ,;:.")
            if token.kind == "mark" and token.value in (",", ";"):
                found = found or token.value
            elif (token.kind in ("text", "name") and word in ("and", "or", "and also", "")) or token.value in (
                "lor",
                "land",
                "vee",
                "wedge",
            ):
                found = "or" if word in ("or", "lor", "vee") else found or "and"
            else:
                break
            self.position += 1
        if found and self.peek() is None:
            raise ParseError("a list that ends in a separator")
        return found

    def relation(self) -> Node:
        items, signs = [self.ratio()], []
        while (token := self.peek()) is not None and token.kind in ("mark", "command", "name") and token.value in _RELATIONS:
            self.position += 1
            sign = _RELATIONS[token.value]
            items.append(self.ratio())
            signs.append(sign)
        return Node("relation", tuple(items), tuple(signs)) if signs else items[0]

    def ratio(self) -> Node:
        items = [self.sets()]
        while self.take(":"):
            items.append(self.sets())
        return Node("ratio", tuple(items)) if len(items) > 1 else items[0]

    def sets(self) -> Node:
        left = self.sum()
        while (token := self.peek()) is not None and token.kind != "text" and token.value in _SETS:
            self.position += 1
            left = Node(_SETS[token.value], (left, self.sum()))
        return left

    def sum(self) -> Node:
        terms = [self.product()]
        while True:
            if self.take("+"):
                terms.append(self.product())
            elif self.take("-"):
                terms.append(Node("neg", (self.product(),)))
            elif self.at("pm", "mp"):
                sign = 1 if self.next().value == "pm" else -1
                terms.append(Node("pm", (self.product(),), sign))
            else:
                return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def product(self) -> Node:
        factors = [self.factor()]
        while (token := self.peek()) is not None:
            if token.kind in ("mark", "command") and token.value in _MULTIPLY:
                self.position += 1
                factors.append(self.factor())
            elif token.kind in ("mark", "command") and token.value in ("/", "div"):
                self.position += 1
                factors.append(Node("pow", (self.factor(), MINUS_ONE)))
            elif token.value in ("mod", "bmod") and token.kind in ("name", "command"):
                self.position += 1
                factors = [Node("call", (product(factors), self.factor()), "mod")]
            elif self.begins_factor(token):
                following = self.factor()
                if token.kind == "number":
                    # "1 1/2" is a mixed number; two adjacent numbers have no meaning.
                    if len(factors) == 1 and is_whole(factors[0]) and token.spaced and self.take("/"):
                        factors = [mixed(factors[0], fraction(following, self.factor()))]
                    elif factors[-1].kind in ("call", "pow", "add"):
                        factors.append(following)
                    else:
                        raise ParseError("a number directly after another factor")
                elif token.value == "frac" and len(factors) == 1 and is_mixed(factors[0], following):
                    factors = [mixed(factors[0], following)]
                elif (
                    len(factors) == 1 and following.kind in ("percent", "degrees") and is_mixed(factors[0], following.items[0])
                ):
                    factors = [following._replace(items=(mixed(factors[0], following.items[0]),))]
                else:
                    factors.append(following)
            else:
                break
        return product(factors)

    def begins_factor(self, token: Token) -> bool:
        if token.kind == "number":
            return True
        if token.kind == "name":
            return token.value not in ("and", "or", "union", "in")
        if token.kind == "command":
            return token.value not in _RELATIONS and token.value not in _NOT_FACTORS and token.value not in _MULTIPLY
        if token.kind == "text":
            return len(token.value) == 1 or token.value in _FUNCTION_WORDS
        return token.value in ("(", "{") or (token.value == "|" and not self.bars) or (token.value == "[" and self.position > 0)

    def factor(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ParseError(f"nested more than {MAX_DEPTH} deep")
        try:
            if self.take("-"):
                return Node("neg", (self.factor(),))
            if self.take("+"):
                return self.factor()
            if self.at("pm", "mp"):
                sign = 1 if self.next().value == "pm" else -1
                return Node("pm", (self.factor(),), sign)
            return self.postfix(self.primary())
        finally:
            self.depth -= 1

    def postfix(self, node: Node) -> Node:
        for _ in range(MAX_POSTFIX + 1):
            token = self.peek()
            if token is None or token.kind != "mark":
                return node
            if token.value in ("^", "**"):
                self.position += 1
                if self.at("circ") or (self.at("{") and (inner := self.peek(1)) is not None and inner.value == "circ"):
                    braced = self.take("{")
                    self.position += 1
                    if braced:
                        self.expect("}")
                    node = Node("degrees", (node,))
                    continue
                while self.at("'") or (self.peek() is not None and self.peek().value == "prime"):  # type: ignore[union-attr]
                    raise ParseError("derivatives are not supported")
                node = Node("pow", (node, self.exponent()))
            elif token.value == "!":
                self.position += 1
                double = self.take("!")
                if double and self.at("!"):
                    raise ParseError("triple factorials are not supported")
                node = Node("call", (node,), "double factorial" if double else "factorial")
            elif token.value == "%":
                self.position += 1
                node = Node("percent", (node,))
            else:
                return node
        raise ParseError(f"more than {MAX_POSTFIX} exponents or signs after one factor")

    def exponent(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ParseError(f"nested more than {MAX_DEPTH} deep")
        try:
            return self._exponent()
        finally:
            self.depth -= 1

    def _exponent(self) -> Node:
        if self.take("{"):
            node = self.sum()
            self.expect("}")
            return node
        if self.take("-"):
            return Node("neg", (self.exponent(),))
        node = self.primary()
        return Node("pow", (node, self.exponent())) if self.take("^", "**") else node

    # --- atoms

    def primary(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ParseError(f"nested more than {MAX_DEPTH} deep")
        try:
            return self._primary(self.next())
        finally:
            self.depth -= 1

    def _primary(self, token: Token) -> Node:
        if token.kind == "number":
            return parts.parse_numeral(self, token.value)
        if token.kind == "name":
            return self.word(token.value)
        if token.kind == "command":
            return self.command(token.value)
        if token.kind == "text":
            if len(token.value) == 1 and token.value.isalpha():
                return self.symbol(token.value)
            if token.value.isascii() and token.value.isdigit():
                return parts.parse_numeral(self, token.value)
            if token.value in _FUNCTION_WORDS:
                return self.word(token.value)
            raise ParseError(f"unexpected words {token.value[:40]!r}")
        if token.value in ("(", "["):
            return parts.parse_brackets(self, token.value)
        if token.value == "{":
            node = self.listing()
            self.expect("}")
            return node
        if token.value == "|":
            self.bars += 1
            node = self.sum()
            self.expect("|")
            self.bars -= 1
            is_square = node.kind == "matrix" and node.value[0] == node.value[1]
            return parts.determinant_of(node) if is_square else Node("call", (node,), "abs")
        raise ParseError(f"unexpected {token.value!r}")

    def word(self, name: str) -> Node:
        name = _ALIASES.get(name, name)
        if name in ("inf", "infinity", "oo"):
            return INFINITY
        if name == "pi":
            return Node("constant", (), "pi")
        if name in FUNCTIONS:
            return parts.parse_function(self, name)
        if name in ("sum", "prod"):
            return parts.parse_sum_or_limit(self, name)
        return self.symbol(name)

    def symbol(self, name: str) -> Node:
        constant = name if name in ("e", "i") else None
        while self.take("'"):
            name += "'"
        if self.take("_"):
            index = parts.parse_subscript(self)
            if name == "C" and self.take("^"):  # C_n^k is a binomial coefficient
                return Node("call", (index, self.group()), "binom")
            plain = index.kind == "number" or (index.kind == "symbol" and len(index.value) > 1)
            if not plain:
                return Node("call", (index,), name + "_")
            name, constant = f"{name}_{index.value}", None
        if constant and name == constant:
            return Node("constant", (), constant)
        if self.at("("):
            function = name.rstrip("'").partition("_")[0]
            if function in NAMED_FUNCTIONS or (name == "C" and self._is_pair()):
                self.position += 1
                inside = self.listing()
                self.expect(")")
                arguments = inside.items if inside.kind == "list" else (inside,)
                if name == "C" and len(arguments) == 2:
                    return Node("call", arguments, "binom")
                return Node("call", arguments, name)
        return Node("symbol", (), name)

    def _is_pair(self) -> bool:
        """True if the parenthesis at the current position contains a comma, as in C(n, k)."""
        depth = 0
        for token in self.tokens[self.position :]:
            depth += (token.value == "(") - (token.value == ")")
            if depth == 0:
                return False
            if depth == 1 and token.value == ",":
                return True
        return False

    def group(self) -> Node:
        """Parses an argument of a LaTeX command: a group in braces, or one atom."""
        if self.take("{"):
            node = self.listing()
            self.expect("}")
            return node
        return self.primary()

    def digit_or_group(self) -> Node:
        """Parses an argument of a LaTeX command. Without braces it is a single digit: `\\frac12`."""
        token = self.peek()
        if token is not None and token.kind == "number" and len(token.value) > 1 and token.value.isdigit():
            self.tokens[self.position] = token._replace(value=token.value[1:], spaced=False)
            return number(token.value[0])
        return self.group()

    def command(self, name: str) -> Node:
        if name == "frac":
            above, below = self.digit_or_group(), self.digit_or_group()
            if above == _D and below.kind == "mul" and below.items[0] == _D:
                raise ParseError("derivatives are not supported")
            return fraction(above, below)
        if name == "sqrt":
            return parts.parse_root(self)
        if name in ("binom", "dbinom", "tbinom"):
            above = self.digit_or_group()
            return Node("call", (above, self.digit_or_group()), "binom")
        if name == "pi":
            return Node("constant", (), "pi")
        if name in ("infty",):
            return INFINITY
        if name in ("emptyset", "varnothing"):
            return Node("set")
        if name in ("overline", "bar", "overrightarrow", "widehat", "mathbb"):
            inner = self.group()
            if name == "mathbb" and inner.kind == "symbol":
                return Node("reals") if inner.value == "R" else Node("symbol", (), "set " + inner.value)
            return Node("call", (inner,), name)
        if name in ("angle", "triangle", "ell"):
            return Node("call", (self.primary(),), name) if name != "ell" else self.symbol("l")
        if name in ("\\{", "langle", "lfloor", "lceil"):
            return parts.parse_brackets(self, name)
        if name in ("begin",):
            return parts.parse_environment(self)
        if name in _GREEK or name == "Pr":
            return self.symbol(name)
        if name in _BOUND:
            return parts.parse_sum_or_limit(self, _BOUND[name])
        name = _ALIASES.get(name, name)
        if name in FUNCTIONS:
            return parts.parse_function(self, name)
        raise ParseError(f"unsupported command \\{name}")
