"""Functions of Python's standard library, each as a program of its own, without a prompt and without tests.

    {"id": "html/escape", "prompt": "", "entry_point": "escape", "solution": "def escape(s: str, quote: bool=True):\\n    ..."}

A source for `generate:`. The stage `synthesize` writes tests and statements for such rows. The modules are read, not imported.
A program has the definition of the function, with type annotations, and all definitions, constants and imports that it needs.
Comments are left out. The source text depends on the version of Python.
"""

import ast
import functools
import random
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ...core import UserError
from ..problems.parts import in_part, integer

FUNCTIONS = {
    "_pydatetime": ("_days_before_year(year: int)", "_divide_and_round(a: int, b: int)"),
    "_pydecimal": (
        "_decimal_lshift_exact(n: int, e: int)",
        "_div_nearest(a: int, b: int)",
        "_rshift_nearest(x: int, shift: int)",
    ),
    "ast": ("_pad_whitespace(source: str)", "_splitlines_no_ff(source: str)"),
    "base64": ("b85encode(b: bytes)",),
    "calendar": ("isleap(year: int)", "leapdays(y1: int, y2: int)"),
    "colorsys": (
        "hls_to_rgb(h: float, l: float, s: float)",
        "hsv_to_rgb(h: float, s: float, v: float)",
        "rgb_to_hls(r: float, g: float, b: float)",
        "rgb_to_hsv(r: float, g: float, b: float)",
        "rgb_to_yiq(r: float, g: float, b: float)",
        "yiq_to_rgb(y: float, i: float, q: float)",
    ),
    "curses.ascii": ("unctrl(c: int)",),
    "datetime": ("_days_before_year(year: int)", "_divide_and_round(a: int, b: int)"),
    "difflib": (
        "_calculate_ratio(matches: int, length: int)",
        "_format_range_context(start: int, stop: int)",
        "_format_range_unified(start: int, stop: int)",
        "_keep_original_ws(s: str, tag_s: str)",
    ),
    "doctest": (
        "_comment_line(line: str)",
        "_ellipsis_match(want: str, got: str)",
        "_indent(s: str, indent: int)",
        "_strip_exception_details(msg: str)",
    ),
    "email._parseaddr": ("quote(str: str)",),
    "email.message": (
        "_formatparam(param: str, value: str)",
        "_parseparam(s: str)",
        "_splitparam(param: str)",
        "_unquotevalue(value: str)",
    ),
    "email.utils": ("decode_rfc2231(s: str)",),
    "encodings.punycode": (
        "adapt(delta: int, first: bool, numchars: int)",
        "generate_generalized_integer(N: int, bias: int)",
        "segregate(str: str)",
    ),
    "enum": ("_high_bit(value: int)", "_power_of_two(value: int)", "bin(num: int)"),
    "genericpath": ("_splitext(p: str, sep: str, altsep: str, extsep: str)", "commonprefix(m: list[str])"),
    "glob": ("escape(pathname: str)", "has_magic(s: str)"),
    "html": ("escape(s: str, quote: bool)", "unescape(s: str)"),
    "http.cookiejar": (
        "domain_match(A: str, B: str)",
        "is_HDN(text: str)",
        "join_header_words(lists: list[list[tuple[str, str]]])",
        "reach(h: str)",
        "strip_quotes(text: str)",
        "user_domain_match(A: str, B: str)",
    ),
    "http.server": ("_url_collapse_path(path: str)",),
    "imaplib": ("Int2AP(num: int)",),
    "inspect": ("cleandoc(doc: str)",),
    "ipaddress": ("_count_righthand_zero_bits(number: int, bits: int)",),
    "locale": ("_strip_padding(s: str, amount: int)",),
    "ntpath": ("splitdrive(p: str)",),
    "operator": ("countOf(a: list[int], b: int)",),
    "pickle": ("decode_long(data: bytes)", "encode_long(x: int)"),
    "plistlib": ("_escape(text: str)",),
    "posixpath": ("basename(p: str)", "commonpath(paths: list[str])", "split(p: str)"),
    "pstats": ("f8(x: float)",),
    "re": ("escape(pattern: str)",),
    "re._compiler": ("_generate_overlap_table(prefix: list[int])", "_hex_code(code: list[int])"),
    "re._parser": ("_uniq(items: list[int])",),
    "shlex": ("join(split_command: list[str])", "quote(s: str)"),
    "smtplib": ("_fix_eols(data: str)", "quotedata(data: str)"),
    "stat": ("S_IMODE(mode: int)", "filemode(mode: int)"),
    "statistics": (
        "median(data: list[int])",
        "median_high(data: list[int])",
        "median_low(data: list[int])",
        "mode(data: list[int])",
        "multimode(data: list[int])",
        "quantiles(data: list[int])",
    ),
    "string": ("capwords(s: str)",),
    "textwrap": ("dedent(text: str)", "indent(text: str, prefix: str)"),
    "timeit": ("reindent(src: str, indent: int)",),
    "tracemalloc": ("_format_size(size: int, sign: bool)",),
    "unittest.main": ("_convert_select_pattern(pattern: str)",),
    "unittest.util": (
        "_shorten(s: str, prefixlen: int, suffixlen: int)",
        "three_way_cmp(x: int, y: int)",
        "unorderable_list_difference(expected: list[int], actual: list[int])",
    ),
    "urllib.parse": (
        "_splitattr(url: str)",
        "_splithost(url: str)",
        "_splitnetloc(url: str)",
        "_splitnport(host: str, defport: int)",
        "_splitpasswd(user: str)",
        "_splitport(host: str)",
        "_splitquery(url: str)",
        "_splittag(url: str)",
        "_splittype(url: str)",
        "_splituser(host: str)",
        "_splitvalue(attr: str)",
        "unwrap(url: str)",
    ),
    "urllib.request": ("parse_http_list(s: str)",),
    "uuid": ("_is_universal(mac: int)",),
    "wsgiref.handlers": ("format_date_time(timestamp: int)",),
    "xml.dom.minidom": ("_nssplit(qualifiedName: str)",),
    "xml.dom.xmlbuilder": ("_name_xform(name: str)",),
    "xml.etree.ElementTree": ("_escape_attrib(text: str)", "_escape_cdata(text: str)"),
    "xml.sax.saxutils": ("quoteattr(data: str)", "unescape(data: str)"),
    "zipfile": ("_strip_extra(extra: bytes, xids: tuple[int, ...])",),
    "zipimport": ("_normalize_line_endings(source: bytes)",),
}
"""Functions by module, each with the types of its parameters. Our choice: they are deterministic, take and return plain values,
accept almost every value of these types, and need less than 70 lines. A function that a version of Python does not have is left
out (`_pydatetime` has what `datetime` had before Python 3.12)."""

Row = Mapping[str, str]


def functions(size: int = 50, seed: int = 0, part: str = "all") -> Iterator[Row]:
    """Yields functions as rows, in a random order. The first rows do not depend on `size`.

    Args:
        size: number of functions.
        seed: seed of the order.
        part: all, train or held_out; see `parts.in_part`.

    Raises:
        UserError: an argument is invalid, or there are fewer than `size` functions.
    """
    integer("size", size, 1)
    integer("seed", seed, 0)
    rows = [row for row in _rows() if in_part(row["id"], part)]
    if size > len(rows):
        raise UserError(f"size={size}: the standard library of this Python has {len(rows)} of the functions in part={part}")
    yield from random.Random(seed).sample(rows, len(rows))[:size]


@functools.cache
def _rows() -> Sequence[Row]:
    """Returns the rows of all functions."""
    return [row for module in FUNCTIONS for row in _of_module(module)]


def _of_module(module: str) -> Iterator[Row]:
    """Yields the functions of a module; none if there is no such module with Python source."""
    path = Path(sysconfig.get_path("stdlib"), *module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_name(f"{path.name}.py")
    if not path.is_file():
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for declared in FUNCTIONS[module]:
        signature = ast.parse(f"def {declared}: ...").body[0]
        assert isinstance(signature, ast.FunctionDef)
        if program := _program(tree, signature):
            name = signature.name.lstrip("_")
            yield {"id": f"{module}/{name}", "prompt": "", "entry_point": name, "solution": program}


def _program(module: ast.Module, signature: ast.FunctionDef) -> str | None:
    """Returns a function with all that it needs, or None if the module does not define it with these parameters.

    The name loses its leading underscores.

    Args:
        module: syntax tree of the module.
        signature: the function's name, and its parameters with their types.
    """
    definitions = {name: node for node in module.body for name in _bound(node)}
    types = {parameter.arg: parameter.annotation for parameter in signature.args.args}
    function = definitions.get(signature.name)
    if not isinstance(function, ast.FunctionDef) or not types.keys() <= {each.arg for each in function.args.args}:
        return None
    needed, waiting = set[str](), [signature.name]
    while waiting:
        needed.add(name := waiting.pop())
        waiting += [used for used in _names(definitions[name]) if used in definitions.keys() - needed]
    body = [node for node in module.body if needed & {*_bound(node)}]
    program = ast.parse(ast.unparse(ast.Module(body, [])))  # a copy
    for node in ast.walk(program):
        if isinstance(node, ast.FunctionDef) and node.name == signature.name:
            node.name = signature.name.lstrip("_")
            for parameter in node.args.args:
                parameter.annotation = types.get(parameter.arg)
        elif isinstance(node, ast.Name) and node.id == signature.name:
            node.id = signature.name.lstrip("_")
    return ast.unparse(program)


def _bound(node: ast.stmt) -> list[str]:
    """Returns the names that a statement of a module defines; none for a compound statement."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)]
    if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level):
        return [alias.asname or alias.name.partition(".")[0] for alias in node.names]
    return []


def _names(node: ast.stmt) -> list[str]:
    """Returns the names that a statement reads."""
    return [name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Load)]
