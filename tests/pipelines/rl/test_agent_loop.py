"""The agent loop: tokens, masks, seeds, reused samples and faults."""

import asyncio
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
import torch

import tenfold
from tenfold.envs import registry
from tenfold.policies import checkpoints
from tenfold.policies.transcript import Limits

LAB = '''
import threading
import gymnasium
from tenfold.envs.text import Text

BARRIER = threading.Barrier(40)

class Meeting(gymnasium.Env):
    """Returns verdicts only when 40 episodes wait for theirs."""
    def __init__(self):
        self.observation_space = self.action_space = Text()
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return "Wait.", {"problem_id": "meeting"}
    def step(self, action):
        BARRIER.wait()
        return "", 1.0, True, False, {}

class Guess(gymnasium.Env):
    """The policy has to guess the number 3. The action 'x' raises an error."""
    def __init__(self, forgiving=False):
        self.observation_space = self.action_space = Text()
        self.crashes = 1 if forgiving else 99
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return "Guess.", {"problem_id": f"guess {options['problem']}"}
    def step(self, action):
        if action == "x":
            raise ConnectionError("the game server is gone")
        return "no", float(action == "3"), action == "3", False, {}
'''


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return checkpoints.load(checkpoints.checkpoint("micro:"), torch.float32)[1]


class Says:
    """Replaces verl's server: returns texts from a list, each with a stop token."""

    def __init__(self, tokenizer: Any, texts: list[str], closed: bool = True):
        self.texts, self.tokenizer, self.closed = list(texts), tokenizer, closed
        self.requests: list[dict[str, Any]] = []

    async def generate(self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        self.requests.append({"prompt": list(prompt_ids), **sampling_params})
        tokens = self.tokenizer(self.texts.pop(0))["input_ids"] + [self.tokenizer.eos_token_id] * self.closed
        tokens = tokens[: sampling_params["max_tokens"]]
        truncated = tokens[-1] != self.tokenizer.eos_token_id
        stop_reason = "length" if truncated else "completed"
        return TokenOutput(token_ids=tokens, log_probs=[-1.0] * len(tokens), stop_reason=stop_reason)


def begin(lab: Path, tokenizer: Any, texts: list[str], budget: int, spec: str, sampled: str | None) -> Any:
    from tenfold.pipelines.rl.agent_loop import EnvironmentLoop

    (lab / "lab_guess.py").write_text(LAB)
    (lab / "episodes").mkdir(exist_ok=True)
    loop = EnvironmentLoop.__new__(EnvironmentLoop)
    loop.tokenizer, loop.server_manager = tokenizer, Says(tokenizer, texts)
    loop.environment, loop.seed, loop.limits = spec, 7, Limits(tokens=budget, turns=4)
    loop.stop_ids = frozenset([tokenizer.eos_token_id])
    loop.rollout_config = SimpleNamespace(calculate_log_probs=sampled is None)
    loop.sampled, loop.seeded = sampled, True
    loop.log = lab / "episodes" / "1.jsonl"
    return loop


def play(
    lab: Path,
    tokenizer: Any,
    texts: list[str],
    budget: int = 64,
    environment: str | None = None,
    step: int = 1,
    sampled: str | None = None,
    attempt: int = 0,
) -> Any:
    spec = environment or gymnasium.envs.registration.EnvSpec("lab/Guess-v0", entry_point="lab_guess:Guess").to_json()
    loop = begin(lab, tokenizer, texts, budget, spec, sampled)
    row = {"extra_info": {"index": 5, "attempt": attempt}, "session_id": 2, "global_steps": step}
    output = asyncio.run(loop.run({"temperature": 1.0, "top_p": 1.0}, **row))
    written = [json.loads(line) for line in loop.log.read_text().splitlines()]
    return output, written, loop.server_manager


def test_tokens_are_only_appended_and_the_environments_tokens_are_masked(lab: Path, tokenizer: Any) -> None:
    output, (episode,), server = play(lab, tokenizer, ["1", "3"])
    whole = tokenizer.decode(output.prompt_ids + output.response_ids)
    assert whole == "<|user|>Guess.<|end|><|assistant|>1<|end|><|user|>no<|end|><|assistant|>3<|end|>"
    assert server.requests[1]["prompt"] == (output.prompt_ids + output.response_ids)[: len(server.requests[1]["prompt"])]
    learnt = [token for token, mask in zip(output.response_ids, output.response_mask, strict=True) if mask]
    assert tokenizer.decode(learnt) == "1<|end|>3<|end|>"
    assert (output.reward_score, output.num_turns) == (1.0, 4)
    assert (episode["problem_id"], episode["problem"], episode["sample"], episode["step"]) == ("guess 5", 5, 2, 1)


def test_a_slow_environment_does_not_block_others(lab: Path, tokenizer: Any) -> None:
    spec = gymnasium.envs.registration.EnvSpec("lab/Meeting-v0", entry_point="lab_guess:Meeting").to_json()
    loop = begin(lab, tokenizer, ["1"] * 40, 8, spec, None)

    async def play_all() -> list[Any]:
        rows = [{"extra_info": {"index": n}, "session_id": 0, "global_steps": 1} for n in range(40)]
        return await asyncio.gather(*(loop.run({"temperature": 1.0, "top_p": 1.0}, **row) for row in rows))

    assert [output.reward_score for output in asyncio.run(play_all())] == [1.0] * 40


def test_an_environment_that_cannot_be_made_is_a_fault_with_its_reason(lab: Path, tokenizer: Any) -> None:
    parts = {"environments": ["gone/Sums-v0"]}
    spec = gymnasium.envs.registration.EnvSpec("lab/All-v0", entry_point="tenfold.envs.mixture:Mixture", kwargs=parts)
    output, episodes, _ = play(lab, tokenizer, [], environment=spec.to_json())
    assert output == []
    assert episodes[-1]["verdict"]["score"] is None
    assert "gone/Sums-v0" in episodes[-1]["verdict"]["reason"]


def test_samples_are_seeded_by_step_turn_and_sample(lab: Path, tokenizer: Any) -> None:
    seeds = {turn["seed"] for step in (1, 2) for turn in play(lab, tokenizer, ["1", "3"], step=step)[2].requests}
    assert len(seeds) == 4
    assert {turn["seed"] for turn in play(lab, tokenizer, ["1", "3"], step=1)[2].requests} < seeds


def test_a_repeated_problem_in_a_step_is_sampled_with_other_seeds(lab: Path, tokenizer: Any) -> None:
    index = stored(lab, tokenizer, ["1", "3"])
    played = [play(lab, tokenizer, ["2", "3"], sampled=index, attempt=attempt) for attempt in range(3)]
    assert [len(server.requests) for _, _, server in played] == [0, 2, 2]  # the filter's samples are used once
    assert [(row["attempt"], row["reused"]) for row in played[-1][1]] == [(0, True), (1, False), (2, False)]
    seeds = [turn["seed"] for _, _, server in played for turn in server.requests]
    assert len(set(seeds)) == 4


def stored(lab: Path, tokenizer: Any, texts: list[str], problem: int = 5, sample: int = 2) -> str:
    """Writes a filter's sample and its index; returns the index's path."""
    turns = [tokenizer(text)["input_ids"] + [tokenizer.eos_token_id] for text in texts]
    first = json.dumps({"settings": {}}) + "\n"
    (lab / "episodes.jsonl").write_text(first + json.dumps({"problem": problem, "sample": sample, "turns": turns}) + "\n")
    index = {"file": str(lab / "episodes.jsonl"), "places": {f"{problem}/{sample}": len(first)}}
    path = lab / f"sampled{problem}{sample}.json"
    path.write_text(json.dumps(index))
    return str(path)


def test_the_first_step_reuses_the_filters_samples(lab: Path, tokenizer: Any) -> None:
    new, _, _ = play(lab, tokenizer, ["1", "3"])
    output, episodes, server = play(lab, tokenizer, [], sampled=stored(lab, tokenizer, ["1", "3"]))
    assert (server.requests, episodes[-1]["reused"], output.reward_score) == ([], True, 1)
    assert (output.response_ids, output.response_mask) == (new.response_ids, new.response_mask)


def test_the_filters_samples_are_not_reused_if_their_log_probabilities_are_needed(lab: Path, tokenizer: Any) -> None:
    spec = gymnasium.envs.registration.EnvSpec("lab/Guess-v0", entry_point="lab_guess:Guess").to_json()
    loop = begin(lab, tokenizer, ["1", "3"], 64, spec, stored(lab, tokenizer, ["2", "3"]))
    loop.rollout_config.calculate_log_probs = True
    output = asyncio.run(loop.run({}, extra_info={"index": 5}, session_id=2, global_steps=1))
    sampled = [value for value, mask in zip(output.response_logprobs, output.response_mask, strict=True) if mask]
    assert sampled == [-1.0] * len(sampled)
    assert len(loop.server_manager.requests) == 2


def test_missing_samples_and_samples_of_later_steps_are_new(lab: Path, tokenizer: Any) -> None:
    for step, index in ((2, stored(lab, tokenizer, ["1", "3"])), (1, stored(lab, tokenizer, ["1", "3"], sample=3))):
        _, episodes, server = play(lab, tokenizer, ["2", "3"], step=step, sampled=index)
        assert (len(server.requests), episodes[-1]["reused"]) == (2, False)


def test_an_episode_without_turns_reuses_no_sample(lab: Path, tokenizer: Any) -> None:
    """Neither if the environment fails before the first turn, nor if the server does."""
    index = stored(lab, tokenizer, ["1", "3"])
    parts = {"environments": ["gone/Sums-v0"]}
    gone = gymnasium.envs.registration.EnvSpec("lab/All-v0", entry_point="tenfold.envs.mixture:Mixture", kwargs=parts).to_json()
    _, episodes, _ = play(lab, tokenizer, [], environment=gone, sampled=index)
    _, more, _ = play(lab, tokenizer, [], sampled=stored(lab, tokenizer, ["1"], sample=3))
    for row in [*episodes, *more]:
        assert (row["verdict"]["status"], len(row["messages"]) < 2, row["reused"]) == ("fault", True, False)


def test_a_sample_that_the_server_does_not_complete_is_not_reused(lab: Path, tokenizer: Any) -> None:
    _, episodes, _ = play(lab, tokenizer, [], sampled=stored(lab, tokenizer, ["1"]))  # the second turn is missing
    assert [(row["verdict"]["status"], row["reused"]) for row in episodes] == [("fault", False)] * 2


def test_a_stored_turn_that_exceeds_the_budget_is_sampled_again(lab: Path, tokenizer: Any) -> None:
    index = stored(lab, tokenizer, ["1 and so on and so on and so on", "3"])
    output, _, server = play(lab, tokenizer, ["3"], budget=6, sampled=index)
    assert len(server.requests) == 1
    assert output.reward_score == 1


def test_a_truncated_response_is_not_in_the_loss(lab: Path, tokenizer: Any) -> None:
    output, (episode,), _ = play(lab, tokenizer, ["1 and so on and so on and so on and on"], budget=6)
    assert len(output.response_ids) == 6
    assert output.response_mask == [0] * 6
    assert episode["finish_reason"] == "length"


def test_an_episode_ends_when_no_further_turn_fits(lab: Path, tokenizer: Any) -> None:
    output, (episode,), _ = play(lab, tokenizer, ["1", "2", "1", "2"], budget=9)
    assert len(output.response_ids) <= 9
    assert set(output.response_mask) == {0}
    assert episode["finish_reason"] == "length"


def test_an_episode_ends_at_the_limit_of_turns(lab: Path, tokenizer: Any) -> None:
    output, (episode,), server = play(lab, tokenizer, ["1"] * 9)
    assert len(server.requests) == 4
    assert output.reward_score == 0
    assert episode["finish_reason"] == "stop"


def test_a_fault_is_retried_once_and_then_dropped(lab: Path, tokenizer: Any) -> None:
    output, episodes, _ = play(lab, tokenizer, ["x", "x"])
    assert output == []
    assert [episode["verdict"]["status"] for episode in episodes] == ["fault", "fault"]
    output, episodes, _ = play(lab, tokenizer, ["x", "3"])
    assert output.reward_score == 1


def test_an_environment_that_cannot_be_closed_after_an_error_is_a_fault(lab: Path, tokenizer: Any) -> None:
    stuck = (
        "import lab_guess\n"
        "class Stuck(lab_guess.Guess):\n"
        "    def close(self):\n"
        "        raise ConnectionError('the game server is gone')\n"
    )
    (lab / "lab_stuck.py").write_text(stuck)
    spec = gymnasium.envs.registration.EnvSpec("lab/Stuck-v0", entry_point="lab_stuck:Stuck").to_json()
    output, episodes, _ = play(lab, tokenizer, ["x", "x"], environment=spec)
    assert output == []
    assert [episode["verdict"]["status"] for episode in episodes] == ["fault", "fault"]


def test_an_environment_is_made_from_its_registration(lab: Path, tokenizer: Any) -> None:
    (lab / "rows.jsonl").write_text("".join(json.dumps({"question": f"{n}?", "answer": n}) + "\n" for n in range(9)))
    tenfold.register("lab/Rows-v0", problems=f"jsonl:{lab}/rows.jsonl")
    spec = tenfold.make("lab/Rows-v0").spec.to_json()
    del gymnasium.registry["lab/Rows-v0"]
    output, (episode,), _ = play(lab, tokenizer, ["5"], environment=spec)
    assert (output.reward_score, episode["messages"][0]["content"]) == (1, "5?")


def test_an_environment_with_a_function_is_made_by_the_module_of_its_id(lab: Path, tokenizer: Any) -> None:
    (lab / "lab_own.py").write_text(
        "import tenfold\n"
        "rows = [{'question': f'{n}?', 'answer': n} for n in range(9)]\n"
        "tenfold.register('lab/Own-v0', problems=rows, verifier=lambda gold, answer: answer == f'<{gold}>')\n"
    )
    id, options = "lab_own:lab/Own-v0", {"template": "What is {prompt}"}
    declaration = registry.declaration(tenfold.make(id, **options), id, options)
    del gymnasium.registry["lab/Own-v0"], sys.modules["lab_own"]  # as in a process of verl
    output, (episode,), _ = play(lab, tokenizer, ["<5>"], environment=declaration)
    assert (output.reward_score, episode["messages"][0]["content"]) == (1, "What is 5?")


def test_an_environment_is_reused_after_an_episode_and_closed_after_an_error(lab: Path, tokenizer: Any) -> None:
    counted = (
        "import lab_guess\n"
        "class Counted(lab_guess.Guess):\n"
        "    made = closed = 0\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        Counted.made += 1\n"
        "    def close(self):\n"
        "        Counted.closed += 1\n"
    )
    (lab / "lab_counted.py").write_text(counted)
    spec = gymnasium.envs.registration.EnvSpec("lab/Counted-v0", entry_point="lab_counted:Counted").to_json()
    play(lab, tokenizer, ["3"], environment=spec)
    from lab_counted import Counted

    made = Counted.made
    for texts in (["1", "3"], ["3"]):
        assert play(lab, tokenizer, texts, environment=spec)[0].reward_score == 1.0
    assert (Counted.made, Counted.closed) == (made, 0)
    play(lab, tokenizer, ["x", "x"], environment=spec)  # played twice
    assert (Counted.made, Counted.closed) == (made + 1, 2)
    play(lab, tokenizer, ["1"] * 4, environment=spec)  # not reused, because the environment has not ended its episode
    assert Counted.closed == 3
