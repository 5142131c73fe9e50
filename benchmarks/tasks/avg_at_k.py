"""Functions that the task files name: documents from problems, verdicts on all k samples, aggregates over all documents."""

import dataclasses
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypedDict

import datasets

from tenfold import verifiers
from tenfold.benchmarks.result import score_of
from tenfold.benchmarks.stats import scores
from tenfold.benchmarks.tasks import layouts
from tenfold.core import TEXT, Message, Problem, Status, UserError, Verdict
from tenfold.envs.gold import gold_response
from tenfold.envs.problems import sources as problem_sources
from tenfold.envs.text import prompt_messages
from tenfold.policies.chat import tools
from tenfold.policies.store import VerdictRow, verdict_to_json


class Document(TypedDict):
    """A document of lm-eval. Problem and prompt are JSON, because a column needs one type and answers have several."""

    problem: str
    """The `Problem` as JSON."""
    text: str
    """The prompt as JSON: a conversation."""
    verifier: str
    """The verifier's declaration as JSON."""


VerdictFields = VerdictRow
"""The fields of a `Verdict`."""
Samples = Sequence[Sequence[VerdictFields]]
"""One row per problem, one verdict per sample."""

THREADS = 8
"""Samples of a problem that are judged at once. Our choice."""


def dataset(**metadata: Any) -> dict[str, datasets.Dataset]:
    """Returns the documents of a task from its `metadata`: problems, verifier, prompt template, few-shot examples."""
    verifier, template = (metadata.get(name, default) for name, default in DEFAULTS.items())
    rows: list[Document] = []
    layout, fewshot = metadata.get("layout"), metadata.get("fewshot") or 0
    solved, examples = (layout_examples(metadata), []) if layout else ([], few_shot(metadata))
    for problem in problem_sources.load(source(metadata)):
        posed = layouts.laid_out(layout, problem, solved, fewshot) if layout else problem
        turns = prompt_of(posed, template, metadata.get("system"), examples, fewshot)
        prompt = json.dumps(plain_text(turns) if metadata.get("text") else turns)
        rows.append({"problem": json.dumps(dataclasses.asdict(problem)), "text": prompt, "verifier": json.dumps(verifier)})
    return {"test": datasets.Dataset.from_list(rows)}


DEFAULTS = {"verifier": "math", "template": "{prompt}"}


Example = tuple[Message, Message]
"""The turns of a few-shot example: the user's and the policy's."""


def few_shot(metadata: Mapping[str, Any]) -> list[Example]:
    """Returns the few-shot examples of a task, one more than each prompt gets; empty if its prompts get none.

    A prompt leaves out an example that is its own problem (`prompt_of`).

    Args:
        metadata: `examples` is the URI of problems with solutions, or a list of {"prompt", "response"}. `fewshot` is the number
            of examples in each prompt.

    Raises:
        UserError: there are too few examples, or an example has no response.
    """
    count, given = metadata.get("fewshot") or 0, examples_uri(metadata) or []
    if not count:
        return []
    if metadata.get("layout"):
        return [
            (example.prompt[0], Message(role="assistant", content=str(example.meta.get("solution"))))
            for example in layout_examples(metadata)
        ]
    template = metadata.get("template", DEFAULTS["template"])
    found: list[Example] = []
    if isinstance(given, str):
        for problem in problem_sources.load(given)[: count + 1]:
            solution = problem.meta.get("solution")
            response = gold_response(problem) if solution is None else str(solution)
            if response is None or len(problem.prompt) != 1:
                raise UserError(f"{given}: {problem.id} is no few-shot example; use problems with one user turn and a solution")
            found.append((prompt_messages(problem, template)[0], Message(role="assistant", content=response)))
    else:
        for example in given[: count + 1]:
            prompt = template.replace("{prompt}", example["prompt"])
            found.append((Message(role="user", content=prompt), Message(role="assistant", content=example["response"])))
    if len(found) < count:
        raise UserError(f"fewshot: there are only {len(found)} examples, got {count}; lower it, or add examples")
    return found


def layout_examples(metadata: Mapping[str, Any]) -> Sequence[Problem]:
    """Returns the problems that a task with a `layout` takes its few-shot examples from: those of a problem's own category.

    Raises:
        UserError: an example has no solution.
    """
    if not metadata.get("fewshot"):
        return []
    uri = examples_uri(metadata)
    found = problem_sources.load(str(uri))
    if without := next((example.id for example in found if not example.meta.get("solution")), None):
        raise UserError(f"{uri}: {without} is no few-shot example, because it has no solution")
    return found


def examples_uri(metadata: Mapping[str, Any]) -> str | list[dict[str, str]] | None:
    """Returns the few-shot examples of a task: `examples` of its metadata, or its file in the folder `examples_data`.

    Raises:
        UserError: the folder lacks the file of the examples.
    """
    given: str | list[dict[str, str]] | None = metadata.get("examples")
    name, mark, options = (metadata.get("examples_file") or "").partition("?")
    folder = metadata.get("examples_data")
    if not (name and folder and metadata.get("fewshot")):
        return given
    if not (Path(folder) / name).is_file():
        raise UserError(f"there is no {name} in {folder}; put the problems of {given} there, or set --fewshot 0")
    return f"jsonl:{Path(folder) / name}{mark}{options}"


def prompt_of(
    problem: Problem, template: str, system: str | None, examples: Sequence[Example] = (), fewshot: int = 0
) -> list[Message]:
    """Returns the prompt of a problem: system turn, few-shot examples, and the problem's turns.

    Args:
        problem: the problem.
        template: text of the last user turn.
        system: text of the system turn; None: none.
        examples: the examples, from `few_shot`.
        fewshot: number of examples to put before the problem. An example with the problem's own prompt is left out.
    """
    declared, turns = tools.split(prompt_messages(problem, template))
    others = [example for example in examples if example[0]["content"] != turns[-1]["content"]][:fewshot]
    head = [Message(role="system", content=system)] if system else []
    return tools.joined(declared, [*head, *(turn for example in others for turn in example), *turns])


TEXT_LABELS = {"user": "Question: ", "assistant": "Answer: "}
"""Labels of turns in a plain text prompt. Our choice."""
TEXT_STOP = "\nQuestion:"
"""Text that ends a sample of a plain text prompt, because a base model may continue with a further question."""


def plain_text(turns: Sequence[Message]) -> list[Message]:
    """Returns a prompt as plain text for a base model: a single message that the policy continues after "Answer:"."""
    parts = [TEXT_LABELS.get(turn["role"], "") + turn["content"] for turn in tools.as_text(turns)]
    return [Message(role=TEXT, content="\n\n".join(parts) + "\nAnswer:")]


def source(metadata: Mapping[str, Any]) -> str:
    """Returns the URI of a task's problems: its file in the folder `data` if that is set, else `problems` of its metadata.

    Raises:
        UserError: neither `data` nor `problems` is set, or the folder lacks the file of a task whose problems would be
            downloaded.
    """
    folder, file = metadata.get("data"), metadata.get("file")
    name, mark, options = (file or "").partition("?")
    uri: str | None = metadata.get("problems")
    if not folder:
        if uri is None:
            raise UserError(f"{name} is published by {metadata['published']}; download it and name its folder with --data")
        return uri
    if file and (Path(folder) / name).is_file():
        return f"{'parquet' if name.endswith('.parquet') else 'jsonl'}:{Path(folder) / name}{mark}{options}"
    if uri is None or uri.startswith("hf:"):
        published = uri or metadata.get("published")
        raise UserError(f"there is no {name or 'such file'} in {folder}; put the problems of {published} there")
    return uri


def doc_to_text(document: Document) -> str:
    """Returns the prompt: a conversation as JSON."""
    return document["text"]


def doc_to_target(document: Document) -> str:
    """Returns the gold answer, for lm-eval's own logs."""
    return str(json.loads(document["problem"])["answer"])


def all_samples(responses: Iterable[list[str]], documents: object) -> list[list[str]]:
    """Returns every sample of every document. lm-eval's default filter would take the first."""
    return list(responses)


def process_results(document: Document, results: list[list[str]]) -> dict[str, list[VerdictFields]]:
    """Judges the k responses in `results[0]`. Every metric gets the verdicts of all k."""
    problem, verifier = Problem(**json.loads(document["problem"])), verifiers.load(json.loads(document["verifier"]))

    def judge(response: str) -> Verdict:
        verdict = verifier(problem, response)
        # A second attempt after a fault. A sample with two faults has no score.
        return verifier(problem, response) if verdict.status == Status.FAULT else verdict

    judged = [verdict_to_json(verdict) for verdict in _threads().map(judge, results[0])]
    return dict.fromkeys(("avg_at_k", "low_95", "high_95", "pass_at_k"), judged)


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=THREADS)


def unjudged(document: Document, results: list[list[str]]) -> dict[str, list[VerdictFields]]:
    """Returns undecided verdicts for the k responses, which a model judges later (`benchmarks/judged/`)."""
    undecided = Verdict(Status.UNDECIDED, None, "judge", "not judged yet")
    return {"avg_at_k": [verdict_to_json(undecided) for _ in results[0]]}


def no_score(samples: Samples) -> float:
    """Returns NaN, because there is no score before a model has judged the samples."""
    return float("nan")


def score(samples: Samples) -> scores.Score:
    """Returns the score over all samples of all problems. See `result.score_of`."""
    return score_of(samples)


def mean(samples: Samples) -> float:
    """Returns avg@k."""
    return score(samples).mean


def low(samples: Samples) -> float:
    """Returns the lower end of the 95% interval over new problems."""
    return score(samples).low


def high(samples: Samples) -> float:
    """Returns the upper end of the 95% interval over new problems."""
    return score(samples).high


def pass_at_k(samples: Samples) -> float:
    """Returns the share of problems that at least one sample solves."""
    return score(samples).pass_at_k
