"""The `refine` stage: better target solutions for supervised fine-tuning, with reconstructed reasoning.

The stage does the following for each problem:

1. A judge writes a checklist, and several policies write candidate solutions.
2. The judge scores each candidate on correctness, completeness, consistency, executability and safety. A verdict of the
   verifier replaces the judge's score of correctness.
3. The best candidate is criticised and revised until it fulfils its checklist or the rounds are used up.
4. A policy writes a summary of the reasoning, then the reasoning itself (`chains.py`).

Source of the steps: the Nanbeige4-3B report. Rounds, number of candidates and prompts are our choice. The stage writes:

    answers.jsonl     all answers of all policies, by key
    refined.jsonl     one line per problem: checklist, scores, rounds
    problems.jsonl    targets for an sft stage: "jsonl:{stage:NAME}/problems.jsonl?solution=solution"
"""

import contextlib
import dataclasses
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal

from pydantic import Field

from ... import disk, verifiers
from ...core import Conversation, Problem, UserError
from ...envs.problems import sources as problem_sources
from ...envs.text import template_defect
from ...policies.play.hosted import HostedVerifier, Verdicts, Verify
from ...responses import without_thinking
from ..launch import hosts
from ..launch.engines import load_for
from ..stage import Context, CostEstimate, Metrics, OtherPolicy, Stage
from . import chains, prompts
from .answer_cache import AnswerCache

RETRY_TEMPERATURE = 0.7
"""Temperature of the judge's second attempt, if its first answer (at 0) cannot be read. Our choice."""
THREADS = 16
"""Solutions that are verified at once by this process alone. Our choice."""


class Refine(Stage):
    """Settings of a `refine` stage."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    kind: Literal["refine"]
    problems: str = Field(description="problem URI")
    limit: int | None = Field(None, ge=1, description="number of problems, the first ones; default: all")
    template: str = Field("{prompt}", description="template of the last user turn of the prompt to the writers")
    writers: list[str] = Field([], description="URIs of the policies that write candidates; default: the stage's policy")
    judge: str | None = Field(
        None, description="URI of the policy that writes checklists, scores and critiques; default: the stage's policy"
    )
    reviser: str | None = Field(None, description="URI of the policy that revises; default: the first writer")
    chain_writer: str | None = Field(
        None, description="URI of the policy that reconstructs the reasoning; default: no reasoning is reconstructed"
    )
    verifier: str | None = Field(None, description="name of the verifier that decides correctness; default: none")
    candidates: int = Field(2, ge=1, description="candidates per writer")
    max_rounds: int = Field(2, ge=0, description="maximum number of revisions of a solution")
    max_chains: int = Field(3, ge=1, description="maximum number of attempts to write a reasoning chain that passes all checks")
    keep: Literal["not_incorrect", "checklist", "all"] = Field(
        "not_incorrect",
        description="solutions for problems.jsonl. not_incorrect: not truncated, not incorrect for the verifier if there is "
        "one; checklist: also with a fulfilled checklist; all: every solution",
    )
    temperature: float = Field(
        0.7, ge=0, description="temperature of candidates, revisions and reasoning chains; the judge's first attempt is at 0"
    )
    max_tokens: int = Field(1024, ge=1, description="longest answer, in tokens")
    batch_size: int = Field(64, ge=1, description="answers generated together")

    def check(self) -> None:
        """Checks the template, and that the problems and the verifier can be loaded."""
        if wrong := template_defect(self.template):
            raise UserError(wrong)
        problem_sources.load(self.problems)
        if self.verifier:
            verifiers.load(self.verifier)

    def cost(self) -> CostEstimate:
        """Returns an upper limit: all rounds of all problems, and two attempts for all scores."""
        try:
            count = len(problem_sources.load(self.problems)[: self.limit])
        except UserError:  # the problems cannot be read yet
            if self.limit is None:
                raise
            count = self.limit
        writers = self.writers or [""]  # the stage's policy
        written = self.candidates * len(writers)
        answers = Counter(writers * self.candidates)
        answers[self.judge or ""] += 1 + 2 * (written + self.max_rounds) + self.max_rounds  # checklist, scores, critiques
        answers[self.reviser or writers[0]] += self.max_rounds
        if self.chain_writer:
            answers[self.chain_writer] += 1 + self.max_chains
        samples = count * answers.total()
        others = [OtherPolicy(uri, count * each, count * each * self.max_tokens) for uri, each in answers.items() if uri]
        return CostEstimate(samples, samples * self.max_tokens, samples_per_copy=self.batch_size, others=tuple(others))

    def run(self, context: Context) -> Metrics:
        """Refines all problems together, step by step."""
        problems = problem_sources.load(self.problems)[: self.limit]
        if len({problem.id for problem in problems}) < len(problems):
            raise UserError(f"{self.problems}: two problems have the same id; give each problem its own")
        with contextlib.ExitStack() as stack:
            return self._refined(context, problems, self._verify(context, stack))

    def _verify(self, context: Context, stack: contextlib.ExitStack) -> Verify | None:
        """Returns the verifier; None if the stage has none. With several nodes it runs on them, until the stack is closed."""
        if not self.verifier:
            return None
        on_nodes = hosts.for_verifier(context.cluster, self.verifier)
        started = stack.enter_context(on_nodes(functools.partial(Verdicts, self.verifier))) if on_nodes else None
        return HostedVerifier(started) if started else verifiers.load(self.verifier)

    def _refined(self, context: Context, problems: Sequence[Problem], verify: Verify | None) -> Metrics:
        """Returns the metrics; see `run`."""
        policy = context.policy
        judge, writers = self.judge or policy, self.writers or [policy]
        upper_limit = self.cost().samples
        ask = AnswerCache(
            context.folder / "answers.jsonl",
            self.model_dump(mode="json", exclude=set(self.may_change))
            | {"policy": policy, "seed": context.seed, "identity": context.identity},
            lambda uri: load_for(context, uri, self.batch_size),
            self.max_tokens,
            context.seed,
            lambda done: context.progress(done, upper_limit),
            keep_all_loaded=context.cluster.on_cpu(),
        )
        works = [Work(problem) for problem in problems]

        requests = [(f"{work.problem.id}/checklist", prompts.checklist(work.problem)) for work in works]
        for work, answer in zip(works, ask(judge, requests, 0.0), strict=True):
            work.checklist = prompts.read_checklist(answer.text)
        for number, writer in enumerate(writers):
            keyed = [(work, f"{work.problem.id}/candidate/{number}/{n}") for work in works for n in range(self.candidates)]
            requests = [(key, prompts.answer(work.problem, self.template)) for work, key in keyed]
            for (work, _), answer in zip(keyed, ask(writer, requests, self.temperature), strict=True):
                work.candidates.append(Candidate(answer.text, writer, answer.truncated))
        _score(works, lambda work: work.candidates, "candidate", ask, judge, verify)
        first = [work.best for work in works]
        candidates = [candidate for work in works for candidate in work.candidates]
        reviser = self.reviser or writers[0]
        for number in range(self.max_rounds):
            _revise([work for work in works if not work.best.fulfils_checklist], number, self, ask, judge, reviser, verify)
        if self.chain_writer:
            _rebuild([work for work in works if _kept(work, self.keep)], self, ask, self.chain_writer, verify)
        disk.write(context.folder / "refined.jsonl", "".join(json.dumps(_row(work)) + "\n" for work in works))
        kept = [work for work in works if _kept(work, self.keep) and (work.thinking is not None or not self.chain_writer)]
        if not kept:
            raise UserError(
                f"{self.name}: none of {len(works)} problems has a usable solution ({_why(works, self)}); see refined.jsonl "
                "and answers.jsonl"
            )
        disk.write(context.folder / "problems.jsonl", "".join(json.dumps(_problem(work)) + "\n" for work in kept))
        return {
            "problems": len(works),
            "candidates_correct": _share(candidate.correct for candidate in candidates),
            "correct_before": _share(candidate.correct for candidate in first),
            "correct_after": _share(work.best.correct for work in works),
            "fulfilled_before": _share(candidate.fulfils_checklist for candidate in first),
            "fulfilled_after": _share(work.best.fulfils_checklist for work in works),
            "rounds": dict(sorted(Counter(work.rounds for work in works).items())),
            "without_checklist": sum(not work.checklist for work in works),
            "without_judge_scores": sum(candidate.scores is None for work in works for candidate in work.candidates),
            "chains_discarded": dict(Counter(flaw for work in works for flaw in work.flaws)),
            "kept": len(kept),
            "answers": len(ask.answers),
        }

    def summary(self, metrics: Metrics) -> str:
        """Returns the number of usable solutions and, with verdicts, the share of correct ones before and after revision."""
        counts = f"{metrics['kept']} usable solutions of {metrics['problems']} problems"
        before, after = metrics["correct_before"], metrics["correct_after"]
        if before is None or after is None:
            return counts
        return f"{counts}; correct {before:.0%} before revision, {after:.0%} after"


@dataclasses.dataclass(slots=True)
class Candidate:
    """A solution with its verdict and its scores."""

    text: str
    by: str
    """URI of the policy that wrote it."""
    truncated: bool
    """True if the text is incomplete; see `answer_cache.Answer`."""
    correct: bool | None = None
    """True if the verifier accepts it; None without a verdict."""
    scores: prompts.Scores | None = None
    """The judge's scores; None if they could not be read in two attempts."""

    @property
    def solution(self) -> str:
        """The text without the reasoning that its writer may have put before it."""
        return without_thinking(self.text).strip()

    @property
    def rank(self) -> tuple[float, bool, float, float]:
        """Sort key: the verifier's verdict, then whether the text is complete, then two results of the judge.

        These are the share of fulfilled items and the mean score.
        """
        correct = 0.5 if self.correct is None else float(self.correct)
        if self.scores is None:
            return correct, not self.truncated, 0.0, 0.0
        return correct, not self.truncated, sum(self.scores.holds) / max(1, len(self.scores.holds)), self.scores.mean

    @property
    def fulfils_checklist(self) -> bool:
        """True if the solution needs no revision."""
        return self.correct is not False and not self.truncated and self.scores is not None and all(self.scores.holds)


@dataclasses.dataclass(slots=True)
class Work:
    """A problem with all that the stage has generated for it."""

    problem: Problem
    checklist: list[str] = dataclasses.field(default_factory=list)
    candidates: list[Candidate] = dataclasses.field(default_factory=list)
    rounds: int = 0
    """Revisions so far."""
    summary: str = ""
    """Summary of the reasoning."""
    thinking: str | None = None
    """The chain that has passed all checks."""
    flaws: list[str] = dataclasses.field(default_factory=list)
    """Why the other chains were discarded."""

    @property
    def best(self) -> Candidate:
        """The candidate with the highest rank, the first one in a tie."""
        return max(self.candidates, key=lambda candidate: candidate.rank)


def _score(
    works: Sequence[Work],
    of: Callable[[Work], list[Candidate]],
    step: str,
    ask: AnswerCache,
    judge: str,
    verify: Verify | None,
) -> None:
    """Verifies and judges candidates. Scores that cannot be read are asked for once more."""
    waiting = [
        (f"{work.problem.id}/scores/{step}/{number}", work, candidate)
        for work in works
        for number, candidate in enumerate(of(work))
    ]
    if verify:
        complete = [(work.problem, candidate) for _, work, candidate in waiting if not candidate.truncated]
        with _threads(verify) as threads:
            verdicts = list(threads.map(lambda pair: verify(pair[0], pair[1].text), complete))
        for (_, candidate), verdict in zip(complete, verdicts, strict=True):
            candidate.correct = None if verdict.score is None else verdict.score == 1
    for attempt, temperature in enumerate((0.0, RETRY_TEMPERATURE)):
        requests = [
            (f"{key}/{attempt}", prompts.scores(work.problem, candidate.solution, work.checklist))
            for key, work, candidate in waiting
        ]
        for (_, work, candidate), answer in zip(waiting, ask(judge, requests, temperature), strict=True):
            candidate.scores = prompts.read_scores(answer.text, work.checklist)
            if candidate.scores and candidate.correct is not None:
                candidate.scores.criteria["correctness"] = 10.0 * candidate.correct
        waiting = [row for row in waiting if row[2].scores is None]


def _threads(verify: Verify | None) -> ThreadPoolExecutor:
    """Returns the threads in which solutions are verified."""
    return ThreadPoolExecutor(verify.hosts.concurrency if isinstance(verify, HostedVerifier) else THREADS)


def _revise(
    works: Sequence[Work], number: int, settings: Refine, ask: AnswerCache, judge: str, reviser: str, verify: Verify | None
) -> None:
    """Runs one round: criticises and rewrites the best solution of each problem. The revision becomes a further candidate."""
    bests = [work.best for work in works]
    requests = []
    for work, best in zip(works, bests, strict=True):
        holds = best.scores.holds if best.scores else None
        prompt = prompts.critique(work.problem, best.solution, work.checklist, holds, best.correct)
        requests.append((f"{work.problem.id}/critique/{number}", prompt))
    criticisms = [without_thinking(answer.text).strip() for answer in ask(judge, requests, 0.0)]
    requests = [
        (f"{work.problem.id}/revision/{number}", prompts.revision(work.problem, best.solution, criticism, settings.template))
        for work, best, criticism in zip(works, bests, criticisms, strict=True)
    ]
    for work, answer in zip(works, ask(reviser, requests, settings.temperature), strict=True):
        work.candidates.append(Candidate(answer.text, reviser, answer.truncated))
        work.rounds += 1
    _score(works, lambda work: work.candidates[-1:], f"revision/{number}", ask, judge, verify)


def _rebuild(works: Sequence[Work], settings: Refine, ask: AnswerCache, policy: str, verify: Verify | None) -> None:
    """Writes summaries, then chains until one passes all checks or the attempts are used up."""
    requests: list[tuple[str, Conversation]] = [
        (f"{work.problem.id}/summary", prompts.summary(work.problem, work.best.solution)) for work in works
    ]
    for work, answer in zip(works, ask(policy, requests, settings.temperature), strict=True):
        work.summary = without_thinking(answer.text).strip()
    for attempt in range(settings.max_chains):
        waiting = [work for work in works if work.thinking is None]
        requests = [
            (f"{work.problem.id}/chain/{attempt}", prompts.chain(work.problem, work.best.solution, work.summary))
            for work in waiting
        ]
        written = ask(policy, requests, settings.temperature)
        # The writer's own reasoning is removed, because it refers to the given solution.
        answers = [answer._replace(text=without_thinking(answer.text).strip()) for answer in written]
        with _threads(verify) as threads:
            flaws = list(
                threads.map(
                    lambda work, answer: chains.flaw(answer, work.problem, work.best.solution, verify), waiting, answers
                )
            )
        for work, answer, flaw in zip(waiting, answers, flaws, strict=True):
            if flaw:
                work.flaws.append(flaw)
            else:
                work.thinking = answer.text


def _kept(work: Work, keep: str) -> bool:
    best = work.best
    return keep == "all" or (
        best.correct is not False and not best.truncated and (keep == "not_incorrect" or best.fulfils_checklist)
    )


def _row(work: Work) -> dict[str, object]:
    candidates = [
        {"text": c.text, "by": c.by, "correct": c.correct, "holds": c.scores.holds if c.scores else None}
        | {"scores": c.scores.criteria if c.scores else None}
        for c in work.candidates
    ]
    best = work.candidates.index(work.best)
    row = {"id": work.problem.id, "checklist": work.checklist, "candidates": candidates, "rounds": work.rounds}
    return row | {"best": best, "summary": work.summary, "chains_discarded": work.flaws}


def _problem(work: Work) -> dict[str, object]:
    row: dict[str, object] = {"id": work.problem.id, "prompt": list(work.problem.prompt), "answer": work.problem.answer}
    if work.thinking is None:
        return row | {"solution": work.best.text}
    return row | {"solution": work.best.solution, "thinking": work.thinking, "summary": work.summary}


def _share(values: Iterable[bool | None]) -> float | None:
    """Returns the share of True among the values that are not None."""
    decided = [bool(value) for value in values if value is not None]
    return sum(decided) / len(decided) if decided else None


def _why(works: Sequence[Work], settings: Refine) -> str:
    dropped = sum(not _kept(work, settings.keep) for work in works)
    discarded = Counter(flaw for work in works for flaw in work.flaws)
    chain_flaws = [f"{count} chains discarded: {flaw}" for flaw, count in discarded.items()]
    return ", ".join([f"{dropped} do not meet keep: {settings.keep}", *chain_flaws])
