"""Recomputed activations without dropout."""

import pytest
import torch
import transformers

from tenfold.pipelines.trainer import recomputation


def test_a_training_without_dropout_recomputes_and_has_the_gradients_of_evaluation_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OPT has dropout in the forward method of its layers, which depends on the layer's own mode."""
    sizes = {"hidden_size": 16, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "word_embed_proj_dim": 16}
    config = transformers.OPTConfig(vocab_size=64, **sizes, dropout=0.5, attention_dropout=0.5)
    model = transformers.OPTForCausalLM(config).eval()
    ids = torch.arange(1, 21)[None]

    def gradients() -> list[torch.Tensor]:
        model.zero_grad()
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        return [weights.grad.clone() for weights in model.parameters() if weights.grad is not None]

    expected = gradients()
    recomputed, checkpoint = [], transformers.modeling_utils.checkpoint

    def counted(layer: object, *arguments: object, **options: object) -> object:
        recomputed.append(layer)
        return checkpoint(layer, *arguments, **options)

    monkeypatch.setattr(transformers.modeling_utils, "checkpoint", counted)
    without_dropout = recomputation.without_dropout(model)
    model.gradient_checkpointing_enable()
    for step in range(1, 3):
        model.train()  # as the Trainer does
        without_dropout()
        assert all(torch.equal(found, wanted) for found, wanted in zip(gradients(), expected, strict=True))
        assert len(recomputed) == 2 * step
