"""Attention over rows with several sequences or with padding, without a mask in memory.

For such rows transformers' `sdpa` makes a mask of rows x width x width: 4 GiB for a row of 65,536 tokens. With a mask, torch
computes the scores of all pairs of tokens, those of two sequences included, and cannot use its FlashAttention kernel, which
needs no memory for scores. `attend_within_sequences` calls this kernel for each sequence alone. The result for the tokens is
the same except for rounding. The result for padding is 0.

The sequences are found with transformers' own rule for the mask, `mask_function(row, head, position, other)`, which is
true if the token at a position attends to the other one. A sequence begins at each token that does not attend to the token
before it. Therefore the position ids, which separate packed sequences, are treated as transformers treats them.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "sequences"
"""Name of this attention among transformers' attention functions."""
MIN_SCORES = {"cpu": 2**14, "cuda": 2**19}
"""Least number of elements of the mask per sequence, by device. With fewer, the mask is made, because the time of a call for
each sequence would be longer than that of the scores that it avoids. Our choice: measured on a CPU with `micro:`
(`benchmarks/speed/attention.py`), calculated for a GPU with 0.1 ms per call, forward and backward."""


READ_THE_MASK = frozenset({"doge", "glm_moe_dsa"})
"""Architectures whose layers compute with the mask themselves and need a tensor."""


class Sequences(NamedTuple):
    """The sequences of a batch, row after row. The layers get it in place of a mask."""

    lengths: tuple[int, ...]
    """Tokens of each sequence. The sum is rows x width."""
    padding: tuple[bool, ...]
    """True for a sequence of padding."""


def attend_within_sequences(model: "PreTrainedModel") -> None:
    """Makes a model compute the attention of each sequence alone.

    The model's own attention stays if it is not transformers' `sdpa`, or if transformers does not let others replace it.
    `sdpa` with a mask stays in these cases:

    - The mask is small, or there is none, because each row is one sequence.
    - There is a cache, or the rule for the mask does not accept tensors.
    - A row has tokens on both sides of padding.
    - A token attends to a later one.
    - A sequence is longer than the layer's sliding window.

    Args:
        model: a causal language model without an adapter.
    """
    from transformers import AttentionInterface, AttentionMaskInterface

    # Other models may expect a tensor as the mask.
    if model.config._attn_implementation != "sdpa" or not model.is_backend_compatible():
        return
    if model.config.model_type in READ_THE_MASK:
        return
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _mask)
    model.set_attn_implementation(NAME)


def _mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    *,
    mask_function: Callable[..., torch.Tensor],
    attention_mask: torch.Tensor | None = None,
    local_size: int | None = None,
    use_vmap: bool = False,
    device: torch.device | str = "cpu",
    **options: Any,
) -> torch.Tensor | Sequences | None:
    """Returns the sequences of a batch, or the mask of `sdpa`. transformers calls it once per forward pass and kind of layer.

    Args:
        batch_size, q_length: rows and width of the batch.
        kv_length, q_offset, kv_offset: differ from q_length and 0 if there is a cache.
        mask_function: see above.
        attention_mask: (rows, width), false for padding; None: no padding.
        local_size: largest number of tokens to which a token attends, itself included; None: no limit.
        use_vmap: `mask_function` does not accept tensors.
        device: the device of the batch.
        options: further arguments of transformers' `sdpa_mask`.
    """
    from transformers.masking_utils import sdpa_mask

    if q_length == kv_length and not (q_offset or kv_offset or use_vmap):
        found = _sequences(batch_size, q_length, mask_function, attention_mask, torch.device(device))
        if found and max(found.lengths) <= (local_size or q_length):
            return found
    return sdpa_mask(
        batch_size,
        q_length,
        kv_length,
        q_offset,
        kv_offset,
        mask_function=mask_function,
        attention_mask=attention_mask,
        local_size=local_size,
        use_vmap=use_vmap,
        device=device,
        **options,
    )


def _sequences(
    rows: int, width: int, attends: Callable[..., torch.Tensor], real: torch.Tensor | None, device: torch.device
) -> Sequences | None:
    """Returns the sequences of a batch; None if each row is one sequence, the mask is small, a token attends to a later one, or
    a row has tokens on both sides of padding.

    Args:
        rows, width: of the batch.
        attends: the rule for the mask.
        real: (rows, width), false for padding; None: no padding.
        device: the device of the batch.
    """
    row, head = torch.arange(rows, device=device)[:, None], torch.zeros((), dtype=torch.long, device=device)
    earlier, later = (torch.arange(start, width - 1 + start, device=device)[None] for start in (0, 1))
    begins = torch.ones(rows, width, dtype=torch.bool, device=device)
    begins[:, 1:] = ~attends(row, head, later, earlier)
    unusual = attends(row, head, earlier, later).any()
    if real is not None:
        begins[:, 1:] |= real[:, 1:] != real[:, :-1]
        pieces = real[:, 0] + (real[:, 1:] & ~real[:, :-1]).sum(1)
        unusual |= (pieces > 1).any()
    starts = begins.flatten().nonzero()[:, 0]
    if unusual or len(starts) == rows or rows * width**2 < len(starts) * MIN_SCORES.get(device.type, MIN_SCORES["cuda"]):
        return None
    lengths = torch.diff(starts, append=starts.new_tensor([rows * width]))
    padding = torch.zeros_like(starts, dtype=torch.bool) if real is None else ~real.flatten()[starts]
    return Sequences(tuple(lengths.tolist()), tuple(padding.tolist()))


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | Sequences | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Returns the attention of a layer, (rows, width, heads, width of a head). transformers' layers call it.

    Args:
        module: the layer's attention.
        query, key, value: (rows, heads, width, width of a head); key and value may have fewer heads.
        attention_mask: what `_mask` returned.
        dropout: probability of dropout.
        scaling: factor of the scores; None: that of torch.
        options: further arguments of transformers' `sdpa_attention_forward`.
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    if not isinstance(attention_mask, Sequences):
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **options)
    rows, heads, width, _ = query.shape
    groups = heads // key.shape[1]
    if groups > 1 and _needs_equal_heads(query):
        key, value, groups = repeat_kv(key, groups), repeat_kv(value, groups), 1

    def alone(*sequence: torch.Tensor) -> torch.Tensor:
        query, key, value = (part.transpose(0, 1)[None] for part in sequence)
        found = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, dropout_p=dropout, scale=scaling, is_causal=True, enable_gqa=groups > 1
        )
        return found[0].transpose(0, 1)

    # All tokens as one row, (tokens, heads, width of a head). The gradient of `split` is one tensor of this size. Slices would
    # have one each.
    split = (part.transpose(1, 2).flatten(0, 1).split(attention_mask.lengths) for part in (query, key, value))
    outputs = [
        value.new_zeros(len(sequence[0]), heads, value.shape[-1]) if padding else alone(*sequence)
        for *sequence, padding in zip(*split, attention_mask.padding, strict=True)
    ]
    return torch.cat(outputs).unflatten(0, (rows, width)), None


def _needs_equal_heads(query: torch.Tensor) -> bool:
    """True if torch's only kernel without memory for scores needs as many heads of keys as of queries: on a GPU in float32."""
    device = query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else query.dtype
    return device != "cpu" and dtype == torch.float32
