"""Files that are part of the identity of a stage: the weights of its policies, and a task's own files."""

import json
from pathlib import Path
from typing import Any

import pytest

from tenfold.envs.problems import sources as problem_sources
from tenfold.pipelines.bench.bench import Bench
from tenfold.pipelines.corpus.clean import Clean
from tenfold.pipelines.recipe.identity import IdentityReader
from tenfold.pipelines.stage import Stage
from tenfold.pipelines.stages import KINDS

PHASE = {"name": "a", "tokens": 9, "learning_rate": 1e-3, "mixture": {"*": 1}, "context": 8}


@pytest.mark.parametrize(
    ("kind", "setting", "required"),
    [
        ("refine", "writers", {"problems": "jsonl:golds.jsonl"}),
        ("refine", "judge", {"problems": "jsonl:golds.jsonl"}),
        ("refine", "reviser", {"problems": "jsonl:golds.jsonl"}),
        ("refine", "chain_writer", {"problems": "jsonl:golds.jsonl"}),
        ("synthesize", "example_writer", {"problems": "jsonl:golds.jsonl"}),
        ("synthesize", "statement_writer", {"problems": "jsonl:golds.jsonl"}),
        ("sample_pairs", "teacher", {"environment": "tenfold/ChainSum-v0"}),
        ("distill", "teacher", {"pairs": "pairs", "steps": 1}),
        ("reward_model", "judge", {"pairs": "jsonl:golds.jsonl", "steps": 1}),
        ("tag", "annotator", {"documents": "documents"}),
        ("bench", "judge", {"tasks": ["chain_sum"]}),
    ],
)
def test_the_identity_covers_the_weights_of_every_policy(lab: Path, kind: str, setting: str, required: dict[str, Any]) -> None:
    Path("golds.jsonl").write_text(json.dumps({"question": "1?", "answer": "1"}) + "\n")
    Path("model").mkdir()
    value = ["path:model"] if setting == "writers" else "path:model"
    stage = KINDS[kind].model_validate({"kind": kind, "name": "s", setting: value} | required)

    def identity() -> object:
        return IdentityReader(Path("out"), {"s": 0}, {"s": (stage, "micro:")}, {}).identity_of(stage, "").settings

    Path("model/model.safetensors").write_bytes(b"1")
    before = identity()
    Path("model/model.safetensors").write_bytes(b"22")
    assert identity() != before


@pytest.mark.parametrize(
    "stage",
    [
        Bench(kind="bench", name="s", tasks=["aime24"], data="data"),
        Clean(kind="clean", name="s", documents="documents", decontaminate=["aime24"], data="data"),
    ],
    ids=["bench", "clean"],
)
def test_only_the_tasks_own_files_of_a_data_folder_are_in_the_identity(lab: Path, stage: Stage) -> None:
    def identity() -> object:
        problem_sources._load.cache_clear()
        reader = IdentityReader(lab / "out", {"s": 0}, {"s": (stage, "micro:")}, {})
        return reader.identity_of(stage, "micro:" if stage.reads_policy else "").settings

    (lab / "data").mkdir()
    row = {"id": "1", "problem": "What is 1 + 1?", "answer": "2"}
    (lab / "data/aime24.jsonl").write_text(json.dumps(row) + "\n")
    before = identity()
    (lab / "data/notes.txt").write_text("of another benchmark")
    assert identity() == before
    (lab / "data/aime24.jsonl").write_text(json.dumps(row | {"problem": "What is 2 + 0?"}) + "\n")
    assert identity() != before


def test_options_of_documents_do_not_matter_to_the_digest_of_problems(lab: Path) -> None:
    def content(options: str) -> list[object]:
        uri = f"problems:generate:tenfold.envs.toy.chain_sums:chain_sums_with_solutions?size=3{options}"
        stage = KINDS["documents"].model_validate({"kind": "documents", "name": "s", "sources": [uri]})
        settings = IdentityReader(lab / "out", {"s": 0}, {"s": (stage, "")}, {}).identity_of(stage, "").settings
        return [value for name, value in settings["identity"].items() if name.startswith("sources ")]

    assert len(content("")) == 1
    assert content("&domain=sums&holds=300&characters=300") == content("")
    assert content("&seed=2") != content("")


@pytest.mark.parametrize(
    ("kind", "setting", "required"),
    [
        ("tag", "compare", {"documents": "documents"}),
        ("pretrain", "held_out_data", {"data": "tokens", "batch_tokens": 8, "phases": [PHASE]}),
    ],
)
def test_the_identity_covers_the_results_of_another_run(lab: Path, kind: str, setting: str, required: dict[str, Any]) -> None:
    Path("other").mkdir()
    Path("other/stage.json").write_text("{}")
    value = ["other"] if setting == "compare" else "other"
    stage = KINDS[kind].model_validate({"kind": kind, "name": "s", setting: value} | required)

    def identity() -> object:
        return IdentityReader(Path("out"), {"s": 0}, {"s": (stage, "micro:")}, {}).identity_of(stage, "").settings

    before = identity()
    Path("other/stage.json").write_text('{"metrics": 1}')
    assert identity() != before


def test_the_identity_covers_all_files_of_a_pattern(lab: Path) -> None:
    stage = KINDS["sft"].model_validate({"kind": "sft", "name": "s", "problems": "jsonl:part-*.jsonl?limit=9", "steps": 1})

    def identity() -> object:
        return IdentityReader(lab / "out", {"s": 0}, {"s": (stage, "")}, {}).identity_of(stage, "").settings

    for number in (1, 2):
        Path(f"part-{number}.jsonl").write_text('{"question": "1?", "answer": "1"}\n')
    before = identity()
    Path("part-2.jsonl").write_text('{"question": "1?", "answer": "2"}\n')  # as many bytes
    changed = identity()
    assert changed != before
    Path("part-3.jsonl").write_text('{"question": "1?", "answer": "2"}\n')
    assert identity() != changed
