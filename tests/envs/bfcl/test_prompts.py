"""Prompts and tools of BFCL-V4 are those of the leaderboard's own code."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tenfold import UserError
from tenfold.envs.bfcl import problems, services, texts
from tenfold.envs.bfcl.multi_turn import BFCLMultiTurn

try:
    services.package()
except UserError:
    pytest.skip("needs bfcl-eval", allow_module_level=True)

SINGLE = (
    "simple_python,simple_java,simple_javascript,multiple,parallel,parallel_multiple,irrelevance,live_simple,live_multiple,"
    "live_parallel,live_parallel_multiple,live_irrelevance,live_relevance"
)

AGENTIC = {
    "MemoryAPI_kv": "memory_kv_0-customer-0",
    "MemoryAPI_vector": "memory_vector_0-customer-0",
    "MemoryAPI_rec_sum": "memory_rec_sum_prereq_0-customer-0",
    "WebSearchAPI": "web_search_base_0",
}
"""The classes of agentic problems, and a problem of each. `test_agentic_official.py` compares their prompts."""


@pytest.fixture(scope="module")
def official() -> dict[str, Any]:
    script = Path(__file__).with_name("official_prompts.py")
    agentic = ("memory_kv", "memory_vector", "memory_rec_sum", "web_search_base")
    categories = [*SINGLE.split(","), *problems.CATEGORIES, "format_sensitivity", *agentic]
    run = subprocess.run([sys.executable, script, *categories], capture_output=True, text=True, check=True)
    return {row["id"]: row for row in map(json.loads, run.stdout.splitlines()) if isinstance(row, dict)}


def test_prompts_of_one_turn(official: dict[str, Any]) -> None:
    different, count = [], 0
    for problem in problems.single_turn(SINGLE):
        count += 1
        if [*problem.prompt] != official[problem.id]["messages"]:
            different.append(problem.id)
    assert count == 3_641
    assert different == []


def test_prompts_in_all_formats(official: dict[str, Any]) -> None:
    different, count = [], 0
    for problem in problems.format_sensitivity():
        count += 1
        if [*problem.prompt] != official[problem.id]["messages"]:
            different.append(problem.id)
    assert count == 26 * 200
    assert different == []


def test_tools_of_one_turn(official: dict[str, Any]) -> None:
    different = []
    for problem in problems.single_turn(SINGLE, mode="tools"):
        if [*problem.prompt[0].get("tools", ())] != official[problem.id]["tools"]:
            different.append(problem.id)
    assert different == []


def test_prompts_and_tools_of_several_turns(official: dict[str, Any]) -> None:
    env, with_tools = BFCLMultiTurn(), BFCLMultiTurn(mode="tools")
    for index in range(0, len(env.problems), 40):
        _, info = env.reset(options={"problem": index})
        expected = official[info["problem_id"]]
        assert [*info["messages"]] == expected["messages"], expected["id"]
        _, info = with_tools.reset(options={"problem": index})
        assert [*info["messages"][0]["tools"]] == expected["tools"], expected["id"]
    env.close()
    with_tools.close()


@pytest.mark.parametrize(("name", "id"), AGENTIC.items())
def test_tools_of_agentic_problems(official: dict[str, Any], name: str, id: str) -> None:
    assert [*map(texts.tool, texts.functions(name))] == official[id]["tools"]
