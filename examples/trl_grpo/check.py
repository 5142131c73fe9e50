"""Compares the rewards of both trainers, draw by draw.

python check.py                 every reward of draws.jsonl with the score that the environment itself gives for the same tokens
python check.py STAGE_FOLDER    also every score of a `grpo` stage with the reward that TRL's function gives for the same text
"""

import json
import sys
from pathlib import Path

import tenfold
from tenfold import Completion
from tenfold.envs.interop import trl
from tenfold.policies.checkpoints import checkpoint, stop_ids, tokenizer_of
from tenfold.policies.completions import completion

ENVIRONMENT = "sums:lab/Sums-v0"


def of_trl(draws: Path, folder: Path) -> str:
    """Plays each draw of TRL in the environment; returns how many rewards are equal, in words.

    Args:
        draws: the file that train.py writes.
        folder: the checkpoint that TRL has trained, for its tokenizer.
    """
    environment, tokenizer = tenfold.make(ENVIRONMENT), tokenizer_of(folder)
    ends, rows = stop_ids(folder, tokenizer), [json.loads(line) for line in draws.read_text().splitlines()]
    equal = 0
    for row in rows:
        environment.reset(options={"problem": row["problem"]})
        _, _, _, _, info = environment.step(completion(tokenizer, (), row["tokens"], ends).scorable_text)
        equal += info["verdict"].score == row["reward"]
    return f"TRL drew {len(rows)} completions: {equal} rewards are the environment's scores"


def of_verl(stage: Path) -> str:
    """Gives the response of each episode of verl to TRL's reward function; returns how many rewards are equal, in words.

    An episode stores no tokens. Therefore a truncated response is given as the part of it that is judged.
    """
    rows = [json.loads(line) for path in sorted((stage / "episodes").glob("*.jsonl")) for line in path.open()]
    texts = [Completion(row["messages"][-1]["content"], row["finish_reason"]).scorable_text for row in rows]
    rewards = trl.reward(ENVIRONMENT)([], texts, problem=[row["problem"] for row in rows])
    equal = sum(reward == row["verdict"]["score"] for reward, row in zip(rewards, rows, strict=True))
    return f"verl drew {len(rows)} completions: {equal} scores are the rewards of TRL's function"


if __name__ == "__main__":
    print(of_trl(Path("draws.jsonl"), checkpoint("micro:")))
    if len(sys.argv) > 1:
        print(of_verl(Path(sys.argv[1])))
