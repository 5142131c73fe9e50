"""The program in the sandbox that holds the leaderboard's services. `services.py` sends its source.

It imports nothing of tenfold. It keeps the policy's services, and for multi-turn problems a second set with the same initial
state for the gold calls.
"""

import ast
import copy
import inspect
import json
import sys
import types
from typing import Any

SETS: dict[str, dict[str, Any]] = {}
"""The services by name of their class, for each set: "policy", and "gold"."""
STATELESS = ("MathAPI",)
"""Classes without an initial state."""
FORBIDDEN = ("kill", "exit", "quit", "remove", "unlink", "popen", "Popen", "run")
"""Names that the leaderboard refuses."""
MEMORIES = ("core_memory", "archival_memory", "memory")
"""Attributes of the services with memory that a snapshot contains."""


def start(text: str) -> None:
    """Creates the services.

    Args:
        text: JSON of `libraries` (name and source of each module that the modules import), `sources` (name and source of each
            module, in the order of their imports), `package` (of the modules), `classes` (module by class), `config` (initial
            state by class), `long_context` and `sets` (names of the sets of services).
    """
    given = json.loads(text)
    for name, source in given["libraries"]:
        sys.modules[name] = types.ModuleType(name)
        exec(compile(source, name, "exec"), sys.modules[name].__dict__)
        if hasattr(sys.modules[name], "outside"):
            sys.modules[name].outside["ask"] = _ask
    parts = given["package"].split(".")
    for number in range(len(parts)):
        name = ".".join(parts[: number + 1])
        sys.modules[name] = types.ModuleType(name)
    for name, source in given["sources"]:
        module = types.ModuleType(f"{given['package']}.{name}")
        sys.modules[module.__name__] = module
        exec(compile(source, name, "exec"), module.__dict__)
    for services in (SETS.setdefault(name, {}) for name in given["sets"]):
        for class_name, module_name in given["classes"].items():
            service = getattr(sys.modules[f"{given['package']}.{module_name}"], class_name)()
            if class_name not in STATELESS:
                service._load_scenario(copy.deepcopy(given["config"].get(class_name, {})), long_context=given["long_context"])
            services[class_name] = service


def run(text: str) -> str:
    """Executes calls; returns JSON of their results, as the policy sees them.

    Args:
        text: JSON of `services` ("policy" or "gold") and `calls`, each with a name, positional arguments and arguments by name.
            An argument is ["value", Python literal] or ["call", call]. In place of a call that cannot be parsed stands its
            error message, a text.
    """
    given = json.loads(text)
    methods = {
        name: method
        for service in SETS[given["services"]].values()
        for name, method in inspect.getmembers(service, predicate=inspect.ismethod)
        if not name.startswith("_")
    }
    return json.dumps([result(methods, call) for call in given["calls"]])


def context() -> str:
    """Returns the text about the memory that the policy sees at the start."""
    (service,) = SETS["policy"].values()
    return str(service._dump_core_memory_to_context())


def snapshot() -> str:
    """Returns JSON of the memory, from which a service can be created again."""
    (service,) = SETS["policy"].values()
    memories = {name: value for name, value in vars(service).items() if name in MEMORIES}
    return json.dumps({name: value.export() if hasattr(value, "export") else value for name, value in memories.items()})


def difference() -> str:
    """Returns the first attribute that differs between the two sets; empty if there is none."""
    for class_name, gold in SETS["gold"].items():
        for name, expected in vars(gold).items():
            if not name.startswith("_") and getattr(SETS["policy"][class_name], name) != expected:
                return f"{class_name}.{name}"
    return ""


def _ask(name: str, *arguments: Any) -> Any:
    """Calls a function outside of the sandbox, which the session has put into this program's namespace."""
    return globals()[name](*arguments)


def result(methods: dict[str, Any], call: list[Any] | str) -> str:
    """Executes a call; returns its result as text.

    Args:
        methods: the functions by name.
        call: see `run`.
    """
    try:
        if isinstance(call, str):
            raise SyntaxError(call)
        value = _called(methods, call)
        if isinstance(value, str):
            return str(value)
        if type(value) is dict:
            try:
                return json.dumps(value)
            except Exception:  # an object that is not JSON data
                return str(value)
        return str(value)
    except Exception as error:
        return f"Error during execution: {error}"


def _called(methods: dict[str, Any], call: list[Any]) -> Any:
    name, positional, named = call
    if name in FORBIDDEN:
        raise ValueError(f"Function call {name} is not allowed.")
    if name not in methods:
        raise NameError(f"name {name.split('.')[0]!r} is not defined")
    arguments = {key: _argument(methods, *argument) for key, argument in named.items()}
    return methods[name](*(_argument(methods, *argument) for argument in positional), **arguments)


def _argument(methods: dict[str, Any], kind: str, value: Any) -> Any:
    if kind == "call":
        return _called(methods, value)
    try:
        return ast.literal_eval(value)
    except ValueError:  # its message contains an address in memory, so it is replaced
        names = [node.id for node in ast.walk(ast.parse(value)) if isinstance(node, ast.Name)]
        raise NameError(f"name {names[0]!r} is not defined" if names else "an argument is no literal") from None
