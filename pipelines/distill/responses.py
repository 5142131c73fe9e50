"""Pairs of responses that models are read on, token by token: what a student or a teacher says before each of them.

A pair is two rows, a prompt with the chosen response and one with the rejected; in a batch the chosen ones come first.
"""

import bisect
import contextlib
import errno
import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch

from ... import disk
from ...core import UserError
from ...disk import storable
from ..trainer import chunked_loss
from ..trainer.chunked_loss import Dense, Head, TopK

ROWS = 16
"""Rows that are read together where nothing is trained and no rounding has to be that of a training."""
SURE, UNLIKELY = 0.5, 0.1
"""A confident error: a token of a rejected response that the student gave at least the first chance, and the teacher less than
the second."""
SIDES = ("chosen", "rejected")

Pair = dict[str, Any]
Inputs = dict[str, torch.Tensor]
Tell = Callable[[int, int], None]
"""Told how many pairs are done, and of how many."""


def load(path: Path, max_tokens: int, held_out: float) -> tuple[list[Pair], list[Pair], int]:
    """Pairs to train on, pairs to measure on (split by problem), and how many were longer than max_tokens.

    Raises:
        UserError: there is no such file.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: name the folder of a sample_pairs stage, as in {{stage:NAME}}") from None
    with disk.reading(path, "run its sample_pairs stage again"):
        pairs = [storable(json.loads(line)) for line in content.splitlines()]
        for pair in pairs:
            for tokens in (pair[f"{side}_tokens"] for side in SIDES):
                disk.check_types(tokens, ids=list, mask=list)
        kept = [pair for pair in pairs if all(len(pair[f"{side}_tokens"]["ids"]) <= max_tokens for side in SIDES)]
        measured = [int(hashlib.sha256(pair["id"].encode()).hexdigest()[:8], 16) < held_out * 16**8 for pair in kept]
    train = [pair for pair, out in zip(kept, measured, strict=True) if not out]
    return train, [pair for pair, out in zip(kept, measured, strict=True) if out], len(pairs) - len(kept)


def collate(pairs: Sequence[Pair]) -> Inputs:
    """Pairs as a batch.

    Returns:
        input_ids, attention_mask and written, what the policy wrote: (2 x pairs, longest) each. With pairs that have them, also
        reference, the log-probabilities under the start, and places, where a response's tokens are stored: (2 x pairs,) each.
    """
    sides = [pair[f"{side}_tokens"] for side in SIDES for pair in pairs]
    width = max(len(tokens["ids"]) for tokens in sides)

    def filled(rows: list[list[int]]) -> torch.Tensor:
        return torch.tensor([row + [0] * (width - len(row)) for row in rows])

    batch = {
        "input_ids": filled([tokens["ids"] for tokens in sides]),
        "attention_mask": filled([[1] * len(tokens["ids"]) for tokens in sides]),
        "written": filled([tokens["mask"] for tokens in sides]),
    }
    if "reference" in pairs[0]:
        batch["reference"] = torch.tensor([pair["reference"][side] for side in range(2) for pair in pairs])
        batch["places"] = torch.tensor([pair["places"][side] for side in range(2) for pair in pairs])
    return batch


def width(model: Any) -> int:
    """Rows of a model's head."""
    return model.get_output_embeddings().weight.shape[0]


class Targets(NamedTuple):
    """Tokens of responses, and what a model has in mind before each."""

    hidden: torch.Tensor
    """(tokens, width): the last hidden states, before the head."""
    labels: torch.Tensor
    """(tokens,)."""
    row: torch.Tensor
    """(tokens,): of the batch."""
    length: torch.Tensor
    """(rows,): tokens of each row's response."""


class Reads(NamedTuple):
    """How models are read."""

    vocabulary: int
    """Rows of the heads that count: some are padded with rows that stand for no token."""
    chunk: int = chunked_loss.CHUNK
    """Tokens whose logits are laid out at once."""

    def head(self, model: Any) -> Head:
        """A model's projection to the vocabulary."""
        module = model.get_output_embeddings()
        bias = getattr(module, "bias", None)
        return Head(module.weight[: self.vocabulary], None if bias is None else bias[: self.vocabulary])

    def targets(self, model: Callable[..., Any], inputs: Inputs) -> Targets:
        """What a model, or its forward, has in mind before each token of a batch's responses."""
        output = model(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            output_hidden_states=True,
            use_cache=False,
            logits_to_keep=1,
        )
        written = inputs["written"][:, 1:].bool()
        rows = torch.arange(len(written), device=written.device)[:, None].expand_as(written)
        hidden = output.hidden_states[-1][:, :-1]
        return Targets(hidden[written], inputs["input_ids"][:, 1:][written], rows[written], written.sum(-1))

    def check(self, model: Any) -> None:
        """Makes sure that the head is all that stands between a model's hidden states and its logits.

        Raises:
            UserError: it scales or caps them.
        """
        ids = torch.arange(1, 9, device=model.device)[None]
        with torch.inference_mode():
            output = model(input_ids=ids, output_hidden_states=True, use_cache=False)
            own = self.head(model).logits(output.hidden_states[-1])
        logits = output.logits[..., : self.vocabulary].float()
        if (own - logits).abs().max() > 1e-3 * logits.abs().max():
            raise UserError(f"{type(model).__name__} scales or caps its logits behind its head: it cannot be distilled")

    def distributions(self, model: Any, inputs: Inputs, k: int | None, temperature: float) -> Dense | TopK:
        """A teacher's distribution before each token of a batch's responses; with k, its k most likely tokens alone."""
        with torch.no_grad():
            dense = Dense(self.targets(model, inputs)[0], self.head(model))
            return dense if k is None else chunked_loss.top_k(dense, k, temperature, self.chunk)

    def tokens(self, model: Any, pairs: Sequence[Pair]) -> list[torch.Tensor]:
        """Log-probabilities of each response's tokens, the chosen and the rejected response of each pair in turn."""
        model.eval()
        told: list[torch.Tensor] = []
        with torch.no_grad():
            for batch in (pairs[start : start + ROWS // 2] for start in range(0, len(pairs), ROWS // 2)):
                hidden, labels, _, length = self.targets(model, _moved(collate(batch), model.device))
                split = chunked_loss.log_probs(hidden, self.head(model), labels, self.chunk).cpu().split(length.tolist())
                told += [side for two in zip(split[: len(batch)], split[len(batch) :], strict=True) for side in two]
        return told


def summed(likely: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of whole responses, (rows,), from those of their tokens; equal ones give equal sums on any device.

    Args:
        likely: (tokens,), row after row.
        length: (rows,): tokens of each row.
    """
    return torch.stack([row.double().sum() for row in likely.split(length.tolist())]).float()


def _moved(inputs: Inputs, device: torch.device) -> Inputs:
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def with_reference(
    reads: Reads,
    model: Any,
    pairs: Sequence[Pair],
    folder: Path,
    tell: Tell,
    micro_batch: int = ROWS // 2,
    precision: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext,
) -> list[Pair]:
    """The pairs with the log-probabilities of both responses under the policy of the start, which are taken once and kept.

    A margin is the difference of these and of what the policy says in training. It starts at 0 only where both are rounded
    alike: with the same precision, and in the same batches, for the kernels of a matrix product depend on its shape.

    Args:
        reads: how the model is read.
        model: the policy of the start.
        pairs: in the order of their micro batches.
        folder: that they are kept in.
        tell: told how far it is.
        micro_batch: pairs that training passes forward at once.
        precision: the context that training passes them forward in.
    """

    def take(batch: Sequence[Pair]) -> Iterator[numpy.ndarray]:
        model.eval()
        with torch.no_grad():
            with precision():
                hidden, labels, _, length = reads.targets(model, _moved(collate(batch), model.device))
            head = reads.head(model)
            likely = chunked_loss.log_probs(hidden.to(head.weight.dtype), head, labels, reads.chunk)
        yield summed(likely, length).cpu().reshape(2, -1).T.numpy()

    kinds = {"reference": (2, numpy.float32)}
    (parts,) = _taken_once(folder, kinds, pairs, [*range(len(pairs) + 1)], take, tell, micro_batch)
    sums, places = numpy.concatenate(parts), _places(pairs)
    return [
        pair | {"reference": sums[number].tolist(), "places": places[2 * number : 2 * number + 2]}
        for number, pair in enumerate(pairs)
    ]


def _places(pairs: Sequence[Pair]) -> list[int]:
    """Where each response's tokens begin among those of all, and at last how many there are."""
    return numpy.cumsum([0, *(sum(pair[f"{side}_tokens"]["mask"]) for pair in pairs for side in SIDES)]).tolist()


class StoredTopK(NamedTuple):
    """A teacher's most likely tokens at every token of all responses, in files that are mapped into memory."""

    ids: Sequence[numpy.ndarray]
    """(tokens, k) int32, in parts."""
    log_probs: Sequence[numpy.ndarray]
    """(tokens, k) float32, in the same parts."""

    def of(self, inputs: Inputs) -> TopK:
        """Those of a batch's responses."""
        lengths = inputs["written"][:, 1:].sum(-1).tolist()
        ends = numpy.cumsum([len(part) for part in self.ids])
        device = inputs["input_ids"].device

        def found(parts: Sequence[numpy.ndarray]) -> torch.Tensor:
            rows = []
            for at, length in zip(inputs["places"].tolist(), lengths, strict=True):
                part = int(numpy.searchsorted(ends, at, side="right"))
                start = at - (ends[part] - len(parts[part]))
                rows.append(parts[part][start : start + length])
            return torch.from_numpy(numpy.concatenate(rows)).to(device)

        return TopK(found(self.ids).long(), found(self.log_probs))


def stored_top_k(
    reads: Reads, teacher: Any, pairs: Sequence[Pair], k: int, temperature: float, folder: Path, tell: Tell
) -> StoredTopK:
    """Takes a teacher's k most likely tokens everywhere, once, and keeps them in .npy files in the folder."""

    def take(batch: Sequence[Pair]) -> Iterator[numpy.ndarray]:
        inputs = _moved(collate(batch), teacher.device)
        found = reads.distributions(teacher, inputs, k, temperature)
        assert isinstance(found, TopK)
        lengths = inputs["written"][:, 1:].sum(-1).tolist()
        # Side by side in the batch, pair by pair in the file.
        order = [row for number in range(len(batch)) for row in (number, number + len(batch))]
        for kept in (found.ids.int(), found.log_probs.float()):
            rows = kept.cpu().split(lengths)
            yield torch.cat([rows[row] for row in order]).numpy()

    kinds = {"teacher_ids": (k, numpy.int32), "teacher_log_probs": (k, numpy.float32)}
    return StoredTopK(*_taken_once(folder, kinds, pairs, _places(pairs)[::2], take, tell))


def _taken_once(
    folder: Path,
    kinds: Mapping[str, tuple[int, type]],
    pairs: Sequence[Pair],
    places: Sequence[int],
    take: Callable[[Sequence[Pair]], Iterator[numpy.ndarray]],
    tell: Tell,
    together: int = ROWS // 2,
) -> list[list[numpy.ndarray]]:
    """Arrays of a folder in parts, mapped into memory: each of the processes that train fills one, from where a killed one was.

    Args:
        folder: that all processes see.
        kinds: columns and type of each array. A row of zeros in the last array marks a row that is not computed yet.
        pairs: that the arrays are of.
        places: row at which each pair's begin, and at last how many there are.
        take: the rows of a few pairs, for each array.
        tell: told how many pairs of this process are done, and how many it has.
        together: pairs that are taken at once; each but the last group of so many, from the first pair on, is whole.
    """
    from accelerate import PartialState

    state = PartialState()  # as whoever trains has set it up
    count = state.num_processes
    groups = math.ceil(len(pairs) / together)
    first, last = (
        min(len(pairs), groups * place // count * together) for place in (state.process_index, state.process_index + 1)
    )
    names = [[folder / f"{name}-{process}-of-{count}.npy" for process in range(count)] for name in kinds]
    own = [files[state.process_index] for files in names]
    if not all(file.is_file() for file in own):
        rows, partial = places[last] - places[first], [file.with_suffix(".partial") for file in own]
        if not all(file.is_file() for file in partial):
            for file, (columns, dtype) in zip(partial, kinds.values(), strict=True):
                numpy.lib.format.open_memmap(file, "w+", dtype, (rows, columns))
                _reserve(file)
        arrays = [numpy.lib.format.open_memmap(file, "r+") for file in partial]
        # A new file is all zeros; whatever stands there instead was taken, in order. What looks like zeros is taken again.
        taken = bisect.bisect_left(range(rows), True, key=lambda row: not arrays[-1][row].any())
        start = bisect.bisect_right(places, places[first] + taken, first, last) - 1 if taken < rows else last
        for batch in range(first + (start - first) // together * together, last, together):
            few = pairs[batch : min(batch + together, last)]
            span = slice(places[batch] - places[first], places[batch + len(few)] - places[first])
            for array, found in zip(arrays, take(few), strict=True):
                array[span] = found
            tell(batch + len(few) - first, last - first)
        for array in arrays:
            array.flush()
        for half, whole in zip(partial, own, strict=True):
            half.rename(whole)
    state.wait_for_everyone()
    return [[_loaded(file, columns) for file in files] for files, (columns, _) in zip(names, kinds.values(), strict=True)]


def _reserve(file: Path) -> None:
    """Has the disk set aside a file's space: on a full one, writing to mapped memory would end the process without a word."""
    with disk.name_in_errors(file), file.open("r+b") as opened:
        try:
            os.posix_fallocate(opened.fileno(), 0, file.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                file.unlink()
                raise


def _loaded(file: Path, columns: int) -> numpy.ndarray:
    with disk.reading(file, "remove it, and it is made again"):
        array = numpy.load(file, mmap_mode="r")
        if array.ndim != 2 or array.shape[1] != columns:
            raise ValueError(f"of shape {array.shape}")
        return array


def compared(
    pairs: Sequence[Pair], teacher: Sequence[torch.Tensor], before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]
) -> dict[str, Any]:
    """What a training did to pairs that it did not see.

    Args:
        pairs: they.
        teacher, before, after: log-probabilities as `Reads.tokens` gives them, of the teacher and of the student.

    Returns:
        Before and after: the mean probability of a chosen and of a rejected token, of the confident errors among the
        latter (the student's own of the start), and the share of pairs whose chosen response is likelier than the other.
    """
    probabilities = {
        name: [torch.cat(list(rows[side::2])).exp() for side in range(2)]
        for name, rows in (("teacher", teacher), ("before", before), ("after", after))
    }
    errors = (probabilities["before"][1] >= SURE) & (probabilities["teacher"][1] < UNLIKELY)
    figures: dict[str, Any] = {"pairs": len(pairs), "confident_errors": int(errors.sum())}
    for name, rows in (("before", before), ("after", after)):
        sums = torch.stack([row.sum() for row in rows])
        figures[name] = {
            "chosen": float(probabilities[name][0].mean()),
            "rejected": float(probabilities[name][1].mean()),
            "confident_errors": float(probabilities[name][1][errors].mean()) if errors.any() else None,
            "preferred": float((sums[0::2] > sums[1::2]).float().mean()),
        }
    return figures
