"""Reads what the trackers have stored in a run's folder, with their own readers where they have one."""

import importlib.util
import json
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

TEXT_FIELDS = ("config", "samples", "scores")


class Stored(NamedTuple):
    """What a tracker has stored."""

    figures: list[tuple[str, int, float]]
    """Name, step and value of each figure, sorted."""
    pictures: list[str]
    tables: list[str]
    """Names of pictures and tables, sorted."""
    config: str
    """The configuration as text."""


def tensorboard(folder: Path) -> Stored:
    """Reads event files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance=dict.fromkeys(("scalars", "images", "tensors"), 0))
    events.Reload()
    tags = events.Tags()
    figures = [(tag, event.step, event.value) for tag in tags["scalars"] for event in events.Scalars(tag)]
    pictures = [tag for tag in tags["images"] for _ in events.Images(tag)]
    tables = [tag for tag in tags["tensors"] if tag != "config" for _ in events.Tensors(tag)]
    config = events.Tensors("config")[-1].tensor_proto.string_val[0].decode()
    return Stored(sorted(figures), sorted(pictures), sorted(tables), config)


def wandb(folder: Path) -> Stored:
    """Reads the files of offline runs: records in LevelDB's format of logs."""
    from wandb.proto import wandb_internal_pb2

    found = Stored([], [], [], "")
    for file in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for data in _leveldb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "run" and record.run.config.update:
                found = found._replace(config=str(record.run.config.update))
            if record.WhichOneof("record_type") != "history":
                continue
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            step = next(value for name, value in row.items() if name.count("/") == 1 and name.endswith("/step"))
            kinds = {name.removesuffix("/_type"): value for name, value in row.items() if name.endswith("/_type")}
            kinds |= {name: value["_type"] for name, value in row.items() if isinstance(value, dict) and "_type" in value}
            found.pictures.extend(name for name, kind in kinds.items() if kind.startswith("image"))
            found.tables.extend(name for name, kind in kinds.items() if kind.startswith("table"))
            for name, value in row.items():
                is_media = any(name.startswith(f"{kind}/") for kind in kinds)
                is_step = name.count("/") == 1 and name.endswith("/step")
                if isinstance(value, int | float) and not name.startswith("_") and not is_media and not is_step:
                    found.figures.append((name, step, value))
    return Stored(sorted(found.figures), sorted(found.pictures), sorted(found.tables), found.config)


def _leveldb_records(data: bytes) -> Iterator[bytes]:
    place, record = 7, b""  # after the file's header
    while place < len(data):
        if (left := 32768 - place % 32768) < 7:
            place += left
            continue
        _, size, kind = struct.unpack("<IHB", data[place : place + 7])
        part = data[place + 7 : place + 7 + size]
        place += 7 + size
        record = part if kind in (1, 2) else record + part
        if kind in (1, 4):
            yield record


def mlflow(folder: Path) -> Stored:
    """Reads the SQLite store."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.resolve()}/mlflow.db")
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    assert run.info.status == "FINISHED"

    def files(path: str | None = None) -> Iterator[str]:
        for each in client.list_artifacts(run.info.run_id, path):
            yield from files(each.path) if each.is_dir else [each.path]

    names = [f"{file.rpartition('-')[0]}" if "-" in file else file for file in files()]
    figures = [
        (name, metric.step, metric.value)
        for name in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, name)
    ]
    pictures = sorted(name for name in names if name.endswith("/figure"))
    tables = sorted(name for name in names if name.endswith(("/samples", "/scores")))
    return Stored(sorted(figures), pictures, tables, str(run.data.params))


def trackio(folder: Path) -> Stored:
    """Reads the SQLite store. The library reads the name of its folder once, so only one folder can be read in a process."""
    os.environ["TRACKIO_DIR"] = str(folder.resolve())
    from trackio.sqlite_storage import SQLiteStorage

    (project,) = SQLiteStorage.get_projects()
    (run,) = SQLiteStorage.get_runs(project)
    found = Stored([], [], [], str(SQLiteStorage.get_run_config(project, run)))
    for row in SQLiteStorage.get_logs(project, run):
        for name, value in row.items():
            if isinstance(value, dict):
                (found.pictures if value["_type"] == "trackio.image" else found.tables).append(name)
            elif "/" in name and not (name.count("/") == 1 and name.endswith("/step")):
                found.figures.append((name, row["step"], value))
    return Stored(sorted(found.figures), sorted(found.pictures), sorted(found.tables), found.config)


def swanlab(folder: Path) -> Stored:
    """Reads the files of offline runs."""
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader

    found = Stored([], [], [], "")
    for file in sorted(folder.glob("run-*/*.swanlab")):
        found = found._replace(config=(file.parent / "files" / "config.yaml").read_text())
        reader = DataStoreReader()
        reader.open(file)
        for data in reader:
            record = Record()
            record.ParseFromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "scalar" and not record.scalar.key.startswith("__"):
                found.figures.append((record.scalar.key, record.scalar.step, record.scalar.value.number))
            elif kind == "media":
                (found.pictures if record.media.key.endswith("figure") else found.tables).append(record.media.key)
    return Stored(sorted(found.figures), sorted(found.pictures), sorted(found.tables), found.config)


READERS: dict[str, Callable[[Path], Stored]] = {
    reader.__name__: reader for reader in (tensorboard, wandb, mlflow, trackio, swanlab)
}


def read(run: Path, tracker: str) -> Stored:
    """Returns what a tracker has stored in a run's folder."""
    return READERS[tracker](run / "trackers" / tracker)


def is_installed(tracker: str) -> bool:
    """True if the library of a tracker is installed."""
    return importlib.util.find_spec(tracker) is not None
