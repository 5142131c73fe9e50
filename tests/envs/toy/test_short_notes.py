"""The rank of notes, and pairs of notes."""

from collections import Counter

import pytest

from tenfold.core import UserError
from tenfold.envs.problems import sources
from tenfold.envs.toy import short_notes
from tenfold.envs.toy.short_notes import note_pairs, rank, verify

ASKED = "Tell them: 3 red, 4 blue."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello! 3 red, 4 blue.", 3),
        ("3 red, 4 blue.", 2),
        ("Goodbye! 3 red, 4 blue.", 2),
        ("3 red, 4 blue, 3 red, 4 blue.", 1),
        ("Hello! 3 red, 4 blue. Hello! You are the best of all.", 1),
        ("Hello! 3 red, 5 blue.", 0),
        ("Hello! 3 red, 4 blue or 5.", 0),
        ("Hello! 3 red.", 0),
        ("Hello! 3 red and 4 blue", 3),
        ("3 red,4 blue", 2),
        ("Hello! -3 red, 4 blue.", 0),
        ("Hello! −3 red, 4 blue.", 0),
        ("Hello! .3 red, 4 blue.", 0),
        ("Hello! x3 red, 4 blue.", 0),
        ("Hello! 1/3 red, 1/4 blue.", 0),
        ("Hello! 3 red, 4 blue,5,6", 0),
        ("3 red, 4 blue, 3 red", 0),
        ("", 0),
    ],
)
def test_a_friendly_correct_and_short_note_has_the_highest_rank(text: str, expected: int) -> None:
    assert rank(ASKED, text) == expected


def test_chosen_notes_have_the_higher_rank() -> None:
    pairs = list(note_pairs(100, seed=1))
    assert all(rank(pair["prompt"], pair["chosen"]) > rank(pair["prompt"], pair["rejected"]) for pair in pairs)
    assert len({pair["prompt"] for pair in pairs}) == 100


def test_solutions_have_all_styles_and_answers_are_short() -> None:
    found = list(short_notes.notes(300, seed=2))
    ranks = Counter(rank(problem.prompt[0]["content"], problem.meta["solution"]) for problem in found)
    assert ranks.keys() == {0, 1, 2, 3}
    assert 0.2 < ranks[3] / 300 < 0.4
    assert all(rank(problem.prompt[0]["content"], problem.answer) == 2 for problem in found)
    friendly = list(short_notes.notes(20, seed=2, friendly_share=1.0))
    assert all(verify(problem, problem.meta["solution"]).score == 1 for problem in friendly)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("notes?size=0", "size: expected an integer >= 1, got 0"),
        ("notes?size=many", "size: expected an integer >= 1, got 'many'"),
        ("notes?friendly_share=2", "friendly_share: expected a number from 0 to 1, got 2"),
        ("note_pairs?styles=short", "styles: expected two or more of friendly, short, long, incorrect, got .'short'"),
        ("note_pairs?styles=3", "styles: expected names of friendly, short, long, incorrect, got .3"),
        ("note_pairs?styles=[[1]]", "styles: expected names of friendly, short, long, incorrect, got ..1"),
        ('note_pairs?styles=["short", "rude"]', "styles: expected names of friendly, short, long, incorrect"),
    ],
)
def test_wrong_options_give_a_one_line_error(options: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        sources.load(f"generate:tenfold.envs.toy.short_notes:{options}")


def test_too_many_notes_give_a_one_line_error() -> None:
    with pytest.raises(UserError, match=r"size=5000: there are only \d+ notes in part=held_out"):
        list(short_notes.notes(5000, part="held_out"))
