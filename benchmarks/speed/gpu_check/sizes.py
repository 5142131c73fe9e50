"""The sizes of the checks of `program.py`, by device. Those for the CPU only test the program."""

from typing import NamedTuple


class Sizes(NamedTuple):
    """Sizes of all checks on one kind of device."""

    policy: str
    """The model that is trained."""
    small_policy: str
    """The model of the GRPO stage on a CPU, and on a GPU if the check `sft` has left no policy."""
    steps: int
    batch_size: int
    """Examples per step of sft and distill."""
    row_tokens: int
    rows: int
    """Rows of `row_tokens` tokens per step of pretraining."""
    product: int
    """Rows and columns of the matrices that are multiplied."""
    loss: tuple[int, int, int]
    """Tokens, vocabulary and width of the chunked loss."""
    attention_tokens: int
    samples: int


SIZES = {
    "cuda": Sizes(
        policy="micro:?hidden=1024&layers=16&heads=16",
        small_policy="micro:?hidden=256&layers=4&heads=4",
        steps=12,
        batch_size=1024,
        row_tokens=1024,
        rows=64,
        product=8192,
        loss=(65_536, 166_144, 2_560),
        attention_tokens=16_384,
        samples=2048,
    ),
    "cpu": Sizes(
        policy="micro:?hidden=32&layers=2&heads=2",
        small_policy="micro:?hidden=32&layers=1&heads=2",
        steps=4,
        batch_size=8,
        row_tokens=64,
        rows=4,
        product=256,
        loss=(512, 1000, 64),
        attention_tokens=256,
        samples=16,
    ),
}
