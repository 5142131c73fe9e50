"""A game of several turns: guess the number. It is a plain gymnasium.Env with text in and text out."""

import re
from typing import Any

import gymnasium

import tenfold
from tenfold.envs.text import Text

RULES = "I think of a whole number from 1 to {largest}. Guess it in {turns} turns. Say one number a turn."


class GuessTheNumber(gymnasium.Env[str, str]):
    """One number an episode, one guess a turn. The reward is 1 for the right guess, in the last turn of the episode."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, largest: int = 100, turns: int = 7):
        """Plays with the numbers from 1 to `largest`; an episode ends after so many turns."""
        self.problems = range(1, largest + 1)  # its length tells how many problems there are
        self.turns = turns
        self.observation_space = Text()
        self.action_space = Text()
        self.number, self.turn = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Thinks of a number: that of problem `options["problem"]`, else one that is sampled."""
        super().reset(seed=seed)
        index = (options or {}).get("problem")
        if index is None:
            index = int(self.np_random.integers(len(self.problems)))
        self.number, self.turn = self.problems[index], 0
        return RULES.format(largest=len(self.problems), turns=self.turns), {"problem_id": f"number-{self.number}"}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Judges a guess: the last whole number in the text."""
        self.turn += 1
        guesses = re.findall(r"\d{1,9}", action)
        guess = int(guesses[-1]) if guesses else None
        right = guess == self.number
        ended = right or self.turn == self.turns
        return self._reply(guess), float(right), ended, False, {}

    def _reply(self, guess: int | None) -> str:
        if guess is None:
            return "Say a whole number."
        if guess == self.number:
            return "Right."
        return f"{guess} is too {'low' if guess < self.number else 'high'}."


tenfold.register("lab/Guess-v0", entry_point="guess:GuessTheNumber")
