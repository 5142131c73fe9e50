"""The stage settings of the programs in `benchmarks/speed`. The programs themselves take too long for a test."""

import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold.benchmarks.speed import curation, verl_step
from tenfold.pipelines.stages import KINDS

STAGES: list[dict[str, Any]] = [
    verl_step.STAGE,
    *({"kind": kind, "name": kind, **settings} for kind, settings in curation.settings(int(7e8), Path("run")).items()),
]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage["kind"])
def test_the_settings_of_a_speed_program_are_valid(stage: dict[str, Any]) -> None:
    KINDS[stage["kind"]].model_validate(stage)


def test_all_speed_programs_with_stages_are_tested() -> None:
    folder = Path(tenfold.__file__).parent / "benchmarks" / "speed"
    with_stages = {path.stem for path in folder.glob("*.py") if re.search(r'"kind":', path.read_text())}
    assert with_stages == {Path(inspect.getfile(module)).stem for module in (curation, verl_step)}


def test_the_generator_of_the_curation_program_yields_documents() -> None:
    sources = curation.settings(int(7e8), Path("run"))["documents"]["sources"]
    assert isinstance(sources, list)
    generator = next(source for source in sources if source.startswith("generate:"))
    name = generator.removeprefix("generate:").partition("?")[0]
    assert next(pkgutil.resolve_name(name)(copy=1))["text"]
