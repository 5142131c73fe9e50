"""The public names of the package."""

import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import tenfold
from tenfold.benchmarks.result import Options
from tenfold.policies.scripted import ScriptedPolicy

FACE = (
    "make register verify load_policy rollout run evaluate Problem Verdict Status Sampling Completion Episode Verifier Policy "
    "TextEnv UserError Stage Context"
).split()


def test_every_public_name_exists_and_is_listed() -> None:
    assert {*FACE, "__version__"} == {*tenfold.__all__}
    modules = {"benchmarks", "core", "envs", "pipelines", "policies", "verifiers"}
    assert {*dir(tenfold)} == {*tenfold.__all__} | modules, "the names that Tab shows"
    assert all(inspect.ismodule(getattr(tenfold, name)) for name in modules)
    for name in FACE:
        assert inspect.getdoc(getattr(tenfold, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        tenfold.nothing  # noqa: B018


def test_help_begins_with_what_each_function_does() -> None:
    shown = pydoc.plain(pydoc.render_doc(tenfold)).splitlines()[:40]
    functions = [name for name in FACE if inspect.isfunction(getattr(tenfold, name))]
    assert [name for name in functions if not any(f"tenfold.{name}(" in line for line in shown)] == []
    assert not any("after_import" in line for line in shown)


def test_importing_the_package_and_its_core_types_does_not_import_torch() -> None:
    nouns = [name for name in FACE if name not in ("evaluate", "run")]  # these two import lm-eval and the stages
    program = f"import sys, tenfold; [getattr(tenfold, name) for name in {nouns!r}]; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_evaluate_accepts_every_option_as_a_keyword() -> None:
    taken = inspect.signature(tenfold.evaluate).parameters
    assert {*Options.__slots__} <= {name for name, one in taken.items() if one.kind == one.KEYWORD_ONLY}


def test_a_result_records_its_settings(tmp_path: Path) -> None:
    who = {"policy": "scripted:1"}
    result = tenfold.evaluate("chain_sum", ScriptedPolicy("1"), limit=3, samples=2, seed=5, folder=tmp_path, store_settings=who)
    assert result.task == "chain_sum_avg2"
    assert (result.settings["seed"], result.settings["number"], result.settings["policy"]) == (5, 3, "scripted:1")
    assert (tmp_path / "chain_sum_avg2.result.json").is_file()
