"""`WeightedVerifier`: a reward of several parts, such as correctness, format and length.

    verifier:
      - {name: math, weight: 1}
      - {name: format, weight: 0.2, tags: [think, answer]}
      - {name: "lab.rewards:polite", weight: 0.1, part: politeness}

The score is the weighted mean of the parts' scores: with the weights 1, 0.2 and 0.1, a correct response that fails both other
parts scores 1 / 1.3. A weight is a positive number; the default is 1. `part` is the name under which the part is reported; the
default is the verifier's own name. All other entries are options of the verifier.

A part that reaches a limit of time or memory (TIMEOUT) scores 0. If a part has no score (UNDECIDED or FAULT), the verdict has
none, with the status and the reason of that part.
"""

import dataclasses
import math
from collections.abc import Mapping

from ...core import Part, Problem, Status, UserError, Verdict, Verifier

METHOD = "weighted"
"""Method of these verdicts."""
MAX_PART_REASON = 120
"""Maximum number of characters of a part's reason in the reason of the verdict."""


@dataclasses.dataclass(frozen=True)
class WeightedPart:
    """A verifier with its weight and the name under which its score is reported."""

    name: str
    weight: float
    verifier: Verifier


@dataclasses.dataclass(frozen=True)
class WeightedVerifier:
    """A verifier whose score is the weighted mean of the scores of its parts."""

    parts: tuple[WeightedPart, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise UserError("verifier: the list of parts is empty; give at least one verifier")
        names = [part.name for part in self.parts]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise UserError(f"verifier: two parts are called {repeated[0]!r}; give one of them another name with part: NAME")
        for part in self.parts:
            if not (math.isfinite(part.weight) and part.weight > 0):
                raise UserError(f"verifier: the weight of {part.name!r} must be a positive number, got {part.weight!r}")

    def __call__(self, problem: Problem, response: str) -> Verdict:
        """Returns the verdict with the scores of all parts."""
        verdicts = [part.verifier(problem, response) for part in self.parts]
        parts = tuple(
            Part(part.name, verdict.score, part.weight, verdict.method, verdict.reason)
            for part, verdict in zip(self.parts, verdicts, strict=True)
        )
        judge_messages = tuple(message for verdict in verdicts for message in verdict.judge_messages)
        for part, verdict in zip(self.parts, verdicts, strict=True):
            if verdict.score is None:
                return Verdict(verdict.status, None, verdict.method, f"{part.name}: {verdict.reason}", judge_messages, parts)
        total = math.fsum(part.weight for part in parts)
        score = math.fsum(part.weight * (part.score or 0.0) for part in parts) / total
        reason = "; ".join(
            f"{part.name} {part.score:g}{f' ({part.reason[:MAX_PART_REASON]})' if part.reason else ''}" for part in parts
        )
        return Verdict(Status.SCORED, min(1.0, score), METHOD, reason, judge_messages, parts)

    def invalid_gold(self, problem: Problem) -> str | None:
        """Returns the first reason why a part cannot judge responses to the problem, or None."""
        reasons = (part.verifier.invalid_gold(problem) for part in self.parts)
        return next((reason for reason in reasons if reason is not None), None)

    def prepare(self) -> None:
        """Checks that all parts work on this machine; see `core.Verifier`."""
        for part in self.parts:
            part.verifier.prepare()

    @property
    def options(self) -> Mapping[str, object]:
        """The weight and the options of each part, by the part's name."""
        return {part.name: {"weight": part.weight, **part.verifier.options} for part in self.parts}

    def with_options(self, **options: object) -> "WeightedVerifier":
        """Returns the verifier with other options of its parts, for example math={"form": "any"}.

        Raises:
            UserError: there is no such part, or it does not take these options.
        """
        known = {part.name: part for part in self.parts}
        changed = dict(known)
        for name, given in options.items():
            if name not in known or not isinstance(given, Mapping):
                raise UserError(f"a verifier of several parts takes PART={{OPTION: value}}; its parts are {', '.join(known)}")
            weight = given.get("weight", known[name].weight)
            if isinstance(weight, bool) or not isinstance(weight, int | float):
                raise UserError(f"verifier: the weight of {name!r} must be a positive number, got {weight!r:.100}")
            new = {key: value for key, value in given.items() if key != "weight"}
            verifier = known[name].verifier.with_options(**new) if new else known[name].verifier
            changed[name] = WeightedPart(name, float(weight), verifier)
        return WeightedVerifier(tuple(changed.values()))
