"""What decides the result of a stage, and whether a stage's folder was begun with the same.

The identity of a stage is in `settings.json` when the stage begins, and in `stage.json` when it is done:

    stage, seed, policy    settings as the recipe gives them
    inputs                 digests of the policy's weights and of the files of data that the settings name
    identity               everything else that decides: environments, verifiers, judges, other data and other policies by
                           their contents, the settings of the earlier stages that this one reads from, and their results

A stage that was begun or is done is only taken up again with an equal identity. What may differ is

    - the settings that a kind of stage lists as `may_change`, and the cluster: what it takes to run, not what comes out
    - versions of packages, this one among them: both are recorded, and the run says that they differ. Samples are dear and a
      new version seldom changes a verdict; `tenfold bench rescore` judges the stored samples of benchmarks again
    - the sandbox that programs run in (TENFOLD_SANDBOX), recorded with the versions

A stage that reads from an earlier one that is not done can only be compared in part; the rest follows when it is its turn.
"""

import dataclasses
import glob
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from ... import digests
from ...core import UserError
from ...envs import identity as environments
from ...envs.identity import Identity
from ...envs.problems import pairs
from ...envs.problems import sources as problem_sources
from ...policies import identity as policies
from ..corpus import documents
from ..stage import Stage, finished, record
from . import references

RECORDED = ("torch", "transformers", "verl", "ray", "vllm", "gymnasium", "datasets", *environments.VERDICT_PACKAGES)
"""Packages whose versions a stage records, where they are installed."""
SHOWN = 60
"""Characters of a setting that a message shows."""
SAID = 3
"""Stages that a message names."""

_APART = frozenset(("name", "kind", "seed", "policy", "environment", "options", "keep", "of"))
"""Settings that are not looked at one by one: these are compared as they are, or name what is looked at as a whole."""


_DATA = ("problems", "pairs", "sources", "uri", "against")
"""Names of settings that are URIs of problems, pairs or documents."""
_FOLDERS = ("documents", "tags", "similar", "data", "pairs")
"""Names of settings that are folders which a stage leaves. Of a folder of benchmarks' files only those of the tasks count."""


@dataclasses.dataclass(frozen=True)
class Made:
    """What a stage is made with."""

    settings: dict[str, Any]
    """As `settings.json` holds it."""
    whole: bool
    """Whether all of it is known: not while the stage reads from one that is not done."""

    def digest(self, may_change: frozenset[str]) -> str:
        """The digest of all that decides the result."""
        return digests.of({name: value for name, value in _flat(self.settings).items() if name not in may_change})


@dataclasses.dataclass(frozen=True)
class Reader:
    """Looks at what the stages of one recipe are made with."""

    folder: Path
    """The run's."""
    seeds: Mapping[str, int]
    """Of every stage, by name."""
    named: Mapping[str, tuple[Stage, str]]
    """Every stage as the recipe gives it, with `{stage:NAME}` left as it is, and the policy that it starts from."""
    environments: Mapping[str, Mapping[str, Any]]
    """Those that the recipe registers, likewise."""

    def made(self, stage: Stage, policy: str) -> Made:
        """What a stage is made with.

        Args:
            stage: with the folders of earlier stages filled in.
            policy: URI that it starts from; empty for none.

        Raises:
            UserError: something that it refers to is not there.
        """
        as_given, policy_given = self.named[stage.name]
        found: Identity = {}
        inputs: dict[str, str] = {}
        for earlier in sorted(self._reads(stage.name)):
            found[f"stage {earlier}"] = self._settings_of(earlier)
        gone = self._done(stage.name) and self._is_gone(policy_given)
        if not self._waits(policy_given) and not gone:
            weights, other = _parted(policies.files(policy) if policy else {}, ".safetensors")
            inputs |= {f"policy/{name}": digest for name, digest in weights.items()}
            found |= {f"policy {name}": digest for name, digest in other.items()}
        found |= self._of_results(as_given, policy_given)
        given = as_given.model_dump()
        settings = stage.model_dump(mode="json")
        environment = {name: given[name] for name in ("environment", "options") if name in given}
        if environment and not self._waits(environment):
            made = environments.of_environment(settings["environment"], settings.get("options"))
            found |= {f"environment {name}": value for name, value in made.items()}
        apart = _APART | stage.compared_in_identity
        for name in sorted(settings.keys() - apart - stage.may_change):
            if not self._waits(given[name]):
                files, other = self._of_setting(name, settings[name])
                inputs, found = inputs | files, found | other
        if not self._waits(given):
            found |= stage.identity()
        if (source := digests.of_source(type(stage).__module__)) is not None:  # a kind that another package adds
            found["kind source"] = source
        record = {"stage": settings, "seed": self.seeds[stage.name], "policy": policy, "inputs": inputs, "identity": found}
        return Made(record, whole=not gone and not self._waits([given, policy_given, *self._reads(stage.name)]))

    def _of_setting(self, name: str, value: Any) -> tuple[dict[str, str], Identity]:
        """What a setting refers to: digests of files of rows, by their URIs; and of everything else."""
        inputs: dict[str, str] = {}
        found: Identity = {}
        for key, text in _texts(name, value):
            last = key.rpartition(" ")[2]
            rows = text.removeprefix("problems:")
            if last == "verifier":
                found |= {f"{key} {part}": item for part, item in environments.of_verifier(text).items() if part}
            elif last in environments.POLICIES:
                files = policies.files(text) if ":" in text and text != "rules:" else {}
                found |= {f"{key} {part}": item for part, item in files.items()}
            elif last in _DATA and rows.startswith(("jsonl:", "parquet:")):
                inputs[rows] = _of_files(Path(part.partition(":")[2].partition("?")[0]) for part in documents.file_uris(rows))
            elif last in _DATA and ":" in text:
                if (digest := _of_data(last, text)) is not None:
                    found[f"{key} {text} content"] = digest
            elif last in _FOLDERS and Path(text).is_dir() and not Path(text).is_relative_to(self.folder.resolve()):
                done = Path(text) / "stage.json"  # a stage's of another run
                found[f"{key} content"] = digests.of_file(done) if done.is_file() else digests.of_folder(text)
        return inputs, found

    def _of_results(self, stage: Stage, policy: str) -> Identity:
        """What the earlier stages that a stage reads from, not only as its policy, came to."""
        names = references.named(stage.model_dump(), self.environments) | {*stage.named_stages()}
        found = {}
        for earlier in sorted(name for name in names if self._done(name)):
            found[f"stage {earlier} results"] = digests.of(finished(self.folder / earlier)["metrics"])
        for earlier, file in stage.reads_files().items():
            if self._done(earlier):
                found[f"stage {earlier} {file}"] = digests.of_file(self.folder / earlier / file)
        return found

    def _reads(self, name: str) -> set[str]:
        """Earlier stages that a stage reads from."""
        stage, policy = self.named[name]
        scheme, _, folder = policy.partition(":")
        start = Path(folder)
        own = {start.name} if scheme == "stage" and start.parent == self.folder and start.name in self.named else set()
        return own | references.named([stage.model_dump(), policy], self.environments) | {*stage.named_stages()}

    def _settings_of(self, name: str) -> str:
        """The digest of a stage's settings and of those of the stages that it reads from."""
        stage, policy = self.named[name]
        given = stage.model_dump(mode="json", exclude=set(stage.may_change))
        used = {id: self.environments[id] for id in sorted(references.environments(given, self.environments))}
        start = policy if not policy.startswith("stage:") else ""  # one of the stages that it reads from
        before = {earlier: self._settings_of(earlier) for earlier in sorted(self._reads(name))}
        return digests.of([given, self.seeds[name], start, used, before])

    def _waits(self, value: Any) -> bool:
        """Whether settings name a stage that is not done, or a policy that one is to leave."""
        named = references.named(value, self.environments)
        texts = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        named |= {text for text in texts if isinstance(text, str) and text in self.named}
        starts = (Path(text.removeprefix("stage:")) for text in texts if isinstance(text, str) and text.startswith("stage:"))
        named |= {start.name for start in starts if start.parent == self.folder}
        return any(not self._done(name) for name in named)

    def _is_gone(self, policy: str) -> bool:
        """Whether a policy is of an earlier stage that is done, and whose checkpoint was removed since, say for its size."""
        start = Path(policy.removeprefix("stage:"))
        own = policy.startswith("stage:") and start.parent == self.folder and self._done(start.name)
        return own and not (start / "policy").is_dir()

    def _done(self, name: str) -> bool:
        return (self.folder / name / "stage.json").is_file()


def check_same(stages: Iterable[tuple[Stage, Made]], run: Path) -> None:
    """Compares what stages are made with to what their folders were begun with, where they were begun.

    Args:
        stages: the stages, and what each would be made with now.
        run: the run's folder.

    Raises:
        UserError: something differs that may not; one line that names it, the first thing of each stage, and says what to do.
    """
    said = []
    for stage, made in stages:
        folder = run / stage.name
        before = record(folder)
        if before is not None and (differs := _difference(before, made, stage.may_change)):
            said.append(f"{folder} {differs}")
    if said:
        more = f"; and {len(said) - SAID} more" if len(said) > SAID else ""
        raise UserError(f"{'; '.join(said[:SAID])}{more}: choose another --out, or remove {_FROM[len(said) > 1]}")


def _difference(before: Mapping[str, Any], made: Made, may_change: frozenset[str]) -> str:
    """The first thing that differs and may not, in words; empty where there is none."""
    if "identity" not in before:
        return "was begun by an earlier version, whose record does not say which environments and data decided its result"
    then, now = _flat(before), _flat(made.settings)
    names = (then.keys() | now.keys() if made.whole else now.keys()) - may_change
    name = min((name for name in names if then.get(name) != now.get(name)), key=_rank, default="")
    return _in_words(name, then.get(name), now.get(name)) if name else ""


def changed_versions(folder: Path) -> str:
    """Which versions differ from those that a stage was begun with, in words; empty where none does."""
    before, now = (record(folder) or {}).get("versions", {}), environments.versions(RECORDED)
    changed = [f"{name} {before[name]} (now {now[name]})" for name in now if before.get(name, now[name]) != now[name]]
    return ", ".join(changed)


_FROM = ("that folder and those of the stages after it", "those folders and those of the stages after them")


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {f"file {name}": digest for name, digest in record.get("inputs", {}).items()}
    policy = record["policy"]
    if policy.startswith("stage:"):  # its weights are compared; the run's folder may be written in several ways
        policy = f"stage:{Path(policy.removeprefix('stage:')).name}"
    return record["stage"] | {"seed": record["seed"], "policy": policy} | inputs | record.get("identity", {})


def _rank(name: str) -> tuple[bool, bool, bool, str]:
    """The order in which differences are said: settings first, then other texts, then digests, which say less."""
    digest = name.startswith("file ") or name.endswith(("content", "source"))
    return name.startswith("stage "), digest, " " in name, name


def _in_words(name: str, then: object, now: object) -> str:
    if name.startswith("stage "):
        stage, _, part = name.removeprefix("stage ").partition(" ")
        return f"was made {f'from other {part}' if part else 'with other settings'} of the stage {stage}"
    return f"was begun with {name}={_short(then)}, not {_short(now)}"


def _short(value: object) -> str:
    if isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef"):
        return f"{value[:12]}…"
    said = repr(value)
    return said if len(said) <= SHOWN else f"{said[:SHOWN]}…"


def _parted(found: Mapping[str, str], ending: str) -> tuple[dict[str, str], dict[str, str]]:
    """What of a mapping has names that end so, and the rest."""
    parts: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for name, value in found.items():
        parts[not name.endswith(ending)][name] = value
    return parts


def _texts(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text in a setting, with the names that lead to it; the texts of a list have the list's name."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(f"{name} {key}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(name, item)


def _of_files(paths: Iterable[Path]) -> str:
    """The digest of one file's content; of several files that of their names and sizes."""
    found = [path.expanduser() for path in paths]
    if len(found) == 1:
        return digests.of_file(found[0])
    return digests.of([[str(path), path.stat().st_size] for path in found])


def _of_data(kind: str, uri: str) -> str | None:
    """The digest of what a URI of problems, pairs or documents gives; None where that is not known before it is read."""
    scheme, _, location = uri.partition("?")[0].partition(":")
    if kind == "pairs":
        known = scheme in pairs.SOURCES
        return digests.of_all(pairs.load(uri)) if known else None
    if scheme == "text":
        return _of_files(Path(path) for path in sorted(glob.glob(str(Path(location).expanduser()), recursive=True)))
    if scheme == "generate" and kind in ("sources", "uri"):
        return digests.of_source(location.partition(":")[0])
    if scheme == "hf" and kind in ("sources", "uri"):
        options = dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))
        fingerprint = getattr(problem_sources.hub_rows(uri, location, options), "_fingerprint", None)
        return None if fingerprint is None else str(fingerprint)
    held = uri.removeprefix("problems:")
    return environments.of_problems(held) if held.partition(":")[0] in problem_sources.SOURCES else None
