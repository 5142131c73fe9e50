"""The identity of a stage covers the weights of every policy that the stage uses."""

from pathlib import Path
from typing import Any

import pytest

from tenfold.pipelines.recipe.identity import IdentityReader
from tenfold.pipelines.stages import KINDS


@pytest.mark.parametrize(
    ("kind", "setting", "required"),
    [
        ("refine", "writers", {"problems": "jsonl:golds.jsonl"}),
        ("refine", "judge", {"problems": "jsonl:golds.jsonl"}),
        ("refine", "reviser", {"problems": "jsonl:golds.jsonl"}),
        ("refine", "chain_writer", {"problems": "jsonl:golds.jsonl"}),
        ("sample_pairs", "teacher", {"environment": "tenfold/ChainSum-v0"}),
        ("distill", "teacher", {"pairs": "pairs", "steps": 1}),
        ("reward_model", "judge", {"pairs": "jsonl:golds.jsonl", "steps": 1}),
        ("tag", "annotator", {"documents": "documents"}),
        ("bench", "judge", {"tasks": ["chain_sum"]}),
    ],
)
def test_the_identity_covers_the_weights_of_every_policy(lab: Path, kind: str, setting: str, required: dict[str, Any]) -> None:
    Path("model").mkdir()
    Path("golds.jsonl").write_text('{"question": "1?", "answer": "1"}\n')
    value = ["path:model"] if setting == "writers" else "path:model"
    stage = KINDS[kind].model_validate({"kind": kind, "name": "s", setting: value} | required)

    def identity() -> object:
        return IdentityReader(Path("out"), {"s": 0}, {"s": (stage, "micro:")}, {}).identity_of(stage, "").settings

    Path("model/model.safetensors").write_bytes(b"1")
    before = identity()
    Path("model/model.safetensors").write_bytes(b"22")
    assert identity() != before
