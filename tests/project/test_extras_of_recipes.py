"""Recipes run with the extra `train` alone, which `gpu` contains: without the packages of the other extras."""

import subprocess
import sys
from pathlib import Path

WITHOUT = """
import sys
from importlib.machinery import PathFinder

LACKING = {"hypothesis", "cosmic_ray", "datasketch", "pymilvus", "milvus_lite", "e2b", "e2b_code_interpreter", "tree_sitter"}


class Lacking(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in LACKING else super().find_spec(name, path, target)


sys.meta_path = [Lacking if finder is PathFinder else finder for finder in sys.meta_path]
from tenfold.cli import main

sys.exit(main(sys.argv[1:]))
"""


def test_the_quickstart_is_checked_without_the_packages_of_other_extras(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, "run", "quickstart", "--dry-run", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-500:]
    assert "filter" in done.stdout


def test_a_stage_that_needs_another_extra_says_so(tmp_path: Path) -> None:
    stage = "{kind: synthesize, name: s, problems: 'human_eval:'}"
    (tmp_path / "r.yaml").write_text(f"name: r\npolicy: 'micro:'\nstages:\n  - {stage}\n")
    command = [sys.executable, "-c", WITHOUT, "run", "r.yaml", "--dry-run", "--out", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install 'tenfold[synthesis]'" in done.stderr
