import json
import os
import subprocess
import sys
from pathlib import Path

import tenfold
from tenfold.benchmarks import identity
from tenfold.benchmarks.result import Options

PROGRAM = """
import json
from tenfold.benchmarks import identity
from tenfold.benchmarks.result import Options
print(json.dumps(identity.of_task("chain_sum", Options())))
"""


def test_a_task_has_the_same_identity_with_the_package_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "tenfold").symlink_to(Path(tenfold.__file__).parent)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    program = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, capture_output=True, check=True)
    assert json.loads(program.stdout) == identity.of_task("chain_sum", Options())
