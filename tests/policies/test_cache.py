import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from tenfold.policies.cache import grow_in_place


def test_a_growing_layer_keeps_its_states() -> None:
    layer = DynamicLayer()
    states = torch.randn(2, 3, 200, 4)
    layer.update(states[..., :5, :], states[..., :5, :])
    cache = DynamicCache()
    cache.layers = [layer]
    grow_in_place(cache)
    places = set()
    for length in range(6, 201):
        keys, values = cache.update(states[..., length - 1 : length, :], states[..., length - 1 : length, :], 0)
        assert torch.equal(keys, states[..., :length, :])
        assert torch.equal(values, keys)
        places.add(keys.data_ptr())
    assert len(places) < 5
