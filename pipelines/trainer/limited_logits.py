"""Limits the memory of a language model's logits: the head is applied to a few tokens at a time.

For n tokens and a vocabulary of v, the logits are n x v numbers. A model's own forward method computes all of them, and its
loss keeps several copies. For batches with large logits, `limit_logits` replaces the model's loss by that of
`chunked_loss.py`.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from . import chunked_loss
from .chunked_loss import Head
from .data.tokenized import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_LOGITS = 2**28
"""Largest number of logits of a batch that are computed at once: 1 GiB in float32. Our choice."""
CHUNK_LOGITS = 2**26
"""Logits of a chunk, if a batch has more than `MAX_LOGITS`. Our choice."""


def head_rows(model: "PreTrainedModel") -> int:
    """Returns the number of rows of a model's head, which is the size of its vocabulary or more."""
    return model.get_output_embeddings().weight.shape[0]


def head_of(model: "PreTrainedModel", rows: int | None = None) -> Head:
    """Returns a model's projection to the vocabulary, or to its first `rows` entries."""
    module = model.get_output_embeddings()
    bias = getattr(module, "bias", None)
    return Head(module.weight[:rows], None if bias is None else bias[:rows])


def last_hidden(model: "PreTrainedModel", **inputs: Any) -> torch.Tensor:
    """Returns the input of a model's head, (rows, tokens, width), without calling the model's own forward method."""
    return _without_adapter(model).base_model(**inputs, use_cache=False).last_hidden_state


def chunk_of(vocabulary: int) -> int:
    """Returns the tokens of a chunk with `CHUNK_LOGITS` logits."""
    return max(1, CHUNK_LOGITS // vocabulary)


def applies_head_alone(model: "PreTrainedModel", rows: int | None = None) -> bool:
    """True if a model's logits are its head's output without further operations, such as a scale or a cap.

    Args:
        model: the model, in evaluation mode.
        rows: rows of the head that are used; None: all.
    """
    if getattr(model.config, "final_logit_softcapping", None):  # a cap far above the logits of 8 tokens would go unnoticed
        return False
    ids = torch.arange(1, 9, device=model.device)[None]
    with torch.no_grad():  # the tensors of `inference_mode` cannot be used by sharded layers later
        own = head_of(model, rows).logits(last_hidden(model, input_ids=ids))
        logits = model(input_ids=ids, use_cache=False).logits[..., :rows].float()
    return bool((own - logits).abs().max() <= 1e-3 * logits.abs().max())


def limit_logits(model: "PreTrainedModel") -> None:
    """Replaces a model's forward method by one that computes the loss of large batches in chunks.

    The loss and its gradient are the same except for rounding, and the output of a large batch has no logits. The model's own
    method is called for batches of at most `MAX_LOGITS` logits and for calls without labels. It stays in place if the model's
    loss is not the cross-entropy of its head's output.

    Args:
        model: a causal language model, also with an adapter.
    """
    causal = _without_adapter(model)
    forward, vocabulary = causal.forward, head_rows(causal)
    # The Trainer passes `num_items_in_batch` only to forward methods with **kwargs. The new method has **kwargs, so it would
    # get this argument even if the model's own does not accept it.
    if not any(each.kind == each.VAR_KEYWORD for each in inspect.signature(forward).parameters.values()):
        return
    if not _has_ordinary_loss(causal):
        return

    def limited(input_ids: torch.Tensor, labels: torch.Tensor | None = None, **inputs: Any) -> Any:
        from transformers.modeling_outputs import CausalLMOutput

        if labels is None or input_ids.numel() * vocabulary <= MAX_LOGITS:
            return forward(input_ids=input_ids, labels=labels, **inputs)
        return CausalLMOutput(loss=_loss(causal, input_ids, labels, **inputs))

    # FSDP only manages parameters that are used inside the model's forward, so the loss is computed there.
    causal.forward = limited


def _without_adapter(model: "PreTrainedModel") -> "PreTrainedModel":
    """Returns the model in which an adapter is placed, or the model itself. Its modules include the adapter."""
    inner: Callable[[], PreTrainedModel] | None = getattr(model, "get_base_model", None)  # a method of peft's models
    return inner() if inner else model


def _has_ordinary_loss(model: "PreTrainedModel") -> bool:
    """True if a model's loss is the cross-entropy of its head's output. Some models add a loss for their experts."""
    model.eval()
    if not applies_head_alone(model):
        return False
    ids = torch.arange(1, 9, device=model.device)[None]
    with torch.no_grad():
        own, ordinary = model(input_ids=ids, labels=ids, use_cache=False).loss, _loss(model, ids, ids)
    return bool((own - ordinary).abs() <= 1e-5 * own.abs())


def _loss(
    model: "PreTrainedModel",
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    num_items_in_batch: torch.Tensor | int | None = None,
    **inputs: Any,
) -> torch.Tensor:
    """Returns the cross-entropy of the labels, which follow the tokens that predict them.

    Args:
        model: the model.
        input_ids: (rows, tokens).
        labels: (rows, tokens); `IGNORED` for tokens that are not in the loss.
        num_items_in_batch: the sum over tokens is divided by it; None: by the number of tokens in the loss.
        inputs: further inputs of the model. Those that are None are left out.
    """
    given = {name: value for name, value in inputs.items() if value is not None and name != "use_cache"}
    hidden = last_hidden(model, input_ids=input_ids, **given)
    device = hidden.device.type
    # The model's own forward method computes the logits in this precision.
    precision = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    with torch.autocast(device, enabled=False):
        weight, bias = head_of(model)
        head = Head(weight.to(precision), None if bias is None else bias.to(precision))
        in_loss = labels[:, 1:] != IGNORED
        targets = labels[:, 1:][in_loss]
        items = len(targets) if num_items_in_batch is None else num_items_in_batch
        weights = torch.ones(len(targets), device=targets.device) / items
        hidden = hidden[:, :-1][in_loss].to(precision)
        return chunked_loss.weighted(hidden, head, targets, weights, chunk=chunk_of(head.weight.shape[0])).total
