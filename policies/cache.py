"""An attention cache that grows in place, so that a new token does not copy the keys and values of earlier tokens."""

import torch
from transformers.cache_utils import Cache, DynamicLayer

SPARE_TOKENS = 64
"""Spare tokens of a new buffer, in addition to a quarter of its length. Our choice."""


class GrowingLayer(DynamicLayer):
    """A cache layer whose `keys` and `values` are the filled parts of larger buffers."""

    def __init__(self, layer: DynamicLayer):
        """Takes over the keys and values of `layer`."""
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self.keys, self.values = layer.keys, layer.values
        self._buffers: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends keys and values, and returns all keys and values.

        Args:
            key_states: new keys, `(rows, heads, tokens, width)`.
            value_states: new values, in the same shape.
            *args: ignored; see transformers.
            **kwargs: ignored; see transformers.
        """
        filled, length = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        if self._buffers is None or length > self._buffers[0].shape[-2]:
            self._buffers = (_larger(self.keys, length), _larger(self.values, length))
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., filled:length, :] = states
        self.keys, self.values = (buffer[..., :length, :] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps only the given rows."""
        super().batch_select_indices(indices)
        self._buffers = None


def grow_in_place(cache: Cache) -> None:
    """Makes the full-attention layers of a cache grow in place. Layers with sliding windows or states are unchanged."""
    cache.layers = [GrowingLayer(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]


def _larger(states: torch.Tensor, length: int) -> torch.Tensor:
    rows, heads, tokens, width = states.shape
    buffer = states.new_empty(rows, heads, length + length // 4 + SPARE_TOKENS, width)
    buffer[..., :tokens, :] = states
    return buffer
