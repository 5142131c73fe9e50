"""The page of environment variables and files: it lists each variable of the package."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "configuration.md"
VARIABLE = re.compile(r"\bTENFOLD_[A-Z_]+\b")


def test_the_page_lists_each_variable_that_the_code_reads_and_no_other() -> None:
    apart = {".venv", ".venv-vllm", "tests", "build"}
    files = [path for path in ROOT.rglob("*.py") if not apart & {*path.relative_to(ROOT).parts}]
    read = {name for path in files for name in VARIABLE.findall(path.read_text(encoding="utf-8"))}
    listed = {*re.findall(r"^\| `(TENFOLD_\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE)}
    assert listed == read
