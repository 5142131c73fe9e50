"""The loss of pairs of responses, and the values that are computed once before the training."""

from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from tenfold.core import UserError
from tenfold.pipelines.distill import distill, pairs, responses
from tenfold.pipelines.trainer import limited_logits
from tenfold.pipelines.trainer.chunked_loss import Dense, TopK
from tenfold.policies import checkpoints

STUDENT, TEACHER = "micro:?hidden=16&layers=1&heads=2", "micro:?hidden=32&layers=1&heads=2&seed=5"


def pair(chosen: list[int], rejected: list[int]) -> pairs.Pair:
    """Returns a pair as a sample_pairs stage stores it, with prompts of 3 and 5 tokens."""

    def tokens(prompt: int, response: list[int]) -> pairs.ResponseTokens:
        return {"ids": list(range(10, 10 + prompt)) + response, "mask": [0] * prompt + [1] * len(response)}

    return {"chosen_tokens": tokens(3, chosen), "rejected_tokens": tokens(5, rejected)}


PAIRS = [pair([40, 41, 42], [50, 51]), pair([60], [61, 62, 63, 64]), pair([70, 71], [72])]


def silent(done: int, total: int) -> None:
    """Ignores the progress."""


def settings(**changes: Any) -> distill.Distill:
    fixed = {"kind": "distill", "name": "d", "pairs": "x", "teacher": TEACHER, "steps": 1}
    return distill.Distill.model_validate(fixed | changes)


def loaded(uri: str) -> Any:
    return checkpoints.load(checkpoints.checkpoint(uri), torch.float32)[0].double()


def logits_at(model: Any, tokens: pairs.ResponseTokens) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the logits that predict each token of the response, and these tokens."""
    ids = torch.tensor([tokens["ids"]])
    mask = torch.tensor(tokens["mask"][1:]).bool()
    return model(input_ids=ids, use_cache=False).logits[0, :-1][mask], ids[0, 1:][mask]


def reference_loss(student: Any, teacher: Any, start: Any, stage: distill.Distill) -> torch.Tensor:
    """Returns the loss of the module's docstring, pair by pair, from the full logits."""
    total = torch.zeros((), dtype=torch.float64)
    for row in PAIRS:
        gains = []
        for tokens, weight in zip(pairs.sides(row), (stage.kd_positive, stage.kd_negative), strict=True):
            logits, labels = logits_at(student, tokens)
            log_p, log_q = logits.log_softmax(-1), logits_at(teacher, tokens)[0].log_softmax(-1)
            total = total + weight * (log_q.exp() * (log_q - log_p)).sum(-1).mean()
            log_probs = log_p.gather(-1, labels[:, None])
            initial = logits_at(start, tokens)[0].log_softmax(-1).gather(-1, labels[:, None])
            if not gains:  # the chosen response
                total = total - stage.nll * log_probs.mean()
            gains.append(log_probs.sum() - initial.sum())
        total = total - stage.dpo * torch.nn.functional.logsigmoid(stage.beta * (gains[0] - gains[1]))
    return total / len(PAIRS)


@pytest.mark.parametrize(
    "weights",
    [
        {"nll": 1.0, "kd_positive": 0.0, "kd_negative": 0.0, "dpo": 0.0},
        {"kd_positive": 1.0, "kd_negative": 0.5, "dpo": 0.0},
        {"kd_positive": 0.0, "kd_negative": 0.0, "dpo": 2.0, "beta": 0.3},
        {"nll": 0.7, "kd_positive": 1.0, "kd_negative": 0.5, "dpo": 2.0},
    ],
)
def test_the_loss_and_its_gradient_equal_those_from_full_logits(tmp_path: Path, weights: dict[str, float]) -> None:
    student, teacher, start = loaded(STUDENT), loaded(TEACHER), loaded(STUDENT)
    with torch.no_grad():
        student.model.layers[0].mlp.up_proj.weight += 0.05 * torch.randn(64, 16, generator=torch.Generator().manual_seed(1))
    stage, reader = settings(**weights), responses.ModelReader(limited_logits.head_rows(student), chunk=3)
    inputs = responses.collate(responses.with_reference(reader, start, PAIRS, tmp_path, silent))
    distributions = reader.distributions(teacher, inputs, None, 1.0)
    found, terms = distill.loss(reader.targets(student, inputs), reader.head(student), inputs, stage, distributions)
    expected = reference_loss(student, teacher, start, stage)
    assert found.item() == pytest.approx(expected.item(), abs=1e-6)
    gradients = (torch.autograd.grad(value, list(student.parameters())) for value in (found, expected))
    for found_gradient, expected_gradient in zip(*gradients, strict=True):
        assert torch.allclose(found_gradient, expected_gradient, atol=1e-6)
    assert terms.keys() <= {*distill.TERMS}


def test_stored_distributions_equal_those_computed_during_training(tmp_path: Path) -> None:
    student, teacher = loaded(STUDENT).float(), loaded(TEACHER).float()
    reader = responses.ModelReader(limited_logits.head_rows(teacher), chunk=4)
    rows = responses.with_reference(reader, student, PAIRS, tmp_path, silent)
    stored = responses.stored_top_k(reader, teacher, rows, 5, 1.0, tmp_path, silent)
    inputs = responses.collate([rows[2], rows[0]])
    kept, fresh = stored.of(inputs), reader.distributions(teacher, inputs, 5, 1.0)
    assert isinstance(fresh, TopK)
    assert torch.equal(kept.ids, fresh.ids)
    assert torch.allclose(kept.log_probs, fresh.log_probs, atol=1e-4)  # rounding errors of numbers up to 10
    assert isinstance(reader.distributions(teacher, inputs, None, 1.0), Dense)
    teacher.model.norm.weight.data.zero_()  # the stored values must not depend on it
    again = responses.stored_top_k(reader, teacher, rows, 5, 1.0, tmp_path, silent)
    assert numpy.array_equal(again.log_probs[0], stored.log_probs[0])


def test_values_computed_before_a_kill_are_not_computed_again(tmp_path: Path) -> None:
    student, teacher = loaded(STUDENT).float(), loaded(TEACHER).float()
    reader = responses.ModelReader(limited_logits.head_rows(teacher), chunk=4)
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    many = [pair([40 + number, 41, 42], [50, 51 + number]) for number in range(20)]
    expected = responses.stored_top_k(reader, teacher, many, 5, 1.0, tmp_path / "whole", silent)
    reports: list[int] = []

    def killed(done: int, total: int) -> None:
        reports.append(done)
        if done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        responses.stored_top_k(reader, teacher, many, 5, 1.0, tmp_path / "killed", killed)
    found = responses.stored_top_k(reader, teacher, many, 5, 1.0, tmp_path / "killed", lambda done, total: reports.append(done))
    assert reports == [8, 16, 20]
    for expected_parts, found_parts in zip(expected, found, strict=True):
        assert numpy.array_equal(expected_parts[0], found_parts[0])
    rows = responses.with_reference(reader, student, many, tmp_path / "killed", silent)
    assert rows[19]["reference"] == pytest.approx(
        [float(side.sum()) for side in reader.token_log_probs(student, many[19:])], abs=1e-4
    )


def test_a_model_that_caps_its_logits_is_an_error() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "head_dim": 8}
    config = Gemma2Config(vocab_size=50, num_key_value_heads=1, final_logit_softcapping=0.01, **small)
    with pytest.raises(UserError, match="Gemma2ForCausalLM scales or caps its logits after its head"):
        responses.ModelReader(50).check(Gemma2ForCausalLM(config))
