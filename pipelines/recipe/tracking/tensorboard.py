"""TensorBoard: event files in the run's folder. They are written without TensorFlow and torch."""

import json
import struct
import time
from collections.abc import Mapping, Sequence

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.text.metadata import PLUGIN_NAME
from tensorboard.plugins.text.plugin_data_pb2 import TextPluginData
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from .tracker import Cell, Run, Tracker, markdown


def open_tracker() -> Tracker:
    """Returns the tracker."""
    return TensorBoard()


class TensorBoard:
    """See `Tracker`. A run has no id: all event files of its folder belong to it."""

    def start(self, run: Run) -> str:
        """See `Tracker`."""
        self.writer = EventFileWriter(str(run.folder))
        if not run.id:
            self._text("config", 0, f"```json\n{json.dumps(run.config, indent=1, default=str)}\n```")
        return run.name

    def figures(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """See `Tracker`."""
        self._add(step, [Summary.Value(tag=f"{stage}/{name}", simple_value=value) for name, value in values.items()])

    def picture(self, stage: str, name: str, step: int, png: bytes) -> None:
        """See `Tracker`."""
        width, height = struct.unpack(">II", png[16:24])  # PNG's header
        image = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=4)
        self._add(step, [Summary.Value(tag=f"{stage}/{name}", image=image)])

    def table(self, stage: str, name: str, step: int, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """See `Tracker`."""
        self._text(f"{stage}/{name}", step, markdown(columns, rows))

    def finish(self) -> None:
        """See `Tracker`."""
        self.writer.close()

    def _text(self, tag: str, step: int, text: str) -> None:
        plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN_NAME, content=TextPluginData(version=0).SerializeToString())
        shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
        tensor = TensorProto(dtype=DT_STRING, string_val=[text.encode()], tensor_shape=shape)
        self._add(step, [Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=tensor)])

    def _add(self, step: int, values: Sequence[Summary.Value]) -> None:
        self.writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=values)))
        self.writer.flush()
