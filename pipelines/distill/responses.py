"""Hidden states, log-probabilities and top-k distributions of models at each token of response pairs.

A pair makes two rows of a batch: the prompt with the chosen response, and the prompt with the rejected one. All chosen rows of
a batch come first.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy
import torch

from ...core import UserError
from ..trainer import chunked_loss, limited_logits, trainer
from ..trainer.chunked_loss import Dense, Head, TopK
from ..trainer.data.by_number import At
from .pairs import Pair, WithReference, offsets, sides
from .stored_arrays import Progress, computed_once

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STORED_BYTES = 8
"""Bytes of one of the teacher's stored tokens: its id and its log-probability."""
SURE, UNLIKELY = 0.5, 0.1
"""A confident error is a token of a rejected response with a student probability of at least SURE and a teacher probability
below UNLIKELY. Our choice."""


Inputs = dict[str, torch.Tensor]


def collate(pairs: Sequence[Pair]) -> Inputs:
    """Returns pairs as a batch.

    Returns:
        input_ids, attention_mask and response_mask (1 for each token that the policy wrote), (2 x pairs, longest) each. If the
        pairs have them, also reference (log-probabilities under the initial policy) and offsets, (2 x pairs,) each.
    """
    rows = [sides(pair)[side] for side in range(2) for pair in pairs]
    width = max(len(tokens["ids"]) for tokens in rows)

    def filled(rows: list[list[int]]) -> torch.Tensor:
        return torch.tensor([row + [0] * (width - len(row)) for row in rows])

    batch = {
        "input_ids": filled([tokens["ids"] for tokens in rows]),
        "attention_mask": filled([[1] * len(tokens["ids"]) for tokens in rows]),
        "response_mask": filled([tokens["mask"] for tokens in rows]),
    }
    if "reference" in pairs[0]:
        batch["reference"] = torch.tensor([pair["reference"][side] for side in range(2) for pair in pairs])
        batch["offsets"] = torch.tensor([pair["offsets"][side] for side in range(2) for pair in pairs])
    return batch


class Targets(NamedTuple):
    """The tokens of a batch's responses, with the hidden states that predict them."""

    hidden: torch.Tensor
    """(tokens, width): last hidden states, the input of the head."""
    labels: torch.Tensor
    """(tokens,): token ids."""
    row: torch.Tensor
    """(tokens,): row of the batch."""
    length: torch.Tensor
    """(rows,): tokens of each row's response."""


class ModelReader(NamedTuple):
    """Computes hidden states and probabilities of models at the tokens of responses."""

    vocabulary: int
    """Rows of the heads that are used. Some heads are padded with rows without a token."""
    chunk: int = chunked_loss.CHUNK
    """Tokens whose logits are in memory at once."""
    batch: int = trainer.ROWS // 2
    """Pairs per forward pass outside of training."""
    precision: torch.dtype = torch.float32
    """Precision of the layers before the head. The head computes in float32."""

    def head(self, model: "PreTrainedModel") -> Head:
        """Returns a model's projection to the vocabulary."""
        return limited_logits.head_of(model, self.vocabulary)

    def targets(self, model: "PreTrainedModel", inputs: Inputs) -> Targets:
        """Returns the tokens of a batch's responses with their hidden states."""
        hidden = limited_logits.last_hidden(model, input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])[
            :, :-1
        ]
        mask = inputs["response_mask"][:, 1:].bool()
        rows = torch.arange(len(mask), device=mask.device)[:, None].expand_as(mask)
        return Targets(hidden[mask], inputs["input_ids"][:, 1:][mask], rows[mask], mask.sum(-1))

    def log_prob_targets(self, model: "PreTrainedModel", inputs: Inputs) -> Targets:
        """Returns `targets` of a pass without gradients: in this reader's precision, with hidden states in that of the head."""
        with torch.autocast(model.device.type, self.precision, enabled=self.precision != torch.float32):
            found = self.targets(model, inputs)
        return found._replace(hidden=found.hidden.to(self.head(model).weight.dtype))

    def check(self, model: "PreTrainedModel") -> None:
        """Checks that a model's logits are its head's output without further operations.

        Raises:
            UserError: the model scales or caps its logits.
        """
        if not limited_logits.applies_head_alone(model, self.vocabulary):
            raise UserError(
                f"{type(model).__name__} scales or caps its logits after its head and cannot be distilled; use another model"
            )

    def distributions(self, model: "PreTrainedModel", inputs: Inputs, k: int | None, temperature: float) -> Dense | TopK:
        """Returns a teacher's distribution at each token of a batch's responses.

        Args:
            model: the teacher.
            inputs: a batch; see `collate`.
            k: number of most likely tokens; None: the whole distribution.
            temperature: softmax temperature of the top k.
        """
        with torch.no_grad():
            dense = Dense(self.log_prob_targets(model, inputs).hidden, self.head(model))
            return dense if k is None else chunked_loss.top_k(dense, k, temperature, self.chunk)

    def token_log_probs(
        self, model: "PreTrainedModel", pairs: Sequence[Pair], progress: Callable[[int], None] = lambda done: None
    ) -> list[torch.Tensor]:
        """Returns the log-probabilities of each response's tokens: chosen, rejected, chosen, rejected and so on.

        Args:
            model: computes them.
            pairs: the pairs.
            progress: called with the number of finished pairs.
        """
        model.eval()
        found: list[torch.Tensor] = []
        with torch.no_grad():
            for batch in (pairs[start : start + self.batch] for start in range(0, len(pairs), self.batch)):
                hidden, labels, _, length = self.log_prob_targets(model, _moved(collate(batch), model.device))
                split = chunked_loss.log_probs(hidden, self.head(model), labels, self.chunk).cpu().split(length.tolist())
                found += [side for two in zip(split[: len(batch)], split[len(batch) :], strict=True) for side in two]
                progress(len(found) // 2)
        return found


def response_log_probs(log_probs: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Returns the log-probabilities of responses, (rows,). Equal inputs give equal sums on every device.

    Args:
        log_probs: (tokens,): log-probabilities of all tokens, row after row.
        length: (rows,): tokens of each row.
    """
    return torch.stack([row.double().sum() for row in log_probs.split(length.tolist())]).float()


def _moved(inputs: Inputs, device: torch.device) -> Inputs:
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def with_reference(
    reader: ModelReader,
    model: "PreTrainedModel",
    pairs: Sequence[Pair],
    folder: Path,
    progress: Progress,
    used: numpy.ndarray | None = None,
    micro_batch: int = trainer.ROWS // 2,
) -> WithReference:
    """Returns the pairs with the log-probabilities of both responses under the initial policy. They are computed once and
    stored.

    The DPO term compares these log-probabilities with those of the training. Before the first step, both give exactly the same
    margin only if they have the same rounding. This needs the same precision and the same batches, because the kernel of a
    matrix product depends on its shape.

    Args:
        reader: computes the log-probabilities, in the precision of the training.
        model: the initial policy.
        pairs: pairs in the order of their micro-batches.
        folder: folder of the stored values.
        progress: called with the numbers of finished pairs and of all pairs.
        used: numbers of the pairs that the training uses, in ascending order; None: all. The others have NaN.
        micro_batch: pairs per forward pass in training.
    """

    def compute(batch: Sequence[Pair]) -> Iterator[numpy.ndarray]:
        model.eval()
        with torch.no_grad():
            hidden, labels, _, length = reader.log_prob_targets(model, _moved(collate(batch), model.device))
            log_probs = chunked_loss.log_probs(hidden, reader.head(model), labels, reader.chunk)
        yield response_log_probs(log_probs, length).cpu().reshape(2, -1).T.numpy()

    used = numpy.arange(len(pairs)) if used is None else used
    arrays = {"reference": (2, numpy.float32)}
    (parts,) = computed_once(folder, arrays, At(pairs, used), range(len(used) + 1), compute, progress, micro_batch)
    reference = numpy.full((len(pairs), 2), numpy.nan, numpy.float32)
    reference[used] = numpy.concatenate(parts)
    return WithReference(pairs, reference)


class StoredTopK(NamedTuple):
    """A teacher's most likely tokens at every token of all responses, in memory-mapped files."""

    ids: Sequence[numpy.ndarray]
    """(tokens, k) int32, in parts."""
    log_probs: Sequence[numpy.ndarray]
    """(tokens, k) float32, in the same parts."""

    def of(self, inputs: Inputs) -> TopK:
        """Returns the top k at the tokens of a batch's responses."""
        lengths = inputs["response_mask"][:, 1:].sum(-1).tolist()
        ends = numpy.cumsum([len(part) for part in self.ids])
        device = inputs["input_ids"].device

        def found(parts: Sequence[numpy.ndarray]) -> torch.Tensor:
            rows = []
            for offset, length in zip(inputs["offsets"].tolist(), lengths, strict=True):
                part = int(numpy.searchsorted(ends, offset, side="right"))
                start = offset - (ends[part] - len(parts[part]))
                rows.append(parts[part][start : start + length])
            return torch.from_numpy(numpy.concatenate(rows)).to(device)

        return TopK(found(self.ids).long(), found(self.log_probs))


def stored_top_k(
    reader: ModelReader,
    teacher: "PreTrainedModel",
    pairs: Sequence[Pair],
    k: int,
    temperature: float,
    folder: Path,
    progress: Progress,
) -> StoredTopK:
    """Computes a teacher's k most likely tokens at all tokens of the responses, once, and stores them in .npy files.

    Args:
        reader: computes the distributions.
        teacher: the teacher.
        pairs: all pairs of the training.
        k: number of most likely tokens.
        temperature: softmax temperature.
        folder: folder of the files.
        progress: called with the numbers of finished pairs and of all pairs.
    """

    def compute(batch: Sequence[Pair]) -> Iterator[numpy.ndarray]:
        inputs = _moved(collate(batch), teacher.device)
        found = reader.distributions(teacher, inputs, k, temperature)
        assert isinstance(found, TopK)
        lengths = inputs["response_mask"][:, 1:].sum(-1).tolist()
        # The batch has all chosen responses first. The file has pair after pair.
        order = [row for number in range(len(batch)) for row in (number, number + len(batch))]
        for values in (found.ids.int(), found.log_probs.float()):
            rows = values.cpu().split(lengths)
            yield torch.cat([rows[row] for row in order]).numpy()

    arrays = {"teacher_ids": (k, numpy.int32), "teacher_log_probs": (k, numpy.float32)}
    return StoredTopK(*computed_once(folder, arrays, pairs, offsets(pairs)[::2], compute, progress, reader.batch))


def compared(
    pairs: Sequence[Pair], teacher: Sequence[torch.Tensor], before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]
) -> dict[str, Any]:
    """Compares the student before and after training on held-out pairs.

    Args:
        pairs: held-out pairs.
        teacher: log-probabilities of the teacher; see `ModelReader.token_log_probs`.
        before: log-probabilities of the student before training.
        after: log-probabilities of the student after training.

    Returns:
        For "before" and "after": the mean probability of a chosen token, of a rejected token and of the confident errors (those
        of the student before training), and the share of pairs whose chosen response is more likely than the rejected one.
    """
    probabilities = {
        name: [torch.cat(list(rows[side::2])).exp() for side in range(2)]
        for name, rows in (("teacher", teacher), ("before", before), ("after", after))
    }
    errors = (probabilities["before"][1] >= SURE) & (probabilities["teacher"][1] < UNLIKELY)
    metrics: dict[str, Any] = {"pairs": len(pairs), "confident_errors": int(errors.sum())}
    for name, rows in (("before", before), ("after", after)):
        sums = torch.stack([row.sum() for row in rows])
        metrics[name] = {
            "chosen": float(probabilities[name][0].mean()),
            "rejected": float(probabilities[name][1].mean()),
            "confident_errors": float(probabilities[name][1][errors].mean()) if errors.any() else None,
            "preferred": float((sums[0::2] > sums[1::2]).float().mean()),
        }
    return metrics
