"""The registration of the environment."""

import tenfold

ID = "roman_numerals/Numerals-v0"


def register() -> None:
    """Registers the environment. The entry point `gymnasium.envs` in pyproject.toml names this function."""
    source = "generate:roman_numerals.problems:problems"
    tenfold.register(
        ID,
        problems=f"{source}?part=train",
        held_out=f"{source}?part=held_out",
        verifier="roman_numerals.verifier:verify",
    )
