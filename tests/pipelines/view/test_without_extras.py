"""The viewer with the extra `view` alone."""

import json
import subprocess
import sys
from pathlib import Path

from tenfold import extras

from .small_runs import Run, episode, lines, metrics_of, write_result

PROGRAM = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
HIDDEN = set(sys.argv[2:])
sys.meta_path.insert(0, Hidden())
from tenfold.pipelines.view.export import answers
from tenfold.pipelines.view.folders import Folders
from tenfold.pipelines.view.runs import Runs
from tenfold.pipelines.view.server import answer, failure
import json
runs = Runs(Folders([sys.argv[1]]))
found = dict(answers(runs, 10))
try:
    answer(runs, "/api/runs/r0/stages/bench/results", {})
except Exception as error:
    found["error"] = failure(error)[0]
print(json.dumps(found))
runs.close()
"""


def test_runs_steps_and_episodes_need_no_other_extra(tmp_path: Path) -> None:
    run = Run(tmp_path / "small", {"filter": "filter", "bench": "bench"})
    run.begin("filter")
    run.store("filter", [episode(0, 0, "4"), episode(0, 1, "5", 0.0)])
    (run.folder / "filter/steps.jsonl").write_text(lines([{"step": 1, "loss": 2.0}]))
    run.begin("bench")
    run.finish("bench", metrics_of(write_result(run.folder / "bench", "sums", [[1.0], [0.0]])), tasks=["sums"])
    hidden = [module for extra, modules in extras.MODULES.items() if extra != "view" for module in modules.split()]
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(run.folder), *hidden], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["/api/runs/r0"]["stages"][0]["has"] == ["steps", "episodes"]
    assert found["/api/runs/r0"]["board"][0]["score"] == 0.5
    assert found["/api/runs/r0/stages/filter/steps"]["values"] == {"loss": [2.0]}
    at = "/api/runs/r0/stages"
    assert found[f"{at}/filter/episodes?offset=0&limit=100000"]["total"] == 2
    assert found[f"{at}/filter/histogram?of=rate"]["counts"][5] == 1
    assert found[f"{at}/bench/episodes?offset=0&limit=100000"]["rows"][0]["start"] == "answer 0 to problem 0"
    assert found["error"] == "this view needs the package scipy: pip install 'tenfold[bench]'"
