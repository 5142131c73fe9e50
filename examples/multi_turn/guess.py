"""A game with several turns: guess the number. It is a plain gymnasium.Env with text observations and text actions."""

import re
from typing import Any

import gymnasium

import tenfold
from tenfold.envs.text import Text

RULES = "I think of a whole number from 1 to {largest}. Guess it in {turns} turns. Give one number in each turn."


class GuessTheNumber(gymnasium.Env[str, str]):
    """One number for each episode, one guess for each turn. A correct guess has the reward 1 and ends the episode."""

    metadata = {"render_modes": []}  # noqa: RUF012

    def __init__(self, largest: int = 100, turns: int = 7):
        """Stores the settings.

        Args:
            largest: largest number; the smallest is 1.
            turns: maximum number of guesses in an episode.
        """
        self.problems = range(1, largest + 1)  # the length is the number of problems
        self.turns = turns
        self.observation_space = Text()
        self.action_space = Text()
        self.number, self.turn = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Selects the number of problem `options["problem"]`, or a random number without this option."""
        super().reset(seed=seed)
        index = (options or {}).get("problem")
        if index is None:
            index = int(self.np_random.integers(len(self.problems)))
        self.number, self.turn = self.problems[index], 0
        return RULES.format(largest=len(self.problems), turns=self.turns), {"problem_id": f"number-{self.number}"}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Compares the guess, the last number in the text, with the selected number."""
        self.turn += 1
        numbers = re.findall(r"-?\d+(?:\.\d+)?", action)
        guess = int(numbers[-1]) if numbers and re.fullmatch(r"\d{1,9}", numbers[-1]) else None
        correct = guess == self.number
        ended = correct or self.turn == self.turns
        return self._reply(guess), float(correct), ended, False, {}

    def _reply(self, guess: int | None) -> str:
        if guess is None:
            return "Give a whole number."
        if guess == self.number:
            return "Correct."
        return f"{guess} is too {'low' if guess < self.number else 'high'}."


tenfold.register("lab/Guess-v0", entry_point="guess:GuessTheNumber")
