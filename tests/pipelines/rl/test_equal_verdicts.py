"""Equal tokens get equal verdicts from all backends, rollouts, benchmarks and GRPO."""

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
from lm_eval.api.instance import Instance
from tokenizers import AddedToken

import tenfold
from tenfold.benchmarks.lm import PolicyLM
from tenfold.core import Problem, Sampling, Verdict
from tenfold.envs.text import TextEnv
from tenfold.policies import checkpoints, transformers
from tenfold.policies.chat.prompts import opened_reasoning, prompt_tokens
from tenfold.policies.completions import completion
from tenfold.policies.rollout import rollout
from tenfold.policies.server import replies
from tenfold.policies.transcript import Limits, Transcript
from tenfold.policies.transformers import TransformersPolicy
from tenfold.policies.vllm import completed
from tenfold.responses import without_thinking

LIMIT = 64
OPENS = (
    "{% for turn in messages %}{{ '<|' + turn.role + '|>' + turn.content + '<|end|>' }}{% endfor %}"
    "{{ '<|assistant|><think>\n' }}"
)
PROBLEMS = [Problem("p0", ({"role": "user", "content": "6 + 6?"},), "12", "here")]


class Group(TextEnv):
    """Scores the samples of a problem together, each with the verifier."""

    def __init__(self) -> None:
        super().__init__(PROBLEMS)

    def score_group(self, index: int, responses: Sequence[str]) -> list[Verdict] | None:
        return [self.verifier(self.problems[index], response) for response in responses]


class Alone(TextEnv):
    def __init__(self) -> None:
        super().__init__(PROBLEMS)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with <|tool|> as a second stop token, because chat models have several."""
    folder = tmp_path_factory.mktemp("several")
    policy = TransformersPolicy(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))
    tokenizer = policy.tokenizer
    policy.model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|tool|>")]
    policy.model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(checkpoint: Path) -> TransformersPolicy:
    return TransformersPolicy(checkpoint)


@pytest.fixture
def policy(loaded: TransformersPolicy, monkeypatch: pytest.MonkeyPatch) -> TransformersPolicy:
    """A policy whose chat template a test may change."""
    monkeypatch.setattr(loaded.tokenizer, "chat_template", loaded.tokenizer.chat_template)
    return loaded


def by_policy(policy: TransformersPolicy) -> float | None:
    text = policy.generate([PROBLEMS[0].prompt], 1, Sampling(max_tokens=LIMIT))[0][0].scorable_text
    return tenfold.verify("12", text).score


def by_filter(policy: TransformersPolicy) -> float | None:
    return rollout(Alone, policy, samples=1, sampling=Sampling(max_tokens=LIMIT))[0].verdict.score


def by_benchmark(policy: TransformersPolicy) -> float | None:
    request = Instance("generate_until", {}, (json.dumps(PROBLEMS[0].prompt), {"max_gen_toks": LIMIT}), 0)
    return tenfold.verify("12", PolicyLM(policy).generate_until([request])[0]).score


def by_vllm(policy: TransformersPolicy) -> float | None:
    prompt = prompt_tokens(policy.tokenizer, PROBLEMS[0].prompt)
    output = SimpleNamespace(token_ids=sampled(policy), logprobs=None, text="unused", finish_reason="length")
    return tenfold.verify("12", completed(policy.tokenizer, prompt, output, policy.stop_ids, ()).scorable_text).score


def by_agent_loop(policy: TransformersPolicy, environment: str = "Alone") -> float | None:
    from verl.workers.rollout.replica import TokenOutput

    from tenfold.pipelines.rl.agent_loop import EnvironmentLoop

    class Server:
        async def generate(self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]) -> TokenOutput:
            return TokenOutput(token_ids=sampled(policy), stop_reason="completed")  # verl's vLLM server always returns this

    loop = EnvironmentLoop.__new__(EnvironmentLoop)
    loop.tokenizer, loop.server_manager, loop.stop_ids, loop.sampled = policy.tokenizer, Server(), policy.stop_ids, None
    loop.seeded = True
    loop.environment = gymnasium.envs.registration.EnvSpec("lab/Here-v0", entry_point=f"{__name__}:{environment}").to_json()
    loop.seed, loop.limits, loop.samples, loop.log = 0, Limits(LIMIT, 4), 1, Path("episodes.jsonl").resolve()
    loop.rollout_config = SimpleNamespace(calculate_log_probs=False)
    row = {"extra_info": {"index": 0}, "session_id": 0, "global_steps": 1, "uid": "g"}
    output = asyncio.run(loop.run({}, **row))
    assert not isinstance(output, list)
    return output.reward_score


def by_group(policy: TransformersPolicy) -> float | None:
    return by_agent_loop(policy, "Group")


PATHS: dict[str, Callable[[TransformersPolicy], float | None]] = {
    "transformers": by_policy,
    "vllm": by_vllm,
    "filter": by_filter,
    "benchmark": by_benchmark,
    "grpo": by_agent_loop,
    "group": by_group,
}
SAMPLED: list[int] = []
"""The tokens that all backends return."""


def sampled(policy: TransformersPolicy) -> list[int]:
    return list(SAMPLED)


CASES = [
    # (the template opens the reasoning, the policy's text, the token that ends the turn, the score)
    (True, "So the answer is 12", "<|end|>", 0),
    (True, "So the answer is 12.\n", "", 0),
    (True, r"It is \boxed{12}.", "<|end|>", 0),
    (True, "7? No.\n</think>\nSo the answer is 12", "<|end|>", 1),
    (True, "7? No.\n</think>\nSo the answer is 12", "<|tool|>", 1),
    (True, "7? No.\n</think>\nSo the answer is 12", "", 0),
    (True, "\\boxed{12}?\n</think>\nSo the answer is 12", "", 0),
    (True, "\\boxed{12}?\n</think>\nSo the answer is 12", "<|end|>", 1),
    (True, "7? No.\n</think>\nIt is \\boxed{12}. This", "", 1),
    (True, "7? No.\n</think>\nIt is 12.\nThis", "", 1),
    (False, "So the answer is 12", "<|end|>", 1),
    (False, "So the answer is 12", "<|tool|>", 1),
    (False, "So the answer is 12", "", 0),
    (False, "<think>\nSo the answer is 12", "<|end|>", 0),
    (False, "<think>\n7?</think>\nSo the answer is 12", "<|end|>", 1),
    (False, "<think>\n7?</think>\nSo the answer is 12", "exactly", 1),
    (True, "7?</think>\nSo the answer is 12", "exactly", 1),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("opens", "text", "end", "score"), CASES)
def test_the_same_tokens_get_the_same_verdict(
    lab: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: TransformersPolicy,
    opens: bool,
    text: str,
    end: str,
    score: int,
    path: str,
) -> None:
    """`end` is the token that ends the turn; "": the turn is truncated; "exactly": it ends with the last allowed token."""
    if opens:
        policy.tokenizer.chat_template = OPENS
    tokens = policy.tokenizer(text)["input_ids"]
    if end == "exactly":
        tokens = [*[policy.tokenizer("\n")["input_ids"][0]] * (LIMIT - 1 - len(tokens)), *tokens, policy.tokenizer.eos_token_id]
        assert len(tokens) == LIMIT
    elif end:
        tokens.append(policy.tokenizer.convert_tokens_to_ids(end))
    monkeypatch.setattr(f"{__name__}.SAMPLED", tokens)
    monkeypatch.setattr(
        transformers, "sample", lambda *args, **options: [transformers.Sample(list(tokens), [0.0] * len(tokens))]
    )
    assert PATHS[path](policy) == score


@pytest.mark.parametrize(
    ("thinking", "content", "text"),
    [
        ("7? No.", "So the answer is 12", "7? No.\n</think>\nSo the answer is 12"),
        ("So the answer is 12", None, "So the answer is 12"),
        (None, "So the answer is 12", None),
    ],
)
def test_a_servers_separate_reasoning_gives_the_same_text(
    policy: TransformersPolicy, thinking: str | None, content: str | None, text: str | None
) -> None:
    message = {"role": "assistant", "reasoning_content": thinking, "content": content}
    reply = {"choices": [{"message": message, "finish_reason": "stop"}]}
    served = replies.completion(reply, max_tokens=64).text
    if text is None:
        assert served == content
        return
    policy.tokenizer.chat_template = OPENS
    prompt = prompt_tokens(policy.tokenizer, PROBLEMS[0].prompt)
    tokens = [*policy.tokenizer(text)["input_ids"], policy.tokenizer.eos_token_id]
    assert served == completion(policy.tokenizer, prompt, tokens, policy.stop_ids).text


def test_each_turn_has_its_own_opened_reasoning(policy: TransformersPolicy) -> None:
    """The template opens the reasoning of each turn."""
    policy.tokenizer.chat_template = OPENS
    played = Transcript(Limits(200, 3), [{"role": "user", "content": "6 + 6?"}], policy.tokenizer, policy.stop_ids)
    end = [policy.tokenizer.eos_token_id]
    first = played.add_tokens(policy.tokenizer("Add.</think>Call")["input_ids"] + end)
    assert played.add_reply(False, "tool", "12")
    second = played.add_tokens(policy.tokenizer("So it is 12")["input_ids"] + end)
    assert not played.add_reply(True, "user", "")
    assert [without_thinking(turn.scorable_text) for turn in (first, second)] == ["Call", ""]
    assert [message["content"] for message in played.messages] == [
        "6 + 6?",
        "<think>\nAdd.</think>Call",
        "12",
        "<think>\nSo it is 12",
    ]
    whole = policy.tokenizer.decode(played.tokens)
    assert whole.count("<think>") == 2
    assert "<think>\nAdd.</think>Call<|end|><|tool|>12<|end|><|assistant|><think>\nSo it is 12<|end|>" in whole


@pytest.mark.parametrize("mark", ["<think>", "<thinking>", "<seed:think>", "[THINK]", "◁think▷"])
def test_all_reasoning_marks_of_templates_are_recognized(policy: TransformersPolicy, mark: str) -> None:
    for around in ("", "\n", "\n\n"):
        policy.tokenizer.chat_template = OPENS.replace("<think>\n", mark + around)
        prompt = prompt_tokens(policy.tokenizer, PROBLEMS[0].prompt)
        assert opened_reasoning(policy.tokenizer, prompt) == f"{mark}\n"
        tokens = [*policy.tokenizer("So it is 12")["input_ids"], policy.tokenizer.eos_token_id]
        assert tenfold.verify("12", completion(policy.tokenizer, prompt, tokens, policy.stop_ids).scorable_text).score == 0
    policy.tokenizer.chat_template = OPENS.replace("<think>\n", "")
    prompt = prompt_tokens(policy.tokenizer, [{"role": "user", "content": f"What does {mark} mean? {mark}"}])
    assert opened_reasoning(policy.tokenizer, prompt) == ""


def test_reasoning_marks_that_are_special_tokens_stay_in_the_text(checkpoint: Path) -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoint)
    marks = [AddedToken(mark, special=True) for mark in ("[THINK]", "[/THINK]", "<tool_call>", "<|silent|>")]
    tokenizer.add_tokens(marks, special_tokens=True)
    stop_ids = {tokenizer.eos_token_id}

    def decoded(text: str) -> str:
        return completion(tokenizer, [], tokenizer(text)["input_ids"], stop_ids).text

    assert decoded("[THINK]12?[/THINK]<|silent|>It is 7<tool_call>x<|end|>") == "[THINK]12?[/THINK]It is 7<tool_call>x"
    assert tenfold.verify("12", decoded("[THINK]So it is 12<|end|>")).score == 0


def test_the_channels_of_gpt_oss_are_distinguished(checkpoint: Path) -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoint)
    marks = ("<|start|>", "<|channel|>", "<|message|>", "<|return|>")
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in marks], special_tokens=True)
    stop_ids = {tokenizer.convert_tokens_to_ids("<|return|>")}

    def score(text: str) -> float | None:
        return tenfold.verify("12", completion(tokenizer, [], tokenizer(text)["input_ids"], stop_ids).scorable_text).score

    thinks = "<|channel|>analysis<|message|>So the answer is 12.\n"
    assert score(thinks) == score(f"{thinks}<|return|>") == 0
    assert score(f"{thinks}<|end|><|start|>assistant<|channel|>final<|message|>The answer is 12<|return|>") == 1
    assert score(f"{thinks}<|end|><|start|>assistant<|channel|>final<|message|>The answer is 7<|return|>") == 0


def test_a_stop_token_that_is_not_special_is_not_in_the_text(checkpoint: Path) -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoint)
    tokenizer.add_tokens([AddedToken("<|over|>", special=False)])
    over = tokenizer.convert_tokens_to_ids("<|over|>")
    result = completion(tokenizer, [], tokenizer("It is 12<|over|>")["input_ids"], {over})
    assert (result.text, result.finish_reason, result.token_ids[-1]) == ("It is 12", "stop", over)


def test_stop_strings_end_a_text_before_the_first_of_them(checkpoint: Path) -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoint)
    tokens = tokenizer("It is 12.\n\nQuestion: 13\nAnswer")["input_ids"]
    result = completion(tokenizer, [], tokens, (), ("Answer", "\n\nQuestion:"))
    assert (result.text, result.finish_reason, result.token_ids) == ("It is 12.", "stop", tuple(tokens))
    special = completion(tokenizer, [], tokenizer("It is 12<|tool|>")["input_ids"], (), ("<|tool|>",))
    assert (special.text, special.finish_reason) == ("It is 12", "stop")


def test_the_stop_ids_of_a_checkpoint_are_its_models(checkpoint: Path) -> None:
    for folder in (checkpoint, checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2")):
        model, tokenizer = checkpoints.load(folder, transformers.torch.float32)
        given = model.generation_config.eos_token_id
        many = set(given) if isinstance(given, list) else {given}
        assert checkpoints.stop_ids(folder, tokenizer) == many | {tokenizer.eos_token_id}
        assert checkpoints.window(folder) == model.config.max_position_embeddings
