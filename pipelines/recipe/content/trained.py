"""The word `trained` among the tasks of a bench stage: the environments that the recipe's grpo stages train.

- {kind: grpo, name: grpo, environment: lab/Units-v0}
- {kind: bench, name: after, tasks: [trained]}         # as tasks: ["env:lab/Units-v0"]
"""

from collections.abc import Mapping
from typing import Any

from ....benchmarks import environment_name
from ....envs import held_out

WORD = "trained"


def with_environments(stages: Any) -> Any:
    """Returns a recipe's stages, as read from YAML, with the word `trained` replaced by the environments.

    Raises:
        ValueError: a bench stage uses the word, but no grpo stage names an environment; or JSON cannot store an option of a
            grpo stage.
    """
    if not isinstance(stages, list):
        return stages
    settings = [stage for stage in stages if isinstance(stage, Mapping)]
    trained = list(dict.fromkeys(_task(stage) for stage in settings if stage.get("kind") == "grpo" and "environment" in stage))
    return [_replaced(stage, trained) for stage in stages]


def _replaced(stage: Any, trained: list[str]) -> Any:
    if not isinstance(stage, Mapping) or stage.get("kind") != "bench" or not isinstance(stage.get("tasks"), list):
        return stage
    if WORD not in stage["tasks"]:
        return stage
    if not trained:
        raise ValueError(
            f"{stage.get('name')}.tasks: {WORD!r} stands for the environments of the grpo stages, but the recipe has none; "
            "write env:ID"
        )
    tasks = [name for task in stage["tasks"] for name in (trained if task == WORD else [task])]
    return {**stage, "tasks": [task for number, task in enumerate(tasks) if task not in tasks[:number]]}


def _task(stage: Mapping[str, Any]) -> str:
    """Returns the name of the benchmark task for a grpo stage: env:ID with the stage's options.

    If the stage names problems with part=train, the task has part=held_out of them. Otherwise it has the environment's own
    held-out problems.
    """
    options = dict(stage["options"]) if isinstance(stage.get("options"), Mapping) else {}
    problems = options.pop("problems", None)
    if isinstance(problems, str) and (uri := held_out.held_out_uri(problems)):
        options["problems"] = uri
    try:
        return environment_name.with_options(f"{environment_name.PREFIX}{stage['environment']}", options)
    except TypeError as error:
        raise ValueError(f"{stage.get('name')}.options: expected values that JSON can store ({error})") from None
