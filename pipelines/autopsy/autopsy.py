"""The autopsy stage: judges the stored episodes of a GRPO stage again, by judges that it was not trained on.

    - {kind: autopsy, name: autopsy, stage: grpo, judges: ["openai:JUDGE?base_url=http://localhost:8000/v1"]}

It shows by step where the reward rose and independent verdicts did not. `autopsy.html` is the page, `autopsy.json` has all
figures. `tenfold autopsy RUN` does the same for a run without this stage.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ... import disk, faults
from ...core import Problem, UserError
from ...policies.identity import files as policy_files
from ..rl.grpo import GRPO
from ..stage import Context, CostEstimate, Metrics, OtherPolicy, Stage, read_record, rerun_advice
from . import findings, models, page, samples
from .findings import PER_STEP, Findings, Request

PAGE, RECORD = "autopsy.html", "autopsy.json"
"""Files of the stage's folder."""
_KEPT = ("problems_error", "reward_change", "judges", "left_out", "alarms", "signs", "samples", "first_steps", "last_steps")
"""Findings that are metrics of the stage."""
JUDGE_TOKENS = 2_048
"""Upper bound of a judge's answer in tokens, for the estimate of costs; see `policies/judge.py`."""


class Autopsy(Stage):
    """Judges the stored episodes of a GRPO stage again."""

    reads_policy: ClassVar[bool] = False

    kind: Literal["autopsy"]
    stage: str = Field(description="name of the earlier GRPO stage")
    judges: list[str] = Field(
        [],
        description="names of built-in judges, which restrict them to those, and URIs of policies that judge answers, or "
        "prefer:URI of those that prefer one of two responses; default: all built-in judges except verl's scorers",
    )
    samples: int | None = Field(
        PER_STEP, ge=1, description="samples of each step that are judged, about as many of each group; null: all"
    )

    def check(self) -> None:
        """Checks the names and URIs of the judges."""
        findings.check_names(self.judges)

    def check_links(self, earlier: Mapping[str, Stage]) -> None:
        """Checks that the named stage is an earlier GRPO stage."""
        if not isinstance(earlier.get(self.stage), GRPO):
            known = [name for name, stage in earlier.items() if isinstance(stage, GRPO)]
            advice = f"choose one of {', '.join(known)}" if known else "put this stage after one of the kind grpo"
            raise UserError(f"{self.name}: stage: there is no earlier GRPO stage {self.stage!r}; {advice}")

    def named_stages(self) -> list[str]:
        """Returns the GRPO stage."""
        return [self.stage]

    def identity(self) -> dict[str, str]:
        """Returns the digests of the files of the judges that are models."""
        uris = [uri.removeprefix(models.PREFER) for uri in self.judges if ":" in uri]
        return {
            f"judge {number} {name}": digest
            for number, uri in enumerate(uris, start=1)
            for name, digest in policy_files(uri).items()
        }

    def cost(self) -> CostEstimate:
        """Returns the answers of the judges that are models, for one sample a step: the number of steps is not known here."""
        uris = [uri.removeprefix(models.PREFER) for uri in self.judges if ":" in uri]
        if not uris:
            return CostEstimate()
        others = tuple(OtherPolicy(uri, self.samples or 1, (self.samples or 1) * JUDGE_TOKENS) for uri in uris)
        return CostEstimate(others=others, unknown="a judge's answers are those for one step of the GRPO stage")

    def run(self, context: Context) -> Metrics:
        """Judges the samples; writes `autopsy.html` and `autopsy.json`."""
        source = context.inputs[self.stage]
        made = request(source, judges=self.judges, per_step=self.samples, seed=context.seed)
        found = findings.examine(made, context.progress)
        write(context.folder, found)
        return {name: found[name] for name in _KEPT}  # type: ignore[literal-required]

    def summary(self, metrics: Metrics) -> str:
        """Returns the alarms, or the changes of the judges."""
        if metrics["problems_error"]:
            return f"no judge has a score, because the problems are not known: {metrics['problems_error']}"
        if metrics["alarms"]:
            return "; ".join(page.alarm_text(each) for each in metrics["alarms"])
        changes = [
            f"{name} {page.change_text(judge['change'])}" for name, judge in metrics["judges"].items() if judge["tested"]
        ]
        return f"no alarm; reward {page.change_text(metrics['reward_change'])}{''.join(f', {each}' for each in changes)}"

    def tables(self, metrics: Metrics) -> str:
        """Returns the alarms and signs."""
        return page.alarm_table(metrics)


def request(folder: Path, *, judges: list[str], per_step: int | None, seed: int = 0) -> Request:
    """Returns what to judge: the samples of a GRPO stage's folder, with the problems of its environment.

    If the environment cannot be made, its problems are not known, and no judge has a score.

    Args:
        folder: folder of the stage.
        judges: see `findings.chosen`.
        per_step: see `samples.read`.
        seed: seed of the choice of samples.

    Raises:
        UserError: the folder is not that of a GRPO stage.
    """
    record = read_record(folder)
    if record is None or record["stage"]["kind"] != "grpo":
        raise UserError(f"{folder} is not the folder of a GRPO stage; give the folder of a run, and its stage with --stage")
    with disk.reading(folder / "settings.json", rerun_advice(folder)):
        environment, options = str(record["stage"]["environment"]), dict(record["stage"].get("options") or {})
    error = ""
    try:
        problem_of, verifier = samples.problems_of(environment, options)
    except Exception as caught:  # an environment of the user; what can be said of the texts is said all the same
        problem_of, verifier = _no_problem, None
        error = str(caught) if isinstance(caught, UserError) else faults.described(caught)
    return Request(
        *(folder, environment, problem_of, verifier), problems_error=error, judges=judges, per_step=per_step, seed=seed
    )


def _no_problem(index: int) -> Problem | None:
    return None


def write(folder: Path, found: Findings) -> None:
    """Writes the page and the record."""
    folder.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = disk.storable(dict(found))
    disk.write(folder / RECORD, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
    disk.write(folder / PAGE, page.page(found))
