"""Loading a policy from its URI."""

import random
from pathlib import Path

import pytest

from tenfold import load_policy
from tenfold.core import Sampling, UserError
from tenfold.policies import identity, vllm


def test_a_function_can_be_a_policy(lab: Path) -> None:
    (lab / "lab_answers.py").write_text("def says(conversation, seed):\n    return conversation[-1]['content'].upper()\n")
    policy = load_policy("call:lab_answers:says")
    sampled = policy.generate([[{"role": "user", "content": "hello"}]], 2, Sampling(seed=random.randrange(9)))
    assert [completion.text for completion in sampled[0]] == ["HELLO", "HELLO"]


def test_a_function_must_return_text(lab: Path) -> None:
    (lab / "lab_silent.py").write_text("def says(conversation, seed):\n    print('hello')\n")
    with pytest.raises(UserError, match="the function of a policy must return text, got None"):
        load_policy("call:lab_silent:says").generate([[{"role": "user", "content": "hello"}]], 1, Sampling())


@pytest.mark.parametrize(
    ("limit", "text", "reason"),
    [(2, "x\n  y", "stop"), (2, "x\n  y z", "length"), (3, "x\n  y z", "stop")],
)
def test_a_truncated_scripted_response_is_the_start_of_the_text(limit: int, text: str, reason: str) -> None:
    ((sampled,),) = load_policy(f"scripted:{text}").generate(
        [[{"role": "user", "content": "?"}]], 1, Sampling(max_tokens=limit)
    )
    assert text.startswith(sampled.text)
    assert (len(sampled.text.split()), sampled.finish_reason) == (min(limit, len(text.split())), reason)


def test_a_missing_function_is_reported(lab: Path) -> None:
    with pytest.raises(UserError, match="cannot import 'lab_nothing:says'"):
        load_policy("call:lab_nothing:says")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("scripted", "cannot find a policy at 'scripted'"),
        ("openai", "cannot find a policy at 'openai'"),
        ("call:os:sep", "'os:sep' is not a function; write call:package.module:function"),
        ("call:json", "'json' is not a function"),
        ("openai:", "the name of the model is missing"),
        ("openai:m?base_url=", "expected a base URL such as http://"),
        ("openai:m?base_url", "expected a base URL such as http://"),
        ("openai:m?base_url=localhost:8000/v1", "expected a base URL such as http://"),
        ("openai:m?bas_url=", "unknown option 'bas_url'"),
    ],
)
def test_an_invalid_uri_is_reported(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        load_policy(uri)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("uri", ["micro:", "openai:m?base_url=http://localhost:9/v1"])
def test_a_batch_has_at_least_one_sample(uri: str) -> None:
    with pytest.raises(UserError, match="batch_size must be at least 1, got 0"):
        load_policy(uri, batch_size=0)


def test_settings_of_the_engine_are_no_part_of_the_checkpoint() -> None:
    uri = "micro:?hidden=16&layers=1&heads=2"
    assert vllm.split_options(f"{uri}&dtype=float32&max_model_len=64") == (uri, {"dtype": "float32", "max_model_len": "64"})
    assert identity.files(f"vllm+{uri}&dtype=float32") == identity.files(uri)
    assert identity.files(f"transformers+{uri}") == identity.files(uri)
