"""Writes the prompts and tools of bfcl-eval's own code, in a separate process, as JSON lines. Arguments: the categories."""

import json
import sys
from unittest import mock

for missing in ("tenacity", "overrides", "filelock", "java_parser", "js_parser", "dotenv"):
    try:
        __import__(missing)
    except ImportError:
        sys.modules[missing] = mock.MagicMock()
for name in ("java_parser", "js_parser"):
    sys.modules[f"bfcl_eval.model_handler.parser.{name}"] = mock.MagicMock()

from bfcl_eval.constants.enums import ModelStyle  # noqa: E402
from bfcl_eval.constants.type_mappings import GORILLA_TO_OPENAPI  # noqa: E402
from bfcl_eval.model_handler.utils import convert_to_tool, system_prompt_pre_processing_chat_model  # noqa: E402
from bfcl_eval.utils import load_dataset_entry  # noqa: E402

for category in sys.argv[1:]:
    for row in load_dataset_entry(category):
        is_prompt_mode = category == "format_sensitivity"
        tools = [] if is_prompt_mode else convert_to_tool(row["function"], GORILLA_TO_OPENAPI, ModelStyle.OPENAI_COMPLETIONS)
        messages = system_prompt_pre_processing_chat_model(row["question"][0], row["function"], row["id"])
        print(json.dumps({"id": row["id"], "messages": messages, "tools": tools}))
