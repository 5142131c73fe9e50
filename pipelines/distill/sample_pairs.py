"""Pairs of responses to learn from: a right one of the teacher's beside one of the student's own that is clearly worse.

The student plays each problem several times; where it fails at times, the teacher plays until enough of its episodes are right.
The environment's verdict says what is right and by how much. Both sides are kept as the tokens that were sampled, for
`distill.py` compares distributions token by token. (The Nanbeige4-3B report's dual preference distillation; how many samples
and which margin it leaves open, and they are ours.)

`pairs.jsonl`, a pair a line: id, prompt, and for `chosen` and `rejected` the text, the score and the tokens with a mask of what
the policy wrote. It is also what a `reward_model` stage reads.
"""

import functools
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ... import disk
from ...core import Sampling, UserError
from ...envs import registry
from ...policies import checkpoints
from ...policies.chat_tokens import conversation_tokens
from ...policies.rollout import MAX_TURNS, play
from ..cluster import load_policy
from ..rl.filter import problem_count
from ..stage import Context, CostEstimate, Metrics, Stage

PAIRS = "pairs.jsonl"
Row = dict[str, Any]


class SamplePairs(Stage):
    """Settings of a `sample_pairs` stage. Its `policy` is the student."""

    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    kind: Literal["sample_pairs"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    problems: int | None = Field(None, ge=1, description="how many of its problems to sample on; default: all")
    teacher: str = Field(description="URI of the policy whose right responses are to be learnt; of the student's vocabulary")
    samples: int = Field(4, ge=1, description="student's samples a problem")
    teacher_samples: int = Field(8, ge=1, description="most of the teacher's samples a problem")
    right: float = Field(1.0, gt=0, le=1, description="least score of a chosen response")
    margin: float = Field(0.5, gt=0, le=1, description="by how much the rejected response must score less")
    each: int = Field(1, ge=1, description="most pairs a problem")
    cut: bool = Field(False, description="whether a response that was cut at max_tokens may be the rejected one")
    temperature: float = Field(1.0, gt=0, description="softmax temperature of the samples")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling: the smallest set of tokens with this probability")
    max_tokens: int = Field(512, ge=1, description="of all turns of an episode together, and of the replies between them")
    max_turns: int = Field(MAX_TURNS, ge=1, description="turns of a policy in an episode")
    batch_size: int = Field(256, ge=1, description="samples generated together")

    def check(self) -> None:
        """The environment can be made."""
        registry.make(self.environment, **self.options).close()

    def cost(self) -> CostEstimate:
        """All samples of both."""
        responses = problem_count(self.environment, self.options, self.problems) * (self.samples + self.teacher_samples)
        return CostEstimate(responses, responses * self.max_tokens)

    def run(self, context: Context) -> Metrics:
        """Samples with both policies and writes `pairs.jsonl`."""
        folder, teacher = context.folder, self.teacher
        tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint(context.policy))
        check_same_vocabulary(tokenizer, checkpoints.tokenizer_of(checkpoints.checkpoint(teacher)), teacher)
        sampling = Sampling(self.temperature, self.top_p, self.max_tokens, context.seed)

        def sampled(
            policy: str, name: str, samples: int, problems: Sequence[int] | int | None, **options: Any
        ) -> dict[int, list[Row]]:
            play(
                functools.partial(registry.make, self.environment, **self.options),
                load_policy(policy, cluster=context.cluster, batch_size=self.batch_size),
                samples,
                problems=problems,
                sampling=sampling,
                max_turns=self.max_turns,
                store=folder / name,
                made_with={"policy": policy, "identity": context.identity},
                progress=context.progress,
                **options,
            )
            return _stored(folder / name)

        def enough(scores: Sequence[float | None]) -> bool:
            return sum(score is not None and score >= self.right for score in scores) >= self.each

        students = sampled(context.policy, "student.jsonl", self.samples, self.problems)
        open_ones = [index for index, rows in students.items() if _rejected(rows, self)]
        if not open_ones:
            raise UserError(
                f"{self.name}: in none of {len(students)} problems has the student a response that scores "
                f"{self.right - self.margin:g} or less: choose harder problems, or a smaller margin"
            )
        teachers = sampled(teacher, "teacher.jsonl", self.teacher_samples, open_ones, decided=enough)
        pairs = [pair for index in open_ones for pair in _pairs(students[index], teachers.get(index, []), self, tokenizer)]
        if not pairs:
            raise UserError(
                f"{self.name}: the teacher has a response that scores {self.right:g} or more, and {self.margin:g} more "
                f"than the student's, on none of the {len(open_ones)} problems that the student fails at times"
            )
        disk.write(folder / PAIRS, "".join(json.dumps(pair) + "\n" for pair in pairs))
        return {
            "problems": len(students),
            "student_fails": len(open_ones),
            "teacher_right": len({pair["problem"] for pair in pairs}),
            "pairs": len(pairs),
            "student_score": _mean_score(students),
            "teacher_score": _mean_score(teachers),
            "left_out": dict(_left_out(students, teachers, self)),
        }

    def summary(self, metrics: Metrics) -> str:
        """How many pairs there are, and the mean scores of student and teacher."""
        scores = f"student {metrics['student_score']:.3f}, teacher {metrics['teacher_score']:.3f} where it fails"
        return f"{metrics['pairs']} pairs of {metrics['problems']} problems; mean score: {scores}"


def check_same_vocabulary(student: Any, teacher: Any, uri: str) -> None:
    """Says so where the teacher's tokens are not the student's.

    Raises:
        UserError: they differ.
    """
    ours, theirs = student.get_vocab(), teacher.get_vocab()
    if ours != theirs:
        differing = sorted(word for word in ours.keys() | theirs.keys() if ours.get(word) != theirs.get(word))
        raise UserError(
            f"the teacher {uri} has another vocabulary than the student ({len(theirs)} tokens, not {len(ours)}; they differ in "
            f"{differing[0]!r}): distributions can only be compared over the same tokens; use its texts in an sft stage instead"
        )


def _stored(path: Path) -> dict[int, list[Row]]:
    """A store's episodes that have a verdict and tokens, by problem, in the order of their samples."""
    found: dict[int, dict[int, Row]] = {}
    for _, row in disk.rows(path, _check):
        if "settings" not in row and row["verdict"]["score"] is not None and row["turns"] and all(row["turns"]):
            found.setdefault(row["problem"], {})[row["sample"]] = row
    return {index: [rows[sample] for sample in sorted(rows)] for index, rows in sorted(found.items())}


def _check(row: Row) -> None:
    """Raises where a line of a store is neither its settings nor an episode."""
    if "settings" not in row:
        disk.has(row, problem=int, sample=int, verdict=dict, turns=list, messages=list)
        row["verdict"]["score"]


def _score(row: Row) -> float:
    return float(row["verdict"]["score"])


def _mean_score(sampled: dict[int, list[Row]]) -> float:
    scores = [_score(row) for rows in sampled.values() for row in rows]
    return sum(scores) / len(scores) if scores else 0.0


def _rejected(rows: list[Row], settings: SamplePairs) -> list[Row]:
    """The student's responses that may be rejected ones, the worst first, none twice."""
    worse = [row for row in rows if _score(row) <= settings.right - settings.margin]
    worse = [row for row in worse if settings.cut or row["finish_reason"] != "length"]
    return list({json.dumps(row["turns"]): row for row in sorted(worse, key=_score, reverse=True)}.values())[::-1]


def _chosen(rows: list[Row], settings: SamplePairs) -> list[Row]:
    """The teacher's responses that may be chosen ones, none twice."""
    right = [row for row in rows if _score(row) >= settings.right and row["finish_reason"] != "length"]
    return list({json.dumps(row["turns"]): row for row in right}.values())


def _pairs(students: list[Row], teachers: list[Row], settings: SamplePairs, tokenizer: Any) -> Iterator[Row]:
    both = zip(_chosen(teachers, settings), _rejected(students, settings), strict=False)
    for chosen, rejected in itertools.islice(both, settings.each):
        sides: Row = {}
        for name, row in (("chosen", chosen), ("rejected", rejected)):
            ids, mask = conversation_tokens(tokenizer, row["messages"], row["turns"])
            said = "\n\n".join(turn["content"] for turn in row["messages"] if turn["role"] == "assistant")
            sides |= {name: said, f"{name}_score": _score(row), f"{name}_tokens": {"ids": ids, "mask": mask}}
        asked = [turn for turn in chosen["messages"] if turn["role"] != "assistant"]
        prompt = "\n\n".join(turn["content"] for turn in asked)
        yield {"id": chosen["problem_id"], "problem": chosen["problem"], "prompt": prompt, **sides}


def _left_out(students: dict[int, list[Row]], teachers: dict[int, list[Row]], settings: SamplePairs) -> Counter[str]:
    """How many samples were of no use, and why."""
    counts: Counter[str] = Counter()
    for row in itertools.chain(*students.values()):
        if _score(row) > settings.right - settings.margin:
            counts["student's, too good"] += 1
        elif row["finish_reason"] == "length" and not settings.cut:
            counts["student's, cut"] += 1
    for row in itertools.chain(*teachers.values()):
        if _score(row) < settings.right:
            counts["teacher's, not right"] += 1
        elif row["finish_reason"] == "length":
            counts["teacher's, cut"] += 1
    return counts
