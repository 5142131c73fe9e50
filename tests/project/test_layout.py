"""The layout that CONTRIBUTING.md describes: which room may import which, no circles, nothing too large."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("cli", "pipelines", "benchmarks", "envs", "policies", "verifiers")
"""A room may import from itself, from those behind it, and from the modules at the root, which import from none of them."""
ROOMS_OF_PIPELINES = (
    "recipe",
    "stages",
    *("synthesize", "sft", "refine", "reward", "bench", "distill", "rl", "pretrain", "corpus"),
    *("launch", "verl_compat", "trainer", "stage", "figures", "cluster"),
)
"""Within pipelines, likewise; a line of families that use one another stands in the order of that use."""
FACE = ""
"""The package's own __init__, which names what users need of every room."""
PROGRAMS = "benchmarks.speed"
"""Programs that measure speed may use everything; nothing imports them."""
MAX_LINES, MAX_FILES = 400, 15


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name, without the package's own."""
    found = {}
    for room in (*LAYERS, ""):
        for path in (ROOT / room).rglob("*.py") if room else ROOT.glob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(module: str) -> Iterator[str]:
    """Modules of the package that a module imports anywhere in its text, for types alone, too."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    package = [part for part in package if part]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        if node.level:
            base = package[: len(package) - node.level + 1]
        elif node.module and node.module.partition(".")[0] == "tenfold":
            base = []
        else:
            continue
        name = [*base, *((node.module or "").removeprefix("tenfold").strip(".").split(".") if node.module else [])]
        start = ".".join(part for part in name if part)
        for alias in node.names:
            inner = f"{start}.{alias.name}".strip(".")
            yield inner if inner in MODULES else start


IMPORTS = {module: {name for name in imported(module) if name != module} for module in MODULES}


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import one another in a circle, the first one found; empty where there is none."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for name in sorted(imports.get(module, ())):
            if found := visit(name, [*way, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(imports) if (found := visit(module, []))), [])


def wrong_way(importer: str, name: str, order: tuple[str, ...]) -> bool:
    """Whether a room imports from one before it."""
    places = [order.index(part) if part in order else len(order) for part in (importer, name)]
    return places[1] < places[0]


def test_no_module_imports_itself_through_others() -> None:
    assert circle(IMPORTS) == []


def test_a_circle_would_be_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_rooms_import_downwards() -> None:
    wrong = [
        f"{module} -> {name}"
        for module, names in IMPORTS.items()
        for name in names
        if module != FACE
        and not module.startswith(PROGRAMS)
        and wrong_way(*(part.split(".")[0] for part in (module, name)), LAYERS)
    ]
    assert wrong == []


def test_rooms_of_pipelines_import_downwards() -> None:
    def room(module: str) -> str:
        return module.split(".")[1] if "." in module else ""

    wrong = [
        f"{module} -> {name}"
        for module, names in IMPORTS.items()
        for name in names
        if module.startswith("pipelines.") and name.startswith("pipelines.")
        if wrong_way(room(module), room(name), ROOMS_OF_PIPELINES)
    ]
    assert wrong == []
    assert {room(module) for module in MODULES if module.startswith("pipelines.")} <= {*ROOMS_OF_PIPELINES, "recipes"}


def test_nothing_imports_the_programs_that_measure_speed() -> None:
    assert not [m for m, names in IMPORTS.items() if not m.startswith(PROGRAMS) and any(n.startswith(PROGRAMS) for n in names)]


def test_an_import_the_wrong_way_would_be_found() -> None:
    assert wrong_way("envs", "pipelines", LAYERS)
    assert not wrong_way("pipelines", "envs", LAYERS)
    assert all(not wrong_way(one, "core", LAYERS) and wrong_way("core", one, LAYERS) for one in LAYERS)
    assert [wrong_way(two, one, LAYERS) for one, two in pairwise(LAYERS)] == [True] * (len(LAYERS) - 1)


@pytest.mark.parametrize("module", ["pipelines.rl.grpo", "envs.registry", "responses"])
def test_the_imports_of_a_module_are_read(module: str) -> None:
    expected = {"pipelines.rl.grpo": "pipelines.rl.filter", "envs.registry": "named_code", "responses": None}[module]
    assert (expected in IMPORTS[module]) if expected else not IMPORTS[module]


def test_files_and_folders_are_small() -> None:
    files = [*MODULES.values(), *(path for path in ROOT.glob("tests/**/*.py"))]
    assert [str(path) for path in files if len(path.read_text(encoding="utf-8").splitlines()) > MAX_LINES] == []
    folders = {path.parent for path in files}
    assert [str(folder) for folder in folders if len([*folder.glob("*.py")]) > MAX_FILES] == []
