"""The server with the clients that users have: the package openai, our own `openai:` policy, and lm-eval."""

import asyncio
import math
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.openai_completions import LocalChatCompletion, LocalCompletionsAPI

import tenfold
from tenfold.benchmarks.lm import PolicyLM
from tenfold.core import Completion, Conversation, Message, Sampling
from tenfold.policies.transformers import TransformersPolicy

from .running import NAME, serving

ASKED: list[Message] = [{"role": "user", "content": "What is 3 + 4?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "area",
        "description": "The area of a rectangle",
        "parameters": {"type": "object", "properties": {"width": {"type": "integer"}, "height": {"type": "integer"}}},
    },
}


@pytest.fixture(scope="module")
def micro() -> TransformersPolicy:
    policy = tenfold.load_policy("micro:")
    assert isinstance(policy, TransformersPolicy)
    return policy


@pytest.fixture(scope="module")
def url(micro: TransformersPolicy) -> Iterator[str]:
    with serving(micro) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


def direct(policy: TransformersPolicy, sampling: Sampling, seed: int) -> Completion:
    """The policy's own sample with this seed."""
    from tenfold.policies.chat.prompts import prompt_tokens

    return policy.complete([prompt_tokens(policy.tokenizer, ASKED)], sampling, [seed])[0]


def test_the_first_choice_is_the_policys_sample_with_the_requests_seed(
    client: openai.OpenAI, micro: TransformersPolicy
) -> None:
    reply = client.chat.completions.create(
        model=NAME, messages=ASKED, n=3, seed=7, max_completion_tokens=9, temperature=0.7, top_p=0.9, logprobs=True
    )
    expected = direct(micro, Sampling(temperature=0.7, top_p=0.9, max_tokens=9), 7)
    assert reply.choices[0].message.content == expected.text
    assert [token.logprob for token in reply.choices[0].logprobs.content] == pytest.approx(expected.logprobs, abs=1e-4)
    assert len({choice.message.content for choice in reply.choices}) == 3
    assert {choice.finish_reason for choice in reply.choices} == {"length"}
    assert (reply.usage.completion_tokens, reply.usage.total_tokens - reply.usage.prompt_tokens) == (27, 27)


def test_our_openai_policy_gets_the_texts_and_log_probabilities_of_the_policy(url: str, micro: TransformersPolicy) -> None:
    through = tenfold.load_policy(f"openai:{NAME}?base_url={url}/v1")
    plain: list[Message] = [{"role": "text", "content": "Calculate 3"}]
    for conversations in ([ASKED, [{"role": "user", "content": "5 + 6"}]], [plain]):
        sampling = Sampling(max_tokens=8, seed=3, top_k=50, stop=("q",))
        expected = micro.generate(conversations, 4, sampling, [f"p{i}" for i in range(len(conversations))])
        found = through.generate(conversations, 4, sampling, [f"p{i}" for i in range(len(conversations))])
        assert [[one.text for one in row] for row in found] == [[one.text for one in row] for row in expected]
        assert [[one.finish_reason for one in row] for row in found] == [[one.finish_reason for one in row] for row in expected]
        flat = [value for row in expected for one in row for value in one.logprobs]
        assert [value for row in found for one in row for value in one.logprobs] == pytest.approx(flat, abs=1e-4)


def test_a_choice_has_the_same_probabilities_through_the_server(url: str, micro: TransformersPolicy) -> None:
    best = micro.generate([ASKED], 1, Sampling(temperature=0, max_tokens=1))[0][0].text
    through = tenfold.load_policy(f"openai:{NAME}?base_url={url}/v1")
    assert through.choice_probabilities([ASKED], [best]) == [[1.0]]  # type: ignore[attr-defined]


def test_concurrent_requests_get_the_texts_that_they_get_alone(url: str, micro: TransformersPolicy) -> None:
    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
            replies = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        model=NAME, messages=ASKED, seed=seed, max_tokens=1 + seed % 5, temperature=[1.0, 0.5][seed % 2]
                    )
                    for seed in range(100)
                )
            )
        return [reply.choices[0].message.content for reply in replies]

    expected = [
        direct(micro, Sampling(max_tokens=1 + seed % 5, temperature=[1.0, 0.5][seed % 2]), seed).text for seed in range(100)
    ]
    assert asyncio.run(ask()) == expected


def test_a_stream_has_the_same_text_in_several_chunks_and_the_usage(client: openai.OpenAI) -> None:
    options: dict[str, Any] = {"model": NAME, "messages": ASKED, "seed": 5, "max_tokens": 200, "stop": ["zz"], "n": 2}
    whole = client.chat.completions.create(**options)
    texts, reasons, usage, chunks = ["", ""], ["", ""], None, 0
    for part in client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}):
        usage = part.usage or usage
        for choice in part.choices:
            texts[choice.index] += choice.delta.content or ""
            reasons[choice.index] += choice.finish_reason or ""
            chunks += bool(choice.delta.content)
    assert texts == [choice.message.content for choice in whole.choices]
    assert reasons == [choice.finish_reason for choice in whole.choices]
    assert usage == whole.usage
    assert chunks >= 2


def test_completions_take_text_and_tokens_and_stream(client: openai.OpenAI, micro: TransformersPolicy) -> None:
    tokens = micro.tokenizer("Calculate 3")["input_ids"]
    options: dict[str, Any] = {"model": NAME, "seed": 2, "max_tokens": 6}
    texts = [
        [choice.text for choice in client.completions.create(prompt=prompt, **options).choices]
        for prompt in ("Calculate 3", ["Calculate 3", "x"], tokens, [tokens, tokens])
    ]
    assert texts[0][0] == texts[1][0] == texts[2][0] == texts[3][0] == texts[3][1]
    streamed = client.completions.create(prompt="Calculate 3", echo=True, stream=True, **options)
    assert "".join(part.choices[0].text for part in streamed) == "Calculate 3" + texts[0][0]


def test_an_echo_without_new_tokens_has_the_log_probabilities_of_the_prompt(
    client: openai.OpenAI, micro: TransformersPolicy
) -> None:
    reply = client.completions.create(model=NAME, prompt="3 + 4", max_tokens=0, echo=True, logprobs=2, temperature=0)
    logprobs = reply.choices[0].logprobs
    assert reply.choices[0].text == "3 + 4"
    assert "".join(logprobs.tokens) == "3 + 4"
    assert logprobs.token_logprobs[0] is None
    assert sum(logprobs.token_logprobs[1:]) == pytest.approx(micro.loglikelihoods([("3", " + 4")])[0][0], abs=1e-4)
    assert all(len(top) in (2, 3) for top in logprobs.top_logprobs[1:])


def test_top_log_probabilities_are_those_of_the_sampled_distribution(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=NAME, messages=ASKED, seed=1, max_tokens=5, logprobs=True, top_logprobs=3, extra_body={"top_k": 3}
    )
    for token in reply.choices[0].logprobs.content:
        assert token.token in [top.token for top in token.top_logprobs]
        assert sum(math.exp(top.logprob) for top in token.top_logprobs) == pytest.approx(1, abs=1e-4)


def test_a_draw_depends_on_the_seed_and_a_request_without_one_is_random(client: openai.OpenAI) -> None:
    def text(**options: Any) -> str | None:
        return client.chat.completions.create(model=NAME, messages=ASKED, max_tokens=12, **options).choices[0].message.content

    assert text(seed=1) == text(seed=1) != text(seed=2)
    assert text() != text()


def answering(conversation: Conversation, seed: int) -> str:
    """Calls a tool if there is one; tells what the tool said; else thinks, and says its seed."""
    if conversation[-1]["role"] == "tool":
        assert conversation[-2]["tool_calls"][0]["function"]["arguments"] == {"width": 3, "height": 4}
        return f"It is {conversation[-1]['content']}."
    if conversation[0].get("tools"):
        return 'I measure.\n<tool_call>\n{"name": "area", "arguments": {"width": 3, "height": 4}}\n</tool_call>'
    return f"<think>\nhmm\n</think>\nseed {seed}"


def test_tools_and_reasoning_are_parts_of_the_message() -> None:
    scripted = tenfold.load_policy(f"call:{__name__}:answering")
    with serving(scripted) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        plain = client.chat.completions.create(model=NAME, messages=ASKED, seed=11).choices[0]
        assert (plain.message.content, plain.message.reasoning_content) == ("seed 11", "hmm")  # type: ignore[attr-defined]

        first = client.chat.completions.create(model=NAME, messages=ASKED, tools=[TOOL]).choices[0]
        (call,) = first.message.tool_calls
        assert (first.finish_reason, first.message.content) == ("tool_calls", "I measure.")
        assert (call.function.name, call.function.arguments) == ("area", '{"width": 3, "height": 4}')

        turns = [*ASKED, first.message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "12"}]
        second = client.chat.completions.create(model=NAME, messages=turns, tools=[TOOL]).choices[0]
        assert (second.finish_reason, second.message.content) == ("stop", "It is 12.")

        parts = [
            part.choices[0] for part in client.chat.completions.create(model=NAME, messages=ASKED, tools=[TOOL], stream=True)
        ]
        called = [part.delta.tool_calls[0].function.name for part in parts if part.delta.tool_calls]
        assert (called, parts[-1].finish_reason) == (["area"], "tool_calls")

        without = client.chat.completions.create(model=NAME, messages=ASKED, tools=[TOOL], tool_choice="none").choices[0]
        assert without.finish_reason == "stop"


@pytest.mark.filterwarnings("ignore:.*does not accept logprobs")
def test_our_openai_policy_gets_reasoning_and_calls_as_the_scripted_policy_writes_them() -> None:
    scripted = tenfold.load_policy(f"call:{__name__}:answering")
    with serving(scripted) as url:
        through = tenfold.load_policy(f"openai:{NAME}?base_url={url}/v1")
        for conversation in (ASKED, [{**ASKED[0], "tools": [TOOL]}]):
            found = through.generate([conversation], 3, Sampling(), ["p"])[0]
            assert [one.text for one in found] == [
                one.text for one in scripted.generate([conversation], 3, Sampling(), ["p"])[0]
            ]


@pytest.fixture
def lm_eval_api() -> None:
    """Skips a test if a package of lm-eval's clients is missing."""
    pytest.importorskip("tenacity", reason="lm-eval's clients of servers: pip install 'lm_eval[api]'")


def instances(kind: str, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, one, number) for number, one in enumerate(arguments)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("lm_eval_api")
@pytest.mark.parametrize("settings", [{}, {"batch_size": 3}, {"num_concurrent": 4}, {"tokenizer_backend": "remote"}])
def test_lm_evals_local_completions_has_the_likelihoods_of_the_policy(
    url: str, micro: TransformersPolicy, settings: dict[str, Any]
) -> None:
    pairs = [("Question: 3 + 4\nAnswer:", " 7"), ("Question: 3 + 4\nAnswer:", " 8"), ("", "3 + 4"), ("Calculate", " 3")]
    if not settings.get("tokenizer_backend"):
        settings = {**settings, "tokenizer_backend": "huggingface", "tokenizer": micro.tokenizer.name_or_path}
    model = LocalCompletionsAPI(base_url=f"{url}/v1/completions", model=NAME, **settings)
    found = model.loglikelihood(instances("loglikelihood", *pairs))
    expected = PolicyLM(micro).loglikelihood(instances("loglikelihood", *pairs))
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=1e-3)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


@pytest.mark.usefixtures("lm_eval_api")
def test_lm_evals_chats_and_texts_have_the_responses_that_tenfold_bench_gets(url: str, micro: TransformersPolicy) -> None:
    arguments = {"max_gen_toks": 12, "until": ["zz"], "do_sample": False}
    texts = [(f"Calculate {number} + 1", arguments) for number in range(4)]
    model = LocalCompletionsAPI(base_url=f"{url}/v1/completions", model=NAME, tokenizer_backend=None)
    expected = PolicyLM(micro, keep_truncated=True).generate_until(instances("generate_until", *texts))
    assert model.generate_until(instances("generate_until", *texts)) == expected

    chat = LocalChatCompletion(base_url=f"{url}/v1/chat/completions", model=NAME, num_concurrent=4)
    turns = [[{"role": "user", "content": f"{number} + 1"}] for number in range(4)]
    chats = [(chat.apply_chat_template(turn), arguments) for turn in turns]
    direct = [(PolicyLM(micro).apply_chat_template(turn), arguments) for turn in turns]
    expected = PolicyLM(micro, keep_truncated=True).generate_until(instances("generate_until", *direct))
    assert chat.generate_until(instances("generate_until", *chats)) == expected
