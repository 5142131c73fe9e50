"""The loss on held-out tokens of a `mix` stage, by source."""

import logging
from typing import TYPE_CHECKING

import numpy
import torch

from ...core import UserError
from ..corpus import tokens
from ..trainer import trainer
from ..trainer.data.tokenized import IGNORED
from .batch import batch_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOG = logging.getLogger("tenfold")


def open_sources(folder: str | None, trained: tokens.Sources) -> tokens.Sources:
    """Returns the sources whose held-out tokens are measured.

    A document is held out if the hash of its id is below the share. So the documents that the measured stage holds out are in
    none of the training tokens if its share is not larger, provided that a document has the same id in both stages.

    Args:
        folder: folder of the `mix` stage; None for the sources of the training.
        trained: the sources of the training.

    Raises:
        UserError: the folder has no sources, or they were made with another tokenizer or hold out a larger share.
    """
    if folder is None:
        return trained
    sources = tokens.open_sources(folder)
    if sources.tokenizer != trained.tokenizer:
        raise UserError(
            f"the tokens in {folder} were made with another tokenizer than those in {trained.folder}; "
            "set the policies of both mix stages to the same one"
        )
    measured_share, trained_share = sources.held_out_share, trained.held_out_share
    if measured_share is None or trained_share is None:
        _LOG.warning(
            "%s is of an earlier version and does not record its share held_out: make sure that %s holds out at most the "
            "share of %s, or documents of the measurement are trained on",
            folder if measured_share is None else trained.folder,
            folder,
            trained.folder,
        )
    elif measured_share > trained_share:
        raise UserError(
            f"{folder} holds out {measured_share} of the documents and {trained.folder} only {trained_share}, so that the loss "
            "would be measured on documents that are trained on; set held_out of both mix stages to the same share"
        )
    return sources


def losses_of(
    model: "PreTrainedModel", sources: tokens.Sources, length: int, max_sequences: int
) -> dict[str, dict[str, float]]:
    """Returns the mean loss per held-out token of each source: {source: {loss, tokens}}.

    Only whole sequences are used. A source with fewer held-out tokens than one sequence has no entry.

    Args:
        model: the model, on the device for the evaluation.
        sources: the token files.
        length: tokens per sequence.
        max_sequences: maximum number of sequences per source, the first ones.
    """
    losses = {}
    for source in sources.held_out:
        data = tokens.memory_map(tokens.file_of(sources.folder, source, held_out=True), sources.dtype)
        whole = len(data) // length * length
        rows = [(row.astype(numpy.int64), length) for row in data[:whole].reshape(-1, length)[:max_sequences]]
        total = count = 0.0
        together = trainer.rows_together(length)
        for first in range(0, len(rows), together):
            batch = batch_of(rows[first : first + together], sources.end)
            predicted = int((batch["labels"][:, 1:] != IGNORED).sum())
            with torch.inference_mode():
                loss = model(**{name: tensor.to(model.device) for name, tensor in batch.items()}, use_cache=False).loss
            total, count = total + float(loss) * predicted, count + predicted
        if count:
            losses[source] = {"loss": total / count, "tokens": count}
    return losses
