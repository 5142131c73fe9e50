"""Runs lm-eval's own tasks (`lm_eval:NAME`) on a policy.

The prompts are plain text with few-shot examples, for base models. lm-eval provides prompts, few-shot examples, greedy sampling
or likelihoods, and the metric. tenfold provides the policy, the store of samples, and the score with its intervals. A killed
run resumes with the stored samples. Likelihoods are not stored and are computed again.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import lm_eval
import numpy as np
from lm_eval.tasks import TaskManager

from ..core import Policy, UserError
from ..policies.store import verdict_to_json
from . import catalogue
from .lm import PolicyLM
from .result import Options, Result, ScoredProblem, ScoredSample, free_name, free_store, result_of, save, settings_hash


def evaluate(
    name: str,
    policy: Policy,
    options: Options,
    *,
    store_settings: Mapping[str, object] | None = None,
    folder: str | Path | None = None,
    progress: Callable[..., None] | None = None,
) -> Result:
    """Runs one of lm-eval's tasks or groups.

    Args:
        name: the task's name with its prefix, "lm_eval:NAME".
        policy: the policy to measure.
        options: seed, number of problems and of few-shot examples; other options are not used.
        store_settings, folder, progress: see `evaluate.evaluate`.

    Raises:
        UserError: lm-eval has no such task, it runs a model's code, its data cannot be loaded, it needs likelihoods and the
            policy cannot compute them, or its metric has no score in 0..1 for each problem.
    """
    task = name.removeprefix(catalogue.LM_EVAL)
    manager = catalogue.lm_eval_tasks(task)
    if task not in manager.all_tasks:
        raise UserError(f"lm-eval has no task {task!r}; `lm_eval ls tasks` lists its tasks")
    if _runs_code(manager, task):
        raise UserError(
            f"{name} runs a model's code outside of a sandbox, which tenfold does not allow; use humaneval, mbpp, "
            "livecodebench or fullstack_bench without lm_eval:, which run in the sandbox"
        )
    store = free_store(folder, f"lm_eval_{task}", {"seed": options.seed}, store_settings)
    model = PolicyLM(policy, store_settings, options.seed, store, progress, keep_truncated=True)
    try:
        results = lm_eval.simple_evaluate(
            model=model,
            tasks=[task],
            task_manager=manager,
            num_fewshot=options.fewshot,
            limit=options.limit,
            bootstrap_iters=0,
            log_samples=True,
        )
    except (ConnectionError, FileNotFoundError) as error:
        cause = str(error).partition("\n")[0][:200]
        raise UserError(f"{name}: cannot load its data from the hub or its cache ({cause})") from None
    assert results is not None
    rows = [row for subtask, documents in results["samples"].items() for row in _rows(subtask, documents, model)]
    set_options = dataclasses.asdict(options)
    settings = {
        "task": name,
        "version": str(results["versions"].get(task)),
        "lm_eval": lm_eval.__version__,
        "n_shot": results["n-shot"].get(task),
        "problems_hash": settings_hash([[row["prompt"], row["gold"]] for row in rows]),
        **{name: set_options[name] for name in ("limit", "seed")},
    }
    figures = {
        f"{subtask} {metric}": float(value)
        for subtask, found in results["results"].items()
        for metric, value in found.items()
        if "stderr" not in metric and isinstance(value, float)
    }
    found = {**settings, **(store_settings or {})}
    result = result_of(
        free_name(folder, f"lm_eval_{task}", found),
        rows,
        found,
        hashed=settings,
        figures=figures,
        store=store.name if store else "",
    )
    if folder:
        save(Path(folder), result, rows)
    return result


def _runs_code(manager: TaskManager, task: str) -> bool:
    """True if a task, or a task of a group or a tag, runs a model's code."""
    entry = manager.task_index.get(task)
    if entry is None:
        return False
    settings = entry.cfg or {"task": list(entry.tags)}  # a tag has no settings; its `tags` are its tasks
    listed = settings.get("task")
    members = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return bool(settings.get("unsafe_code")) or any(_runs_code(manager, name) for name in members)


def _score(subtask: str, metric: str, value: object) -> float:
    # Metrics of a whole corpus, such as BLEU, have a pair of texts for each document.
    if not isinstance(value, int | float | np.number | np.bool_) or not 0 <= value <= 1:
        raise UserError(
            f"lm_eval:{subtask}: its metric {metric} has no score from 0 to 1 for each problem, as avg@k needs; "
            "choose another task"
        )
    return float(value)


def _rows(subtask: str, documents: Sequence[Mapping[str, Any]], model: PolicyLM) -> list[ScoredProblem]:
    """Returns one row per document, scored by the task's first metric under its first filter.

    Raises:
        UserError: the metric has no score in 0..1 for each document.
    """
    rows: dict[int, ScoredProblem] = {}
    for logged in documents:
        if logged["doc_id"] in rows:
            continue  # the same document under another filter
        metric = logged["metrics"][0]
        context, arguments = logged["arguments"][0]
        request = model.request((context, arguments)) if isinstance(arguments, dict) else ""
        sampled = model.sampled.get((request, 0))
        sample: ScoredSample = {
            "score": _score(subtask, metric, logged[metric]),
            "status": "scored",
            "method": metric,
            "reason": str(logged["filtered_resps"][0])[:300],
            "judge_messages": (),
            "tokens": sampled.tokens if sampled else 0,
            "finish_reason": sampled.finish_reason if sampled else "stop",
        }
        if sampled and (verdict := sampled.verdict_without_response):  # lm-eval has scored an empty text
            sample = cast(ScoredSample, {**sample, **verdict_to_json(verdict)})
        rows[logged["doc_id"]] = {
            "problem": f"{subtask}/{logged['doc_id']}",
            "prompt": [{"role": "text", "content": context}],
            "gold": logged["target"],
            "meta": {},
            "request": request,
            "samples": [sample],
        }
    return list(rows.values())
