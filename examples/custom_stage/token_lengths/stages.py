"""The stage `token_lengths`: how many tokens has each problem, prompt and answer together, and which ones are short enough?"""

import json
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tenfold import Problem
from tenfold.envs.problems import sources
from tenfold.pipelines import figures
from tenfold.pipelines.stage import Context, Metrics, Stage
from tenfold.policies import checkpoints

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = "problems.jsonl"
"""What the stage leaves in its folder: a row a problem that is short enough."""


class TokenLengths(Stage):
    """Measures the problems with the tokenizer of the stage's policy, and keeps those of at most `max_tokens`."""

    may_change: ClassVar[frozenset[str]] = frozenset({"longest_shown"})

    kind: Literal["token_lengths"]
    problems: str = Field(description="problem URI")
    max_tokens: int = Field(64, ge=1, description="longer problems are left out")
    longest_shown: int = Field(3, ge=0, description="so many of the longest problems are shown in the report")

    def check(self) -> None:
        """The problems can be loaded. This is called before the first stage of the recipe runs."""
        sources.load(self.problems)

    def run(self, context: Context) -> Metrics:
        """Measures, and writes those that are kept. What is returned goes to `stage.json`, and to the methods below."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(checkpoints.checkpoint(context.policy))
        problems = sources.load(self.problems)
        rows = []
        for done, problem in enumerate(problems, start=1):
            rows.append(_row(problem) | {"tokens": _tokens(problem, tokenizer)})
            context.progress(done, len(problems))
        kept = [row for row in rows if row["tokens"] <= self.max_tokens]
        (context.folder / KEPT).write_text("".join(json.dumps(row) + "\n" for row in kept))
        longest = sorted(rows, key=lambda row: -row["tokens"])[: self.longest_shown]
        return {"problems": len(rows), "kept": len(kept), "tokens": [row["tokens"] for row in rows], "longest": longest}

    def summary(self, metrics: Metrics) -> str:
        """One line for the table at the end of a run."""
        median = statistics.median(metrics["tokens"])
        return f"kept {metrics['kept']} of {metrics['problems']} problems, median {median:g} tokens, longest {_most(metrics)}"

    def figure(self, metrics: Metrics) -> "Figure":
        """A histogram for the run's page, with the limit as a line."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.hist(metrics["tokens"], bins=20)
        axes.axvline(self.max_tokens, color="black")
        axes.set(xlabel="tokens", ylabel="problems")
        return figure

    def tables(self, metrics: Metrics) -> str:
        """The longest problems for the run's page."""
        rows = [(row["tokens"], row["question"]) for row in metrics["longest"]]
        return figures.table(("tokens", "the longest problems"), rows)


def _row(problem: Problem) -> dict[str, Any]:
    return {"id": problem.id, "question": problem.prompt[-1]["content"], "answer": problem.answer}


def _tokens(problem: Problem, tokenizer: Any) -> int:
    texts: Sequence[str] = [*(turn["content"] for turn in problem.prompt), str(problem.answer)]
    return sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)


def _most(metrics: Metrics) -> int:
    return max(metrics["tokens"])
