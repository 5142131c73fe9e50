"""Hangman: find a word by its letters. The environment shows the places of each guessed letter."""

import random
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ...core import Problem
from ..generators.words import WORDS
from ..problems.parts import Draft, distinct, integer
from .game import Reply, TextGame

URI = "generate:tenfold.envs.games.hangman:problems"
TURNS = 15
"""Limit of turns: enough for a word of 8 different letters and 6 wrong guesses. Our choice."""


def problems(
    size: int = 250, seed: int = 0, part: str = "train", wrong: int = 6, min_letters: int = 4, max_letters: int = 8
) -> Iterator[Problem]:
    """Yields problems with different words of `envs/generators/words.py`.

    Args:
        size: number of problems.
        seed: seed of the random choices.
        part: all, train or held_out; see `parts.in_part`.
        wrong: number of wrong guesses that end the game.
        min_letters: smallest number of letters of a word.
        max_letters: largest number of letters of a word.
    """
    integer("wrong", wrong, 1)
    integer("max_letters", max_letters, integer("min_letters", min_letters, 4, 8), 8)
    words = [word for word in WORDS if min_letters <= len(word) <= max_letters]

    def draw(rng: random.Random) -> Draft:
        word = rng.choice(words)
        prompt = (
            f"I have chosen an English noun of {len(word)} letters: {' '.join('_' * len(word))}. Find it. In each turn, reply "
            "with one letter or with the whole word in \\boxed{}. I show you where the letter is in the word. You lose after "
            f"{wrong} wrong guesses, and after {TURNS} turns. A reply that is neither a letter nor a word of {len(word)} "
            "letters, and a letter or word that you repeat, use up a turn."
        )
        return Draft(prompt, {"word": word, "wrong": wrong, "turns": TURNS}, key=f"{word} with {wrong}")

    return distinct(URI, draw, size, seed, part)


class Hangman(TextGame):
    """The game; see the module's docstring."""

    def start(self, problem: Problem) -> None:
        """See `TextGame.start`."""
        answer = cast(Mapping[str, Any], problem.answer)
        self.word, self.left = str(answer["word"]), int(answer["wrong"])
        self.guessed: set[str] = set()

    def play(self, move: str) -> Reply:
        """See `TextGame.play`."""
        guess = move.lower()
        if not (guess.isascii() and guess.isalpha() and len(guess) in (1, len(self.word))) or guess in self.guessed:
            return Reply(f"Reply with one new letter, or with a word of {len(self.word)} letters, in \\boxed{{}}.", None, False)
        self.guessed.add(guess)
        if guess == self.word or {*self.word} <= self.guessed:
            return Reply(f"Correct: the word is {self.word}.", 1.0)
        shown = " ".join(letter if letter in self.guessed else "_" for letter in self.word)
        if len(guess) == 1 and guess in self.word:
            return Reply(f"{guess} is in the word: {shown}. Wrong guesses left: {self.left}.")
        self.left -= 1
        if self.left == 0:
            return Reply(f"{guess} is wrong, and no wrong guess is left. The word is {self.word}.", 0.0)
        return Reply(f"{guess} is {'not in' if len(guess) == 1 else 'not'} the word: {shown}. Wrong guesses left: {self.left}.")

    def gold_move(self) -> str:
        """Returns the word."""
        return f"\\boxed{{{self.word}}}"
