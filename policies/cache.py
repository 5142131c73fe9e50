"""Keys and values of attention that grow in place: one more token does not copy all those before it."""

from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64
"""Tokens that a layer has room for beyond a quarter more than it holds, whenever it needs new memory."""


class GrowingLayer(DynamicLayer):
    """A layer of transformers' cache whose `keys` and `values` are the filled part of larger tensors."""

    def __init__(self, layer: DynamicLayer):
        """Takes over what `layer` holds."""
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self.keys, self.values = layer.keys, layer.values
        self._rooms: tuple[torch.Tensor, torch.Tensor] | None = None

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends keys and values, both (rows, heads, tokens, width); returns all there are by now."""
        held, length = self.get_seq_length(), self.get_seq_length() + key_states.shape[-2]
        if self._rooms is None or length > self._rooms[0].shape[-2]:
            self._rooms = (_larger(self.keys, length), _larger(self.values, length))
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[..., held:length, :] = states
        self.keys, self.values = (room[..., :length, :] for room in self._rooms)
        return self.keys, self.values

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keeps only these rows."""
        super().batch_select_indices(indices)
        self._rooms = None


def grow_in_place(cache: Cache) -> None:
    """Makes the layers of a cache that hold all of a text (not those of sliding windows or states) grow in place."""
    cache.layers = [GrowingLayer(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]


def _larger(held: torch.Tensor, length: int) -> torch.Tensor:
    rows, heads, tokens, width = held.shape
    room = held.new_empty(rows, heads, length + length // 4 + ROOM, width)
    room[..., :tokens, :] = held
    return room
