"""Plays agentic problems with bfcl-eval's own code, in a separate process: its loop, its services, its checker.

Reads a line of JSON with `category`, `scenario` (of memory), `responses` (for each entry the responses of the policy, in order)
and `folder`. Writes a line for each entry: its id, the messages, and the verdict (None for a conversation). The package's
requirements may be missing, so modules that these problems do not use are replaced. The encoder is the one of
`stand_in_encoder.py`, and web search finds what `search` (in the form of `envs/bfcl/search.py`) has.
"""

import contextlib
import importlib.util
import io
import json
import sys
import types
from pathlib import Path
from unittest import mock

from stand_in_encoder import StandIn

for name in ("java_parser", "js_parser"):
    sys.modules[f"bfcl_eval.model_handler.parser.{name}"] = mock.MagicMock()
for name in ("java_type_converter", "js_type_converter"):
    sys.modules[f"bfcl_eval.eval_checker.ast_eval.type_convertor.{name}"] = mock.MagicMock()
for name in ("constants.model_config", "eval_checker.eval_runner_helper"):
    sys.modules[f"bfcl_eval.{name}"] = mock.MagicMock()
for name in ("tenacity", "filelock", "dotenv", "tqdm", "serpapi", "requests", "html2text", "bs4", "faiss"):
    if importlib.util.find_spec(name) is None or name in ("serpapi", "requests"):
        sys.modules[name] = mock.MagicMock()
sys.modules["overrides"] = types.ModuleType("overrides")
sys.modules["overrides"].final = sys.modules["overrides"].override = lambda function: function  # type: ignore[attr-defined]
sys.modules["sentence_transformers"] = types.ModuleType("sentence_transformers")
sys.modules["sentence_transformers"].SentenceTransformer = lambda name, device: StandIn()  # type: ignore[attr-defined]

from bfcl_eval.eval_checker.eval_runner import _evaluate_single_agentic_entry  # noqa: E402
from bfcl_eval.model_handler import utils as handlers  # noqa: E402
from bfcl_eval.model_handler.base_handler import BaseHandler  # noqa: E402
from bfcl_eval.utils import (  # noqa: E402
    load_dataset_entry,
    load_ground_truth_entry,
    populate_initial_settings_for_memory_test_cases,
    populate_initial_settings_for_web_search_test_cases,
)


class Handler(BaseHandler):
    """A model whose responses are given."""

    def decode_execute(self, result, has_tool_call_tag):
        return handlers.default_decode_execute_prompting(result, has_tool_call_tag)

    def _pre_query_processing_prompting(self, entry):
        first = handlers.system_prompt_pre_processing_chat_model(entry["question"][0], entry["function"], entry["id"])
        entry["question"][0] = first
        self.messages = []
        return {}

    def add_first_turn_message_prompting(self, data, messages):
        self.messages += messages
        return data

    def _add_next_turn_user_message_prompting(self, data, messages):
        self.messages += messages
        return data

    def _query_prompting(self, data):
        return self.responses.pop(0) if self.responses else "Done.", 0.0

    def _parse_query_response_prompting(self, response):
        return {"model_responses": response, "input_token": 0, "output_token": 0}

    def _add_assistant_message_prompting(self, data, response):
        self.messages.append({"role": "assistant", "content": response["model_responses"]})
        return data

    def _add_execution_results_prompting(self, data, results, response):
        said = handlers.format_execution_results_prompting(data, results, response)
        self.messages.append({"role": "user", "content": said})
        return data


def searched(rows):
    """Replaces the modules that reach the web."""
    queries = {(row["query"], row["region"]): row["results"] for row in rows if "query" in row}
    pages = {row["url"]: row["html"] for row in rows if "url" in row}

    class GoogleSearch:
        def __init__(self, asked):
            self.asked = asked

        def get_dict(self):
            found = queries.get((str(self.asked["q"]), str(self.asked["kl"])))
            listed = [{"title": row["title"], "link": row["href"], "snippet": row["body"]} for row in found or ()]
            return {} if found is None else {"organic_results": listed}

    def get(url, **options):
        return types.SimpleNamespace(text=pages[url], raise_for_status=lambda: None)

    module = __import__("bfcl_eval.eval_checker.multi_turn_eval.func_source_code.web_search", fromlist=["web_search"])
    module.GoogleSearch, module.requests = GoogleSearch, types.SimpleNamespace(get=get)


given = json.loads(sys.stdin.read())
searched(given.get("search", ()))
entries = load_dataset_entry(given["category"])
golds = load_ground_truth_entry(given["category"])
answers = [entry["id"] for entry in entries if "prereq" not in entry["id"]]
golds = dict(zip(answers, (gold["ground_truth"] for gold in golds), strict=True))
entries = [entry for entry in entries if entry["id"] in given["responses"]]
populate_initial_settings_for_memory_test_cases(entries, Path(given["folder"]))
populate_initial_settings_for_web_search_test_cases(entries)
handler = Handler("given", 0, "given", False)
for entry in sorted(entries, key=lambda entry: len(entry.get("depends_on", ()))):
    handler.responses = [*given["responses"][entry["id"]]]
    with contextlib.redirect_stdout(io.StringIO()):
        result, _ = handler.inference_multi_turn_prompting(entry, False, True)
    valid = None
    if entry["id"] in golds:
        gold = golds[entry["id"]]
        valid = _evaluate_single_agentic_entry(handler, entry["id"], result, gold, entry, "given", given["category"])["valid"]
    print(json.dumps({"id": entry["id"], "messages": handler.messages, "valid": valid}))
