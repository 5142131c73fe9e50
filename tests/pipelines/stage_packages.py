"""Installed packages that add kinds of stages: one that works, and several that are unusable."""

from pathlib import Path

WORDS = """
import os
from typing import ClassVar, Literal
import torch.distributed
from tenfold.envs import registry
from tenfold.envs.problems import sources
from tenfold.pipelines import figures
from tenfold.pipelines.stage import Stage
from .count import count

class Words(Stage):
    reads_policy: ClassVar[bool] = False
    may_change: ClassVar = frozenset({"shown"})

    kind: Literal["words"]
    problems: str
    at_least: int = 1
    shown: int = 2

    def check(self):
        sources.load(self.problems)

    def run(self, context):
        if self.at_least == 13:
            return None
        if self.at_least == 14:
            return {"folder": context.folder}
        with open(context.folder / "times", "a") as times:
            times.write("run\\n")
        return {"words": [n for problem in sources.load(self.problems) if (n := count(problem)) >= self.at_least]}

    def train(self, context):
        torch.distributed.init_process_group("gloo")
        rank = torch.distributed.get_rank()
        (context.folder / f"rank-{rank}").touch()
        return {"words": [len(os.sched_getaffinity(0))]}

    def summary(self, metrics):
        return f"{sum(metrics['words'])} words"

    def figure(self, metrics):
        return figures.loss_plot(enumerate(metrics["words"]))

    def tables(self, metrics):
        return figures.table(("number", "words"), enumerate(metrics["words"][: self.shown]))
"""
COUNT = """
def count(problem):
    return len(problem.prompt[-1]["content"].split())
"""
ENVIRONMENTS = """
import tenfold

def register():
    tenfold.register("words/Long-v0", problems="jsonl:rows.jsonl", verifier="lab_words.environments:judge")

def judge(problem, response):
    return len(response) > 3
"""
ENTRIES = "[tenfold.stages]\nwords = lab_words.stages:Words\n\n[gymnasium.envs]\nlab = lab_words.environments:register\n"
BROKEN = {
    "lab-broken": ("broken = lab_broken:Broken", "import no_such_module\n"),
    "lab-leaving": ("leaving = lab_leaving:Leaving", "raise SystemExit(3)\n"),
    "lab-taken": ("sft = lab_taken:SFT", "from tenfold.pipelines.sft.sft import SFT\n"),
    "lab-other": ("other = lab_other:Other", "class Other:\n    kind = 'other'\n"),
    "lab-unnamed": ("unnamed = lab_unnamed:U", "from tenfold.pipelines.stage import Stage\nclass U(Stage):\n    pass\n"),
}


def install(site: Path) -> None:
    """Installs all packages in a folder."""
    _package(site, "lab-words", ENTRIES, **{"stages": WORDS, "count": COUNT, "environments": ENVIRONMENTS, "__init__": ""})
    for name, (entry, source) in BROKEN.items():
        _package(site, name, f"[tenfold.stages]\n{entry}\n", __init__=source)


def _package(site: Path, name: str, entries: str, **modules: str) -> None:
    package, info = site / name.replace("-", "_"), site / f"{name.replace('-', '_')}-1.0.dist-info"
    for folder in (package, info):
        folder.mkdir()
    for module, source in modules.items():
        (package / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)
