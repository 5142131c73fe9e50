"""Solutions refined by deliberation, with their reasoning rebuilt: better targets for supervised fine-tuning.

For each instruction a judge writes a checklist; several policies write candidates; each candidate is scored on correctness,
completeness, consistency, executability and safety, by the verifier where one applies and by the judge elsewhere; the best is
criticised and revised until its checklist holds or the rounds are spent. Then a policy that completes chains writes a summary
of the reasoning and the reasoning itself (`chains.py`). The steps are the Nanbeige4-3B report's; rounds, candidates and
words it leaves open, and they are ours.

`answers.jsonl` holds everything that any policy said, by its key; `refined.jsonl` an instruction a line with its checklist, its
scores and its rounds; `problems.jsonl` what an sft stage learns: "jsonl:{stage:NAME}/problems.jsonl?solution=solution".
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar, Literal

from pydantic import Field

from ... import disk, verifiers
from ...core import Conversation, Problem, UserError, Verifier
from ...envs.problems import sources as problem_sources
from ..cluster import load_policy
from ..stage import Context, CostEstimate, Metrics, Stage
from . import chains
from . import prompts as words
from .answer_cache import AnswerCache

RETRY_TEMPERATURE = 0.7
"""Of a judge whose first answer, at 0, could not be read."""
VERIFIED = 16
"""Solutions that are verified at a time."""


class Refine(Stage):
    """Settings of a `refine` stage. Every policy of it is, by default, the stage's own."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    kind: Literal["refine"]
    problems: str = Field(description="problem URI: the instructions")
    limit: int | None = Field(None, ge=1, description="only so many of them, the first ones")
    template: str = Field("{prompt}", description="how an instruction is worded to those who answer it")
    writers: list[str] = Field([], description="URIs of the policies that write candidates")
    judge: str | None = Field(None, description="URI of the policy that writes checklists, scores and criticises")
    reviser: str | None = Field(None, description="URI of the policy that revises; default: the first writer")
    chain: str | None = Field(None, description="URI of the policy that rebuilds the reasoning; default: none is rebuilt")
    verifier: str | None = Field(None, description="decides what is right, where it can")
    candidates: int = Field(2, ge=1, description="of each writer")
    rounds: int = Field(2, ge=0, description="most revisions of a solution")
    chains: int = Field(3, ge=1, description="most chains that are written for a solution until one stands")
    keep: Literal["right", "holding", "all"] = Field(
        "right", description="what goes to problems.jsonl: solutions not found wrong; those whose checklist holds as well; all"
    )
    temperature: float = Field(0.7, ge=0, description="of candidates, revisions and chains; a judge answers at 0 first")
    max_tokens: int = Field(1024, ge=1, description="of an answer")
    batch_size: int = Field(64, ge=1, description="answers generated together")

    def check(self) -> None:
        """The instructions can be loaded, and the verifier."""
        problem_sources.load(self.problems)
        if self.verifier:
            verifiers.load(self.verifier)

    def cost(self) -> CostEstimate:
        """Every round of every instruction, each judgement asked for twice."""
        count = len(problem_sources.load(self.problems)[: self.limit])
        written = self.candidates * max(1, len(self.writers))
        each = 1 + written + 2 * (written + self.rounds) + 2 * self.rounds + (1 + self.chains if self.chain else 0)
        return CostEstimate(count * each, count * each * self.max_tokens)

    def run(self, context: Context) -> Metrics:
        """Refines all instructions together, step by step."""
        problems = problem_sources.load(self.problems)[: self.limit]
        if len({problem.id for problem in problems}) < len(problems):
            raise UserError(f"{self.problems}: two problems have one id, and answers are kept by it; give each its own")
        own = context.policy
        judge, writers = self.judge or own, self.writers or [own]
        most = self.cost().samples
        ask = AnswerCache(
            context.folder / "answers.jsonl",
            self.model_dump(mode="json", exclude=set(self.may_change))
            | {"policy": own, "seed": context.seed, "identity": context.identity},
            lambda uri: load_policy(uri, cluster=context.cluster, batch_size=self.batch_size),
            self.max_tokens,
            context.seed,
            lambda done: context.progress(done, most),
            together=context.cluster.on_cpu(),
        )
        verify = verifiers.load(self.verifier) if self.verifier else None
        works = [Work(problem) for problem in problems]

        asked = [(f"{work.problem.id}/checklist", words.checklist(work.problem)) for work in works]
        for work, answer in zip(works, ask(judge, asked, 0.0), strict=True):
            work.checklist = words.read_checklist(answer.text)
        for place, writer in enumerate(writers):
            keyed = [(work, f"{work.problem.id}/candidate/{place}/{n}") for work in works for n in range(self.candidates)]
            asked = [(key, words.answer(work.problem, self.template)) for work, key in keyed]
            for (work, _), answer in zip(keyed, ask(writer, asked, self.temperature), strict=True):
                work.candidates.append(Candidate(answer.text, writer, answer.cut))
        _score(works, lambda work: work.candidates, "candidate", ask, judge, verify)
        first = [work.best for work in works]
        sampled = [candidate for work in works for candidate in work.candidates]
        reviser = self.reviser or writers[0]
        for number in range(self.rounds):
            _revise([work for work in works if not work.best.holds], number, self, ask, judge, reviser, verify)
        if self.chain:
            _rebuild([work for work in works if _kept(work, self.keep)], self, ask, self.chain, verify)
        disk.write(context.folder / "refined.jsonl", "".join(json.dumps(_row(work)) + "\n" for work in works))
        learnt = [work for work in works if _kept(work, self.keep) and (work.thinking is not None or not self.chain)]
        if not learnt:
            raise UserError(
                f"{self.name}: nothing of {len(works)} instructions can be learnt ({_why(works, self)}); refined.jsonl and "
                "answers.jsonl show what was said"
            )
        disk.write(context.folder / "problems.jsonl", "".join(json.dumps(_problem(work)) + "\n" for work in learnt))
        return {
            "instructions": len(works),
            "candidates_right": _share(candidate.right for candidate in sampled),
            "right_before": _share(candidate.right for candidate in first),
            "right_after": _share(work.best.right for work in works),
            "holding_before": _share(candidate.holds for candidate in first),
            "holding_after": _share(work.best.holds for work in works),
            "rounds": dict(sorted(Counter(work.rounds for work in works).items())),
            "without_checklist": sum(not work.checklist for work in works),
            "unjudged": sum(candidate.scores is None for work in works for candidate in work.candidates),
            "chains_refused": dict(Counter(flaw for work in works for flaw in work.flaws)),
            "learnt": len(learnt),
            "answers": len(ask.answers),
        }

    def summary(self, metrics: Metrics) -> str:
        """How many instructions are left to learn, and the share of right answers before and after."""
        before, after = (f"{metrics[f'right_{when}'] or 0:.0%}" for when in ("before", "after"))
        return f"{metrics['learnt']} of {metrics['instructions']} instructions to learn; right {before} before, {after} after"


@dataclasses.dataclass(slots=True)
class Candidate:
    """A solution and what is held of it."""

    text: str
    by: str
    cut: bool
    right: bool | None = None
    """The verifier's word; None where there is none."""
    scores: words.Scores | None = None
    """The judge's; None where it could not be read twice."""

    @property
    def rank(self) -> tuple[float, float, float]:
        """By which the best is found: right, then the checklist, then the criteria."""
        right = 0.5 if self.right is None else float(self.right)
        if self.scores is None:
            return right, 0.0, 0.0
        return right, sum(self.scores.holds) / max(1, len(self.scores.holds)), self.scores.mean

    @property
    def holds(self) -> bool:
        """Whether nothing is left to mend."""
        return self.right is not False and not self.cut and self.scores is not None and all(self.scores.holds)


@dataclasses.dataclass(slots=True)
class Work:
    """An instruction under way."""

    problem: Problem
    checklist: list[str] = dataclasses.field(default_factory=list)
    candidates: list[Candidate] = dataclasses.field(default_factory=list)
    rounds: int = 0
    summary: str = ""
    thinking: str | None = None
    flaws: list[str] = dataclasses.field(default_factory=list)

    @property
    def best(self) -> Candidate:
        """The first of the best candidates."""
        return max(self.candidates, key=lambda candidate: candidate.rank)


def _score(
    works: Sequence[Work],
    of: Callable[[Work], list[Candidate]],
    step: str,
    ask: AnswerCache,
    judge: str,
    verify: Verifier | None,
) -> None:
    """Has candidates verified and judged; a judgement that cannot be read is asked for once more."""
    waiting = [
        (f"{work.problem.id}/scores/{step}/{number}", work, candidate)
        for work in works
        for number, candidate in enumerate(of(work))
    ]
    if verify:
        whole = [(work.problem, candidate) for _, work, candidate in waiting if not candidate.cut]
        with ThreadPoolExecutor(VERIFIED) as threads:
            verdicts = list(threads.map(lambda pair: verify(pair[0], pair[1].text), whole))
        for (_, candidate), verdict in zip(whole, verdicts, strict=True):
            candidate.right = None if verdict.score is None else verdict.score == 1
    for attempt, temperature in enumerate((0.0, RETRY_TEMPERATURE)):
        asked = [
            (f"{key}/{attempt}", words.scores(work.problem, candidate.text, work.checklist)) for key, work, candidate in waiting
        ]
        for (_, work, candidate), answer in zip(waiting, ask(judge, asked, temperature), strict=True):
            candidate.scores = words.read_scores(answer.text, work.checklist)
            if candidate.scores and candidate.right is not None:
                candidate.scores.criteria["correctness"] = 10.0 * candidate.right
        waiting = [row for row in waiting if row[2].scores is None]


def _revise(
    works: Sequence[Work], number: int, settings: Refine, ask: AnswerCache, judge: str, reviser: str, verify: Verifier | None
) -> None:
    """One round: the best solution is criticised and written anew; the new one counts where it is better."""
    bests = [work.best for work in works]
    asked = []
    for work, best in zip(works, bests, strict=True):
        holds = best.scores.holds if best.scores else [False] * len(work.checklist)
        failing = [item for item, held in zip(work.checklist, holds, strict=True) if not held]
        asked.append((f"{work.problem.id}/critique/{number}", words.critique(work.problem, best.text, failing, best.right)))
    criticisms = ask(judge, asked, 0.0)
    asked = [
        (f"{work.problem.id}/revision/{number}", words.revision(work.problem, best.text, criticism.text, settings.template))
        for work, best, criticism in zip(works, bests, criticisms, strict=True)
    ]
    for work, answer in zip(works, ask(reviser, asked, settings.temperature), strict=True):
        work.candidates.append(Candidate(answer.text, reviser, answer.cut))
        work.rounds += 1
    _score(works, lambda work: work.candidates[-1:], f"revision/{number}", ask, judge, verify)


def _rebuild(works: Sequence[Work], settings: Refine, ask: AnswerCache, policy: str, verify: Verifier | None) -> None:
    """Summaries, then chains, until one stands for each or the tries are spent."""
    asked: list[tuple[str, Conversation]] = [
        (f"{work.problem.id}/summary", words.summary(work.problem, work.best.text)) for work in works
    ]
    for work, answer in zip(works, ask(policy, asked, settings.temperature), strict=True):
        work.summary = answer.text
    for attempt in range(settings.chains):
        waiting = [work for work in works if work.thinking is None]
        asked = [
            (f"{work.problem.id}/chain/{attempt}", words.chain(work.problem, work.best.text, work.summary)) for work in waiting
        ]
        answers = ask(policy, asked, settings.temperature)
        with ThreadPoolExecutor(VERIFIED) as threads:
            flaws = list(
                threads.map(lambda work, answer: chains.flaw(answer, work.problem, work.best.text, verify), waiting, answers)
            )
        for work, answer, flaw in zip(waiting, answers, flaws, strict=True):
            if flaw:
                work.flaws.append(flaw)
            else:
                work.thinking = answer.text


def _kept(work: Work, keep: str) -> bool:
    best = work.best
    return keep == "all" or (best.right is not False and not best.cut and (keep == "right" or best.holds))


def _row(work: Work) -> dict[str, Any]:
    candidates = [
        {"text": c.text, "by": c.by, "right": c.right, "holds": c.scores.holds if c.scores else None}
        | {"scores": c.scores.criteria if c.scores else None}
        for c in work.candidates
    ]
    row = {"id": work.problem.id, "checklist": work.checklist, "candidates": candidates, "rounds": work.rounds}
    return row | {"best": work.candidates.index(work.best), "summary": work.summary, "chains_refused": work.flaws}


def _problem(work: Work) -> dict[str, Any]:
    row = {
        "id": work.problem.id,
        "prompt": list(work.problem.prompt),
        "answer": work.problem.answer,
        "solution": work.best.text,
    }
    return row | ({"thinking": work.thinking, "summary": work.summary} if work.thinking is not None else {})


def _share(values: Any) -> float | None:
    """Of those that are true among those that are known."""
    known = [bool(value) for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _why(works: Sequence[Work], settings: Refine) -> str:
    wrong = sum(not _kept(work, settings.keep) for work in works)
    refused = Counter(flaw for work in works for flaw in work.flaws)
    told = [f"{wrong} are not {settings.keep}", *(f"{count} chains: {flaw}" for flaw, count in refused.items())]
    return ", ".join(told)
