"""A server of vLLM behind `openai:`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import tenfold
from tenfold import cli
from tenfold.core import Sampling

from . import serving


@pytest.fixture(scope="module")
def server(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of the trained policy on a server."""
    yield from serving.served(trained / "policy", tmp_path_factory.mktemp("server") / "log")


def test_greedy_texts_are_those_of_transformers_and_samples_repeat(server: str, trained: Path) -> None:
    policy, own = tenfold.load_policy(server), tenfold.load_policy(f"stage:{trained}")
    questions = [[{"role": "user", "content": text}] for text in ("What is 3+4?", "Name a colour.")]
    greedy = Sampling(temperature=0, max_tokens=12)
    assert [row[0].text for row in policy.generate(questions, 1, greedy)] == [
        row[0].text for row in own.generate(questions, 1, greedy)
    ]
    sampling = Sampling(max_tokens=12, seed=3)
    assert policy.generate(questions, 2, sampling) == policy.generate(questions, 2, sampling)


def test_a_prompt_as_plain_text_has_log_probabilities(server: str, trained: Path) -> None:
    prompt = [[{"role": "text", "content": "The sum is"}]]
    greedy = Sampling(temperature=0, max_tokens=8)
    sample = tenfold.load_policy(server).generate(prompt, 1, greedy)[0][0]
    own = tenfold.load_policy(f"stage:{trained}").generate(prompt, 1, greedy)[0][0]
    assert sample.text == own.text
    assert sample.logprobs == pytest.approx(own.logprobs, abs=1e-4)


def test_a_token_limit_above_the_window_is_lowered(server: str) -> None:
    prompt = [[{"role": "user", "content": "What is 3+4?"}]]
    (sample,) = tenfold.load_policy(server).generate(prompt, 1, Sampling(max_tokens=9999))[0]
    assert sample.finish_reason in ("length", "stop")
    assert sample.token_ids or sample.text


def test_a_benchmark_runs_against_the_server(server: str, tmp_path: Path) -> None:
    command = ["bench", "chain_sum", "--policy", server, "--limit", "3", "--samples", "2", "--out", str(tmp_path / "out")]
    assert cli.main([*command, "--yes"]) == 0
    assert next((tmp_path / "out").glob("*.result.json")).is_file()
