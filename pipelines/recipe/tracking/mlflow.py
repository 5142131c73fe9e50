"""MLflow: the server or store in MLFLOW_TRACKING_URI, else a SQLite file in the run's folder.

MLFLOW_EXPERIMENT_NAME names another experiment than the recipe's name.
"""

import os
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Param

from .tracker import Cell, Run, Tracker, flat

PARAMETERS, NAME, CHARACTERS = 100, 250, 500
"""Most parameters of a request, and the longest name and value of a parameter, in characters; all are MLflow's limits."""
_NOT_IN_NAMES = re.compile(r"[^\w./ :-]")


def open_tracker() -> Tracker:
    """Returns the tracker."""
    return MLflow()


def _valid(name: str) -> str:
    """Returns a name of a parameter as MLflow allows it: with few signs, and no path that could be written shorter."""
    parts = _NOT_IN_NAMES.sub("_", name).split("/")
    return "/".join(part for part in parts if part.strip("."))[:NAME].rstrip("/")


class MLflow:
    """See `Tracker`. Only MLflow's client is used, so no state of the library is changed."""

    def start(self, run: Run) -> str:
        """See `Tracker`."""
        run.folder.mkdir(parents=True, exist_ok=True)
        own = not os.environ.get("MLFLOW_TRACKING_URI")
        self.client = mlflow.MlflowClient(f"sqlite:///{run.folder.resolve()}/mlflow.db" if own else None)
        self.id = run.id
        if self.id:
            self.client.update_run(self.id, status="RUNNING")
        else:
            experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.project
            found = self.client.get_experiment_by_name(experiment)
            files = (run.folder.resolve() / "artifacts").as_uri() if own else None
            where = found.experiment_id if found else self.client.create_experiment(experiment, artifact_location=files)
            self.id = self.client.create_run(where, run_name=run.name).info.run_id
            values = {_valid(name): str(value)[:CHARACTERS] for name, value in flat(run.config).items()}
            parameters = [Param(name, value) for name, value in values.items()]
            for start in range(0, len(parameters), PARAMETERS):
                self.client.log_batch(self.id, params=parameters[start : start + PARAMETERS])
        self.client.log_dict(self.id, dict(run.config), "config.json")
        return self.id

    def figures(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        now = round(1000 * time.time())
        self.client.log_batch(self.id, [Metric(f"{stage}/{name}", value, now, step) for name, value in values.items()])

    def picture(self, stage: str, name: str, step: int, png: bytes) -> None:
        """See `Tracker`."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{name}-{step}.png")
            file.write_bytes(png)
            self.client.log_artifact(self.id, str(file), stage)

    def table(self, stage: str, name: str, step: int, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """See `Tracker`."""
        data = {column: [row[number] for row in rows] for number, column in enumerate(columns)}
        self.client.log_table(self.id, data, f"{stage}/{name}-{step}.json")

    def finish(self) -> None:
        """See `Tracker`."""
        self.client.set_terminated(self.id)
