"""Every code block of README.md and of the site is run, as is every command between backticks.

A page is followed from top to bottom in an empty folder, as a reader would follow it:

    python              blocks run in one namespace; a `text` block directly after one contains its expected output
    python title="F"    and json, jsonl, yaml, toml, text: the block is written to the file F
    yaml                a recipe: checked as `tenfold run FILE --dry-run` does it; or a cluster, one stage, or a task file
    bash                each command is run; `make X` and `pip install 'tenfold[X]'` are only looked up, because they install
    console             `$ command`, followed by its output

In expected output `...` stands for anything. An HTML comment before a block changes how it is treated:

    <!-- test: slow -->           run by `make test-slow`; by default only read
    <!-- test: gpu -->            only read: commands by argparse, recipes by pydantic
    <!-- test: read REASON -->    as above, for example because it needs data from the hub
    <!-- test: skip REASON -->    not tested
"""

import argparse
import contextlib
import dataclasses
import importlib
import importlib.util
import io
import json
import os
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tenfold import cli
from tenfold.benchmarks import catalogue
from tenfold.benchmarks.task_file import TaskFile
from tenfold.core import UserError
from tenfold.envs import built_in
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.recipe import recipe
from tenfold.pipelines.stage import Stage
from tenfold.pipelines.stages import KINDS

ROOT = Path(__file__).parents[2]
COMMANDS = (
    *("run", "env list", "env check", "env show", "env play", "env new", "rollout", "show", "bench", "task check"),
    *("synthesize", "verify", "fetch", "doctor", "status", "view", "track", "autopsy", "serve", "policy serve", "push", "pull"),
)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
BLOCK = re.compile(
    r"(?:<!-- test: (?P<mark>slow|gpu|read|skip)(?P<reason>[^\n]*?) -->\n+)?"
    r'^(?P<indent> *)```(?P<language>\w+)(?: title="(?P<title>[^"\n]+)")?(?P<rest>[^\n]*)\n(?P<text>.*?)^ *```$',
    re.DOTALL | re.MULTILINE,
)
FILES = ("json", "jsonl", "yaml", "toml", "text", "python")
"""Languages of blocks that may be files of the reader's."""
LOOKED_UP = ("make", "pip", "python")
"""Commands that are not run."""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    title: str | None
    mark: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.language})"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in their order."""
    content, found = page.read_text(encoding="utf-8"), []
    for match in BLOCK.finditer(content):
        line = content.count("\n", 0, match.start("language")) + 1
        text = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        mark, reason = match["mark"] or "", (match["reason"] or "").strip()
        found.append(Block(str(page.relative_to(ROOT)), line, match["language"], match["title"], mark, reason, text))
    return found


def commands(text: str) -> list[str]:
    """The commands of a bash block: lines, joined where they end in a backslash, without comments."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip() and not line.strip().startswith("#")]


def console(text: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with its output."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not parts[0].strip(), "a console block begins with `$ `"
    return [(first.strip(), rest) for first, _, rest in (part.partition("\n") for part in parts[1:])]


def words(command: str) -> list[str]:
    """A command as the shell splits it."""
    return shlex.split(command, comments=True)


def matches(expected: str, said: str) -> bool:
    """Whether output is as a page shows it; `...` stands for anything, and so does white space for any white space."""
    pieces = [re.escape(piece).replace(r"\ ", " ") for piece in " ".join(expected.split()).split("...")]
    return re.fullmatch(".*".join(pieces), " ".join(said.split()), re.DOTALL) is not None


def read(command: str, written: set[str]) -> None:
    """Checks a command without running it: its options, the recipe it names, the target, the extra, the module."""
    program, *given = words(command)
    if "=" in program:
        return
    if program == "tenfold":
        try:
            parsed = cli.parser().parse_args(given)
        except SystemExit as ended:
            if ended.code:
                raise AssertionError(f"argparse rejects `{command}`") from None
            return  # --help
        if parsed.command == "run" and parsed.recipe not in written and not parsed.recipe.endswith(".yaml"):
            recipe.load(parsed.recipe)
    elif program == "make":
        targets = re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert all(target in targets or "=" in target for target in given), f"there is no target {given} in the Makefile"
    elif program == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for named in re.findall(r"tenfold\[([^]]+)\]", command):
            assert all(extra in extras for extra in named.split(",")), f"there is no extra {named}"
    elif program == "python":
        if "-m" in given:
            module = given[given.index("-m") + 1]
            found = importlib.util.find_spec(module)
            assert found, f"there is no module {module}"
            if module.startswith("tenfold.") and found.origin:
                program = (
                    Path(found.origin).with_name("__main__.py") if found.submodule_search_locations else Path(found.origin)
                )
                text = program.read_text()
                for option in re.findall(r"--[a-z-]+", " ".join(given)):
                    assert f'"{option}"' in text, f"{module} has no option {option}"
        else:
            assert (ROOT / given[0]).is_file(), f"there is no program {given[0]}"
    else:
        pytest.fail(f"`{command}`: only tenfold, make, pip and python are known here; mark the block `skip`")


def run(command: str) -> str:
    """Runs a command of tenfold's in this process; what it prints."""
    said, wrong = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
        try:
            code = cli.main(words(command)[1:])
        except SystemExit as ended:
            code = int(ended.code or 0)
    assert code == 0, f"`{command}` exits with {code}: {(wrong.getvalue() + said.getvalue()).strip()[-500:]}"
    return said.getvalue()


def settings(block: Block, place: Path, runs: bool) -> None:
    """Checks a YAML block: a recipe, a cluster, a stage or a task file."""
    content = yaml.safe_load(block.text)
    if isinstance(content, list):
        content = {"stages": content}
    if "stages" in content:
        complete = {"name": "page", "policy": "micro:"} | content
        file = place / (block.title or "page.yaml")
        if complete != content:
            file.write_text(yaml.safe_dump(complete, sort_keys=False))
        elif not block.title:
            file.write_text(block.text)
        recipe.load(file)
        if runs:
            run(f"tenfold run {file.name} --dry-run")
    elif "kind" in content:
        KINDS[content["kind"]].model_validate(content)
    elif content.keys() <= TaskFile.model_fields.keys():
        TaskFile.model_validate(content)
    elif content.keys() <= Cluster.model_fields.keys():
        Cluster.model_validate(content)
    else:
        pytest.fail(f"{block}: neither a recipe nor a cluster nor a stage nor a task file; mark it `skip`")


def follow(page: Path, slow: bool) -> None:
    """Follows a page in the folder that the process is in."""
    place, written, before = Path.cwd(), set[str](), dict(os.environ)
    names: dict[str, object] = {"__name__": "page"}
    printed: str | None = None
    for block in blocks(page):
        runs, shown, printed = block.mark == "" or (slow and block.mark == "slow"), printed, None
        if block.mark == "skip":
            continue
        if block.title:
            assert block.language in FILES, f"{block}: no language of files"
            (place / block.title).parent.mkdir(parents=True, exist_ok=True)
            (place / block.title).write_text(block.text)
            written.add(block.title)
        with failing_at(block):
            if block.language == "python" and not block.title:
                code = compile(block.text, str(block), "exec")
                if runs:
                    out = io.StringIO()
                    with contextlib.redirect_stdout(out):
                        exec(code, names)
                    printed = out.getvalue()
            elif block.language == "python":
                compile(block.text, str(block), "exec")
            elif block.language == "yaml":
                settings(block, place, runs)
            elif block.language in ("json", "jsonl"):
                for line in block.text.splitlines() if block.language == "jsonl" else [block.text]:
                    json.loads(line)
            elif block.language == "toml":
                tomllib.loads(block.text)
            elif block.language == "text" and not block.title:
                if shown is not None:
                    assert matches(block.text, shown), f"{block}: the block before it prints\n{shown}"
            elif block.language in ("bash", "console"):
                told = console(block.text) if block.language == "console" else [(one, "") for one in commands(block.text)]
                for command, output in told:
                    if command.startswith("export "):
                        os.environ.update(one.split("=", 1) for one in words(command)[1:])
                        continue
                    read(command, written)
                    if runs and words(command)[0] not in LOOKED_UP:
                        said = run(command)
                        assert not output.strip() or matches(output, said), f"{block}: `{command}` prints\n{said}"
            elif block.language != "text":
                pytest.fail(f"{block}: blocks of this language are not tested; known are python, bash, console, {FILES}")
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)


@contextlib.contextmanager
def failing_at(block: Block) -> Iterator[None]:
    """Has a failure say which block it is of."""
    said = None
    try:
        yield
    except (UserError, AssertionError) as wrong:
        said = str(wrong)
    except Exception as wrong:
        raise RuntimeError(f"{block} fails") from wrong
    if said is not None:
        pytest.fail(said if said.startswith(str(block)) else f"{block}: {said}", pytrace=False)


@pytest.fixture
def reader(lab: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A reader's folder, without variables of ours in the environment."""
    for variable in [name for name in os.environ if name.startswith("TENFOLD_") and name not in KEPT]:
        monkeypatch.delenv(variable)
    return lab


MENTIONED = {"resume.yaml", "recipe.yaml"}
"""Recipes that texts speak of."""
KEPT = ("TENFOLD_CACHE", "TENFOLD_CONFIG", "TENFOLD_SANDBOX_WITHOUT")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
@pytest.mark.usefixtures("sandboxed", "reader")
def test_a_page_can_be_followed(page: Path) -> None:
    follow(page, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.mark == "slow" for block in blocks(page))], ids=lambda page: page.name
)
@pytest.mark.usefixtures("sandboxed", "reader")
def test_a_page_can_be_followed_to_its_end(page: Path) -> None:
    follow(page, slow=True)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_and_path_in_a_text_exists(page: Path) -> None:
    content = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for said in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", content):
        if re.match(r"(tenfold|make|python -m tenfold\S*|python docs/\S+) \S", said) and "..." not in said:
            if said.removeprefix("tenfold ") not in COMMANDS:  # a command by its name alone
                read(re.sub(r"\b(K|N|M)\b", "1", said), MENTIONED)
        elif re.fullmatch(r"(envs|verifiers|policies|benchmarks|pipelines|tests|docs)/[\w./-]+", said):
            assert (ROOT / said).exists(), f"{page.name}: there is no {said}"


@pytest.mark.parametrize("page", [ROOT / "README.md", *ROOT.glob("[A-Z]*.md")], ids=lambda page: page.name)
def test_links_between_files_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"(?:\]\(|src=\")([^)\"#:]+)(?:#[^)]*)?[)\"]", page.read_text(encoding="utf-8")):
        if not link.startswith("examples/"):  # a folder of its own
            assert (ROOT / link).exists(), f"{page.name} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_to_sections_lead_somewhere(page: Path) -> None:
    for link, anchor in re.findall(r"\]\(([^)#:]*\.md|)#([^)]+)\)", page.read_text(encoding="utf-8")):
        target = page if not link else (page.parent / link).resolve()
        if target.exists():  # else generated by docs/generate.py
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            named = {found[1] for heading in headings if (found := re.search(r"\{ #([\w-]+) \}", heading))}
            slugs = {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
            assert anchor in named | slugs, f"{page.name} links to {link}#{anchor}"


def test_a_skipped_block_says_why() -> None:
    skipped = [block for page in PAGES for block in blocks(page) if block.mark in ("skip", "read")]
    assert not [str(block) for block in skipped if not block.reason]


def test_every_fence_of_a_page_is_found() -> None:
    for page in PAGES:
        fences = len(re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert fences == 2 * len(blocks(page)), f"{page}: a fence without a language, or one that is not closed"


def test_every_page_is_in_the_navigation() -> None:
    # mkdocs.yml has tags of Python's (`!!python/name:`); only its texts matter here
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    for page in (ROOT / "docs").rglob("*.md"):
        assert str(page.relative_to(ROOT / "docs")) in nav, f"{page} is not in mkdocs.yml"


def generated() -> dict[str, str]:
    """The pages that docs/generate.py makes, by their place."""
    spec = importlib.util.spec_from_file_location("generate_pages", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.pages())


def test_the_reference_has_every_setting_task_environment_and_command() -> None:
    pages = generated()
    for kind, stage in KINDS.items():
        section = pages["reference/stages.md"].partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
        missing = [name for name in stage.model_fields.keys() - Stage.model_fields.keys() if f"| `{name}` |" not in section]
        assert not missing, f"{kind} lacks {missing}"
    assert "base seed of every stage; ≥ 0, ≤ 4294967295 |" in pages["reference/stages.md"]
    for task in catalogue.names():
        assert f"\n## {task}\n" in pages["reference/tasks.md"]
    for id in built_in.ENVIRONMENTS:
        assert f"| `{id}` |" in pages["reference/environments.md"]
    for command in COMMANDS:
        assert f"\n## tenfold {command}\n" in pages["reference/command-line.md"]
    assert "`--dry-run`" in pages["reference/command-line.md"]


@pytest.mark.parametrize("name", re.findall(r"^::: (\S+)", (ROOT / "docs/reference/api.md").read_text(), re.MULTILINE))
def test_the_reference_names_what_exists(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", "print(1 / 0)"),
        ("bash", "tenfold verify --gold 1 --anwser 1"),
        ("bash", "tenfold run no_such_recipe --dry-run"),
        ("bash", "tenfold env check lab/Nothing-v0"),
        ("bash", "make no-such-target"),
        ("bash", "pip install 'tenfold[nothing]'"),
        ("bash", "python -m tenfold.benchmarks.speed.nothing"),
        ("bash", "unknown-program --flag"),
        ("console", "$ tenfold verify --gold 1 --response 1\nwrong output"),
        ("yaml", "stages: [{kind: sft, name: sft, problems: 'jsonl:missing.jsonl', steps: 1}]"),
        ("yaml", "stages: [{kind: sft, name: sft, steps: 1, problem: x}]"),
        ("yaml", "nodes: 0"),
        ("ruby", "puts 1"),
    ],
)
@pytest.mark.usefixtures("reader")
def test_a_broken_block_fails(language: str, text: str, lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = ROOT / "docs" / "none.md"
    monkeypatch.setattr(sys.modules[__name__], "blocks", lambda _: [Block("broken.md", 1, language, None, "", "", text + "\n")])
    with pytest.raises((pytest.fail.Exception, RuntimeError)):
        follow(page, slow=False)


def test_argparse_has_no_command_without_a_function() -> None:
    commands = [action for action in cli.parser()._actions if isinstance(action, argparse._SubParsersAction)]
    assert {name.split()[0] for name in COMMANDS} == set(commands[0].choices)
