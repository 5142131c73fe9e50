"""`vllm+...` samples like transformers from the same checkpoint."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import tenfold
from tenfold.core import Conversation, Sampling, UserError
from tenfold.pipelines.verl_compat import contract
from tenfold.policies import identity
from tenfold.policies.transformers import TransformersPolicy, next_logits
from tenfold.policies.vllm import VLLMPolicy

QUESTIONS: list[Conversation] = [
    [{"role": "user", "content": text}] for text in ("What is 3+4?", "Name a colour.", "5, 6", "7+4-6")
]


@pytest.fixture(scope="module")
def vllm(trained: Path) -> Iterator[VLLMPolicy]:
    """vLLM with its engine in this process, and with the memory that it takes by default on a CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        policy = tenfold.load_policy(f"vllm+stage:{trained}?dtype=float32&max_model_len=256")
        yield cast(VLLMPolicy, policy)


@pytest.fixture(scope="module")
def own(trained: Path) -> TransformersPolicy:
    return cast(TransformersPolicy, tenfold.load_policy(f"stage:{trained}"))


def test_a_sample_depends_on_its_seed_and_not_on_its_batch(vllm: VLLMPolicy) -> None:
    sampling = Sampling(max_tokens=24, seed=1)
    together = vllm.generate(QUESTIONS, 2, sampling)
    assert vllm.generate(QUESTIONS, 2, sampling) == together
    alone = [vllm.generate([question], 2, sampling)[0] for question in QUESTIONS]
    assert [[one.token_ids for one in row] for row in alone] == [[one.token_ids for one in row] for row in together]
    hot = Sampling(temperature=2.0, max_tokens=24, seed=1)
    ((first, second), *_) = vllm.generate(QUESTIONS, 2, hot)
    assert first.token_ids != second.token_ids
    assert vllm.generate(QUESTIONS, 2, Sampling(temperature=2.0, max_tokens=24, seed=2))[0][0].token_ids != first.token_ids


def test_greedy_samples_and_their_log_probabilities_are_those_of_transformers(
    vllm: VLLMPolicy, own: TransformersPolicy
) -> None:
    sampling = Sampling(temperature=0, max_tokens=16)
    for (first,), (second,) in zip(vllm.generate(QUESTIONS, 1, sampling), own.generate(QUESTIONS, 1, sampling), strict=True):
        assert (first.text, first.token_ids, first.finish_reason) == (second.text, second.token_ids, second.finish_reason)
        assert first.logprobs == pytest.approx(second.logprobs, abs=1e-5)


@pytest.mark.parametrize("options", [{"temperature": 0.6}, {"top_p": 0.8}, {"top_k": 5}, {"temperature": 0.7, "top_p": 0.9}])
def test_log_probabilities_are_those_of_the_distribution_that_was_sampled(
    vllm: VLLMPolicy, own: TransformersPolicy, options: dict[str, Any]
) -> None:
    for question, (sample,) in zip(QUESTIONS, vllm.generate(QUESTIONS, 1, Sampling(max_tokens=3, **options)), strict=True):
        prompt = tenfold.policies.chat.prompts.prompt_tokens(own.tokenizer, question)
        logits = next_logits(own.model, [prompt])[0] / options.get("temperature", 1.0)
        ranked, order = logits.softmax(-1).sort(descending=True)
        kept = ranked.cumsum(-1) - ranked < options.get("top_p", 1.0)
        kept[options.get("top_k", len(kept)) :] = False
        probabilities = dict(zip(order[kept].tolist(), (ranked[kept] / ranked[kept].sum()).log().tolist(), strict=True))
        assert sample.logprobs[0] == pytest.approx(probabilities[sample.token_ids[0]], abs=1e-4)


def test_stop_strings_end_a_sample_where_transformers_ends_it(vllm: VLLMPolicy, own: TransformersPolicy) -> None:
    text = own.generate(QUESTIONS[:1], 1, Sampling(temperature=0, max_tokens=16))[0][0].text
    sampling = Sampling(temperature=0, max_tokens=16, stop=(text[3:5],))
    first, second = vllm.generate(QUESTIONS[:1], 1, sampling)[0][0], own.generate(QUESTIONS[:1], 1, sampling)[0][0]
    assert (first.text, first.finish_reason) == (second.text, second.finish_reason) == (text[: text.index(text[3:5])], "stop")


def test_a_prompt_that_fills_the_window_gives_an_empty_sample(vllm: VLLMPolicy) -> None:
    long: Conversation = [{"role": "user", "content": "one two three four " * 100}]
    (empty,), (other,) = vllm.generate([long, QUESTIONS[0]], 1, Sampling(max_tokens=4))
    assert (empty.text, empty.token_ids, empty.finish_reason) == ("", (), "length")
    assert len(other.token_ids) > 0


def test_the_probability_of_each_option_is_that_of_transformers(vllm: VLLMPolicy, own: TransformersPolicy) -> None:
    options = ["A", "B", "C"]
    for first, second in zip(
        vllm.choice_probabilities(QUESTIONS, options), own.choice_probabilities(QUESTIONS, options), strict=True
    ):
        assert sum(first) == pytest.approx(1)
        assert first == pytest.approx(second, abs=1e-4)


def test_vllm_has_the_private_name_that_its_worker_replaces() -> None:
    assert contract.OF_VLLM.exists(), contract.OF_VLLM.remedy


def test_the_identity_is_that_of_the_checkpoint_without_settings_of_the_engine() -> None:
    uri = "micro:?hidden=64&layers=2&heads=2"
    assert identity.files(f"vllm+{uri}&dtype=float32") == identity.files(uri)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("vllm+micro:?max_models_len=9", "neither the checkpoint nor vLLM's engine has the option 'max_models_len'"),
        ("vllm+micro:?worker_extension_cls=evil.module", "worker_extension_cls may name code or a file"),
        ("vllm+micro:?trust_remote_code=true", "'trust_remote_code'"),
        ("vllm+micro:?dtype=float99", "the engine does not start: .*dtype"),
    ],
)
def test_impossible_settings_of_the_engine_are_one_line(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        tenfold.load_policy(uri)
    assert "\n" not in str(error.value)
