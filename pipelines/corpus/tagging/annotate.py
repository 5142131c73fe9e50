"""Annotators: score documents on each dimension of `rubrics.yaml`, from 0 to 9.

An annotator is a function from texts to labels. It yields them in parts, as they become available. A URI names it:

    rules:        computed from counts (`rule_labels.py`): a substitute without a model, which does not judge the content
    POLICY URI    a policy that gets the rubric (openai:MODEL?base_url=..., hf:..., smollm2:), see `questions.py`

A policy answers in one of two ways:

    json      It writes a JSON object with all scores. If scores are missing, it is asked again, at most `ATTEMPTS` times in
              all. Within an answer the last score of a dimension counts. Across answers the first valid one counts. A document
              that lacks a score after that stays unlabelled.
    choice    For each dimension the answer is begun up to the score (`{"clarity": `), and the probabilities of the next token
              are read. The probabilities of the score tokens are divided by their sum. On the graded scale the label is the
              mean of the scores, weighted by these probabilities. On the binary scale it is the more probable score. No score
              is missing, but a document whose prompt fills the window stays unlabelled. The policy must be a checkpoint: a
              server cannot continue an answer that is begun for it.
"""

import functools
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, NotRequired, TypedDict

from .... import policies
from ....core import Policy, Sampling, SupportsChoiceProbabilities, UserError
from ....policies.play.completions import in_parts
from ....policies.store import Store
from ...cluster import HERE, Cluster
from ...launch.engines import load_policy
from . import questions, rule_labels
from .dimensions import MAX_LABEL, POSITIVE, Labels, dimensions
from .questions import AS_GRADED_JSON, Question


class Annotation(NamedTuple):
    """What an annotator says about a document."""

    labels: Labels | None
    """None if the document stays unlabelled."""
    answers: int = 0
    """Answers in JSON that a policy gave."""
    without_valid_score: Mapping[str, int] = {}
    """Answers without a valid score, by name of the dimension."""


Annotator = Callable[[Sequence[str]], Iterator[dict[int, Annotation]]]
"""Yields annotations by position of the text. Each text comes once, in any order."""

RULES = "rules:"
ATTEMPTS = 3
"""Attempts per document: the first greedy, the rest at RETRY_TEMPERATURE. Our choice."""
NO_CHOICE = "{uri} cannot continue an answer that is begun for it; use a checkpoint, or answer: json"
"""The error of a policy that cannot answer by choice."""
RETRY_TEMPERATURE = 0.7
"""Sampling temperature after the first attempt. Our choice; greedy decoding would repeat the first answer."""


def load(
    uri: str = RULES,
    max_tokens: int = 2_048,
    seed: int = 0,
    cluster: Cluster = HERE,
    batch_size: int = 64,
    question: Question = AS_GRADED_JSON,
) -> Annotator:
    """Returns the annotator that a URI names.

    Args:
        uri: see the module's documentation.
        max_tokens: maximum number of new tokens of a policy's answer in JSON, its thinking included.
        seed: base seed of the policy's samples.
        cluster: where a checkpoint is loaded.
        batch_size: documents that a copy of a checkpoint labels together.
        question: how a policy is asked; only its scale applies to rules.

    Raises:
        UserError: the URI is invalid or names no policy, or the policy cannot answer in this way.
    """
    if uri == RULES:
        return lambda texts: iter([{number: Annotation(by_rules(text, question)) for number, text in enumerate(texts)}])
    if uri.startswith(RULES):
        raise UserError(f"{uri}: the annotator rules: has no options; use rules:")
    if uri.startswith("openai:"):
        schema = questions.schema(question)
        answer_format = {"type": "json_schema", "json_schema": {"name": "scores", "strict": True, "schema": schema}}
        policy = policies.load_policy(uri, response_format=answer_format)
    else:
        policy = load_policy(uri, cluster=cluster, batch_size=batch_size)
    if question.answer == "json":
        return functools.partial(label_with_policy, policy, max_tokens=max_tokens, seed=seed, question=question)
    if not can_choose(uri) or not isinstance(policy, SupportsChoiceProbabilities):
        raise UserError(NO_CHOICE.format(uri=uri))
    return functools.partial(label_by_choice, policy, question=question, size=batch_size * cluster.copies)


def can_choose(uri: str) -> bool:
    """True if the annotator that a URI names can answer by choice. For rules the answer does not matter."""
    return uri.partition(":")[0] not in policies.SAMPLERS


def by_rules(text: str, question: Question) -> Labels:
    """Returns the labels of the rules, on the question's scale."""
    labels = rule_labels.annotate(text)
    if question.scale == "graded":
        return labels
    return {name: MAX_LABEL if label >= POSITIVE else 0 for name, label in labels.items()}


class LabelRow(TypedDict):
    """A row of the store of labels, see `Annotation`. `labels` is None for an unlabelled document."""

    id: str
    labels: Mapping[str, float] | None
    answers: NotRequired[int]
    """Omitted, as `without_valid_score`, if the annotator gave no answers in JSON."""
    without_valid_score: NotRequired[Mapping[str, int]]


def label_row(id: str, annotation: Annotation) -> LabelRow:
    """Returns an annotation as a row of the store."""
    if not annotation.answers:
        return LabelRow(id=id, labels=annotation.labels)
    return LabelRow(
        id=id,
        labels=annotation.labels,
        answers=annotation.answers,
        without_valid_score=annotation.without_valid_score,
    )


def label(
    texts: Mapping[str, str], annotate: Annotator, store: Store[LabelRow], batch_size: int, progress: Callable[..., None]
) -> None:
    """Labels documents and appends each label to a store as it comes.

    Args:
        texts: texts by document id. Documents that the store contains are skipped.
        annotate: see `load`.
        store: the store of labels.
        batch_size: documents per call of the annotator.
        progress: called with the number of labelled documents and the number of all documents.

    Raises:
        UserError: the annotator failed. The labels up to then are stored.
    """
    stored = {row["id"] for row in store.rows}
    waiting = [name for name in texts if name not in stored]
    done = len(texts) - len(waiting)
    for start in range(0, len(waiting), batch_size):
        batch = waiting[start : start + batch_size]
        for part in annotate([texts[name] for name in batch]):
            rows = [label_row(batch[number], annotation) for number, annotation in part.items()]
            store.append(rows)
            store.rows.extend(rows)
            done += len(rows)
            progress(done, len(texts))


def label_with_policy(
    policy: Policy, texts: Sequence[str], max_tokens: int = 2_048, seed: int = 0, question: Question = AS_GRADED_JSON
) -> Iterator[dict[int, Annotation]]:
    """Yields labels that a policy writes as JSON, as an `Annotator` does.

    Args:
        policy: see `load`.
        texts: the documents' texts.
        max_tokens: see `load`.
        seed: see `load`.
        question: see `load`.

    Raises:
        SamplingIncomplete: the policy failed. The labels from its complete answers are yielded first.
    """
    names = [dimension.name for dimension in dimensions()]
    found: list[Labels] = [{} for _ in texts]
    missing: list[Counter[str]] = [Counter() for _ in texts]
    waiting = list(range(len(texts)))
    for attempt in range(ATTEMPTS):
        sampling = Sampling(RETRY_TEMPERATURE if attempt else 0.0, max_tokens=max_tokens, seed=seed)
        conversations = [questions.prompt(texts[number], question) for number in waiting]
        keys = [f"{hashlib.sha256(texts[number].encode('utf-8', 'replace')).hexdigest()} {attempt}" for number in waiting]
        incomplete: list[int] = []
        for places, rows in in_parts(policy, conversations, 1, sampling, keys):
            complete: dict[int, Annotation] = {}
            for place, row in zip(places, rows, strict=True):
                number, labels = waiting[place], questions.read(row[0].text, question)
                missing[number].update(name for name in names if name not in labels)
                found[number] = labels | found[number]
                if len(found[number]) < len(names):
                    incomplete.append(number)
                else:
                    ordered = {name: found[number][name] for name in names}
                    complete[number] = Annotation(ordered, attempt + 1, dict(missing[number]))
            yield complete
        waiting = sorted(incomplete)
        if not waiting:
            return
    yield {number: Annotation(None, ATTEMPTS, dict(missing[number])) for number in waiting}


def label_by_choice(
    policy: SupportsChoiceProbabilities, texts: Sequence[str], question: Question, size: int = 64
) -> Iterator[dict[int, Annotation]]:
    """Yields labels from the probabilities of the scores, as an `Annotator` does.

    The questions about a document have the same prompt and differ in the last tokens, so that an engine that caches prefixes
    computes the prompt once.

    Args:
        policy: see `load`.
        texts: the documents' texts.
        question: see `load`.
        size: number of documents that are labelled together. Their labels are yielded together.
    """
    for start in range(0, len(texts), size):
        block = texts[start : start + size]
        conversations = [questions.prompt(text, question) for text in block]
        found: list[Labels] = [{} for _ in block]
        unanswered: set[int] = set()
        for dimension in dimensions():
            chances = policy.choice_probabilities(conversations, questions.options(dimension.name, question))
            for number, row in enumerate(chances):
                if any(map(math.isnan, row)):
                    unanswered.add(number)
                else:
                    found[number][dimension.name] = questions.chosen(row, question)
        yield {start + number: Annotation(None if number in unanswered else labels) for number, labels in enumerate(found)}
