from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma3Config
from transformers.generation.logits_process import TopKLogitsWarper, TopPLogitsWarper

import tenfold
from tenfold.core import Sampling, UserError
from tenfold.policies import checkpoints
from tenfold.policies.chat.prompts import prompt_tokens
from tenfold.policies.transformers import TransformersPolicy, _sample, sample

PROMPTS = [
    [{"role": "user", "content": text}] for text in ("1 + 1 =", "What is the sum of 2 and 3?", "x", "9 - 4 + 2 =", "State it.")
]


@pytest.fixture(scope="module")
def policy() -> TransformersPolicy:
    return tenfold.load_policy("micro:")  # type: ignore[return-value]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_samples_of_a_problem_do_not_depend_on_the_batch(policy: TransformersPolicy, batch_size: int) -> None:
    sampling = Sampling(temperature=1.0, top_p=0.95, max_tokens=12, seed=5)
    keys = [f"problem {n}" for n in range(len(PROMPTS))]
    policy.batch_size = 64
    together = policy.generate(PROMPTS, 4, sampling, keys)
    policy.batch_size = batch_size
    alone = [policy.generate([PROMPTS[n]], 4, sampling, [keys[n]])[0] for n in (0, 3, 4)]
    pairs = [pair for n, samples in zip((0, 3, 4), alone, strict=True) for pair in zip(samples, together[n], strict=True)]
    # Floating-point sums in another order shift the boundaries between tokens by about 3e-8. The random number of a token falls
    # into such a gap in about 1 of 1,400 samples of 12 tokens. So one of the 12 samples may differ by chance, but two may not.
    assert sum(one.token_ids != other.token_ids for one, other in pairs) <= 1


def test_samples_differ_by_number_key_and_seed(policy: TransformersPolicy) -> None:
    def texts(seed: int, key: str) -> list[str]:
        return [sample.text for sample in policy.generate([PROMPTS[0]], 3, Sampling(max_tokens=12, seed=seed), [key])[0]]

    assert len(set(texts(1, "a") + texts(2, "a") + texts(1, "b"))) == 9


def test_greedy_samples_are_the_most_likely_tokens(policy: TransformersPolicy) -> None:
    sample = policy.generate([PROMPTS[1]], 1, Sampling(temperature=0, max_tokens=8))[0][0]
    prompt = prompt_tokens(policy.tokenizer, PROMPTS[1])
    ids = torch.tensor([prompt])
    expected = policy.model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=8)
    assert list(sample.token_ids) == expected[0, len(prompt) :].tolist()


def test_the_most_likely_token_is_sampled_with_top_k_1(policy: TransformersPolicy) -> None:
    rows = [
        [sample.token_ids for sample in policy.generate([PROMPTS[1]], 3, sampling)[0]]
        for sampling in (Sampling(max_tokens=8, top_k=1), Sampling(temperature=0, max_tokens=8))
    ]
    assert rows[0] == rows[1]


def test_log_probabilities_are_equal_to_those_of_the_model(policy: TransformersPolicy) -> None:
    sample = policy.generate([PROMPTS[0]], 1, Sampling(max_tokens=6, seed=3))[0][0]
    prompt = prompt_tokens(policy.tokenizer, PROMPTS[0])
    with torch.inference_mode():
        logits = policy.model(torch.tensor([[*prompt, *sample.token_ids]])).logits[0, len(prompt) - 1 : -1]
    expected = logits.log_softmax(-1).gather(-1, torch.tensor(sample.token_ids)[:, None])[:, 0]
    assert torch.allclose(torch.tensor(sample.logprobs), expected, atol=1e-4)


def test_a_sample_ends_at_its_limit_or_a_stop_string(policy: TransformersPolicy) -> None:
    truncated = policy.generate([PROMPTS[0]], 1, Sampling(max_tokens=5, seed=3))[0][0]
    assert (truncated.finish_reason, len(truncated.token_ids)) == ("length", 5)
    stop = truncated.text[1:3]
    stopped = policy.generate([PROMPTS[0]], 1, Sampling(max_tokens=5, seed=3, stop=(stop,)))[0][0]
    assert (stopped.finish_reason, stopped.text) == ("stop", truncated.text.split(stop)[0])


def test_ready_is_called_as_soon_as_a_sample_ends(policy: TransformersPolicy) -> None:
    prompts = [prompt_tokens(policy.tokenizer, prompt) for prompt in PROMPTS[:3]]
    results: list[tuple[int, list[int]]] = []
    sampled = sample(
        policy.model,
        prompts,
        [1, 2, 3],
        Sampling(),
        set(),
        max_tokens=[9, 2, 5],
        ready=lambda row, sampled: results.append((row, [*sampled.tokens])),
    )
    assert results == [(row, sampled[row].tokens) for row in (1, 2, 0)]


@pytest.mark.parametrize(
    ("temperature", "top_p", "top_k"),
    [(1.0, 1.0, None), (0.6, 0.95, None), (1.5, 0.5, None), (1.0, 1.0, 2), (1.5, 0.8, 3), (0.6, 1.0, 9)],
)
def test_token_frequencies_match_their_probabilities(temperature: float, top_p: float, top_k: int | None) -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, -torch.inf]).expand(20_000, 5)
    uniforms = ((torch.arange(20_000) + 0.5) / 20_000).tolist()
    tokens, logprobs = _sample(logits, uniforms, Sampling(temperature, top_p, top_k=top_k))
    probabilities = (logits[0] / temperature).softmax(-1)
    if top_k:  # before top_p, as transformers does it
        scores = TopKLogitsWarper(top_k)(torch.zeros(1, 0, dtype=torch.long), logits[:1] / temperature)
        probabilities = TopPLogitsWarper(top_p)(torch.zeros(1, 0, dtype=torch.long), scores)[0].softmax(-1)
    ranked = probabilities.sort(descending=True)
    nucleus = ranked.indices[(ranked.values.cumsum(-1) - ranked.values) < top_p]
    expected = torch.zeros(5).index_copy(0, nucleus, probabilities[nucleus])
    expected = expected / expected.sum()
    assert torch.allclose(tokens.bincount(minlength=5) / 20_000, expected, atol=1e-3)
    assert torch.allclose(logprobs, expected[tokens].log(), atol=1e-4)


def test_micro_is_reproducible_from_its_seed(tmp_path: Path) -> None:
    one, other = (checkpoints.checkpoint(f"micro:?hidden=16&layers=1&heads=2&seed={seed}") for seed in (1, 2))
    weights = [next(AutoModelForCausalLM.from_pretrained(folder).parameters()) for folder in (one, other)]
    assert checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2&seed=1") == one
    assert not torch.equal(*weights)


def test_a_saved_micro_model_can_be_loaded() -> None:
    tokenizer = checkpoints.load(checkpoints.checkpoint("micro:"), torch.float32)[1]
    for text in ("12 + 30 = 42", "  spaces\n and \t tabs", "ümläute ∑ 😀", "<|end|>"[:3]):
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer("407")["input_ids"]) == 3


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        (
            "nowhere:",
            "one of micro:, config:, smollm2:, gguf:, packaged:, hf:, path:, stage:, openai:, scripted:, call:; vllm+ or ",
        ),
        ("path:no/such/folder", "no folder no/such/folder"),
        ("path:.", "no config.json"),
        ("path:bare", "bare has no tokenizer"),
        ("path:broken", "broken cannot be loaded"),
        ("stage:unfinished", "not finished"),
        ("micro:?width=3", "hidden, layers, heads, seed"),
        ("micro:?hidden=abc", "must be integers"),
        ("micro:?seed=99999999999999999999", "must be integers"),
        ("config:nanbeige4-3b?tokenizer=bare&seed=²", "an integer seed"),
        ("micro:?hidden=100&heads=3", "must be a multiple of 2 * heads=3"),
        ("micro:?layers=0", "layers at least 1"),
        ("smollm2:big", "has no location"),
        ("path:.?revision=1", "unknown option 'revision'; the options are base"),
        ("openai:m?url=x", "base_url, api_key_env and omit_parameters"),
        ("openai:m?base_url=localhost:8000/v1", "expected a base URL such as http://localhost:8000/v1"),
        ("openai:m?base_url=http://localhost:port/v1", "expected a base URL such as http://localhost:8000/v1"),
    ],
)
def test_a_user_error_is_one_line_with_a_remedy(lab: Path, uri: str, words: str) -> None:
    import shutil

    whole = checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2")
    for name in ("bare", "broken"):
        shutil.copytree(whole, lab / name)
    (lab / "bare" / "tokenizer.json").unlink()
    (lab / "broken" / "model.safetensors").write_bytes(b"not weights")
    (lab / "unfinished").mkdir()
    with pytest.raises(UserError) as error:
        tenfold.load_policy(uri)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_weights_in_pickle_files_are_rejected(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "pickled"
    shutil.copytree(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"), folder)
    state = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        tenfold.load_policy(f"path:{folder}")


def test_a_model_without_a_chat_template_gets_plain_text() -> None:
    tokenizer = checkpoints.load(checkpoints.checkpoint("micro:"), torch.float32)[1]
    tokenizer.chat_template = None
    assert tokenizer.decode(prompt_tokens(tokenizer, PROMPTS[0])) == "1 + 1 =\n"


def test_a_sample_ends_at_the_end_of_the_window(policy: TransformersPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = prompt_tokens(policy.tokenizer, PROMPTS[0])
    monkeypatch.setattr(policy.model.config, "max_position_embeddings", len(prompt) + 7)
    sample = policy.generate([PROMPTS[0]], 1, Sampling(max_tokens=65536, seed=3))[0][0]
    assert (sample.finish_reason, len(sample.token_ids)) == ("length", 7)


def test_the_window_of_a_model_with_a_text_configuration_is_that_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = TransformersPolicy(checkpoints.checkpoint("micro:"))
    monkeypatch.setattr(policy.model, "config", Gemma3Config(text_config={"max_position_embeddings": 77}))
    assert policy.window == 77


def test_plain_text_is_continued_without_a_template(policy: TransformersPolicy) -> None:
    assert prompt_tokens(policy.tokenizer, [{"role": "text", "content": "12 + 3"}]) == policy.tokenizer("12 + 3")["input_ids"]


def test_reasoning_opened_by_the_template_is_part_of_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = TransformersPolicy(checkpoints.checkpoint("micro:"))
    policy.tokenizer.chat_template = "{% for turn in messages %}{{ turn.content }}{% endfor %}<think>\n"
    assert policy.generate([PROMPTS[0]], 1, Sampling(max_tokens=4, seed=3))[0][0].text.startswith("<think>\n")


def test_growing_the_cache_in_place_does_not_change_samples(
    policy: TransformersPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Includes the growth of the buffers and the removal of rows."""
    prompts = [[1, 2, 3], [4, 5, 6, 7], [1, 2, 3], [8]]
    limits, sampling = [3, 150, 90, 150], Sampling(max_tokens=150, top_p=0.9)
    grown = sample(policy.model, prompts, [1, 2, 3, 4], sampling, set(), max_tokens=limits)
    assert [len(row.tokens) for row in grown] == limits
    monkeypatch.setattr("tenfold.policies.transformers.grow_in_place", lambda cache: None)
    assert [row.tokens for row in sample(policy.model, prompts, [1, 2, 3, 4], sampling, set(), max_tokens=limits)] == [
        row.tokens for row in grown
    ]
