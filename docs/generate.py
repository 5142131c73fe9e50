"""Pages of the reference that are made from the code: stages, tasks, task files, environments, command line, extras.

mkdocs loads this file as a hook. `python docs/generate.py FOLDER` writes the pages to a folder without mkdocs.
"""

import argparse
import importlib
import inspect
import json
import shutil
import tomllib
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).parent.parent


def cell(text: object) -> str:
    """A text as the cell of a table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def code(text: str) -> str:
    """A text as code within a line, whatever backticks it has."""
    return f"````` {text} `````" if "`" in text else f"`{text}`"


def table(*columns: str) -> Iterator[str]:
    """The head of a table."""
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)


def row(*cells: object) -> str:
    """A row of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def type_name(annotation: Any) -> str:
    """A type as a reader writes it: `int | None`, `list[str]`, `"linear" | "cosine"`."""
    origin, given = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(given[0])
    if origin is typing.Literal:
        return " | ".join(f'"{value}"' for value in given)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(type_name, given))
    if annotation is type(None):
        return "null"
    if annotation is Any:
        return "any"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(type_name, given))}]"
    return str(getattr(annotation, "__name__", annotation))


def bounds(field: FieldInfo) -> str:
    """The limits of a number: "≥ 1"."""
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(limit, name):.15g}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    ]
    return ", ".join(found)


def default(field: FieldInfo) -> str:
    """Returns the default value of a setting."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "see below"
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{cell(list(value) if isinstance(value, tuple) else value)}`" if value != "" else '`""`'


def settings(model: type[BaseModel], leave_out: frozenset[str] = frozenset()) -> Iterator[str]:
    """A table of a model's fields, and one for each model in them."""
    yield from table("setting", "type", "default", "meaning")
    nested: dict[str, type[BaseModel]] = {}
    for name, field in model.model_fields.items():
        if name in leave_out:
            continue
        for inner in [field.annotation, *typing.get_args(field.annotation)]:
            if isinstance(inner, type) and issubclass(inner, BaseModel) and inner is not model:
                nested[inner.__name__] = inner
        meaning = "; ".join(filter(None, (cell(field.description or ""), bounds(field))))
        yield row(f"`{name}`", cell(type_name(field.annotation)), default(field), meaning)
    yield ""
    for name, inner in nested.items():
        if inner.__name__ in ("Cluster",):
            continue
        yield f"**{name}**"
        yield ""
        yield from settings(inner)


def first_paragraph(model: type) -> str:
    """The first paragraph of the docstring of a class's module."""
    module = inspect.getmodule(model)
    said = inspect.getdoc(module) if module else None
    return (said or "").split("\n\n")[0].replace("\n", " ")


def stages() -> Iterator[str]:
    """Every kind of stage, from the pydantic classes in `pipelines/stages.py`."""
    from tenfold.pipelines.cluster import Cluster
    from tenfold.pipelines.recipe.recipe import Recipe
    from tenfold.pipelines.stage import Stage
    from tenfold.pipelines.stages import KINDS

    yield "# Settings of recipes and stages"
    yield ""
    yield "This page is generated from the pydantic classes. A key that is not listed here is an error."
    yield ""
    yield "## Recipe"
    yield ""
    yield from settings(Recipe, frozenset({"stages"}))
    yield "`stages` is a list of stages, each with `kind` and the settings of its kind. `cluster` is described "
    yield "[at the end](#cluster)."
    yield ""
    yield "## Settings of every stage"
    yield ""
    yield from settings(Stage)
    shared = frozenset(Stage.model_fields)
    for kind, stage in KINDS.items():
        yield f"## {kind}"
        yield ""
        yield first_paragraph(stage)
        yield ""
        facts = [
            "starts from a policy" if stage.reads_policy else "starts from no policy",
            *(["writes a checkpoint"] if stage.writes_policy else []),
            *(["trains in one process for each GPU"] if stage.data_parallel else []),
        ]
        changes = ", ".join(f"`{name}`" for name in sorted(stage.may_change))
        changes = f" May change when a run resumes: {changes}." if changes else ""
        yield f"Class `{stage.__name__}`; {'; '.join(facts)}.{changes}"
        yield ""
        yield from settings(stage, shared)
    yield "## cluster"
    yield ""
    yield from settings(Cluster)


class _Tags(yaml.SafeLoader):
    """Reads lm-eval's `!function` as text."""


_Tags.add_constructor("!function", lambda loader, node: str(node.value))


def tasks() -> Iterator[str]:
    """Every benchmark task, from `benchmarks/tasks/*.yaml`."""
    from tenfold.benchmarks.catalogue import SUITES, TASKS

    common = yaml.load((TASKS / "_avg_at_k.yaml").read_text(), _Tags)
    sampling = common["generation_kwargs"]
    yield "# Benchmark tasks"
    yield ""
    yield "This page is generated from `benchmarks/tasks/*.yaml`. Every task samples at temperature "
    yield f"{sampling['temperature']} and top_p {sampling['top_p']}, up to {sampling['max_gen_toks']:,} tokens, unless its row "
    yield "says otherwise. `TASK_avgK` takes K samples of each problem. A task of lm-eval is `lm_eval:NAME`; "
    yield "tasks that run a model's code are rejected."
    yield ""
    yield from table("suite", "tasks")
    for suite, names in SUITES.items():
        yield row(f"`{suite}`", ", ".join(f"`{name}`" for name in names))
    yield ""
    yield from table("task", "k", "verifier", "tokens")
    sections = []
    for path in sorted(TASKS.glob("[a-z]*.yaml")):
        text = path.read_text()
        task = yaml.load(text, _Tags)
        name, about = task["task"], task["metadata"]
        judge = f"judge ({about['judged']})" if "judged" in about else about.get("verifier", "math")
        tokens = task.get("generation_kwargs", sampling)["max_gen_toks"]
        yield row(f"[`{name}`](#{name})", task["repeats"], f"`{judge}`", f"{tokens:,}")
        comments = [line.removeprefix("#").strip() for line in text.splitlines() if line.startswith("#")]
        facts = ["", f"- problems: `{about['problems']}`" if "problems" in about else f"- published by {about['published']}"]
        facts += [f"- file in the folder of `--data`: `{about['file']}`"] if "file" in about else []
        facts += [f"- its file of few-shot examples: `{about['examples_file']}`"] if "examples_file" in about else []
        facts += [f"- prompt: {code(json.dumps(about['template'], ensure_ascii=False))}"] if "template" in about else []
        facts += [f"- system prompt: {code(json.dumps(about['system'], ensure_ascii=False))}"] if "system" in about else []
        facts += [f"- its published system prompt: with `{about['system_file']}` in `--data`"] if "system_file" in about else []
        sections.append((name, [*comments, *facts]))
    yield ""
    for name, lines in sections:
        yield f"## {name}"
        yield ""
        yield from lines
        yield ""


def task_file() -> Iterator[str]:
    """The settings of a task file, from the pydantic classes."""
    from tenfold.benchmarks.task_file import Example, TaskFile

    yield "# Task files"
    yield ""
    yield "This page is generated from the pydantic classes in `benchmarks/task_file.py`. A task file is a YAML file "
    yield "with a benchmark task of your own. `tenfold task check FILE` checks it and `tenfold bench --task FILE` runs it. In "
    yield "a recipe, the path of the file is the name of the task. Paths in the file are relative to the working folder."
    yield ""
    yield from settings(TaskFile)
    yield "An entry of `examples` has these settings:"
    yield ""
    yield from settings(Example)
    yield "The URI of examples names problems with solutions (`solution=COLUMN`). Without a solution, the response is the gold "
    yield "answer. An example whose prompt is that of the problem is left out."
    yield ""
    yield "A file that names code outside tenfold, such as `verifier: lab:verify`, runs only with `--trust`, because a task "
    yield "file may come from someone else."


def environments() -> Iterator[str]:
    """Every registered environment, and every verifier by name."""
    from tenfold import verifiers
    from tenfold.envs import built_in, listing

    yield "# Environments and verifiers"
    yield ""
    yield "This page is generated from `envs/built_in.py` and `verifiers/__init__.py`. `tenfold env list` prints the tables. "
    yield "The column `needs` names the extra that must be installed. An episode has a single turn or several turns."
    yield ""
    yield "`tenfold bench env:ID` measures a policy on the held-out problems: those held out by its registration, or those of "
    yield "the same generator with `part=held_out` instead of `part=train`."
    yield ""
    yield "`problems=` with a question mark changes options of an environment's problem URI: "
    yield '`tenfold.make(ID, problems="?part=held_out&size=100")`, on the command line `--set problems=?part=held_out`. '
    yield "The docstring of the function in the URI explains its options. `level` sets the difficulty of a generator of "
    yield "reasoning-gym; level 0 is the easiest."
    yield ""
    rows = [each for each in listing.rows() if each["id"] in built_in.ENVIRONMENTS]
    for group in built_in.GROUPS:
        yield f"## {group}"
        yield ""
        yield from table("environment", "turns", "tools", "verifier", "needs", "problems")
        for each in rows:
            if each["group"] == group:
                cells = (each["turns"], each["tools"], f"`{each['verifier']}`", each["needs"])
                yield row(f"`{each['id']}`", *cells, f"`{cell(each['problems'])}`")
        yield ""
    yield "## Verifiers"
    yield ""
    yield from table("verifier", "function", "options")
    for name, target in verifiers.BUILT_IN_VERIFIERS.items():
        options = ", ".join(f"`{option}`" for option in verifiers.find(name).options)
        yield row(f"`{name}`", f"`{target}`", options or "none")


def command_line() -> Iterator[str]:
    """Every command with its options, from argparse."""
    from tenfold.cli import parser

    main = parser()
    yield "# Command line"
    yield ""
    yield "This page is generated from the argparse parser."
    yield ""
    yield from _commands(main, "tenfold")


def _commands(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for command, inner in group.choices.items():
            if any(isinstance(action, argparse._SubParsersAction) for action in inner._actions):
                yield from _commands(inner, f"{name} {command}")
                continue
            words = next((choice.help for choice in group._choices_actions if choice.dest == command), "") or ""
            yield f"## {name} {command}"
            yield ""
            yield words[:1].upper() + words[1:].replace("%%", "%") + "."
            yield ""
            shown = [action for action in inner._actions if not isinstance(action, argparse._HelpAction)]
            if not shown:
                continue
            yield from table("argument", "meaning")
            for action in shown:
                written = ", ".join(action.option_strings) or str(action.metavar or action.dest)
                if action.option_strings and action.nargs != 0:
                    written += f" {action.metavar or action.dest.upper()}"
                said = (action.help or "").replace("%(default)s", str(action.default)).replace("%%", "%")
                yield row(f"`{written}`", cell(said) + (" (required)" if action.required and action.option_strings else ""))
            yield ""


def extras() -> Iterator[str]:
    """Optional dependencies, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    yield "# Extras"
    yield ""
    yield "This page is generated from `pyproject.toml`. An extra is installed with `pip install 'tenfold[EXTRA]'`."
    yield ""
    yield from table("extra", "packages")
    for extra, packages in project["optional-dependencies"].items():
        yield row(f"`{extra}`", ", ".join(f"`{package}`" for package in packages))


GENERATED = {
    "reference/stages.md": stages,
    "reference/tasks.md": tasks,
    "reference/task-file.md": task_file,
    "reference/environments.md": environments,
    "reference/command-line.md": command_line,
    "reference/extras.md": extras,
}
"""Pages by their place in the site."""


def pages() -> Iterator[tuple[str, str]]:
    """Every generated page: its place and its text."""
    for place, page in GENERATED.items():
        yield place, "\n".join(page()) + "\n"


def write(folder: Path) -> None:
    """Writes the pages under a folder."""
    for place, text in pages():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")


PACKAGE = ROOT / "build" / "docs" / "tenfold"
"""The package as mkdocstrings finds it (`paths` in mkdocs.yml). The repository's root also holds virtual environments with
links back to it, and mkdocstrings follows links."""


def on_startup(command: str, dirty: bool) -> None:
    """Makes the folder in which mkdocstrings finds the package: links to its modules and packages, and to nothing else."""
    shutil.rmtree(PACKAGE, ignore_errors=True)
    PACKAGE.mkdir(parents=True)
    for entry in ROOT.iterdir():
        if entry.suffix == ".py" or (entry / "__init__.py").is_file():
            (PACKAGE / entry.name).symlink_to(entry)


def on_files(files: Any, config: Any) -> Any:
    """Adds the generated pages to the site."""
    file = importlib.import_module("mkdocs.structure.files").File  # only the extra `docs` has it
    for place, text in pages():
        files.append(file.generated(config, place, content=text))
    return files


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("folder", type=Path, help="folder to write the pages to")
    write(arguments.parse_args().folder)
