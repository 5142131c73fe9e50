"""The `sample_pairs` stage: pairs of a correct response of the teacher and a bad response of the student.

A response is correct if its score is at least `min_chosen_score`, and bad if its score is at most `min_chosen_score - margin`.
The student samples each problem several times. For problems with a bad response, the teacher samples until enough different
responses are correct. Truncated responses are left out; `allow_truncated` allows them as bad responses. Both responses of a
pair are stored as the sampled tokens, because `distill.py` compares distributions token by token. Source of the method: dual
preference distillation of the Nanbeige4-3B report. The numbers of samples and the margin are our choice.

The stage writes `pairs.jsonl`, one pair per line: id, prompt, and for `chosen` and `rejected` the text, the score, and the
tokens with a mask of those that the policy wrote. A `reward_model` stage can read this file as well.
"""

import functools
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from ... import disk
from ...core import Episode, Sampling, UserError
from ...envs import registry
from ...envs.rollout import turn_limit
from ...policies import checkpoints
from ...policies.chat.tokens import conversation_tokens
from ...policies.identity import checkpoint_of, without_backend
from ...policies.rollout import play
from ..launch import hosts
from ..launch.engines import load_for
from ..rl.filter import problem_count
from ..stage import Context, CostEstimate, Metrics, OtherPolicy, Stage
from ..trainer.settings import is_none

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAIRS = "pairs.jsonl"
Row = dict[str, Any]
"""An episode as stored, or a pair."""


class SamplePairs(Stage):
    """Settings of a `sample_pairs` stage. Its `policy` is the student."""

    reads_checkpoint: ClassVar[bool] = True  # for the tokens of the responses
    may_change: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    kind: Literal["sample_pairs"]
    environment: str = Field(description="id of a registered environment")
    options: dict[str, Any] = Field({}, description="keyword arguments for the environment")
    problems: int | None = Field(None, ge=1, description="number of the environment's problems to sample; default: all")
    teacher: str = Field(description="URI of the teacher; it must have the student's vocabulary")
    samples: int = Field(4, ge=1, description="student's samples per problem")
    teacher_samples: int = Field(8, ge=1, description="maximum number of teacher's samples per problem")
    min_chosen_score: float = Field(1.0, gt=0, le=1, description="minimum score of a chosen response")
    margin: float = Field(
        0.5, gt=0, le=1, description="minimum difference between min_chosen_score and the score of a rejected response"
    )
    pairs_per_problem: int = Field(1, ge=1, description="maximum number of pairs per problem")
    allow_truncated: bool = Field(
        False, description="allow responses that are truncated at max_tokens as the rejected response of a pair"
    )
    temperature: float = Field(1.0, gt=0, description="softmax temperature of the samples")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus sampling: the smallest set of tokens with this probability")
    max_tokens: int = Field(
        512, ge=1, description="maximum number of tokens of an episode's turns and of the environment's replies, in total"
    )
    max_turns: int | None = Field(
        None,
        ge=1,
        exclude_if=is_none,
        description="maximum number of the policy's turns in an episode; default: the environment's max_episode_steps, or 16",
    )
    batch_size: int = Field(256, ge=1, description="samples generated together")

    @field_validator("teacher")
    @classmethod
    def _is_a_checkpoint(cls, teacher: str) -> str:
        return named_checkpoint(teacher, without_backend(teacher))

    @property
    def max_rejected_score(self) -> float:
        """The maximum score of a rejected response."""
        return round(self.min_chosen_score - self.margin, 9)  # 1 - 0.8 is less than 0.2 before rounding

    def check(self) -> None:
        """Checks that the environment can be created, and that the teacher exists."""
        registry.make(self.environment, **self.options).close()
        checkpoint_of(self.teacher)

    def cost(self) -> CostEstimate:
        """Returns an upper limit: all samples of both policies at full length."""
        problems = problem_count(self.environment, self.options, self.problems)
        responses, teachers = problems * (self.samples + self.teacher_samples), problems * self.teacher_samples
        return CostEstimate(
            responses,
            responses * self.max_tokens,
            samples_per_copy=self.batch_size,
            others=(OtherPolicy(self.teacher, teachers, teachers * self.max_tokens),),
        )

    def run(self, context: Context) -> Metrics:
        """Samples with student and teacher, and writes `pairs.jsonl`."""
        folder, teacher = context.folder, self.teacher
        tokenizer = checkpoints.tokenizer_of(checkpoint_of(context.policy))
        check_same_vocabulary(tokenizer, checkpoints.tokenizer_of(checkpoint_of(teacher)), teacher)
        sampling = Sampling(self.temperature, self.top_p, self.max_tokens, context.seed)

        def sampled(
            policy: str, name: str, samples: int, problems: Sequence[int] | int | None, **options: Any
        ) -> dict[int, list[Row]]:
            played = play(
                functools.partial(registry.make, self.environment, **self.options),
                load_for(context, policy, self.batch_size),
                samples,
                problems=problems,
                sampling=sampling,
                max_turns=turn_limit(self.environment, self.max_turns),
                store=folder / name,
                store_settings={"policy": policy, "identity": context.identity},
                progress=context.progress,
                on_nodes=hosts.for_environment(context.cluster, self.environment, self.options),
                **options,
            )
            # The store may have further episodes that are not counted; see `play`.
            stored = _stored(folder / name)
            return {index: [row for row in stored[index] if row["sample"] < len(played[index])] for index in played}

        def enough(episodes: Sequence[Episode]) -> bool:
            complete = (episode for episode in episodes if episode.finish_reason != "length")
            correct = {json.dumps(each.messages) for each in complete if (each.verdict.score or 0) >= self.min_chosen_score}
            return len(correct) >= self.pairs_per_problem

        students = sampled(context.policy, "student.jsonl", self.samples, self.problems)
        with_bad = [index for index, rows in students.items() if _rejected(rows, self)]
        if not with_bad:
            response, changes = "complete response", "harder problems, a smaller margin or a larger max_tokens"
            if self.allow_truncated:
                response, changes = "response", "harder problems or a smaller margin"
            raise UserError(
                f"{self.name}: the student has no {response} with a score of {self.max_rejected_score:g} or less "
                f"on any of {len(students)} problems; choose {changes}"
            )
        teachers = sampled(teacher, "teacher.jsonl", self.teacher_samples, with_bad, is_decided=enough)
        pairs = [pair for index in with_bad for pair in _pairs(students[index], teachers.get(index, []), self, tokenizer)]
        if not pairs:
            raise UserError(
                f"{self.name}: the teacher has no complete response with a score of {self.min_chosen_score:g} or more on "
                f"any of the {len(with_bad)} problems with a bad response of the student; "
                "choose a better teacher, easier problems or a larger max_tokens"
            )
        disk.write(folder / PAIRS, "".join(json.dumps(pair) + "\n" for pair in pairs))
        return {
            "problems": len(students),
            "problems_with_bad_response": len(with_bad),
            "problems_with_pair": len({pair["problem"] for pair in pairs}),
            "pairs": len(pairs),
            "student_score": _mean_score(students),
            "teacher_score": _mean_score(teachers),
            "left_out": dict(_left_out(students, teachers, self)),
        }

    def summary(self, metrics: Metrics) -> str:
        """Returns the number of pairs and the mean scores of student and teacher."""
        student, teacher = (f"{metrics[name]:.3f}" for name in ("student_score", "teacher_score"))
        scores = f"student {student}; teacher {teacher} on the problems with a bad response of the student"
        return f"{metrics['pairs']} pairs from {metrics['problems']} problems; mean scores: {scores}"


def named_checkpoint(teacher: str, checkpoint: str) -> str:
    """Returns the URI of a teacher, as pydantic's validators do.

    Args:
        teacher: the URI.
        checkpoint: the same without its backend.

    Raises:
        ValueError: it is not the URI of a checkpoint.
    """
    try:
        checkpoints.check_scheme(checkpoint)
    except UserError as error:
        raise ValueError(str(error)) from None
    return teacher


def check_same_vocabulary(student: "PreTrainedTokenizerBase", teacher: "PreTrainedTokenizerBase", uri: str) -> None:
    """Checks that student and teacher have the same tokens.

    Args:
        student: the student's tokenizer.
        teacher: the teacher's tokenizer.
        uri: the teacher's URI, for the error.

    Raises:
        UserError: the vocabularies differ.
    """
    student_tokens, teacher_tokens = student.get_vocab(), teacher.get_vocab()
    if student_tokens != teacher_tokens:
        differing = sorted(
            word
            for word in student_tokens.keys() | teacher_tokens.keys()
            if student_tokens.get(word) != teacher_tokens.get(word)
        )
        raise UserError(
            f"the teacher {uri} has another vocabulary than the student (sizes {len(teacher_tokens)} and "
            f"{len(student_tokens)}; they differ in {differing[0]!r}), so their distributions cannot be compared; use its "
            "texts in an sft stage instead"
        )


def _stored(path: Path) -> dict[int, list[Row]]:
    """Returns a store's episodes that have a score and tokens, by problem, sorted by sample number."""
    found: dict[int, dict[int, Row]] = {}
    for _, row in disk.read_rows(path, _check):
        if "settings" not in row and row["verdict"]["score"] is not None and row["turns"] and all(row["turns"]):
            found.setdefault(row["problem"], {})[row["sample"]] = row
    return {index: [rows[sample] for sample in sorted(rows)] for index, rows in sorted(found.items())}


def _check(row: Row) -> None:
    """Raises if a line of a store is neither its settings nor an episode."""
    if "settings" not in row:
        disk.check_types(row, problem=int, sample=int, verdict=dict, turns=list, messages=list)
        row["verdict"]["score"]


def _score(row: Row) -> float:
    return float(row["verdict"]["score"])


def _mean_score(sampled: dict[int, list[Row]]) -> float:
    scores = [_score(row) for rows in sampled.values() for row in rows]
    return sum(scores) / len(scores) if scores else 0.0


def _rejected(rows: list[Row], settings: SamplePairs) -> list[Row]:
    """Returns the student's distinct bad responses, the worst first."""
    bad = [row for row in rows if _score(row) <= settings.max_rejected_score]
    bad = [row for row in bad if settings.allow_truncated or row["finish_reason"] != "length"]
    return list({json.dumps(row["turns"]): row for row in sorted(bad, key=_score, reverse=True)}.values())[::-1]


def _chosen(rows: list[Row], settings: SamplePairs) -> list[Row]:
    """Returns the teacher's distinct correct responses."""
    correct = [row for row in rows if _score(row) >= settings.min_chosen_score and row["finish_reason"] != "length"]
    return list({json.dumps(row["turns"]): row for row in correct}.values())


def _pairs(
    students: list[Row], teachers: list[Row], settings: SamplePairs, tokenizer: "PreTrainedTokenizerBase"
) -> Iterator[Row]:
    both = zip(_chosen(teachers, settings), _rejected(students, settings), strict=False)
    for chosen, rejected in itertools.islice(both, settings.pairs_per_problem):
        sides: Row = {}
        for name, row in (("chosen", chosen), ("rejected", rejected)):
            ids, mask = conversation_tokens(tokenizer, row["messages"], row["turns"])
            text = "\n\n".join(turn["content"] for turn in row["messages"] if turn["role"] == "assistant")
            sides |= {name: text, f"{name}_score": _score(row), f"{name}_tokens": {"ids": ids, "mask": mask}}
        prompt = "\n\n".join(turn["content"] for turn in chosen["messages"] if turn["role"] != "assistant")
        yield {"id": chosen["problem_id"], "problem": chosen["problem"], "prompt": prompt, **sides}


def _left_out(students: dict[int, list[Row]], teachers: dict[int, list[Row]], settings: SamplePairs) -> Counter[str]:
    """Returns the numbers of unused samples by reason."""
    counts: Counter[str] = Counter()
    for row in itertools.chain(*students.values()):
        if _score(row) > settings.max_rejected_score:
            counts["student's, score too high"] += 1
        elif row["finish_reason"] == "length" and not settings.allow_truncated:
            counts["student's, truncated"] += 1
    for row in itertools.chain(*teachers.values()):
        if _score(row) < settings.min_chosen_score:
            counts["teacher's, score too low"] += 1
        elif row["finish_reason"] == "length":
            counts["teacher's, truncated"] += 1
    return counts
