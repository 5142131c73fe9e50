"""Tests with the real vLLM, which `make test-vllm` runs on a CPU in a virtual environment of its own."""

import importlib.util
import json
from pathlib import Path

import pytest

import tenfold

HERE = Path(__file__).parent
SAYS = {"What is 3+4?": "it is 7, of course", "Name a colour.": "red or blue, and green", "5, 6": "eleven", "7+4-6": "five"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vllm)
            if importlib.util.find_spec("vllm") is None:
                item.add_marker(pytest.mark.skip(reason="vLLM is not installed; run `make test-vllm`"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an SFT stage whose policy answers the questions of SAYS with words."""
    folder = tmp_path_factory.mktemp("trained")
    rows = [{"question": question, "answer": answer} for question, answer in SAYS.items()]
    (folder / "says.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    stage = {
        **{"kind": "sft", "name": "sft", "problems": f"jsonl:{folder / 'says.jsonl'}", "steps": 150, "batch_size": 8},
        "learning_rate": 5e-3,
    }
    recipe = {"name": "says", "policy": "micro:?hidden=64&layers=2&heads=2", "stages": [stage]}
    (folder / "says.yaml").write_text(json.dumps(recipe))
    tenfold.run(folder / "says.yaml", folder / "out", quiet=True)
    return folder / "out/sft"
