"""One benchmark task, from its problems to a score that carries its settings."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.tasks import TaskManager

from .. import disk
from ..core import Policy, Problem, Status, UserError
from ..envs import identity as environments
from ..policies import identity as policies
from ..verifiers.answers import ParseError, final_answer, read
from ..verifiers.answers.values.exact import TooLarge, Undefined, exact
from ..verifiers.budget import SECONDS, OutOfTime, limit
from . import catalogue, identity, judged, lm_eval_tasks
from .lm import PolicyLM, Sample
from .result import Options, Result, ScoredProblem, ScoredSample, keep, score_of, settings_hash
from .stats import scores
from .tasks import avg_at_k

VOTING = ("math", "choice", "science")
"""Verifiers of final answers, which can be counted."""
OWN = frozenset(
    (
        "task version problems problems_hash number verifier template samples sampling stop seed judge baseline baseline_hash "
        "identity versions"
    ).split()
)
"""Settings of a result that are the task's; the others say who answered."""


def check(task: str, options: Options) -> None:
    """Makes sure that a task is there, and so are its problems.

    Raises:
        UserError: either is not.
    """
    from ..envs.problems import sources

    for asked in catalogue.expand([task]):
        if not asked.task.startswith(catalogue.LM_EVAL):
            sources.load(avg_at_k.source(catalogue.settings(asked.task)["metadata"] | _where(options)))


def size(task: str, options: Options) -> tuple[int, int]:
    """How many samples a task of ours makes, and how many tokens one may have; no samples for lm-eval's own, which must be
    loaded first."""
    from ..envs.problems import sources

    asked = catalogue.expand([task])[0]
    if asked.task.startswith(catalogue.LM_EVAL):
        return 0, 0
    given = catalogue.settings(asked.task)
    found = len(sources.load(avg_at_k.source(given["metadata"] | _where(options))))
    tokens = options.max_tokens or given["generation_kwargs"]["max_gen_toks"]
    return min(found, options.limit or found) * _samples(asked, options, given["repeats"]), tokens


def _samples(asked: catalogue.Asked, options: Options, own: int) -> int:
    """Samples a problem: as the options say, else as the task's name does, else the task's own."""
    return next(given for given in (options.samples, asked.samples, own) if given is not None)


def evaluate(
    task: str,
    policy: Policy,
    *,
    seed: int = 0,
    limit: int | None = None,
    problems: str | None = None,
    data: str | None = None,
    samples: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    judge: str | None = None,
    baseline: str | None = None,
    folder: str | Path | None = None,
    made_with: Mapping[str, object] | None = None,
    progress: Callable[..., None] | None = None,
) -> Result:
    """Measures a policy on a benchmark task. What is left at None is the task's own.

    Example:
        >>> result = evaluate("gsm8k", load_policy("smollm2:"), limit=100, folder="results")  # doctest: +SKIP
        >>> result.score.mean, result.score.low, result.score.high, result.settings["sampling"]  # doctest: +SKIP

    Args:
        task: its name, perhaps with the number of samples: "aime24", "aime24_avg64"; "lm_eval:NAME" is a task of lm-eval's.
        policy: who answers; see `load_policy`.
        seed: base seed of the samples.
        limit: only so many problems, the first ones.
        problems: problem URI instead of the task's own.
        data: folder with the task's files, instead of the hub.
        samples: samples a problem, k.
        temperature: of the samples; 0 takes the most likely token.
        top_p: of the samples.
        max_tokens: longest sample.
        judge: URI of the policy that judges, for tasks that are judged by a model.
        baseline: JSON lines of a baseline's answers, for tasks that compare with one.
        folder: where to keep all samples, all verdicts and the result; an evaluation that was stopped goes on from there.
        made_with: what else the stored samples must have been made with, say {"policy": URI}; the result's settings keep it.
        progress: called as progress(samples done, samples in all).

    Returns:
        The score (avg@k with its intervals), and in `settings` everything that it depends on.

    Raises:
        UserError: no such task, its problems cannot be loaded, or a setting is out of range.
        Incomplete: the policy could not go on; what it drew is in the folder.
    """
    options = Options(seed, limit, problems, data, samples, temperature, top_p, max_tokens, judge, baseline)
    return run_task(task, policy, options, folder=folder, made_with=made_with, progress=progress)


def run_task(
    task: str,
    policy: Policy,
    options: Options,
    *,
    made_with: Mapping[str, object] | None = None,
    folder: str | Path | None = None,
    progress: Callable[..., None] | None = None,
) -> Result:
    """`evaluate` with its settings as `Options`, for callers that run several tasks under the same ones.

    Args:
        task, policy, made_with, folder, progress: see `evaluate`.
        options: seed, sampling, number of problems, where the data are.

    Raises:
        UserError: no such task, or its problems cannot be loaded.
    """
    with disk.locked(folder) if folder else contextlib.nullcontext():
        return _run_task(task, policy, options, made_with, folder, progress)


def _run_task(
    task: str,
    policy: Policy,
    options: Options,
    made_with: Mapping[str, object] | None,
    folder: str | Path | None,
    progress: Callable[..., None] | None,
) -> Result:
    check(task, options)
    asked = catalogue.expand([task])[0]
    if asked.task.startswith(catalogue.LM_EVAL):
        return lm_eval_tasks.evaluate(asked.task, policy, options, made_with=made_with, folder=folder, progress=progress)
    metadata = catalogue.settings(asked.task)["metadata"] | _where(options)
    manager = TaskManager(include_path=str(catalogue.TASKS), include_defaults=False, metadata=_where(options))
    tasks = manager.load([asked.task])
    loaded = tasks["tasks"][asked.task]
    samples = _samples(asked, options, loaded.config.repeats)
    if samples < 1:
        raise UserError(f"{task}: one sample a problem is the least")
    sampling = {
        name: given
        for name, given in (
            ("temperature", options.temperature),
            ("top_p", options.top_p),
            ("max_gen_toks", options.max_tokens),
        )
        if given is not None
    }
    loaded.set_config("repeats", samples)
    loaded.set_config("generation_kwargs", {**loaded.config.generation_kwargs, **sampling})
    if options.temperature == 0:
        loaded.set_config("generation_kwargs", {**loaded.config.generation_kwargs, "do_sample": False})
    store = Path(folder) / f"{asked.task}.samples.jsonl" if folder else None
    model = PolicyLM(policy, made_with, options.seed, store, progress)
    # Not simple_evaluate: it seeds every generator of this process, and asks pip what is installed.
    results = lm_eval.evaluate(lm=model, task_dict=tasks, limit=options.limit, bootstrap_iters=0, log_samples=True)
    assert results is not None
    documents = sorted(results["samples"][asked.task], key=lambda logged: logged["doc_id"])
    rows = [_row(logged, model) for logged in documents]
    if "judged" in metadata:
        figures = _judge(metadata["judged"], rows, model, options, folder, progress)
    else:
        figures = {f"maj@{samples}": votes} if (votes := _majority(metadata, rows, model)) is not None else {}
    sampled = [sample for row in rows for sample in row["samples"]]
    settings = {
        "task": asked.task,
        "version": str(metadata.get("version")),
        "problems": avg_at_k.source(metadata),
        "problems_hash": settings_hash([[row["prompt"], row["gold"]] for row in rows]),
        "number": len(rows),
        "verifier": metadata.get("judged") or metadata.get("verifier", avg_at_k.DEFAULTS["verifier"]),
        "template": metadata.get("template", avg_at_k.DEFAULTS["template"]),
        "samples": samples,
        "sampling": {name: value for name, value in loaded.config.generation_kwargs.items() if name != "until"},
        "stop": list(loaded.config.generation_kwargs.get("until") or ()),
        "seed": options.seed,
        "judge": options.judge if "judged" in metadata else None,
        "baseline": options.baseline if "judged" in metadata else None,
        "baseline_hash": settings_hash(judged.baseline(options.baseline))
        if "judged" in metadata and options.baseline
        else None,
        "identity": identity.of_verdicts(metadata, options),
        "versions": environments.versions(),
        **(made_with or {}),
    }
    result = Result(
        task=f"{asked.task}_avg{samples}",
        score=score_of(rows),
        settings=settings,
        hash=settings_hash({name: settings[name] for name in sorted(OWN - {"problems", "baseline"})}),
        truncated=sum(sample["finish_reason"] == "length" for sample in sampled) / len(sampled),
        tokens=sum(sample["tokens"] for sample in sampled) / len(sampled),
        figures=figures,
        refused=sum(sample["method"] == "refused" for sample in sampled),
    )
    if folder:
        keep(Path(folder), result, rows)
    return result


def _where(options: Options) -> dict[str, str]:
    """What `metadata` of a task is overridden with."""
    given = {"problems": options.problems, "data": None if options.problems else options.data}
    return {name: value for name, value in given.items() if value is not None}


def _majority(metadata: Mapping[str, Any], rows: Sequence[ScoredProblem], model: PolicyLM) -> float | None:
    """maj@k where answers can be told to be equal; None for programs, calls and single samples, and where no sample has a
    score.

    Right answers are one answer; wrong ones are equal where they read alike.
    """
    if metadata.get("verifier", avg_at_k.DEFAULTS["verifier"]) not in VOTING or len(rows[0]["samples"]) == 1:
        return None
    if all(sample["score"] is None for row in rows for sample in row["samples"]):
        return None
    return scores.maj_at_k(
        [
            [
                (_vote(model.sampled[row["request"], number], sample["score"]), sample["score"])
                for number, sample in enumerate(row["samples"])
            ]
            for row in rows
        ]
    )


def _vote(sample: Sample, score: float | None) -> str | None:
    """What a sample votes for, in one writing."""
    answer = final_answer(sample.scorable_text)
    if answer is None or score is None:
        return None
    if score == 1:
        return "right"
    try:
        with limit(SECONDS):
            node = read(answer)[0]
            number = exact(node)
    except (ParseError, TooLarge, Undefined, RecursionError, OutOfTime):
        return answer
    # In hexadecimal: Python writes no number of more than 4,300 decimal digits, say 5e9000.
    return repr(node) if number is None else f"{number.numerator:x}/{number.denominator:x}"


def _row(logged: Mapping[str, Any], model: PolicyLM) -> ScoredProblem:
    """A problem with the verdicts on its samples."""
    problem = json.loads(logged["doc"]["problem"])
    request = model.request(logged["arguments"][0])
    samples: list[ScoredSample] = []
    for number, verdict in enumerate(logged["avg_at_k"]):
        sampled = model.sampled[request, number]
        if lacking := sampled.unanswered:
            verdict = dataclasses.asdict(lacking)
        samples.append(verdict | {"tokens": sampled.tokens, "finish_reason": sampled.finish_reason})
    return {
        "problem": problem["id"],
        "prompt": json.loads(logged["doc"]["text"]),
        "gold": problem["answer"],
        "meta": problem["meta"],
        "request": request,
        "samples": samples,
    }


def lacking(asked: Sequence[catalogue.Asked], options: Options) -> dict[str, str]:
    """Which of several tasks cannot be run, and why: a judge, a baseline or their data are not there.

    Raises:
        UserError: there is only one task, and its data are not there.
    """
    found = {}
    for task in asked:
        if lacks := missing(task.task, options):
            found[task.name] = lacks
            continue
        try:
            check(task.name, options)
        except UserError as error:
            if len(asked) == 1:
                raise
            found[task.name] = str(error)
    return found


def missing(task: str, options: Options) -> str | None:
    """What a judged task lacks to be run, None where it lacks nothing."""
    metadata = {} if task.startswith(catalogue.LM_EVAL) else catalogue.settings(task)["metadata"]
    if "judged" not in metadata:
        return None
    if not options.judge:
        return "it wants a judge, with --judge"
    return "it wants a baseline's answers, with --baseline" if metadata.get("baseline") and not options.baseline else None


def _judge(
    name: str,
    rows: Sequence[ScoredProblem],
    model: PolicyLM,
    options: Options,
    folder: str | Path | None,
    progress: Callable[..., None] | None,
) -> dict[str, float]:
    """Has the judge speak, puts its verdicts in the rows, and returns the benchmark's own figures."""
    from ..policies import load_policy

    if lacks := missing(name, options):
        raise UserError(f"{name} cannot be scored: {lacks}")
    benchmark: Any = judged.BENCHMARKS[name]
    compared = catalogue.settings(name)["metadata"].get("baseline")
    answers = judged.baseline(str(options.baseline)) if compared else {}
    responses, judged_samples = [], []
    for row in rows:
        problem = Problem(row["problem"], tuple(row["prompt"]), answers.get(row["problem"], row["gold"]), "", row["meta"])
        for number, sample in enumerate(row["samples"]):
            sampled = model.sampled[row["request"], number]
            if not sampled.unanswered:
                responses.append((problem, sampled.scorable_text))
                judged_samples.append(sample)
    store = Path(folder) / f"{name}.judge.jsonl" if folder else None
    who = {"judge": options.judge, "weights": policies.files(str(options.judge))}
    if progress:
        progress(0, len(responses), judging=str(judged.cost(benchmark, responses, store, who)))
    spoken = judged.judge(benchmark, responses, load_policy(str(options.judge)), who, store, progress)
    for verdict, sample in zip(spoken, judged_samples, strict=True):
        sample |= {
            "score": verdict.score,
            "status": Status.UNDECIDED if verdict.score is None else Status.SCORED,
            "reason": "unjudged: the judge only ever said nonsense" if verdict.score is None else str(list(verdict.values)),
            "trail": verdict.texts,
        }
    return dict(benchmark.summary(spoken))
