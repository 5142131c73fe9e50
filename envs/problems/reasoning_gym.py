"""Problems of reasoning-gym's generators: distinct prompts of a part, at a level of the generator's own curriculum.

    reasoning_gym:chain_sum?part=train&size=500&seed=0&level=2

A level sets all attributes of the curriculum, such as the number of terms and the number of digits. Level 0 is the easiest.
An attribute with fewer levels stays at its highest. Options of the generator take precedence over the level.
"""

import contextlib
import hashlib
import json
import random
import tempfile
from collections.abc import Mapping
from typing import Any

from ... import extras
from ...core import Problem, UserError
from ...verifiers import pool
from ...verifiers.answers.extraction.boxes import is_placeholder
from .conversations import messages
from .parts import in_part

COMPOSED = ("chain_sum", "gcd", "lcm", "letter_counting", "number_sorting", "spell_backward")
"""The generators that `reasoning_gym:composite` mixes if its option `datasets` is not given. Our choice."""
IN_WORKER = frozenset(
    "bf codeio intermediate_integration isomorphic_strings knight_swap list_functions polynomial_multiplication ransom_note "
    "word_ladder".split()
)
"""Generators that run in a worker process. Their problems differ between processes, because they iterate over sets or use
Python's global random generator, and the worker seeds both; `bf` prints. Found by comparing 30 problems in two processes
(reasoning-gym 0.1.25)."""
EXAMPLES = ("possible_answer", "example_answer", "example_correct_answer")
"""Entries of the metadata that are a correct answer."""
MAX_SECONDS = 3_600.0
"""Processor time limit of a worker that generates problems. Our choice."""


def problems(
    uri: str, generator: str, size: int, seed: int, part: str, level: int | None, options: Mapping[str, object]
) -> list[Problem]:
    """Returns problems of a generator with distinct prompts.

    Args:
        uri: the URI, for the problems' source and for errors.
        generator: name of the generator.
        size: number of problems.
        seed: seed of the generator.
        part: all, train or held_out; see `parts.in_part`.
        level: level of the generator's curriculum; None for the generator's defaults.
        options: options of the generator.

    Raises:
        UserError: the generator rejects the options, or has fewer than `size` problems.
    """
    extras.require(f"reasoning_gym:{generator}", "reasoning_gym")
    try:
        in_part("", part)
        arguments = (generator, size, seed, part, level, options)
        found = _in_worker(arguments) if generator in IN_WORKER else entries(*arguments)
    except (UserError, pool.TimeLimit, pool.MemoryLimit, pool.WorkerFault) as error:
        raise UserError(f"{uri}: {error}") from None
    if isinstance(found, str):
        raise UserError(f"{uri}: {found}")
    return [
        Problem(
            f"{generator}/{hashlib.sha256(entry['question'].encode()).hexdigest()[:12]}",
            messages(entry["question"]),
            entry["answer"],
            uri,
            {"metadata": entry["metadata"], **_solution(entry)},
        )
        for entry in found
    ]


def _solution(entry: Mapping[str, Any]) -> dict[str, str]:
    """Returns the example solution of a problem with many solutions and no gold answer."""
    examples = (entry["metadata"].get(name) for name in EXAMPLES)
    example = next((example for example in examples if example is not None), None)
    if entry["answer"] is not None or example is None:
        return {}
    return {"solution": f"<answer>{example if isinstance(example, str) else json.dumps(example)}</answer>"}


def _in_worker(arguments: tuple[object, ...]) -> Any:
    workers = pool.shared(f"{__name__}:seeded_entries", MAX_SECONDS, 4 << 30)
    try:
        return workers.call(*arguments)
    finally:
        workers.close()  # a worker with all generators takes more than 100 MB


def seeded_entries(generator: str, size: int, seed: int, *arguments: Any) -> list[dict[str, Any]] | str:
    """Seeds Python's global random generator, then returns `entries`. Runs in a worker.

    Args:
        generator, size, seed, arguments: see `entries`.
    """
    random.seed(seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):  # `codeio` runs programs that write files
        return entries(generator, size, seed, *arguments)


def entries(
    generator: str, size: int, seed: int, part: str, level: int | None, options: Mapping[str, object]
) -> list[dict[str, Any]] | str:
    """Returns the entries of a generator with distinct questions, or the reason why there are not enough. See `problems`.

    Args:
        generator, size, seed, part, level, options: see `problems`.
    """
    import reasoning_gym

    attempts = 50 * size + 1_000
    try:
        config: dict[str, Any] = {**(_at_level(generator, level) if level is not None else {}), **options}
        if generator == "composite":
            config["datasets"] = _composed(config.get("datasets", COMPOSED))
        generated = reasoning_gym.create_dataset(generator, size=attempts, seed=seed, **config)
    except Exception as error:  # invalid options raise AssertionError, TypeError or ValueError
        return f"reasoning-gym rejects these options ({_first_line(error)})"
    found: dict[str, dict[str, Any]] = {}
    for index in range(attempts):
        try:
            entry = generated[index]
        except Exception as error:  # some generators fail on options that they accept
            return f"the generator fails ({type(error).__name__}: {_first_line(error)})"
        if is_placeholder(str(entry["answer"])) or "Integral(" in str(entry["answer"]):
            continue  # no response can state "" or "[]" as its final answer; sympy did not find the integral
        if entry["question"] not in found and in_part(entry["question"], part):
            found[entry["question"]] = {name: entry[name] for name in ("question", "answer", "metadata")}
        if len(found) == size:
            return list(found.values())
    return f"the generator has only {len(found)} distinct problems; lower size={size}"


def _at_level(generator: str, level: int) -> dict[str, Any]:
    """Returns the options that the generator's curriculum sets at a level."""
    from reasoning_gym.factory import CURRICULA, create_curriculum

    if generator not in CURRICULA:
        raise ValueError(f"level={level}: {generator} has no levels")
    curriculum = create_curriculum(generator)
    attributes = curriculum.attributes.values()
    if level >= (levels := max(len(attribute.levels) for attribute in attributes)):
        raise ValueError(f"level={level}: {generator} has the levels 0 to {levels - 1}")
    curriculum.set_global_level(level)
    config = curriculum.generate_configuration()
    kinds = ("field_name", "lower_field_name", "upper_field_name")
    names = [getattr(attribute, kind) for attribute in attributes for kind in kinds if hasattr(attribute, kind)]
    return {name: getattr(config, name) for name in names}


def _composed(datasets: Any) -> list[Any]:
    """Returns reasoning-gym's declarations of the generators that are mixed: names, or {"name": ..., "weight": ..., ...}."""
    from reasoning_gym.composite import DatasetSpec

    rows = [{"name": row} if isinstance(row, str) else row for row in datasets]
    return [DatasetSpec(**{"weight": 1, "config": {}, **row}) for row in rows]


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
