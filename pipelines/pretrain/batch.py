"""Batches of packed documents for the model."""

from collections.abc import Sequence

import numpy
import torch

from ..trainer.data.tokenized import IGNORED


def batch_of(rows: Sequence[tuple[numpy.ndarray, int]], end: int) -> dict[str, torch.Tensor]:
    """Returns a batch for the model: position ids restart at each document, and the label of its first token is masked.

    Args:
        rows: pairs of a row's tokens, (row_tokens,), and the length of the sequences in the row.
        end: id of the end-of-text token.

    Returns:
        input_ids, position_ids and labels, each of shape (rows, row_tokens).
    """
    ids = torch.as_tensor(numpy.stack([row for row, _ in rows]))
    lengths = torch.tensor([length for _, length in rows])[:, None]
    columns = torch.arange(ids.shape[1]).expand_as(ids)
    begins = columns % lengths == 0
    begins[:, 1:] |= ids[:, :-1] == end
    positions = columns - (columns * begins).cummax(dim=1).values
    return {"input_ids": ids, "position_ids": positions, "labels": ids.masked_fill(begins, IGNORED)}
