"""Pairs of responses that models are read on, token by token: what a student or a teacher says before each of them.

A pair is two rows, a prompt with the chosen response and one with the rejected; in a batch the chosen ones come first.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch

from ..core import UserError
from . import chunked_loss, training
from .chunked_loss import Dense, Head, TopK

ROWS = 16
"""Rows that are read together where nothing is trained."""
SURE, UNLIKELY = 0.5, 0.1
"""A confident error: a token of a rejected response that the student gave at least the first chance, and the teacher less than
the second."""
SIDES = ("chosen", "rejected")

Pair = dict[str, Any]
Inputs = dict[str, torch.Tensor]


def load(path: Path, max_tokens: int, held_out: float) -> tuple[list[Pair], list[Pair], int]:
    """Pairs to train on, pairs to measure on (split by problem), and how many were longer than max_tokens.

    Raises:
        UserError: there is no such file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: name the folder of a draw_pairs stage, as in {{stage:NAME}}") from None
    pairs = [json.loads(line) for line in lines]
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
            for batch in _batches(pairs):
                hidden, labels, _, length = self.targets(model, _moved(collate(batch), model.device))
                split = chunked_loss.log_probs(hidden, self.head(model), labels, self.chunk).cpu().split(length.tolist())
                told += [side for two in zip(split[: len(batch)], split[len(batch) :], strict=True) for side in two]
        return told


def _moved(inputs: Inputs, device: torch.device) -> Inputs:
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def _batches(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    for start in range(0, len(pairs), ROWS // 2):
        yield pairs[start : start + ROWS // 2]


def with_reference(reads: Reads, model: Any, pairs: Sequence[Pair], folder: Path) -> list[Pair]:
    """The pairs with the log-probabilities of both responses under the policy of the start, which are taken once and kept."""

    def take(files: Sequence[numpy.ndarray], first: int, last: int) -> None:
        sums = torch.stack([row.double().sum() for row in reads.tokens(model, pairs[first:last])])
        files[0][first:last] = sums.reshape(-1, 2).numpy()

    (sums,) = _taken_once(folder, {"reference.npy": ((len(pairs), 2), numpy.float32)}, len(pairs), take)
    places = _places(pairs)
    return [
        pair | {"reference": sums[number].tolist(), "places": places[2 * number : 2 * number + 2]}
        for number, pair in enumerate(pairs)
    ]


def _places(pairs: Sequence[Pair]) -> list[int]:
    """Where each response's tokens begin among those of all, and at last how many there are."""
    return numpy.cumsum([0, *(sum(pair[f"{side}_tokens"]["mask"]) for pair in pairs for side in SIDES)]).tolist()


class StoredTopK(NamedTuple):
    """A teacher's most likely tokens at every token of all responses, in files that are mapped into memory."""

    ids: numpy.ndarray
    """(tokens, k) int32."""
    log_probs: numpy.ndarray
    """(tokens, k) float32."""

    def of(self, inputs: Inputs) -> TopK:
        """Those of a batch's responses."""
        lengths = inputs["written"][:, 1:].sum(-1).tolist()
        rows = numpy.concatenate([numpy.arange(at, at + n) for at, n in zip(inputs["places"].tolist(), lengths, strict=True)])
        device = inputs["input_ids"].device
        return TopK(torch.from_numpy(self.ids[rows]).long().to(device), torch.from_numpy(self.log_probs[rows]).to(device))


def stored_top_k(reads: Reads, teacher: Any, pairs: Sequence[Pair], k: int, temperature: float, folder: Path) -> StoredTopK:
    """Takes a teacher's k most likely tokens everywhere, once, and keeps them as two .npy files in the folder."""
    places = _places(pairs)

    def take(files: Sequence[numpy.ndarray], first: int, last: int) -> None:
        at = places[2 * first]
        for batch in _batches(pairs[first:last]):
            inputs = _moved(collate(batch), teacher.device)
            found = reads.distributions(teacher, inputs, k, temperature)
            assert isinstance(found, TopK)
            lengths = inputs["written"][:, 1:].sum(-1).tolist()
            ids, kept = found.ids.cpu().split(lengths), found.log_probs.cpu().split(lengths)
            for number in range(len(batch)):
                for row in (number, number + len(batch)):
                    end = at + lengths[row]
                    files[0][at:end], files[1][at:end] = ids[row].numpy(), kept[row].numpy()
                    at = end

    shape = (places[-1], k)
    kinds = {"teacher_ids.npy": (shape, numpy.int32), "teacher_log_probs.npy": (shape, numpy.float32)}
    return StoredTopK(*_taken_once(folder, kinds, len(pairs), take))


def _taken_once(
    folder: Path,
    kinds: Mapping[str, tuple[tuple[int, int], type]],
    pairs: int,
    take: Callable[[Sequence[numpy.ndarray], int, int], None],
) -> list[numpy.ndarray]:
    """Arrays of a folder, mapped into memory. Where they are missing they are filled first, by each process its part.

    Args:
        folder: that all processes see.
        kinds: shape and type of each file.
        pairs: how many there are.
        take: fills in the rows of the pairs from the one number up to the other.
    """
    files, state = [folder / name for name in kinds], training.processes()
    if not all(file.is_file() for file in files):
        partial = [file.with_suffix(".partial") for file in files]
        if state.is_main_process:
            for file, (shape, dtype) in zip(partial, kinds.values(), strict=True):
                numpy.lib.format.open_memmap(file, "w+", dtype, shape)
        state.wait_for_everyone()
        opened = [numpy.lib.format.open_memmap(file, "r+") for file in partial]
        index, count = state.process_index, state.num_processes
        take(opened, pairs * index // count, pairs * (index + 1) // count)
        for array in opened:
            array.flush()
        state.wait_for_everyone()
        if state.is_main_process:
            for half, whole in zip(partial, files, strict=True):
                half.rename(whole)
        state.wait_for_everyone()
    return [numpy.load(file, mmap_mode="r") for file in files]


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
