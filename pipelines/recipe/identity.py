"""The identity of a stage: everything that determines its result. A resume compares it with the identity in the stage's folder.

`settings.json` (written when the stage begins) and `stage.json` (written when it ends) contain the identity:

    stage, seed, policy    the settings in the recipe
    inputs                 digests of the policy's weights and of the data files that the settings name
    identity               all else that affects the result: environments, verifiers, judges, other data and other policies by
                           content, and the settings and results of the earlier stages that this stage reads from

A stage is resumed, or skipped as finished, only if its identity is equal. The following are recorded but not compared:

    - the settings in `may_change` of the stage's class, and the cluster, because they do not affect the result
    - the number of steps, if the stage continues work with fewer steps (`Stage.extension`)
    - versions of packages, this one included: the run prints the differences. Samples are expensive, and a new version seldom
      changes a verdict. `tenfold bench rescore` judges the stored samples of benchmarks again
    - the sandbox for programs (TENFOLD_SANDBOX), recorded with the versions
    - the commit and the machine (`provenance.py`)

If a stage reads from an unfinished stage, only part of its identity can be compared. The rest is compared when it starts.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ... import digests, disk
from ...core import UserError
from ...envs import identity as environments
from ...envs.identity import Identity
from ...policies import checkpoints
from ...policies import identity as policies
from ..stage import Extension, Stage, finished_record, read_record, work_record
from .content import changes, data_digests, references

RECORDED = ("torch", "transformers", "verl", "ray", "vllm", "gymnasium", "datasets", *environments.VERDICT_PACKAGES)
"""Packages whose versions a stage records if they are installed."""
MAX_CHARACTERS = 60
"""Characters of a setting's value in a message."""
MAX_STAGES = 3
"""Stages that a message names."""

_NOT_RESTORED = frozenset(("name", "kind", "seed", "policy"))
"""Settings for which no --set is suggested: another name or kind is another stage; seed and policy may be the recipe's."""

_SKIPPED = frozenset(("name", "kind", "seed", "policy", "environment", "options", "keep", "stages", "baselines"))
"""Settings whose values are not searched for files and URIs: they are compared as text, or `identity_of` treats them itself."""
_DATA = ("problems", "pairs", "sources", "uri", "decontaminate")
"""Names of settings that are URIs of problems, pairs or documents."""
_FOLDERS = ("documents", "tags", "similar", "data", "pairs", "compare", "held_out_data")
"""Names of settings whose values are folders written by a stage. A stage whose `data` is a folder of benchmark files compares
these files itself."""


@dataclasses.dataclass(frozen=True)
class StageIdentity:
    """The identity of a stage at one time."""

    settings: dict[str, Any]
    """The part of `settings.json` that is compared."""
    complete: bool
    """False if the stage reads from a stage that is not finished."""

    def digest(self, may_change: frozenset[str]) -> str:
        """Returns the digest of the identity, without the settings that may change."""
        return digests.of({name: value for name, value in _flat(self.settings).items() if name not in may_change})


@dataclasses.dataclass(frozen=True)
class IdentityReader:
    """Computes the identities of one recipe's stages."""

    folder: Path
    """Folder of the run."""
    seeds: Mapping[str, int]
    """Base seed of each stage, by name."""
    named: Mapping[str, tuple[Stage, str]]
    """Each stage with its references {stage:NAME}, and the policy that it starts from; by name, in the recipe's order."""
    environments: Mapping[str, Mapping[str, Any]]
    """The recipe's registrations of environments, with references."""

    def identity_of(self, stage: Stage, policy: str) -> StageIdentity:
        """Returns the identity of a stage.

        Args:
            stage: with references replaced.
            policy: URI that it starts from; empty for none.

        Raises:
            UserError: a file, environment or policy that it names is missing.
        """
        original, original_policy = self.named[stage.name]
        found: Identity = {}
        inputs: dict[str, str] = {}
        for earlier in sorted(self.reads(stage.name)):
            found[f"stage {earlier}"] = self.settings_digest(earlier)
        removed = self._done(stage.name) and self._is_removed(original_policy)
        if not self._waits(original_policy) and not removed:
            weights, other = _split(policies.files(policy) if policy else {}, ".safetensors")
            inputs |= {f"policy/{name}": digest for name, digest in weights.items()}
            found |= {f"policy {name}": digest for name, digest in other.items()}
        found |= self._of_results(original)
        values = original.model_dump()
        settings = stage.model_dump(mode="json")
        environment = {name: values[name] for name in ("environment", "options") if name in values}
        if environment and not self._waits(environment):
            parts = environments.of_environment(settings["environment"], settings.get("options"))
            found |= {f"environment {name}": value for name, value in parts.items()}
        skipped = _SKIPPED | stage.compared_in_identity
        for name in sorted(settings.keys() - skipped - stage.may_change):
            if not self._waits(values[name]):
                files, other = self._of_setting(name, settings[name])
                inputs, found = inputs | files, found | other
        if not self._waits(values):
            found |= stage.identity()
        if (source := digests.of_source(type(stage).__module__)) is not None:  # a kind that another package adds
            found["kind source"] = source
        record = {"stage": settings, "seed": self.seeds[stage.name], "policy": policy, "inputs": inputs, "identity": found}
        return StageIdentity(record, complete=not removed and all(map(self._done, self.reads(stage.name))))

    def _of_setting(self, name: str, value: object) -> tuple[dict[str, str], Identity]:
        """Returns the digests of a setting's data files, by URI, and the digests of everything else that it names."""
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
                inputs[rows] = data_digests.of_files(rows, by_content=last not in ("sources", "uri"))
            elif last in _DATA and ":" in text:
                if (digest := data_digests.of_data(last, text)) is not None:
                    found[f"{key} {text} content"] = digest
            elif last in _FOLDERS and Path(text).is_dir() and not Path(text).is_relative_to(self.folder.resolve()):
                done = Path(text) / "stage.json"  # exists if a stage of another run wrote the folder
                label = key if isinstance(value, str) else f"{key} {text}"
                found[f"{label} content"] = digests.of_file(done) if done.is_file() else digests.of_folder(text)
        return inputs, found

    def _of_results(self, stage: Stage) -> Identity:
        """Returns the digests of the results of the earlier stages that a stage's settings name."""
        names = references.stages_named_in(stage.model_dump(), self.environments) | {*stage.named_stages()}
        found = {}
        for earlier in sorted(name for name in names if self._done(name)):
            found[f"stage {earlier} results"] = digests.of(finished_record(self.folder / earlier)["metrics"])
        for earlier, file in stage.files_read().items():
            if self._done(earlier):
                found[f"stage {earlier} {file}"] = digests.of_file(self.folder / earlier / file)
        return found

    def reads(self, name: str) -> set[str]:
        """Returns the earlier stages that a stage reads from."""
        stage, policy = self.named[name]
        referred = references.stages_named_in([stage.model_dump(), policy], self.environments)
        return referred | self._start_of(policy) | {*stage.named_stages()}

    def needs(self, names: Iterable[str]) -> set[str]:
        """Returns stages and all earlier stages that they read from, directly or through another stage."""
        found, waiting = set[str](), [*names]
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting += self.reads(name)
        return found

    def _start_of(self, policy: str) -> set[str]:
        """Returns the stage of this run whose policy a URI names, as a set of at most one name."""
        scheme, _, location = policy.partition(":")
        start = Path(checkpoints.stage_and_step(location)[0])
        return {start.name} if scheme == "stage" and start.parent == self.folder and start.name in self.named else set()

    def settings_digest(self, name: str) -> str:
        """Returns the digest of a stage's settings and of the settings of the stages that it reads from.

        `held_out` of a registration is left out. Only benchmarks use it, and it is part of their own identity.
        """
        return self._settings_digests[name]

    @functools.cached_property
    def _settings_digests(self) -> dict[str, str]:
        """The digests of all stages. Each is computed once, because several stages may read from the same earlier stage."""
        found: dict[str, str] = {}
        for stage_name, (stage, policy) in self.named.items():
            settings = stage.model_dump(mode="json", exclude=set(stage.may_change))
            used = {
                id: {name: value for name, value in self.environments[id].items() if name != "held_out"}
                for id in sorted(references.environments(settings, self.environments))
            }
            start = policy if not policy.startswith("stage:") else ""  # a stage of this run is in `before`
            before = {earlier: found[earlier] for earlier in sorted(self.reads(stage_name))}
            found[stage_name] = digests.of([settings, self.seeds[stage_name], start, used, before])
        return found

    def _waits(self, value: object) -> bool:
        """True if settings refer to a stage that is not finished, or to its policy."""
        named = references.stages_named_in(value, self.environments)
        texts = value if isinstance(value, list) else [value]
        named |= {name for text in texts if isinstance(text, str) for name in self._start_of(text)}
        return any(not self._done(name) for name in named)

    def _is_removed(self, policy: str) -> bool:
        """True if a policy is of a finished stage whose checkpoint was removed since, for example to save space."""
        if not any(self._done(name) for name in self._start_of(policy)):
            return False
        try:
            checkpoints.checkpoint(policy)
        except UserError:
            return True
        return False

    def _done(self, name: str) -> bool:
        return (self.folder / name / "stage.json").is_file()


def check_same(
    stages: Iterable[tuple[Stage, StageIdentity]], run: Path, *, may_extend: bool = True, inexact: bool = False
) -> None:
    """Compares the identities of stages with those in their folders.

    Args:
        stages: the stages with their identities now.
        run: folder of the run.
        may_extend: a stage may have more steps than its work (see `extension_of`).
        inexact: an extended stage may have another result than a new run.

    Raises:
        UserError: an identity differs; the message names the first difference of each stage and says what to do. It names
            the options --set that restore the earlier settings, if `_options` finds them for each stage.
    """
    differences, options = [], []
    for stage, current in stages:
        if text := difference(stage, current, run / stage.name, may_extend=may_extend):
            differences.append(f"{run / stage.name} {text}")
            options.append(_options(stage, current, run / stage.name, may_extend))
        elif may_extend and not inexact and (extension := extension_of(stage, run / stage.name)) and extension.difference:
            raise UserError(
                f"{run / stage.name} {_difference_text('steps', extension.step, current.settings['stage']['steps'])}: going on "
                f"gives another result than a new run, because {extension.difference}; add --inexact to go on all the same, or "
                "choose another --out"
            )
    if differences:
        more = f"; and {len(differences) - MAX_STAGES} more" if len(differences) > MAX_STAGES else ""
        restoring = [] if None in options else [option for named in options for option in named or ()]
        add = f"add {' '.join(restoring)}, " if restoring else ""
        folders = "that folder" if len(differences) == 1 else "those folders"
        advice = f"{add}choose another --out, or remove {folders} and those of the later stages"
        raise UserError(f"{'; '.join(differences[:MAX_STAGES])}{more}: {advice}")


def extension_of(stage: Stage, folder: Path) -> Extension | None:
    """Returns how a stage continues the work in its folder, which had fewer steps; None if it does not."""
    before = work_record(stage, folder)
    if before is None or before["stage"]["kind"] != stage.kind:
        return None
    extension = stage.extension(before["stage"])
    if extension is None or disk.step_folders(folder):
        return extension
    return None if "metrics" in before else extension._replace(difference="")  # unfinished: begins again like a new run


def difference(stage: Stage, current: StageIdentity, folder: Path, *, may_extend: bool = True) -> str:
    """Returns the first difference between a stage's identity and that of the work in its folder; empty if there is none.

    Args:
        stage: the stage.
        current: its identity now.
        folder: its folder.
        may_extend: a greater number of steps is no difference if the work can be continued.
    """
    before = work_record(stage, folder)
    if before is None:
        return ""
    if "identity" not in before:
        return "was started by an earlier version, which did not record the identity of environments and data"
    if not (changed := _changed(stage, current, folder, before, may_extend)):
        return ""
    name, (then, now) = min(changed.items(), key=lambda item: _rank(item[0]))
    lacks = may_extend and name in ("steps", "phases") and not extension_of(stage, folder) and stage.extension(before["stage"])
    missing = ", and there is no checkpoint to go on from" if lacks else ""
    return _difference_text(name, then, now) + missing


def _options(stage: Stage, current: StageIdentity, folder: Path, may_extend: bool) -> list[str] | None:
    """Returns the options that restore the settings in a stage's folder; None if none do. Empty if only earlier stages differ.

    Digests of data and code are not considered, because they often follow from a setting.
    """
    before = work_record(stage, folder)
    changed = _changed(stage, current, folder, before, may_extend) if before and "identity" in before else {}
    if changed and all(name.startswith("stage ") for name in changed):
        return []
    settings = {name: then for name, (then, _) in changed.items() if name in type(stage).model_fields}
    of_run = f"{folder.parent.resolve()}/"  # such a path has replaced a reference to an earlier stage
    texts = [str(value) for value in settings.values()]
    if _NOT_RESTORED & settings.keys() or any(of_run in text or len(text) > MAX_CHARACTERS for text in texts):
        return None
    return changes.options(stage.name, settings) or None


def _changed(
    stage: Stage, current: StageIdentity, folder: Path, before: Mapping[str, Any], may_extend: bool
) -> dict[str, tuple[Any, Any]]:
    """Returns the entries of a stage's identity that differ from those of the record in its folder: then and now."""
    extension = extension_of(stage, folder) if may_extend else None
    then, now = _flat(before), _flat(current.settings)
    names = (then.keys() | now.keys() if current.complete else now.keys()) - stage.may_change
    names -= extension.changed if extension else set()
    return {name: (then.get(name), now.get(name)) for name in sorted(names) if then.get(name) != now.get(name)}


def changed_versions(folder: Path) -> str:
    """Returns the versions that have changed since a stage began, as text; empty if none has."""
    before, now = (read_record(folder) or {}).get("versions", {}), environments.versions(RECORDED)
    changed = [f"{name} {before[name]} (now {now[name]})" for name in now if before.get(name, now[name]) != now[name]]
    return ", ".join(changed)


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {f"file {name}": digest for name, digest in record.get("inputs", {}).items()}
    policy = record["policy"]
    if policy.startswith("stage:"):  # only the name, because the run's folder may be given as different paths
        policy = f"stage:{Path(policy.removeprefix('stage:')).name}"
    return record["stage"] | {"seed": record["seed"], "policy": policy} | inputs | record.get("identity", {})


def _rank(name: str) -> tuple[bool, bool, bool, str]:
    """Sort key of differences: settings, then other entries, then digests of files and code, then earlier stages.

    Digests come after other entries because a digest tells the user least.
    """
    digest = name.startswith("file ") or name.endswith(("content", "source"))
    return name.startswith("stage "), digest, " " in name, name


def _difference_text(name: str, then: object, now: object) -> str:
    if name.startswith("stage "):
        stage, _, part = name.removeprefix("stage ").partition(" ")
        return f"was started with other {part or 'settings'} of the stage {stage}"
    return f"was started with {name}={_short(then)}, which is now {_short(now)}"


def _short(value: object) -> str:
    if isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef"):
        return f"{value[:12]}…"
    text = repr(value)
    return text if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]}…"


def _split(files: Mapping[str, str], ending: str) -> tuple[dict[str, str], dict[str, str]]:
    """Splits a mapping into the names with this ending and the others."""
    parts: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for name, value in files.items():
        parts[not name.endswith(ending)][name] = value
    return parts


def _texts(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yields each text in a setting with its path of names; texts in a list have the list's name."""
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(f"{name} {key}", item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(name, item)
