"""Judges responses in the prompt mode with bfcl-eval's own code, in a separate process.

It reads cases as JSON lines and writes verdicts. A case has the response, the answer, the format of the calls (python, json,
verbose_xml, concise_xml, java or javascript), whether they need the tag, and the leaderboard's category. The package pins an
old version of tree-sitter. If another one is installed, the old interface is imitated.
"""

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest import mock

import tree_sitter

MODEL = "any"
for missing in ("tenacity", "overrides", "filelock", "dotenv"):
    try:
        __import__(missing)
    except ImportError:
        sys.modules[missing] = mock.MagicMock()


class OldNode:
    """The root of a tree, with the method of the old interface."""

    def __init__(self, node: tree_sitter.Node):
        self.node = node

    def sexp(self) -> str:
        return str(self.node)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.node, name)


class OldParser:
    """A parser with the methods of the old interface."""

    def set_language(self, language: tree_sitter.Language) -> None:
        self.parser = tree_sitter.Parser(language)

    def parse(self, source: bytes) -> SimpleNamespace:
        return SimpleNamespace(root_node=OldNode(self.parser.parse(source).root_node))


if not hasattr(tree_sitter.Parser, "set_language"):
    old: Any = ModuleType("tree_sitter")
    old.Parser, old.Language = OldParser, lambda pointer, name: tree_sitter.Language(pointer)
    sys.modules["tree_sitter"] = old
config: Any = ModuleType("bfcl_eval.constants.model_config")
config.MODEL_CONFIG_MAPPING = {MODEL: SimpleNamespace(underscore_to_dot=False)}
sys.modules[config.__name__] = config

from bfcl_eval.constants.enums import Language, ReturnFormat  # noqa: E402
from bfcl_eval.eval_checker.ast_eval.ast_checker import ast_checker  # noqa: E402
from bfcl_eval.model_handler.utils import default_decode_ast_prompting  # noqa: E402
from bfcl_eval.utils import is_function_calling_format_output  # noqa: E402


def judge(case: dict[str, Any]) -> bool | str:
    answer = case["answer"]
    try:
        calls = default_decode_ast_prompting(case["response"], ReturnFormat(case["format"]), case["tagged"])
    except Exception:
        return False
    if not is_function_calling_format_output(calls):
        return False
    language = Language(answer["language"])
    try:
        return bool(ast_checker(answer["functions"], calls, answer["calls"], language, case["category"], MODEL)["valid"])
    except Exception as error:  # the leaderboard's program would end
        return f"{type(error).__name__}: {error}"


for line in sys.stdin:
    print(json.dumps(judge(json.loads(line))))
