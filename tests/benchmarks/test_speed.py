"""Settings, errors and parts of the programs in `benchmarks/speed`. The programs themselves take too long for a test."""

import inspect
import json
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import tenfold
from tenfold.benchmarks.speed import chunked_loss, curation, large_sources, loader, retrieval, tokenizing, verl_step
from tenfold.benchmarks.speed.gpu_check import stages
from tenfold.benchmarks.speed.view import __main__ as view
from tenfold.benchmarks.stats import interval_coverage
from tenfold.pipelines.distill import sample_pairs
from tenfold.pipelines.rl import verl_config
from tenfold.pipelines.stages import KINDS

STAGES: list[dict[str, Any]] = [
    *tokenizing.STAGES.values(),
    verl_step.STAGE,
    stages.GRPO,
    view.STAGE,
    chunked_loss.STAGE | {"batch_size": 8},
    *({"kind": kind, "name": kind, **settings} for kind, settings in curation.settings(int(7e8), Path("run")).items()),
]
BROKEN = """
import gymnasium
from tenfold.envs.text import Text

class Broken(gymnasium.Env):
    observation_space = action_space = Text()
    def reset(self, *, seed=None, options=None):
        return "1 + 1 =", {}
    def step(self, action):
        raise ZeroDivisionError
"""


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage["kind"])
def test_the_settings_of_a_speed_program_are_valid(stage: dict[str, Any]) -> None:
    KINDS[stage["kind"]].model_validate(stage)


def test_all_speed_programs_with_stages_are_tested() -> None:
    folder = Path(tenfold.__file__).parent / "benchmarks" / "speed"
    with_stages = {path.stem for path in folder.rglob("*.py") if re.search(r'"kind":', path.read_text())}
    modules = (chunked_loss, curation, stages, tokenizing, verl_step, view)
    assert with_stages == {Path(inspect.getfile(module)).stem for module in modules}


@pytest.mark.parametrize("kind", tokenizing.STAGES)
def test_the_tokenizing_program_measures_a_run(tmp_path: Path, kind: str) -> None:
    policy, rows = "micro:?hidden=16&layers=1&heads=2", tmp_path / sample_pairs.PAIRS
    tokenizing.write_rows(kind, rows, 40, 3, policy)
    found = tokenizing.train(kind, rows, policy, tmp_path / "run")
    assert found["first_step"] > 0
    assert found["trainer_mb"] > 100


def test_the_tokenizing_program_draws_its_measurements(tmp_path: Path) -> None:
    rows = [tokenizing.Measured(10**n, n, 5000, 3, 500, 400) for n in (4, 5, 6)]
    tokenizing.draw(rows, tmp_path / "rows.svg")
    assert "<svg" in (tmp_path / "rows.svg").read_text()


def test_the_generator_of_the_curation_program_yields_documents() -> None:
    sources = curation.settings(int(7e8), Path("run"))["documents"]["sources"]
    assert isinstance(sources, list)
    generator = next(source for source in sources if source.startswith("generate:"))
    name = generator.removeprefix("generate:").partition("?")[0]
    assert next(pkgutil.resolve_name(name)(copy=1))["text"]


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        (chunked_loss, "--tokens 7", "--tokens: expected an even number"),
        (loader, "--tokens 1000", "--tokens: each source needs at least 64 rows"),
        (interval_coverage, "--lost 1", "--lost: expected a probability of at least 0 and below 1"),
        (interval_coverage, "--simulations 0", "--simulations: expected 1 or more"),
        (verl_step, "--instant", "--instant needs --run"),
        (tokenizing, "--rows 0", "argument --rows: expected an integer >= 1, got '0'"),
        (large_sources, "--rows 0", "argument --rows: expected an integer >= 1, got '0'"),
    ],
)
def test_sizes_that_cannot_be_measured_are_a_one_line_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: Any, arguments: str, words: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["program", *arguments.split()])
    with pytest.raises(SystemExit, match="2"):
        program.main()
    assert f"error: {words}" in capsys.readouterr().err


def test_the_brute_force_search_finds_the_document_of_each_query_in_a_small_corpus() -> None:
    texts, vectors = retrieval.corpus(70, 30)
    chosen, words, query_vectors = retrieval.queries(texts, vectors)
    answers = retrieval.by_brute_force(texts, vectors)(words, query_vectors)
    assert [documents[0] for documents in answers] == chosen
    assert all(sorted(documents) == list(range(70)) for documents in answers)


def test_an_environment_that_raises_an_error_ends_the_measurement(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (lab / "lab_broken.py").write_text(BROKEN)
    tenfold.register("lab/Broken-v0", entry_point="lab_broken:Broken")
    loop = {"environment": gymnasium.spec("lab/Broken-v0").to_json(), "registered": []}
    (lab / verl_config.LOOPS).write_text(json.dumps([loop]))
    verdict = {"status": "scored", "score": 1.0, "method": "exact", "reason": ""}
    messages = [{"role": "user", "content": "1 + 1 ="}, {"role": "assistant", "content": "2"}]
    row = {"step": 1, "problem": 0, "problem_id": "0", "messages": messages, "verdict": verdict, "tokens": 1, "turns": []}
    rows = [json.dumps({**row, "sample": sample, "finish_reason": "stop"}) + "\n" for sample in range(5)]
    (lab / "episodes").mkdir()
    (lab / "episodes/0.jsonl").write_text("".join(rows))
    monkeypatch.setattr(verl_step, "THREADS", 2)
    monkeypatch.setattr(verl_step, "UPDATE_SECONDS", 0)
    with pytest.raises(ZeroDivisionError):
        verl_step.judge_seconds(5, lab)
