"""Evaluation of a policy on one benchmark task."""

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
from ..verifiers.answers import ParseError, final_answer, readings_of
from ..verifiers.answers.values.exact import TooLarge, Undefined, exact
from ..verifiers.budget import SECONDS, OutOfTime, limit
from . import catalogue, identity, judged, lm_eval_tasks
from .lm import PolicyLM, Sample
from .result import Options, Result, ScoredProblem, ScoredSample, save, score_of, settings_hash
from .stats import scores
from .tasks import avg_at_k

VOTING = ("math", "choice", "science")
"""Verifiers of final answers, for which maj@k is defined."""
TASK_SETTINGS = frozenset(
    (
        "task version problems problems_hash number verifier template samples sampling stop seed judge baseline baseline_hash "
        "identity versions"
    ).split()
)
"""Settings of a result that describe the task. All others describe the policy."""


def check(task: str, options: Options) -> None:
    """Checks that a task exists and that its problems can be loaded.

    Raises:
        UserError: the check fails.
    """
    from ..envs.problems import sources

    for request in catalogue.expand([task]):
        if not request.task.startswith(catalogue.LM_EVAL):
            sources.load(avg_at_k.source(catalogue.settings(request.task)["metadata"] | _overrides(options)))


def sampling_cost(task: str, options: Options) -> tuple[int, int]:
    """Returns a task's number of samples and its limit of tokens per sample. Both are 0 for lm-eval's own tasks, because their
    number of problems is unknown until they are loaded."""
    from ..envs.problems import sources

    request = catalogue.expand([task])[0]
    if request.task.startswith(catalogue.LM_EVAL):
        return 0, 0
    settings = catalogue.settings(request.task)
    problems = len(sources.load(avg_at_k.source(settings["metadata"] | _overrides(options))))
    tokens = options.max_tokens or settings["generation_kwargs"]["max_gen_toks"]
    return min(problems, options.limit or problems) * _samples(request, options, settings["repeats"]), tokens


def _samples(request: catalogue.TaskRequest, options: Options, default: int) -> int:
    """Samples per problem: from the options, else from the task's name, else the task's default."""
    return next(number for number in (options.samples, request.samples, default) if number is not None)


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
    store_settings: Mapping[str, object] | None = None,
    progress: Callable[..., None] | None = None,
) -> Result:
    """Measures a policy on a benchmark task. If an argument is None, the task's own setting is used.

    Example:
        >>> result = evaluate("gsm8k", load_policy("smollm2:"), limit=100, folder="results")  # doctest: +SKIP
        >>> result.score.mean, result.score.low, result.score.high, result.settings["sampling"]  # doctest: +SKIP

    Args:
        task: name of the task, optionally with the number of samples: "aime24", "aime24_avg64". "lm_eval:NAME" is a task of
            lm-eval.
        policy: the policy to measure; see `load_policy`.
        seed: base seed of the samples.
        limit: number of problems, the first ones.
        problems: problem URI instead of the task's own.
        data: folder with the task's files instead of the hub.
        samples: samples per problem, k.
        temperature: sampling temperature; 0 is greedy decoding.
        top_p: nucleus sampling: the smallest set of tokens with this probability.
        max_tokens: longest sample, in tokens.
        judge: URI of the judge, for tasks that a model judges.
        baseline: JSONL files of a baseline's answers, comma-separated, for tasks that compare with one.
        folder: folder for samples, verdicts and the result. A stopped evaluation resumes from there.
        store_settings: further facts that must equal those of the stored samples, such as {"policy": URI}. They become
            settings of the result.
        progress: called as progress(samples done, all samples).

    Returns:
        The result: avg@k with its intervals, and in `settings` everything that it depends on.

    Raises:
        UserError: there is no such task, its problems cannot be loaded, or a setting is out of range.
        SamplingIncomplete: the policy failed; the samples so far are in the folder.
    """
    options = Options(seed, limit, problems, data, samples, temperature, top_p, max_tokens, judge, baseline)
    return run_task(task, policy, options, folder=folder, store_settings=store_settings, progress=progress)


def run_task(
    task: str,
    policy: Policy,
    options: Options,
    *,
    store_settings: Mapping[str, object] | None = None,
    folder: str | Path | None = None,
    progress: Callable[..., None] | None = None,
) -> Result:
    """Measures a policy as `evaluate` does, with the settings as `Options`.

    Args:
        task: see `evaluate`.
        policy: see `evaluate`.
        options: seed, sampling, number of problems, location of the data.
        store_settings, folder, progress: see `evaluate`.

    Raises:
        UserError: there is no such task, or its problems cannot be loaded.
    """
    with disk.locked(folder) if folder else contextlib.nullcontext():
        return _run_task(task, policy, options, store_settings, folder, progress)


def _run_task(
    task: str,
    policy: Policy,
    options: Options,
    store_settings: Mapping[str, object] | None,
    folder: str | Path | None,
    progress: Callable[..., None] | None,
) -> Result:
    check(task, options)
    request = catalogue.expand([task])[0]
    if request.task.startswith(catalogue.LM_EVAL):
        return lm_eval_tasks.evaluate(
            request.task, policy, options, store_settings=store_settings, folder=folder, progress=progress
        )
    metadata = catalogue.settings(request.task)["metadata"] | _overrides(options)
    manager = TaskManager(include_path=str(catalogue.TASKS), include_defaults=False, metadata=_overrides(options))
    tasks = manager.load([request.task])
    loaded = tasks["tasks"][request.task]
    samples = _samples(request, options, loaded.config.repeats)
    if samples < 1:
        raise UserError(f"{task}: expected at least one sample per problem, got {samples}")
    sampling = {
        name: value
        for name, value in (
            ("temperature", options.temperature),
            ("top_p", options.top_p),
            ("max_gen_toks", options.max_tokens),
        )
        if value is not None
    }
    loaded.set_config("repeats", samples)
    loaded.set_config("generation_kwargs", {**loaded.config.generation_kwargs, **sampling})
    if options.temperature == 0:
        loaded.set_config("generation_kwargs", {**loaded.config.generation_kwargs, "do_sample": False})
    store = Path(folder) / f"{request.task}.samples.jsonl" if folder else None
    model = PolicyLM(policy, store_settings, options.seed, store, progress)
    # Not simple_evaluate, because it seeds every generator of this process and runs pip.
    results = lm_eval.evaluate(lm=model, task_dict=tasks, limit=options.limit, bootstrap_iters=0, log_samples=True)
    assert results is not None
    documents = sorted(results["samples"][request.task], key=lambda logged: logged["doc_id"])
    rows = [_row(logged, model) for logged in documents]
    if "judged" in metadata:
        figures = _judge(metadata["judged"], rows, model, options, folder, progress)
    else:
        figures = {f"maj@{samples}": votes} if (votes := _majority(metadata, rows, model)) is not None else {}
    sampled = [sample for row in rows for sample in row["samples"]]
    settings = {
        "task": request.task,
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
        **(store_settings or {}),
    }
    result = Result(
        task=f"{request.task}_avg{samples}",
        score=score_of(rows),
        settings=settings,
        hash=settings_hash({name: settings[name] for name in sorted(TASK_SETTINGS - {"problems", "baseline"})}),
        truncated=sum(sample["finish_reason"] == "length" for sample in sampled) / len(sampled),
        tokens=sum(sample["tokens"] for sample in sampled) / len(sampled),
        figures=figures,
        refused=sum(sample["method"] == "refused" for sample in sampled),
    )
    if folder:
        save(Path(folder), result, rows)
    return result


def _overrides(options: Options) -> dict[str, str]:
    """Returns the options that replace entries of a task's `metadata`."""
    values = {"problems": options.problems, "data": None if options.problems else options.data}
    return {name: value for name, value in values.items() if value is not None}


def _majority(metadata: Mapping[str, object], rows: Sequence[ScoredProblem], model: PolicyLM) -> float | None:
    """Returns maj@k; None for programs, calls and single samples, and if no sample has a score.

    All correct answers count as equal. Incorrect answers are equal if their values or their texts are equal.
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
    """Returns a text that is equal for samples with equal answers; None if the sample has no answer."""
    answer = final_answer(sample.scorable_text)
    if answer is None or score is None:
        return None
    if score == 1:
        return "correct"
    try:
        with limit(SECONDS):
            node = readings_of(answer)[0]
            number = exact(node)
    except (ParseError, TooLarge, Undefined, RecursionError, OutOfTime):
        return answer
    # In hexadecimal, because Python does not write numbers of more than 4,300 decimal digits, such as 5e9000.
    return repr(node) if number is None else f"{number.numerator:x}/{number.denominator:x}"


def _row(logged: Mapping[str, Any], model: PolicyLM) -> ScoredProblem:
    """Returns a problem with the verdicts on its samples, from what lm-eval logged."""
    problem = json.loads(logged["doc"]["problem"])
    request = model.request(logged["arguments"][0])
    samples: list[ScoredSample] = []
    for number, verdict in enumerate(logged["avg_at_k"]):
        sampled = model.sampled[request, number]
        if missing := sampled.verdict_without_response:
            verdict = dataclasses.asdict(missing)
        samples.append(verdict | {"tokens": sampled.tokens, "finish_reason": sampled.finish_reason})
    return {
        "problem": problem["id"],
        "prompt": json.loads(logged["doc"]["text"]),
        "gold": problem["answer"],
        "meta": problem["meta"],
        "request": request,
        "samples": samples,
    }


def not_runnable(requests: Sequence[catalogue.TaskRequest], options: Options) -> dict[str, str]:
    """Returns the tasks that cannot run, with the reason: the judge, the baseline or the data are missing.

    Raises:
        UserError: there is only one task, and its data are missing.
    """
    reasons = {}
    for request in requests:
        if reason := missing(request.task, options):
            reasons[request.name] = reason
            continue
        try:
            check(request.name, options)
        except UserError as error:
            if len(requests) == 1:
                raise
            reasons[request.name] = str(error)
    return reasons


def missing(task: str, options: Options) -> str | None:
    """Returns which option a judged task still needs; None if none is missing."""
    metadata = {} if task.startswith(catalogue.LM_EVAL) else catalogue.settings(task)["metadata"]
    if "judged" not in metadata:
        return None
    if not options.judge:
        return "it needs a judge; name one with --judge"
    if metadata.get("baseline") and not options.baseline:
        return "it needs a baseline's answers; name their files with --baseline"
    return None


def _judge(
    name: str,
    rows: Sequence[ScoredProblem],
    model: PolicyLM,
    options: Options,
    folder: str | Path | None,
    progress: Callable[..., None] | None,
) -> dict[str, float]:
    """Has the judge rate all samples, writes its verdicts into the rows and returns the benchmark's own metrics."""
    from ..policies import load_policy

    if reason := missing(name, options):
        raise UserError(f"{name} cannot be scored: {reason}")
    benchmark = judged.BENCHMARKS[name]
    has_baseline = catalogue.settings(name)["metadata"].get("baseline")
    answers = judged.baseline(str(options.baseline)) if has_baseline else {}
    responses, judged_samples = [], []
    for row in rows:
        problem = Problem(row["problem"], tuple(row["prompt"]), answers.get(row["problem"], row["gold"]), "", row["meta"])
        for number, sample in enumerate(row["samples"]):
            sampled = model.sampled[row["request"], number]
            if not sampled.verdict_without_response:
                responses.append((problem, sampled.scorable_text))
                judged_samples.append(sample)
    store = Path(folder) / f"{name}.judge.jsonl" if folder else None
    store_settings = {"judge": options.judge, "weights": policies.files(str(options.judge))}
    if progress:
        progress(0, len(responses), judging=str(judged.cost(benchmark, responses, store, store_settings)))
    rated = judged.judge(benchmark, responses, load_policy(str(options.judge)), store_settings, store, progress)
    for verdict, sample in zip(rated, judged_samples, strict=True):
        sample |= {
            "score": verdict.score,
            "status": Status.UNDECIDED if verdict.score is None else Status.SCORED,
            "reason": "unjudged: no answer of the judge could be read" if verdict.score is None else str(list(verdict.values)),
            "judge_messages": verdict.texts,
        }
    return dict(benchmark.summary(rated))
