"""The layout that CONTRIBUTING.md describes: which layer may import which, no import cycles, limits of file and folder size."""

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("cli", "pipelines", "benchmarks", "envs", "policies", "verifiers")
"""A layer may import from itself, from those after it, and from the modules at the root, which import from no layer."""
LAYERS_OF_PIPELINES = (
    "share",
    "view",
    "recipe",
    "stages",
    *("autopsy", "synthesize", "sft", "refine", "reward", "bench", "distill", "rl", "pretrain", "corpus"),
    *("launch", "verl_compat", "trainer", "stage", "figures", "cluster", "gpus"),
)
"""The same within pipelines. A family may import from those after it in this list."""
INTERFACE = ""
"""The package's `__init__`, which exports the public names of all layers."""
PROGRAMS = "benchmarks.speed"
"""Programs that measure speed may use everything; nothing imports them."""
MAX_LINES, MAX_FILES = 400, 15


def modules() -> dict[str, Path]:
    """Returns all modules of the package by their dotted names, without the package's own."""
    found = {}
    for layer in (*LAYERS, ""):
        for path in (ROOT / layer).rglob("*.py") if layer else ROOT.glob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(module: str) -> Iterator[str]:
    """Yields the modules of the package that a module imports anywhere, also for types only."""
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


def cycle(imports: dict[str, set[str]]) -> list[str]:
    """Returns the first import cycle that is found; empty if there is none."""
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
    """True if a layer imports from one before it."""
    places = [order.index(part) if part in order else len(order) for part in (importer, name)]
    return places[1] < places[0]


def test_no_module_imports_itself_through_others() -> None:
    assert cycle(IMPORTS) == []


def test_a_cycle_would_be_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_layers_import_downwards() -> None:
    wrong = [
        f"{module} -> {name}"
        for module, names in IMPORTS.items()
        for name in names
        if module != INTERFACE
        and not module.startswith(PROGRAMS)
        and wrong_way(*(part.split(".")[0] for part in (module, name)), LAYERS)
    ]
    assert wrong == []


def test_layers_of_pipelines_import_downwards() -> None:
    def layer(module: str) -> str:
        return module.split(".")[1] if "." in module else ""

    wrong = [
        f"{module} -> {name}"
        for module, names in IMPORTS.items()
        for name in names
        if module.startswith("pipelines.") and name.startswith("pipelines.")
        if wrong_way(layer(module), layer(name), LAYERS_OF_PIPELINES)
    ]
    assert wrong == []
    assert {layer(module) for module in MODULES if module.startswith("pipelines.")} <= {*LAYERS_OF_PIPELINES, "recipes"}


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
