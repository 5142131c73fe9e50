"""Options and results of benchmark tasks, and the files of a result."""

import contextlib
import dataclasses
import hashlib
import json
import math
import numbers
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NotRequired, TypedDict

import pydantic

from .. import disk
from ..core import Message, Status, UserError
from ..policies.store import PartRow, VerdictRow, part_means
from .stats import scores

CATEGORY = "category "  # start of the names of the figures of categories
MAX_CATEGORIES = 40  # the largest number of categories that are figures of a result; our choice


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """Score of a policy on a task, with everything that it depends on."""

    task: str
    """Name of the result: the task and its k, as in aime24_avg8, and part of a digest if that name was taken (`free_name`)."""
    score: scores.Score
    settings: dict[str, Any]
    """Everything that the score depends on."""
    hash: str
    """Digest of the settings without the policy and the location of the problems. It includes the judge and the versions of all
    packages that decide verdicts. Scores with equal hashes are comparable."""
    truncated: float
    """Share of samples that were truncated at the length limit."""
    tokens: float
    """Mean number of tokens per sample."""
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    """Further metrics by name, 0..1, such as maj@k or a judged benchmark's own metrics."""
    judge: dict[str, int] = dataclasses.field(default_factory=dict)
    """Use of a judge, with stored answers: `questions`, estimated `prompt_tokens`, and `answer_tokens` as far as known."""
    refused: int = 0
    """Samples whose prompt a server refused, for example by its content filter. They have no score and are counted in
    `score.without_score`."""
    store: str = ""
    """Name of the file of samples, in the folder of the result."""
    cautions: list[str] = dataclasses.field(default_factory=list)
    """What the reader should know, for example that the problems may be training problems."""

    @property
    def store_name(self) -> str:
        """Name of the file of samples. Results of earlier versions do not record it; it follows from their names."""
        return self.store or f"{self.task.rsplit('_avg', 1)[0]}.samples.jsonl"

    def as_dict(self) -> dict[str, Any]:
        """Returns the result as JSON data."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """Options of a benchmark run. None stands for the task's own setting."""

    seed: int = 0
    """Base seed of the samples."""
    limit: int | None = None
    """Number of problems, the first ones; None: all."""
    problems: str | None = None
    """Problem URI instead of the task's own."""
    data: str | None = None
    """Folder with the tasks' files instead of the hub."""
    samples: int | None = None
    """Samples per problem, k."""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """Longest sample, in tokens."""
    judge: str | None = None
    """URI of the judge for Arena-Hard, WritingBench, MultiChallenge and Humanity's Last Exam."""
    baseline: str | None = None
    """JSONL files of a baseline's answers for Arena-Hard, comma-separated. A line has uid and answer, or it is one of the
    benchmark's own model answers."""
    system: str | None = None
    """System turn before the prompt."""
    fewshot: int | None = None
    """Number of few-shot examples before each problem."""
    max_turns: int | None = None
    """Limit of the policy's turns in an episode, for environments."""
    text: bool | None = None
    """True: prompts as plain text without a chat template, for base models."""
    thinking: Literal["on", "off"] | None = None
    """Value of `enable_thinking` in the chat template of the policy; None: the template's default."""
    top_k: int | None = None

    def __post_init__(self) -> None:
        if not _is_whole(self.seed):
            raise UserError(f"seed: expected a whole number, got {self.seed!r}")
        for name, minimum in (
            ("samples", 1),
            ("limit", 1),
            ("max_tokens", 1),
            ("max_turns", 1),
            ("top_k", 1),
            ("fewshot", 0),
        ):
            value = getattr(self, name)
            if value is not None and not (_is_whole(value) and value >= minimum):
                raise UserError(f"{name}: expected a whole number of {minimum} or more, got {value!r}")
        if self.temperature is not None and not (_is_number(self.temperature) and 0 <= self.temperature < math.inf):
            raise UserError(f"temperature: expected a finite number of at least 0, got {self.temperature!r}")
        if self.top_p is not None and not (_is_number(self.top_p) and 0 < self.top_p <= 1):
            raise UserError(f"top_p: expected a number above 0 and at most 1, got {self.top_p!r}")
        if self.thinking not in (None, "on", "off"):
            raise UserError(f'thinking: expected "on" or "off", got {self.thinking!r}')
        if self.data is not None and not Path(self.data).is_dir():
            raise UserError(f"data: there is no folder {self.data}")
        if self.text and self.thinking:
            raise UserError("thinking: a plain text prompt has no chat template; omit text or thinking")

    def prompt_settings(self) -> dict[str, object]:
        """Returns `text` and `thinking` if they are set. Samples with other values are not comparable."""
        return {name: value for name in ("text", "thinking") if (value := getattr(self, name))}


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


class ScoredSample(TypedDict):
    """The verdict on a sample, as stored in a result's file."""

    status: str
    score: float | None
    method: str
    reason: str
    judge_messages: Sequence[str]
    parts: NotRequired[Sequence[PartRow]]
    """Omitted if the verdict has no parts."""
    tokens: int
    finish_reason: str


class ScoredProblem(TypedDict):
    """A problem with the verdicts on its samples, as stored in a result's file."""

    problem: str
    """Problem id."""
    prompt: Sequence[Message]
    gold: object
    """Gold answer."""
    meta: Mapping[str, Any]
    request: str
    """Name of the problem's samples in the store; see `PolicyLM.request`."""
    samples: list[ScoredSample]


def results(folder: str | Path) -> list[Result]:
    """Returns the results in a folder, sorted by task.

    Raises:
        UserError: the folder contains no result, or a file is truncated, empty, renamed or from another program.
    """
    found = []
    for path in sorted(Path(folder).glob("*.result.json")):
        remedy = "remove it and run its benchmark again; the samples are stored"
        with disk.reading(path, remedy):
            result = pydantic.TypeAdapter(Result).validate_python(disk.read_object(path, remedy))
            disk.check_types(result.settings, task=str)
            if f"{result.task}.result.json" != path.name or Path(result.store).name != result.store:
                raise ValueError("its task or its store is not the name of a file in its folder")  # both become names of files
            found.append(result)
    if not found:
        raise UserError(f"{folder} contains no result; name a folder that `tenfold bench` has written")
    return found


def scored(folder: str | Path, task: str) -> list[ScoredProblem]:
    """Returns the problems of a task's result with the verdicts on their samples.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = Path(folder) / f"{task}.scores.jsonl"
    remedy = f"`tenfold bench rescore {folder}` judges the stored samples again"
    if not path.is_file():
        raise UserError(f"there is no {path}: {remedy}")
    found: list[ScoredProblem] = []
    with disk.reading(path, remedy):
        for line in path.read_bytes().splitlines():
            row = json.loads(line)
            disk.check_types(row, problem=(str, int), gold=object, prompt=list, samples=list, request=str, meta=dict)
            for turn in row["prompt"]:
                disk.check_types(turn, role=str, content=str)
            for sample in row["samples"]:
                disk.check_types(sample, score=(int, float, type(None)), status=str, method=str, reason=str)
            found.append(row)
    return found


def score_of(samples: Sequence[Sequence[VerdictRow | ScoredSample]]) -> scores.Score:
    """Returns the score over all problems.

    Args:
        samples: the verdicts on the samples of each problem.

    Raises:
        UserError: no sample has a score. The message quotes the first reason.
    """
    try:
        return scores.avg_at_k([[sample["score"] for sample in row] for row in samples])
    except UserError as error:
        first = next((sample["reason"] for row in samples for sample in row), "")
        raise UserError(f"{error}; first reason: {' '.join(first.split())[:400]}") from None


def by_category(rows: Sequence[ScoredProblem]) -> dict[str, float]:
    """Returns the mean score of each category, under "category NAME".

    Empty if not all problems name a category (`category` of their `meta`), or if these are more than `MAX_CATEGORIES`.
    """
    scored: dict[str, list[float]] = {}
    for row in rows:
        found = [sample["score"] for sample in row["samples"] if sample["score"] is not None]
        category = row["meta"].get("category")
        if not isinstance(category, str):
            return {}
        scored.setdefault(category, []).extend([fmean(found)] if found else [])
    if not 1 <= len(scored) <= MAX_CATEGORIES:
        return {}
    return {f"{CATEGORY}{name}": fmean(means) for name, means in scored.items() if means}


def result_of(
    task: str,
    rows: Sequence[ScoredProblem],
    settings: dict[str, Any],
    *,
    hashed: Mapping[str, object],
    figures: Mapping[str, float] | None = None,
    score: scores.Score | None = None,
    judge: Mapping[str, int] | None = None,
    store: str = "",
    cautions: Sequence[str] = (),
) -> Result:
    """Returns the result of a task.

    Args:
        task: name of the result.
        rows: problems with the verdicts on their samples.
        settings: everything that the score depends on.
        hashed: the settings that results must share to be comparable.
        figures: further metrics.
        score, judge: see `Result`; the default score is avg@k of the samples' scores.
        store: name of the file of samples.
        cautions: see `Result.cautions`.

    Raises:
        UserError: no sample has a score.
    """
    sampled = [sample for row in rows for sample in row["samples"]]
    parts = part_means(sample.get("parts", ()) for sample in sampled)
    faults = [sample["reason"] for sample in sampled if sample["status"] == Status.FAULT]
    if faults:
        cautions = [
            *cautions,
            f"{len(faults)} of {len(sampled)} samples have no score because of faults; the first: {faults[0]}",
        ]
    return Result(
        task=task,
        score=score or score_of([row["samples"] for row in rows]),
        settings=settings,
        hash=settings_hash(hashed),
        truncated=sum(sample["finish_reason"] == "length" for sample in sampled) / len(sampled),
        tokens=sum(sample["tokens"] for sample in sampled) / len(sampled),
        figures=dict(figures or {}) | {f"part {name}": mean for name, mean in parts.items()},
        judge=dict(judge or {}),
        refused=sum(sample["method"] == "refused" for sample in sampled),
        store=store,
        cautions=list(cautions),
    )


def sampling_text(sampling: Mapping[str, Any]) -> str:
    """Returns the `sampling` of a result's settings as text, such as "temperature 0.6, top_p 0.95, max_tokens 32".

    Only settings that have an effect are named: temperature 0 is greedy decoding.
    """
    greedy = sampling.get("temperature") == 0 or sampling.get("do_sample") is False
    names = () if greedy else ("temperature", "top_p", "top_k")
    texts = ["greedy decoding"] * greedy + [f"{name} {sampling[name]:g}" for name in names if sampling.get(name) is not None]
    limit = sampling.get("max_gen_toks")
    return ", ".join([*texts, *([f"max_tokens {limit}"] if limit else [])])


CHOSEN = (
    "own number problems_hash samples sampling stop seed limit n_shot verifier template system fewshot examples_hash judge "
    "judging baseline_hash max_turns options text thinking"
).split()
"""Settings of a result that its user chooses. Results that differ in one of them have different files."""


def free_name(folder: str | Path | None, name: str, settings: Mapping[str, object]) -> str:
    """Returns the name under which a result is saved, so that no result replaces one with other settings.

    The first result in a folder has the plain name, such as aime24_avg8. If that name belongs to a result with other settings,
    the name is followed by six digits of a digest of the settings. A result with the same settings is replaced.

    Args:
        folder: folder of the results.
        name: the plain name.
        settings: the result's settings.

    Raises:
        UserError: the result with the plain name is damaged.
    """
    path = Path(folder or "") / f"{name}.result.json"
    if folder is None or not path.exists():
        return name
    remedy = "remove it and run its benchmark again; the samples are stored"
    with disk.reading(path, remedy):
        stored = disk.read_object(path, remedy)["settings"]
        before, after = (settings_hash(_chosen(found)) for found in (stored, settings))
    return name if before == after else f"{name}-{after[:6]}"


def _chosen(settings: Mapping[str, object]) -> dict[str, object]:
    found = {key: settings.get(key) for key in CHOSEN if key != "judging" or key in settings}  # only judged tasks have it
    return {**found, "options": without_location(found["options"])}


def without_location(options: object) -> object:
    """Returns the options of an environment without `problems`, which is a location; `problems_hash` covers its content."""
    return {key: value for key, value in options.items() if key != "problems"} if isinstance(options, Mapping) else options


def free_store(
    folder: str | Path | None, name: str, settings: Mapping[str, object], policy: Mapping[str, object] | None = None
) -> Path | None:
    """Returns the file for the samples of a task, by the same rule as `free_name`; None without a folder.

    If the file with the plain name has samples of another policy, it is returned all the same, and `Store` refuses it.

    Args:
        folder: folder of the results.
        name: the plain name, such as aime24.
        settings: settings that the user chooses and that all samples of a file share, such as the seed.
        policy: facts about the policy, which all samples of a folder share.
    """
    if folder is None:
        return None
    path = Path(folder) / f"{name}.samples.jsonl"
    row = None
    with contextlib.suppress(OSError), path.open("rb") as lines:
        row = disk.parse_row(lines.readline(), lambda row: disk.check_types(row, settings=dict))
    if row is None:
        return path  # a damaged file is reported when it is opened
    same_policy, same_settings = (
        {key: row["settings"].get(key) for key in found} == json.loads(json.dumps(dict(found)))
        for found in (policy or {}, settings)
    )
    if not same_policy or same_settings:
        return path
    digest = settings_hash({key: value for key, value in settings.items() if value is not None})
    return Path(folder) / f"{name}-{digest[:6]}.samples.jsonl"


def save(folder: Path, result: Result, rows: Sequence[ScoredProblem]) -> None:
    """Writes a result's files. The result comes last, so that a folder with a result is complete.

    Args:
        folder: folder of the results.
        result: the result, for TASK.result.json.
        rows: its problems and verdicts, for TASK.scores.jsonl.
    """
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    disk.write(folder / f"{result.task}.scores.jsonl", lines)
    disk.write(folder / f"{result.task}.result.json", json.dumps(result.as_dict(), indent=1))


def settings_hash(value: object) -> str:
    """Returns a digest of JSON data, 12 hexadecimal digits. Equal numbers have equal digests, such as 1 and 1.0."""
    text = json.dumps(_with_integers(value), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _with_integers(value: object) -> object:
    """Returns nested data in which each float with an integer value is an int."""
    if isinstance(value, Mapping):
        return {key: _with_integers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_integers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
