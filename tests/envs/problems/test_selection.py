"""The rows of a source that are used: from=, to= and without=."""

import json
import pickle
from collections.abc import Sequence
from pathlib import Path

import pandas
import pytest

from tenfold.core import Problem, UserError
from tenfold.envs.problems import sources
from tenfold.envs.problems.stored.problems import IndexedProblems

DATES = ("2024-07-31T23:59:00", "2024-08-01T00:00:00", "2024-12-24T10:30:00", "2025-05-01T00:00:00", "2025-05-01T00:01:00")
IMAGES = (None, "data:image/png;base64,AA==", "", " ", "data:image/png;base64,AB==")
ROWS = [
    {
        "id": "same" if number in (1, 2) else str(number),
        "question": f"{number}?",
        "answer": number,
        "contest_date": date,
        "image": image,
    }
    for number, (date, image) in enumerate(zip(DATES, IMAGES, strict=True))
]


@pytest.fixture(params=["list", "large"])
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Reads sources into a list, or as if they were large."""
    if request.param == "large":
        monkeypatch.setattr(sources, "SMALL_BYTES", 0)
        monkeypatch.setattr(sources, "SMALL_ROWS", 0)
    return str(request.param)


@pytest.fixture(params=["jsonl", "parquet"])
def rows(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A file with a row of each date."""
    file = tmp_path / f"rows.{request.param}"
    if request.param == "jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    else:
        pandas.DataFrame(ROWS).to_parquet(file)
    return f"{request.param}:{file}"


def load(uri: str, size: str) -> Sequence[Problem]:
    problems = sources.load(uri)
    assert isinstance(problems, IndexedProblems) == (size == "large")
    return problems


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ("from=2024-08-01", [1, 2, 3, 4]),
        ("to=2025-05-01", [0, 1, 2, 3]),
        ("from=2024-08-01&to=2025-05-01", [1, 2, 3]),
        ("from=2024-08-01&to=2025-05-01&skip=1", [2, 3]),
        ("from=2024-08-01&to=2025-05-01&skip=1&limit=1", [2]),
        ("from=2024-12-24&to=2024-12-25", [2]),
        ("without=image", [0, 2, 3]),
        ("without=image&skip=1&limit=1", [2]),
        ("without=image&from=2024-08-01&to=2024-12-25", [2]),
    ],
)
def test_options_choose_rows_by_their_date_or_by_an_empty_column(
    options: str, answers: list[int], rows: str, size: str
) -> None:
    assert [problem.answer for problem in load(f"{rows}?{options}", size)] == answers


def test_repeated_ids_get_numbers_within_the_selection(rows: str, size: str) -> None:
    assert [problem.id for problem in load(f"{rows}?from=2024-08-01", size)] == ["same", "same#2", "3", "4"]
    assert [problem.id for problem in load(f"{rows}?from=2024-12-01", size)] == ["same", "3", "4"]
    assert [problem.id for problem in load(f"{rows}?without=image", size)] == ["0", "same", "3"]


def test_a_selection_stays_the_same_in_another_process(rows: str, size: str) -> None:
    problems = load(f"{rows}?from=2024-08-01&to=2025-05-01", size)
    assert [*pickle.loads(pickle.dumps(problems))] == [*problems]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("from=August", "from: expected a date such as 2024-08-01, got 'August'"),
        ("from=2024-08-01&to=2024-07-01", "to=2024-07-01 is before from=2024-08-01"),
        ("from=2030-01-01", "there are no problems"),
        ("without=", "without: expected the name of a column, such as image"),
        ("without=picture", "without=picture needs a column with this name; correct the name, or omit without="),
    ],
)
def test_an_unusable_selection_gives_a_one_line_error(options: str, words: str, rows: str, size: str) -> None:
    with pytest.raises(UserError, match=words):
        sources.load(f"{rows}?{options}")


def test_rows_without_a_date_give_a_one_line_error(tmp_path: Path, size: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "1 + 1?", "answer": 2}\n')
    with pytest.raises(UserError, match="from= and to= need a date in the column contest_date, got None"):
        sources.load(f"jsonl:{tmp_path}/rows.jsonl?from=2024-08-01")
