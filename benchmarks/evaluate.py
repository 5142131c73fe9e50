"""Evaluation of a policy on one benchmark task."""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import lm_eval
from lm_eval.tasks import TaskManager

from .. import disk
from ..core import Policy, Problem, Status, UserError
from ..envs import identity as environments
from ..policies import identity as policies
from ..policies.chat import thinking
from ..policies.play.hosts import OnNodes
from ..policies.store import VerdictRow
from . import catalogue, environment, identity, judged, lm_eval_tasks, voting
from .lm import PolicyLM
from .result import (
    Options,
    Result,
    ScoredProblem,
    ScoredSample,
    by_category,
    free_name,
    free_store,
    result_of,
    save,
    settings_hash,
)
from .stats import pooled, scores
from .task import Task, check, missing, resolve
from .tasks import avg_at_k, verdicts

TASK_SETTINGS = frozenset(
    (
        "task own definition version protocol problems problems_hash held_out number verifier template system fewshot "
        "examples examples_hash options max_turns text thinking samples sampling stop seed judge judging baseline "
        "baseline_hash identity versions mean_over"
    ).split()
)
"""Settings of a result that describe the task. All others describe the policy."""
NOT_HASHED = frozenset(("problems", "definition", "baseline", "protocol", "examples"))
"""Settings that `Result.hash` does not cover: they are or contain the location of data, or describe other settings in words."""


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
    top_k: int | None = None,
    max_tokens: int | None = None,
    judge: str | None = None,
    baseline: str | None = None,
    system: str | None = None,
    fewshot: int | None = None,
    max_turns: int | None = None,
    text: bool | None = None,
    thinking: Literal["on", "off"] | None = None,
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
            lm-eval, "env:ID" a registered environment, "FILE.yaml" a task of your own.
        policy: the policy to measure; see `load_policy`.
        seed: base seed of the samples.
        limit: number of problems, the first ones.
        problems: problem URI instead of the task's own.
        data: folder with the task's files instead of the hub.
        samples: samples per problem, k.
        temperature: sampling temperature; 0 is greedy decoding.
        top_p: nucleus sampling: the smallest set of tokens with this probability.
        top_k: number of the most likely tokens to sample from, before top_p.
        max_tokens: longest sample, in tokens.
        judge: URI of the judge, for tasks that a model judges.
        baseline: JSONL files of a baseline's answers, comma-separated, for tasks that compare with one.
        system: system turn before the prompt.
        fewshot: number of few-shot examples before each problem.
        max_turns: limit of the policy's turns in an episode, for environments.
        text: prompts as plain text without a chat template, for base models.
        thinking: "on" or "off": the value of `enable_thinking` in the policy's chat template. For `openai:` it is a field of
            the requests.
        folder: folder for samples, verdicts and the result. A stopped evaluation resumes from there. Use a folder for each
            policy: a folder with samples of another one is refused.
        store_settings: further facts that must equal those of the stored samples. They become settings of the result. The
            default names the policy: its URI and the digests of its files. For a policy of your own class it names only the
            class; name the policy then: {"policy": "mine, step 300"}.
        progress: called as progress(samples done, all samples). For tasks that a model judges, it is then called once as
            progress(0, judged samples, judging=TEXT), where TEXT is the estimated cost, and after that as
            progress(questions answered, all questions).

    Returns:
        The result: avg@k with its intervals, and in `settings` everything that it depends on.

    Raises:
        UserError: there is no such task, it is a suite, its problems cannot be loaded, a setting is out of range, or the folder
            has samples of another policy.
        SamplingIncomplete: the policy failed; the samples so far are in the folder.
    """
    options = Options(
        *(seed, limit, problems, data, samples, temperature, top_p, max_tokens, judge, baseline, system, fewshot, max_turns),
        text=text,
        thinking=thinking,
        top_k=top_k,
    )
    settings = policies.with_policy(store_settings, policy) if folder else store_settings
    return run_task(task, policy, options, folder=folder, store_settings=settings, progress=progress)


def run_task(
    task: str,
    policy: Policy,
    options: Options,
    *,
    store_settings: Mapping[str, object] | None = None,
    folder: str | Path | None = None,
    progress: Callable[..., None] | None = None,
    on_nodes: OnNodes | None = None,
) -> Result:
    """Measures a policy as `evaluate` does, with the settings as `Options`.

    Args:
        task: see `evaluate`.
        policy: see `evaluate`.
        options: seed, sampling, number of problems, location of the data.
        store_settings, folder, progress: see `evaluate`.
        on_nodes: starts the processes that play episodes and compute verdicts; the default is this process. Not used for tasks
            of lm-eval, and for verifiers and environments that load a model.

    Raises:
        UserError: there is no such task, it is a suite, or its problems cannot be loaded.
    """
    with disk.locked(folder) if folder else contextlib.nullcontext(), thinking.thinking(policy, options.thinking):
        return _run_task(task, policy, options, store_settings, folder, progress, on_nodes)


def _run_task(
    task: str,
    policy: Policy,
    options: Options,
    store_settings: Mapping[str, object] | None,
    folder: str | Path | None,
    progress: Callable[..., None] | None,
    on_nodes: OnNodes | None,
) -> Result:
    requests = catalogue.expand([task])
    if len(requests) > 1:
        raise UserError(f"{task} is a suite; evaluate one of its tasks: {', '.join(request.name for request in requests)}")
    request = requests[0]
    further: dict[str, Any] = {"store_settings": store_settings, "folder": folder, "progress": progress}
    if request.is_environment:
        return environment.evaluate(request, policy, options, **further, on_nodes=on_nodes)
    check(task, options)
    if request.is_lm_eval:
        return lm_eval_tasks.evaluate(request.task, policy, options, **further)
    resolved = resolve(request, options)
    store = free_store(
        folder,
        resolved.name,
        {"seed": options.seed, "text": options.text or None, "thinking": options.thinking},
        store_settings,
    )
    return run(resolved, policy, options, store, **further, on_nodes=on_nodes)


def run(
    task: Task,
    policy: Policy,
    options: Options,
    store: Path | None,
    *,
    store_settings: Mapping[str, object] | None = None,
    folder: str | Path | None = None,
    progress: Callable[..., None] | None = None,
    name: str | None = None,
    cautions: Sequence[str] | None = None,
    on_nodes: OnNodes | None = None,
) -> Result:
    """Measures a policy on one of our tasks or a task file.

    Args:
        task: the task, with its options.
        policy: see `evaluate`.
        options: seed, number of problems, judge, baseline, text and thinking. The others are part of `task`.
        store: file of samples, to read and to extend.
        store_settings, folder, progress: see `evaluate`.
        name: name of the result; default: the first that is free (`result.free_name`).
        cautions: see `Result.cautions`; default: about the policy's chat template.
        on_nodes: see `run_task`.
    """
    metadata = task.metadata
    manager = TaskManager(include_path=str(catalogue.TASKS), include_defaults=False, metadata=metadata)
    loaded_tasks = manager.load([task.lm_eval])
    loaded = loaded_tasks["tasks"][task.lm_eval]
    loaded.set_config("repeats", task.samples)
    loaded.set_config("generation_kwargs", task.generation)
    model = PolicyLM(policy, {**(store_settings or {}), **options.prompt_settings()}, options.seed, store, progress)
    verifier = metadata.get("verifier", avg_at_k.DEFAULTS["verifier"])
    with verdicts.judged_by(loaded, verifier, None if "judged" in metadata else on_nodes) as judge:
        # Not simple_evaluate, because it seeds every generator of this process and runs pip.
        results = lm_eval.evaluate(lm=model, task_dict=loaded_tasks, limit=options.limit, bootstrap_iters=0, log_samples=True)
        assert results is not None
        documents = sorted(results["samples"][task.lm_eval], key=lambda logged: logged["doc_id"])
        rows = [_row(*each, model) for each in zip(documents, judge(documents), strict=True)]
    found = None
    if "judged" in metadata:
        found = _judge(metadata, rows, model, options, task.generation["max_gen_toks"], folder, progress)
        figures = found.figures
    else:
        figures = voting.majority(verifier, rows, lambda row, number: model.sampled[row["request"], number].scorable_text)
        figures |= by_category(rows)
    examples = avg_at_k.few_shot(metadata)
    settings = {
        "task": task.name if task.own == "file" else task.lm_eval,
        "own": task.own,
        "definition": metadata if task.own == "file" else None,
        "version": str(metadata.get("version")),
        "protocol": [*catalogue.differences(metadata), *(found.differences if found else ())],
        "problems": avg_at_k.source(metadata),
        "problems_hash": settings_hash([[row["prompt"], row["gold"]] for row in rows]),
        "number": len(rows),
        "verifier": metadata.get("judged") or verifier,
        "template": metadata.get("template", avg_at_k.DEFAULTS["template"]),
        "system": metadata.get("system"),
        "fewshot": metadata.get("fewshot") or 0,
        "examples_hash": settings_hash(examples) if examples else None,
        "samples": task.samples,
        "sampling": {name: value for name, value in loaded.config.generation_kwargs.items() if name != "until"},
        "stop": list(loaded.config.generation_kwargs.get("until") or ()),
        "seed": options.seed,
        "judge": options.judge if found else None,
        **({"judging": found.settings} if found else {}),
        **({"mean_over": metadata["mean_over"]} if "mean_over" in metadata else {}),
        "baseline": options.baseline if found else None,
        "baseline_hash": settings_hash(judged.baseline(options.baseline)) if found and options.baseline else None,
        "identity": identity.of_verdicts(metadata, options),
        "versions": environments.versions(),
        **({"examples": avg_at_k.examples_uri(metadata)} if examples and metadata.get("layout") else {}),
        **options.prompt_settings(),
        **(store_settings or {}),
    }
    result = result_of(
        name or free_name(folder, f"{task.name}_avg{task.samples}", settings),
        rows,
        settings,
        hashed={name: settings[name] for name in sorted((TASK_SETTINGS - NOT_HASHED) & settings.keys())},
        figures=figures,
        score=found.score if found else _score_over(metadata.get("mean_over"), rows),
        judge=found.use if found else None,
        store=store.name if store else "",
        cautions=thinking.cautions(policy, options.text) if cautions is None else cautions,
    )
    if folder:
        save(Path(folder), result, rows)
    return result


def _row(logged: Mapping[str, Any], found: Sequence[VerdictRow], model: PolicyLM) -> ScoredProblem:
    """Returns a problem with the verdicts on its samples.

    Args:
        logged: what lm-eval logged.
        found: the verdicts of the verifier.
        model: has the samples.
    """
    problem = json.loads(logged["doc"]["problem"])
    request = model.request(logged["arguments"][0])
    samples: list[ScoredSample] = []
    for number, verdict in enumerate(found):
        sampled = model.sampled[request, number]
        if missing := sampled.verdict_without_response:
            verdict = cast(VerdictRow, dataclasses.asdict(missing))
        samples.append(cast(ScoredSample, {**verdict, "tokens": sampled.tokens, "finish_reason": sampled.finish_reason}))
    return {
        "problem": problem["id"],
        "prompt": json.loads(logged["doc"]["text"]),
        "gold": problem["answer"],
        "meta": problem["meta"],
        "request": request,
        "samples": samples,
    }


def _score_over(field: str | None, rows: Sequence[ScoredProblem]) -> scores.Score | None:
    """Returns the mean over the values of a field of `meta`; None without a field, or if no sample has a score."""
    samples = [[sample["score"] for sample in row["samples"]] for row in rows]
    if field is None or all(score is None for row in samples for score in row):
        return None
    return pooled.score_over([str(row["meta"].get(field)) for row in rows], samples)


class _Judged(NamedTuple):
    """What a judge has found about all samples."""

    figures: dict[str, float]
    score: scores.Score | None
    """The benchmark's score; None if it contains none of the problems."""
    differences: list[str]
    """In what the run differs from the published protocol."""
    settings: Mapping[str, object]
    """How the judge was asked."""
    use: dict[str, int]
    """See `Result.judge`."""


def _judge(
    metadata: Mapping[str, Any],
    rows: Sequence[ScoredProblem],
    model: PolicyLM,
    options: Options,
    max_tokens: int,
    folder: str | Path | None,
    progress: Callable[..., None] | None,
) -> _Judged:
    """Lets the judge rate all samples and writes its verdicts into the rows.

    Args:
        metadata: the task's `metadata`.
        rows: the problems with their samples.
        model: has the samples.
        options: options of the benchmark run.
        max_tokens: token limit of the samples.
        folder, progress: see `evaluate`.
    """
    from ..policies import load_policy

    name = str(metadata["judged"])
    if reason := missing(name, options):
        raise UserError(f"{name} cannot be scored: {reason}")
    benchmark, uri = judged.BENCHMARKS[name], str(options.judge)
    asked = judged.settings.of_task(benchmark, metadata, uri, options.data)
    answers = judged.baseline(str(options.baseline)) if metadata.get("baseline") else {}
    problems = [
        Problem(row["problem"], tuple(row["prompt"]), answers.get(row["problem"], row["gold"]), "", row["meta"]) for row in rows
    ]
    responses, places = [], []
    for place, row in enumerate(rows):
        for number in range(len(row["samples"])):
            sampled = model.sampled[row["request"], number]
            if not sampled.verdict_without_response:
                responses.append((problems[place], sampled.scorable_text))
                places.append((place, number))
    store = Path(folder) / f"{name}.judge.jsonl" if folder else None
    store_settings = {"judge": uri, "weights": policies.files(uri)}
    if progress:
        progress(0, len(responses), judging=str(judged.cost(benchmark, responses, store, store_settings, asked)))
    policy = load_policy(uri)
    if isinstance(policy, judged.SupportsResponseFormat) and judged.settings.is_published(metadata, uri):
        policy.response_format = benchmark.RESPONSE_FORMAT
    rated = judged.judge(benchmark, responses, policy, store_settings, asked, store, progress)
    parts: list[list[pooled.Part | None]] = [[None] * len(row["samples"]) for row in rows]
    for (place, number), verdict in zip(places, rated, strict=True):
        rows[place]["samples"][number] |= {
            "score": verdict.score,
            "status": Status.UNDECIDED if verdict.score is None else Status.SCORED,
            "reason": "unjudged: no answer of the judge could be read" if verdict.score is None else str(list(verdict.values)),
            "judge_messages": verdict.texts,
        }
        parts[place][number] = None if verdict.score is None else benchmark.part(verdict)
    counted = [row for problem, row in zip(problems, parts, strict=True) if benchmark.stratum(problem)]
    differences = judged.settings.differences(benchmark, metadata, asked, uri, policy, max_tokens)
    total = judged.cost(benchmark, responses, None, {}, asked)
    return _Judged(
        figures=benchmark.summary(rated),
        score=pooled.score(counted) if counted else None,
        differences=[*differences, *benchmark.differences(rated)],
        settings=cast(Mapping[str, object], judged.settings.row_of(asked)),
        use={
            "questions": total.questions,
            "prompt_tokens": total.tokens,
            "answer_tokens": sum(verdict.tokens for verdict in rated),
        },
    )
