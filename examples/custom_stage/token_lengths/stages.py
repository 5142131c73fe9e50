"""The stage `token_lengths`: counts the tokens of each problem (prompt and answer) and keeps the short problems."""

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
"""File in the stage's folder, with one row for each problem that is short enough."""


class TokenLengths(Stage):
    """Counts tokens with the tokenizer of the stage's policy, and keeps problems with at most `max_tokens`."""

    may_change: ClassVar[frozenset[str]] = frozenset({"longest_shown"})

    kind: Literal["token_lengths"]
    problems: str = Field(description="problem URI")
    max_tokens: int = Field(64, ge=1, description="maximum number of tokens; longer problems are dropped")
    longest_shown: int = Field(3, ge=0, description="number of longest problems in the report")

    def check(self) -> None:
        """Checks that the problems can be loaded, before the first stage of the recipe runs."""
        sources.load(self.problems)

    def run(self, context: Context) -> Metrics:
        """Writes the short problems and returns the metrics for `stage.json` and for the methods below."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(checkpoints.checkpoint(context.policy))
        problems = sources.load(self.problems)
        rows = []
        for done, problem in enumerate(problems, start=1):
            rows.append(_row(problem) | {"tokens": _tokens(problem, tokenizer)})
            context.progress(done, len(problems))
        kept = [row for row in rows if row["tokens"] <= self.max_tokens]
        (context.folder / KEPT).write_text("".join(json.dumps(row) + "\n" for row in kept))
        # All problems, because `longest_shown` may change after the stage has run.
        longest = [(row["tokens"], row["question"]) for row in sorted(rows, key=lambda row: -row["tokens"])]
        return {"problems": len(rows), "kept": len(kept), "tokens": [row["tokens"] for row in rows], "longest": longest}

    def summary(self, metrics: Metrics) -> str:
        """Returns one line for the table at the end of a run."""
        median = statistics.median(metrics["tokens"])
        longest = max(metrics["tokens"])
        return f"kept {metrics['kept']} of {metrics['problems']} problems, median {median:g} tokens, longest {longest}"

    def figure(self, metrics: Metrics) -> "Figure":
        """Returns a histogram for the report, with the limit as a line."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.hist(metrics["tokens"], bins=20)
        axes.axvline(self.max_tokens, color="black")
        axes.set(xlabel="tokens", ylabel="problems")
        return figure

    def tables(self, metrics: Metrics) -> str:
        """Returns a table of the longest problems for the report."""
        return figures.table(("tokens", "the longest problems"), metrics["longest"][: self.longest_shown])


def _row(problem: Problem) -> dict[str, Any]:
    return {"id": problem.id, "question": problem.prompt[-1]["content"], "answer": problem.answer}


def _tokens(problem: Problem, tokenizer: Any) -> int:
    texts: Sequence[str] = [*(turn["content"] for turn in problem.prompt), str(problem.answer)]
    return sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)
