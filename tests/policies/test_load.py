"""Loading a policy from its URI."""

import random
from pathlib import Path

import pytest

from tenfold import load_policy
from tenfold.core import Sampling, UserError


def test_a_function_can_be_a_policy(lab: Path) -> None:
    (lab / "lab_answers.py").write_text("def says(conversation, seed):\n    return conversation[-1]['content'].upper()\n")
    policy = load_policy("call:lab_answers:says")
    sampled = policy.generate([[{"role": "user", "content": "hello"}]], 2, Sampling(seed=random.randrange(9)))
    assert [completion.text for completion in sampled[0]] == ["HELLO", "HELLO"]


def test_a_missing_function_is_reported(lab: Path) -> None:
    with pytest.raises(UserError, match="cannot import 'lab_nothing:says'"):
        load_policy("call:lab_nothing:says")


@pytest.mark.parametrize("uri", ["micro:", "openai:m?base_url=http://localhost:9/v1"])
def test_a_batch_has_at_least_one_sample(uri: str) -> None:
    with pytest.raises(UserError, match="batch_size must be at least 1, got 0"):
        load_policy(uri, batch_size=0)
