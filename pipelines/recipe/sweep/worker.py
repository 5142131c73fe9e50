"""The process of one run of a sweep. `parallel.py` starts it:

python -m tenfold.pipelines.recipe.sweep.worker FOLDER       FOLDER is the run's folder with sweep_run.json
"""

import json
import sys
from pathlib import Path

from ...launch import supervise
from .. import runner
from ..plan import Selection
from ..recipe import checked
from .parallel import START


def main(folder: Path) -> None:
    """Runs or resumes one run. The process ends when its parent ends."""
    supervise.die_with_parent()
    start = json.loads((folder / START).read_text())
    recipe = checked(start["content"], Path(start["name"]), start["settings"]).with_cluster(**start["cluster"])
    options = start["options"] | {"selection": Selection(**start["options"]["selection"])}
    runner.run(recipe, folder, **options)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
