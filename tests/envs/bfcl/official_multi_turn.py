"""Judges trajectories with bfcl-eval's own code, in a separate process: reads cases as JSON lines, writes verdicts.

A case has the row, the category, the gold calls and, for each turn, the responses of the policy. The package's requirements may
be missing, so modules that multi-turn problems do not use are replaced.
"""

import json
import sys
from unittest import mock

for name in ("java_parser", "js_parser", "java_type_converter", "js_type_converter"):
    for package in ("bfcl_eval.model_handler.parser", "bfcl_eval.eval_checker.ast_eval.type_convertor"):
        sys.modules[f"{package}.{name}"] = mock.MagicMock()
for missing in ("tenacity", "overrides", "filelock"):
    try:
        __import__(missing)
    except ImportError:
        sys.modules[missing] = mock.MagicMock()

from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils  # noqa: E402
from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker  # noqa: E402
from bfcl_eval.model_handler.utils import default_decode_execute_prompting  # noqa: E402

for number, line in enumerate(sys.stdin):
    case = json.loads(line)
    decoded = []
    for responses in case["responses"]:
        decoded.append([])
        for response in responses:
            try:
                calls = default_decode_execute_prompting(response)
            except Exception:
                continue
            if not multi_turn_utils.is_empty_execute_response(calls):
                decoded[-1].append(calls)
    try:
        verdict = multi_turn_checker(decoded, case["gold"], case["row"], case["category"], f"model{number}")
        print(json.dumps([bool(verdict["valid"]), verdict.get("error_type", "")]), flush=True)
    except Exception as error:
        print(json.dumps([None, f"{type(error).__name__}: {error}"]), flush=True)
    for name in [name for name in vars(multi_turn_utils) if name.endswith("_instance")]:
        del vars(multi_turn_utils)[name]
