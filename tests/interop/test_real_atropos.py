"""The conformance suite through the real atroposlib, with a server that samples the responses of the suite."""

import asyncio
from pathlib import Path
from typing import Any

import interop_environments as own
import pytest
from interop_pairs import MATH, NOTES, TOOL, pairs

from tenfold.policies.checkpoints import checkpoint

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("sandboxed")]


@pytest.fixture(scope="module")
def folder() -> Path:
    return checkpoint("micro:?hidden=64&layers=2")


class Server:
    """Gives the turns of a response as tokens, in the form of Atropos' servers."""

    server_healthy = True

    def __init__(self, tokenizer: Any):
        from types import SimpleNamespace

        self.tokenizer, self.sem = tokenizer, asyncio.Semaphore(100)
        self.config = SimpleNamespace(model_name="micro", tokenizer_name="")
        self.turns: list[Any] = []

    async def tokens_and_logprobs_completion(self, **request: Any) -> tuple[list[int], list[Any], list[Any], list[str]]:
        turn = self.turns.pop(0)
        tokens = self.tokenizer(turn.text, add_special_tokens=False)["input_ids"]
        tokens += [] if turn.finish_reason == "length" else [self.tokenizer.eos_token_id]
        return request["input_ids"], [tokens], [[-1.0] * len(tokens)], [turn.finish_reason]


def environment(folder: Path, id: str, **settings: Any) -> Any:
    """Returns the environment of Atropos after its setup, with the server above."""
    from atroposlib.envs.base import APIServerConfig

    from tenfold.envs.interop.atropos import TenfoldConfig, TenfoldEnv

    config = TenfoldConfig(environment=id, tokenizer_name=str(folder), use_wandb=False, **settings)
    made = TenfoldEnv(config, [APIServerConfig()], testing=True)
    made.server.servers = [Server(made.tokenizer)]
    asyncio.run(made.setup())
    return made


@pytest.mark.parametrize("id", own.IDS)
def test_every_response_gets_the_score_and_the_mask_of_the_suite(folder: Path, id: str) -> None:
    player = environment(folder, id)
    for pair in (pair for pair in pairs() if pair.id == id):
        player.server.servers[0].turns = [*pair.turns]
        player.config.max_turns = len(pair.turns)
        sample, backlog = asyncio.run(player.collect_trajectory({"problem": pair.problem}))
        assert backlog == []
        if pair.score is None:
            assert sample is None, pair.name
            continue
        assert sample["scores"] == pair.score, pair.name
        sampled = [token for token in sample["masks"] if token != -100]
        said = "".join(turn.text for turn in pair.turns)
        assert len(sample["tokens"]) == len(sample["masks"])
        if pair.is_truncated:
            assert sampled == [], pair.name
        else:
            assert player.tokenizer.decode(sampled, skip_special_tokens=True) == said, pair.name


def test_a_sample_without_a_score_is_left_out_of_its_group(folder: Path) -> None:
    from tenfold.core import Completion

    player = environment(folder, NOTES, group_size=4)
    said = ["Short.", own.BREAKS_JUDGE, "One two three four five", "This note is much longer than the other one."]
    player.server.servers[0].turns = [Completion(text, "stop") for text in said]
    group, _ = asyncio.run(player.collect_trajectories({"problem": 0}))
    assert (sorted(group["scores"]), group["group_overrides"]) == ([0, 0.5, 1], {"group_size": 3})
    sent: list[Any] = []

    async def send(groups: Any) -> None:
        sent.append(groups)

    player._send_scored_data_to_api = send
    asyncio.run(player.handle_send_to_api(group, {"problem": 0}))
    assert [sorted(each["scores"]) for each in sent] == [[0, 0.5, 1]]
    player.server.servers[0].turns = [Completion(own.BREAKS_JUDGE, "stop")] * 4
    assert asyncio.run(player.collect_trajectories({"problem": 0})) == (None, [])


def test_items_are_all_problems_in_turn(folder: Path) -> None:
    player = environment(folder, MATH)
    items = [asyncio.run(player.get_next_item())["problem"] for _ in range(2 * (own.UNREADABLE + 1))]
    assert sorted(items[: own.UNREADABLE + 1]) == list(range(own.UNREADABLE + 1))
    assert items[: own.UNREADABLE + 1] == items[own.UNREADABLE + 1 :]


def test_evaluation_is_the_mean_score_of_the_first_problems(folder: Path) -> None:
    from tenfold.core import Completion

    player = environment(folder, TOOL, evaluation=MATH, evaluation_problems=2)
    player.server.servers[0].turns = [Completion("It is 42.", "stop"), Completion("It is 42.", "stop")]
    asyncio.run(player.evaluate())
    assert player.percent_correct == [("eval/mean_score", 0.5)]
