"""lm-eval asks, a policy answers.

lm-eval hands over every request k times; here the k draws of a prompt are k different ones, seeded by prompt and number,
and stored as they come. So a benchmark that was killed goes on where it stopped, and its figures do not depend on batches.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lm_eval
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from ..core import Completion, Policy, Sampling, UserError
from ..envs import problems as problem_sources
from ..policies.store import Store
from . import scores

TASKS = Path(__file__).parent / "tasks"
MAX_TOKENS = 1024
"""Length of a draw where a task does not say."""


class PolicyLM(LM):
    """Any policy as lm-eval's language model. It draws; it does not tell likelihoods of given text."""

    def __init__(
        self,
        policy: Policy,
        made_with: dict[str, Any] | None = None,
        seed: int = 0,
        store: str | Path | None = None,
        progress: Callable[..., None] | None = None,
    ):
        """Wraps a policy.

        Args:
            policy: who answers.
            made_with: what else the store must have been made with, say the policy's URI; a store is of one policy.
            seed: base seed of the draws.
            store: file to append draws to, and to take those from that are there already.
            progress: called as progress(draws done, draws in all).
        """
        super().__init__()
        self.policy, self.seed, self.progress = policy, seed, progress or (lambda done, total: None)
        self.store = Store(store, {**(made_with or {}), "seed": seed}) if store else None
        self.drawn: dict[tuple[str, int], Completion] = {}
        for row in self.store.rows if self.store else ():
            completion = Completion(row["text"], row["finish_reason"], tuple(row["token_ids"]), tuple(row["logprobs"]))
            self.drawn[row["request"], row["draw"]] = completion

    @property
    def tokenizer_name(self) -> str:
        """lm-eval names its caches after this; we use none of them."""
        return "tenfold"

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as JSON: the policy applies its own template."""
        return json.dumps(chat_history)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """One draw a request; the j-th request of one document is its j-th draw."""
        asked: list[tuple[str, int]] = []
        wanted: dict[str, tuple[str, Sampling, int]] = {}
        for request in requests:
            context, arguments = request.args
            sampling = self._sampling(arguments)
            key = hashlib.sha256(f"{context}\n{dataclasses.asdict(sampling)}".encode()).hexdigest()[:24]
            draw = wanted[key][2] if key in wanted else 0
            wanted[key] = (context, sampling, draw + 1)
            asked.append((key, draw))
        self._draw(wanted)
        return [self.drawn[pair].text for pair in asked]

    def _draw(self, wanted: dict[str, tuple[str, Sampling, int]]) -> None:
        """Draws what the store does not hold yet; wanted: request key to prompt, sampling and number of draws."""
        missing = {key: value for key, value in wanted.items() if any((key, j) not in self.drawn for j in range(value[2]))}
        total = sum(draws for _, _, draws in wanted.values())
        done = total - sum(draws for _, _, draws in missing.values())
        groups: dict[tuple[Sampling, int], list[str]] = {}
        for key, (_, sampling, draws) in missing.items():
            groups.setdefault((sampling, draws), []).append(key)
        for (sampling, draws), keys in groups.items():
            size = max(1, getattr(self.policy, "batch_size", 64) // draws)
            for start in range(0, len(keys), size):
                batch = keys[start : start + size]
                conversations = [json.loads(missing[key][0]) for key in batch]
                completions = self.policy.generate(conversations, draws, sampling, batch)
                self._keep(batch, completions)
                done += len(batch) * draws
                self.progress(done, total)

    def _keep(self, keys: Sequence[str], completions: Sequence[Sequence[Completion]]) -> None:
        rows = []
        for key, row in zip(keys, completions, strict=True):
            for draw, completion in enumerate(row):
                self.drawn[key, draw] = completion
                rows.append({"request": key, "draw": draw} | dataclasses.asdict(completion))
        if self.store:
            self.store.append(rows)

    def _sampling(self, arguments: dict[str, Any]) -> Sampling:
        """lm-eval's generation arguments as ours; temperature 0 unless the task samples."""
        samples = arguments.get("do_sample", arguments.get("temperature", 0) > 0)
        return Sampling(
            temperature=float(arguments.get("temperature", 1.0)) if samples else 0.0,
            top_p=float(arguments.get("top_p", 1.0)),
            max_tokens=int(arguments.get("max_gen_toks", arguments.get("max_tokens", MAX_TOKENS))),
            seed=self.seed,
            stop=tuple(arguments.get("until") or ()),
        )

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Policies do not tell likelihoods of given text."""
        raise NotImplementedError("a policy only generates: choose a task with output_type generate_until")

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """See `loglikelihood`."""
        raise NotImplementedError("a policy only generates: choose a task with output_type generate_until")


def task_names() -> list[str]:
    """Names of our tasks."""
    return sorted(_manager(None).all_tasks)


def check(task: str, problems: str | None = None) -> None:
    """Makes sure that a task is there, and so are its problems, or those that are to stand in for its own.

    Raises:
        UserError: either is not.
    """
    tasks = _manager(None).task_index
    if task not in tasks:
        raise UserError(f"no task {task!r}; there are {', '.join(task_names())}")
    problem_sources.load(problems or tasks[task].cfg["metadata"]["problems"])


def evaluate(
    task: str,
    policy: Policy,
    *,
    made_with: dict[str, Any] | None = None,
    seed: int = 0,
    limit: int | None = None,
    problems: str | None = None,
    folder: str | Path | None = None,
    progress: Callable[..., None] | None = None,
) -> scores.Score:
    """Runs one of our tasks.

    Args:
        task: its name.
        policy: who answers.
        made_with: what else stored draws must have been made with, say the policy's URI.
        seed: base seed of the draws.
        limit: only so many problems, the first ones.
        problems: problem URI instead of the task's own.
        folder: where to keep all draws (`TASK.draws.jsonl`) and each problem's scores (`TASK.scores.jsonl`).
        progress: called as progress(draws done, draws in all).

    Raises:
        UserError: no such task, or its problems cannot be loaded.
    """
    check(task, problems)
    store = Path(folder) / f"{task}.draws.jsonl" if folder else None
    results = lm_eval.simple_evaluate(
        model=PolicyLM(policy, made_with, seed, store, progress),
        tasks=[task],
        task_manager=_manager(problems),
        limit=limit,
        apply_chat_template=True,
        bootstrap_iters=0,
        log_samples=True,
    )
    assert results is not None
    samples = sorted(results["samples"][task], key=lambda sample: sample["doc_id"])
    if folder:
        rows = [
            {
                "problem": json.loads(sample["doc"]["problem"])["id"],
                "scores": sample["avg_at_k"],
                "responses": sample["filtered_resps"][0],
            }
            for sample in samples
        ]
        (Path(folder) / f"{task}.scores.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return scores.avg_at_k([sample["avg_at_k"] for sample in samples])


def _manager(problems: str | None) -> TaskManager:
    return TaskManager(include_path=str(TASKS), include_defaults=False, metadata={"problems": problems} if problems else None)
