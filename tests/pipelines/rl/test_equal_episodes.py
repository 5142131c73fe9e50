"""The filter and GRPO play episodes by the same rules, so equal samples give equal episodes."""

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest

from tenfold.core import Sampling, UserError, sample_seed
from tenfold.envs.text import Text
from tenfold.pipelines.recipe import recipe
from tenfold.policies import checkpoints
from tenfold.policies.chat.prompts import prompt_tokens
from tenfold.policies.chat.tokens import conversation_tokens
from tenfold.policies.rollout import rollout
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.policies.transcript import Limits, Transcript
from tenfold.policies.transformers import TransformersPolicy

SEED, PROBLEMS, SAMPLES = 5, 4, 3


class Talk(gymnasium.Env[str, str]):
    """Sends long replies, rewards an odd number of letters, and ends after an action with a digit or after five turns."""

    def __init__(self) -> None:
        self.observation_space = self.action_space = Text()
        self.problems = range(PROBLEMS)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.problem, self.turn = (options or {}).get("problem", 0), 0
        return f"Say something to {self.problem}.", {"problem_id": f"talk {self.problem}"}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.turn += 1
        ended = self.turn == 5 or any(letter.isdigit() for letter in action)
        return "And then? " * self.problem, (len(action) % 2) / 5, ended, False, {"role": "tool"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model with 60 stop tokens, so that its turns end after a few tokens."""
    folder = tmp_path_factory.mktemp("talks")
    policy = TransformersPolicy(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))
    policy.model.generation_config.eos_token_id = [policy.tokenizer.eos_token_id, *range(300, 360)]
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


def loop_of(checkpoint: Path, limits: Limits, sampled: Path | None, log: Path) -> Any:
    """Returns GRPO's agent loop with the real server of the CPU rollout."""
    from tenfold.pipelines.rl.agent_loop import EnvironmentLoop
    from tenfold.pipelines.verl_compat.cpu_rollout import Server

    loop = EnvironmentLoop.__new__(EnvironmentLoop)
    loop.tokenizer = checkpoints.tokenizer_of(checkpoint)
    loop.stop_ids = checkpoints.stop_ids(checkpoint, loop.tokenizer)
    loop.environment = gymnasium.envs.registration.EnvSpec("lab/Talk-v0", entry_point=f"{__name__}:Talk").to_json()
    loop.seed, loop.limits, loop.sampled, loop.log = SEED, limits, str(sampled) if sampled else None, log
    loop.seeded = True
    loop.rollout_config = SimpleNamespace(calculate_log_probs=sampled is None)  # then no samples are reused
    loop.server_manager = Server(SimpleNamespace(response_length=limits.tokens, max_num_seqs=8), str(checkpoint))
    return loop


def played_by_grpo(loop: Any, samples: int = SAMPLES) -> tuple[dict[tuple[int, int], Any], list[dict[str, Any]]]:
    async def play() -> list[Any]:
        rows = [
            {"extra_info": {"index": problem, "attempt": 0}, "session_id": sample, "global_steps": 1}
            for problem in range(PROBLEMS)
            for sample in range(samples)
        ]
        return await asyncio.gather(*(loop.run({"temperature": 1.0, "top_p": 1.0}, **row) for row in rows))

    outputs = asyncio.run(play())
    keys = [(problem, sample) for problem in range(PROBLEMS) for sample in range(samples)]
    return dict(zip(keys, outputs, strict=True)), [json.loads(line) for line in loop.log.read_text().splitlines()]


def figures(row: dict[str, Any]) -> dict[str, Any]:
    names = ("problem", "problem_id", "sample", "messages", "verdict", "tokens", "finish_reason")
    return {name: row[name] for name in names}


def sorted_by_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(map(figures, rows), key=lambda row: (row["problem"], row["sample"]))


@pytest.fixture(scope="module")
def filtered(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Limits], Path]:
    """Plays the filter's episodes under given limits, once for each; returns the store."""
    folder, policy = tmp_path_factory.mktemp("filtered"), TransformersPolicy(checkpoint)

    def play(limits: Limits) -> Path:
        store = folder / f"{limits.tokens}-{limits.turns}-{limits.window}.jsonl"
        if not store.exists():
            policy.model.config.max_position_embeddings = limits.window
            sampling = Sampling(max_tokens=limits.tokens, seed=SEED)
            rollout(Talk, policy, SAMPLES, sampling=sampling, max_turns=limits.turns, store=store)
        return store

    return play


def episodes(store: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store.read_text().splitlines()[1:]]


LIMITS = [Limits(40, 3, 1024), Limits(24, 16, 1024), Limits(120, 16, 1024), Limits(9, 2, 1024), Limits(512, 16, 64)]


@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_filter_and_grpo_end_equal_samples_equally(
    lab: Path, checkpoint: Path, limits: Limits, filtered: Callable[[Limits], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filtered(limits)
    rows = episodes(store)

    # GRPO's first step reuses all of the filter's samples.
    offsets, offset = {}, 0
    for line in store.read_bytes().splitlines(keepends=True):
        row = json.loads(line)
        offsets |= {} if "settings" in row else {f"{row['problem']}/{row['sample']}": offset}
        offset += len(line)
    (lab / "sampled.json").write_text(json.dumps({"file": str(store), "places": offsets}))
    reusing = loop_of(checkpoint, limits, lab / "sampled.json", lab / "reused.jsonl")
    outputs, reused = played_by_grpo(reusing)
    assert all(row["reused"] for row in reused)
    assert sorted_by_place(reused) == sorted_by_place(rows)

    # With the filter's seeds, GRPO's own samples are equal to the filter's.
    def filters_seed(base: int, key: str, sample: int) -> int:
        problem, _step, turn = key.rsplit("/", 2)
        return sample_seed(base, f"{problem}/{sample}/{turn}", 0)

    monkeypatch.setattr("tenfold.pipelines.rl.agent_loop.sample_seed", filters_seed)
    sampling = loop_of(checkpoint, limits, None, lab / "sampled.jsonl")
    _, sampled = played_by_grpo(sampling)
    assert not any(row["reused"] for row in sampled)
    assert sorted_by_place(sampled) == sorted_by_place(rows)

    # The tokens are the sampled tokens and the replies between them. A truncated episode is not in the loss.
    for row in rows:
        output = outputs[row["problem"], row["sample"]]
        ids, mask = conversation_tokens(reusing.tokenizer, row["messages"], row["turns"])
        assert output.prompt_ids + output.response_ids == ids
        truncated = row["finish_reason"] == "length"
        assert output.response_mask == [0 if truncated else sampled for sampled in mask[len(output.prompt_ids) :]]
        assert len(output.response_ids) <= limits.tokens
        assert len(ids) <= (limits.window or len(ids))
        assert len(row["turns"]) <= limits.turns


def test_the_episodes_cover_all_ways_to_end(filtered: Callable[[Limits], Path]) -> None:
    """Otherwise the test above would not cover them."""
    ends: Counter[str] = Counter()
    for limits in LIMITS:
        for row in episodes(filtered(limits)):
            turns = len(row["turns"])
            ended = turns == 5 or any(letter.isdigit() for letter in row["messages"][-1]["content"])
            ends[f"{'environment' if ended else 'turns' if turns == limits.turns else 'tokens'}, {row['finish_reason']}"] += 1
    assert {"environment, stop", "turns, stop", "tokens, length"} <= ends.keys()
    assert ends["tokens, stop"] == 0


def test_a_later_turn_continues_the_sampled_tokens(checkpoint: Path) -> None:
    """A chat template may drop the reasoning of earlier turns, but the policy's own tokens stay."""
    policy = TransformersPolicy(checkpoint)
    seen: list[list[int]] = []
    complete = policy.complete

    def noted(prompts: list[list[int]], *args: Any) -> Any:
        seen.extend(map(list, prompts))
        return complete(prompts, *args)

    policy.complete = noted  # type: ignore[method-assign, assignment]
    rollout(Talk, policy, 1, problems=[1], sampling=Sampling(max_tokens=200, seed=SEED), max_turns=5)
    assert len(seen) > 1
    for earlier, later in itertools.pairwise(seen):
        assert later[: len(earlier)] == earlier


def test_limits_apply_without_a_tokenizer() -> None:
    """A scripted policy's words are its tokens, and a reply's tokens are estimated from its length."""

    def talks(conversation: Any, seed: int) -> str:
        return "a b c d"

    def played(tokens: int, turns: int) -> tuple[int, str]:
        policy = ScriptedPolicy(talks)
        (episode,) = rollout(Talk, policy, 1, problems=[2], sampling=Sampling(max_tokens=tokens), max_turns=turns)
        return sum(turn["role"] == "assistant" for turn in episode.messages), episode.finish_reason

    # "And then? And then? " is counted as 5 tokens: a turn and its reply are 9.
    assert played(100, 16) == (5, "stop")
    assert played(100, 3) == (3, "stop")
    assert played(9, 16) == (1, "length")  # no further turn fits
    assert played(10, 16) == (2, "length")  # the second turn is truncated after a word
    assert played(13, 2) == (2, "stop")
    assert played(3, 16) == (1, "length")


def test_the_last_turn_is_limited_by_budget_and_window() -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))
    messages = [{"role": "user", "content": "Hi"}]
    prompt = len(prompt_tokens(tokenizer, messages))
    for limits, left in ((Limits(30, 4), 30), (Limits(30, 4, prompt + 12), 12), (Limits(30, 4, prompt), 1)):
        played = Transcript(limits, list(messages), tokenizer, {tokenizer.eos_token_id})  # type: ignore[arg-type]
        assert played.tokens_left == left
    played = Transcript(Limits(30, 4), list(messages), tokenizer, {tokenizer.eos_token_id})  # type: ignore[arg-type]
    played.add_tokens([*tokenizer("a")["input_ids"], tokenizer.eos_token_id])
    assert played.add_reply(False, "user", "b")
    assert played.tokens_left == 30 - len(played.response)


RECIPE = """
name: games
policy: "micro:"
stages:
  - {{kind: filter, name: few, environment: tenfold/ChainSum-v0, {filter}}}
  - {{kind: grpo, name: grpo, environment: tenfold/ChainSum-v0, keep: few, steps: 1, {grpo}}}
"""


@pytest.mark.parametrize(
    ("filter", "grpo", "words"),
    [
        (
            "max_tokens: 64",
            "max_response_tokens: 128",
            "grpo has max_response_tokens=128, but its filter few has max_tokens=64",
        ),
        ("max_tokens: 64", "", "grpo has max_response_tokens=512, but its filter few has max_tokens=64"),
        ("max_turns: 4", "max_turns: 8", "grpo has max_turns=8, but its filter few has max_turns=4"),
        ("max_turns: 4", "", "grpo has max_turns=the default, but its filter few has max_turns=4"),
        ("max_turns: 4, max_tokens: 64", "max_turns: 4, max_response_tokens: 64", None),
        ("", "", None),
    ],
)
def test_a_filter_with_other_limits_than_grpo_is_rejected(lab: Path, filter: str, grpo: str, words: str | None) -> None:
    (lab / "games.yaml").write_text(RECIPE.format(filter=filter, grpo=grpo).replace(", }", "}"))
    if words is None:
        recipe.load("games.yaml")
        return
    with pytest.raises(UserError, match=words):
        recipe.load("games.yaml")


def test_filter_and_grpo_have_equal_limits_in_the_packages_recipes() -> None:
    for path in recipe.RECIPES.rglob("*.yaml"):
        if path.parent.name != "clusters":
            recipe.load(path)
