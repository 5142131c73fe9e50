"""Writes what LiveCodeBench's own code makes of cases.yaml, as JSON: prompts, and verdicts (true if a response passes).

    python official.py CHECKOUT official.json

CHECKOUT is a checkout of github.com/LiveCodeBench/LiveCodeBench. Its code runs the programs without a sandbox; they are all in
cases.yaml. It needs numpy, tqdm and PyYAML. Of its packages, only the modules that decide a verdict or a prompt are imported,
because the others import every client of a model.
"""

import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

CHECKOUT = Path(sys.argv[1]).resolve()
"""The checkout of the benchmark's code."""


def import_only_what_is_needed() -> None:
    """Replaces the packages' own `__init__` modules, and the library that downloads the problems."""
    sys.path.insert(0, str(CHECKOUT))
    for name in ("evaluation", "prompts", "benchmarks"):
        package = ModuleType(f"lcb_runner.{name}")
        package.__path__ = [str(CHECKOUT / "lcb_runner" / name)]
        sys.modules[package.__name__] = package
    sys.modules["datasets"] = ModuleType("datasets")
    sys.modules["datasets"].load_dataset = None  # type: ignore[attr-defined]


import_only_what_is_needed()
FOLDER = Path(__file__).resolve().parent
TARGET = Path(sys.argv[2]).resolve()
os.chdir(CHECKOUT)  # its prompts are read from there

from lcb_runner.benchmarks.code_generation import CodeGenerationProblem  # noqa: E402
from lcb_runner.evaluation.compute_code_generation_metrics import evaluate_generations_by_problem  # noqa: E402
from lcb_runner.evaluation.pass_k_utils import extract_instance_results  # noqa: E402
from lcb_runner.lm_styles import LMStyle  # noqa: E402
from lcb_runner.prompts.code_generation import format_prompt_generation  # noqa: E402
from lcb_runner.utils.extraction_utils import extract_code  # noqa: E402

TIMEOUT = 6
"""Seconds; the default of `lcb_runner/runner/parser.py`."""


def passes(problem: dict[str, Any], response: str) -> bool:
    inputs, outputs = zip(*problem["tests"], strict=True)
    sample = {"input_output": json.dumps({"inputs": inputs, "outputs": outputs, "fn_name": problem.get("function")})}
    code = extract_code(response, LMStyle.OpenAIChat)
    results, _ = evaluate_generations_by_problem(([code], sample, False, TIMEOUT))
    return bool(extract_instance_results({0: results})[0][0])


def prompt(name: str, problem: dict[str, Any]) -> list[dict[str, str]]:
    starter = problem.get("starter", "")
    question = CodeGenerationProblem(
        *("", f"Solve {name}.", "leetcode", name, "", "2024-08-01T00:00:00", starter, "easy", "[]", "[]", "{}")
    )
    return format_prompt_generation(question, LMStyle.OpenAIChat)


def main() -> None:
    cases = yaml.safe_load((FOLDER / "cases.yaml").read_text())
    verdicts = {}
    for response in cases["responses"]:
        text = response["text"] if "text" in response else f"```python\n{response['code']}\n```"
        verdicts[response["name"]] = passes(cases["problems"][response["problem"]], text)
    prompts = {name: prompt(name, problem) for name, problem in cases["problems"].items()}
    TARGET.write_text(json.dumps({"prompts": prompts, "verdicts": verdicts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
