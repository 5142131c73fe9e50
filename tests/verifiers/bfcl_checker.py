"""Judges calls with bfcl-eval's own checker, in a separate process: reads cases as JSON lines, writes verdicts.

The package pins versions that conflict with tenfold's. If it is installed without its requirements, its table of models is
replaced. The table only determines for which models a dot in a function name is
replaced with an underscore.
"""

import json
import sys
from types import ModuleType, SimpleNamespace

MODEL = "any"
try:
    from bfcl_eval.constants import model_config
except ImportError:
    model_config = ModuleType("bfcl_eval.constants.model_config")
    sys.modules[model_config.__name__] = model_config
model_config.MODEL_CONFIG_MAPPING = {MODEL: SimpleNamespace(underscore_to_dot=False)}  # type: ignore[attr-defined]

from bfcl_eval.constants.enums import Language  # noqa: E402
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker  # noqa: E402

for line in sys.stdin:
    case = json.loads(line)
    answer, calls = case["answer"], [{call["name"]: call["arguments"]} for call in case["calls"]]
    try:
        language = Language(answer["language"])
        result = ast_checker(answer["functions"], calls, answer["calls"], language, case["category"], MODEL)
        print(json.dumps(bool(result["valid"])))
    except Exception as error:  # the checker raises on some of the data set's own rows
        print(json.dumps(f"{type(error).__name__}: {error}"))
