import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pydantic
import pytest

from tenfold.core import UserError
from tenfold.pipelines.corpus import select, shards
from tenfold.pipelines.corpus.tagging import dimensions
from tenfold.pipelines.stage import Context

CONTENT = [dimension.name for dimension in dimensions.dimensions() if dimension.kind == "content"]
FORMAT = [dimension.name for dimension in dimensions.dimensions() if dimension.kind == "format"]
NAMES = [*CONTENT, *FORMAT]


def documents(folder: Path, *parts: list[tuple[str, str, str]]) -> Path:
    """Returns a folder with a shard for each list of (id, text, domain)."""
    (folder / shards.DOCUMENTS).mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts):
        rows = [{"id": id, "text": text, "source": f"from {id}", "domain": domain} for id, text, domain in part]
        shards.write(folder / shards.DOCUMENTS / f"{number}.parquet", pyarrow.Table.from_pylist(rows, schema=shards.SCHEMA))
    return folder


def beside(folder: Path, name: str, *parts: list[dict[str, Any]]) -> Path:
    """Writes columns of another stage in shards of the same names."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(parts):
        shards.write(folder / name / f"{number}.parquet", pyarrow.Table.from_pylist(part))
    return folder


def tags(folder: Path, *parts: list[tuple[str, float | None, float | None]]) -> Path:
    """Writes tags for each (id, value of all content tags, value of all format tags)."""
    rows = [[{"id": id, **dict.fromkeys(CONTENT, c), **dict.fromkeys(FORMAT, f)} for id, c, f in part] for part in parts]
    return beside(folder, "tags", *rows)


def similar(folder: Path, *parts: list[tuple[str, float]]) -> Path:
    return beside(folder, "similar", *([{"id": id, "similarity": value, "seeds": [""]} for id, value in p] for p in parts))


def run(folder: Path, **changes: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns the metrics and the rows that the stage wrote."""
    folder.mkdir(exist_ok=True)
    settings = select.Select.model_validate(
        {"kind": "select", "name": "s"} | {k: str(v) if isinstance(v, Path) else v for k, v in changes.items()}
    )
    metrics = settings.run(Context(folder, "micro:", 0, {}, lambda *a, **k: None))
    return metrics, list(shards.rows(shards.list_shards(folder)))


def ten(folder: Path) -> dict[str, Path]:
    """Returns ten documents of 100 characters for each of two domains. Tags rise with n and are larger in domain a."""
    parts = [[(f"{domain}{n}", domain * 100, domain) for n in range(10)] for domain in "ab"]
    tag_values = [[(f"a{n}", n * 0.9, n * 0.9) for n in range(10)], [(f"b{n}", n * 0.1, n * 0.1) for n in range(10)]]
    return {"documents": documents(folder / "all", *parts), "tags": tags(folder / "tag", *tag_values)}


def test_grades_are_shares_of_each_domain(tmp_path: Path) -> None:
    metrics, rows = run(tmp_path / "s", **ten(tmp_path))
    grades = {row["id"]: row["grade"] for row in rows}
    assert [id for id in grades if grades[id] == "high"] == ["a7", "a8", "a9", "b7", "b8", "b9"]
    assert [id for id in grades if grades[id] == "low"] == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert metrics["grades"]["a"]["medium"] == {"documents": 4, "characters": 400}
    assert metrics["thresholds"]["a"]["high"] == pytest.approx(0.7)
    assert metrics["thresholds"]["b"]["medium"] == pytest.approx(0.3 / 9, abs=1e-6)
    assert {example["id"] for example in metrics["examples"]["high"]} <= {"a7", "a8", "a9", "b7", "b8", "b9"}
    assert all(example["text"] in ("a" * 100, "b" * 100) for example in metrics["examples"]["low"])


def test_shares_are_of_characters_and_not_of_documents(tmp_path: Path) -> None:
    three = documents(tmp_path / "all", [("long", "x" * 600, "d"), ("short", "x" * 200, "d"), ("shorter", "x" * 200, "d")])
    tag_folder = tags(tmp_path / "tag", [("long", 9, 9), ("short", 5, 5), ("shorter", 1, 1)])
    _, rows = run(tmp_path / "s", documents=three, tags=tag_folder, high=0.5, medium=0.25)
    assert [row["grade"] for row in rows] == ["high", "medium", "low"]


def test_grades_can_be_set_by_scores(tmp_path: Path) -> None:
    metrics, _ = run(tmp_path / "s", **ten(tmp_path), grade_by="score", high=0.75, medium=0.35)
    assert {name: counted["documents"] for name, counted in metrics["grades"]["a"].items()} == {
        "high": 2,
        "medium": 4,
        "low": 4,
    }
    assert metrics["grades"]["b"]["low"]["documents"] == 10
    assert metrics["thresholds"]["b"] == {"high": None, "medium": None}


def test_a_score_is_the_weighted_mean_of_tags_and_similarity_rank(tmp_path: Path) -> None:
    three = documents(tmp_path / "all", [("a", "x", "d"), ("b", "x", "d")], [("c", "x", "d")])
    tag_folder = tags(tmp_path / "tag", [("a", 9, 0), ("b", 0, 9)], [("c", 9, 9)])
    near = similar(tmp_path / "near", [("a", 0.0), ("b", 7.5)], [("c", 0.0)])
    _, rows = run(tmp_path / "s", documents=three, tags=tag_folder, similar=near)
    content, form = 1.0 * len(CONTENT), 0.5 * len(FORMAT)
    total = content + form + 2  # two documents are less similar than b, and none is less similar than a and c
    assert [row["score"] for row in rows] == pytest.approx([content / total, (form + 2) / total, (content + form) / total])
    weights = {"content": 0.0, "format": 0.0, "similarity": 0.0, CONTENT[0]: 1.0, FORMAT[0]: 3.0}
    _, rows = run(tmp_path / "other", documents=three, tags=tag_folder, similar=near, weights=weights)
    assert [row["score"] for row in rows] == pytest.approx([0.25, 0.75, 1.0])


def test_missing_tags_are_left_out_of_the_mean(tmp_path: Path) -> None:
    two = documents(tmp_path / "all", [("a", "x", "d"), ("b", "x", "d"), ("c", "x", "d")])
    _, rows = run(
        tmp_path / "s", documents=two, tags=tags(tmp_path / "tag", [("a", 4.5, None), ("b", None, None), ("c", 1, 1)])
    )
    assert [row["score"] for row in rows] == pytest.approx([0.5, 0, 1 / 9])


def test_grades_of_equal_scores_do_not_depend_on_the_shards(tmp_path: Path) -> None:
    rows = [(f"{n}", "x" * 10, "d") for n in range(40)]
    tag_values = [(id, 5.0, 5.0) for id, _, _ in rows]
    one = run(tmp_path / "s1", documents=documents(tmp_path / "a1", rows), tags=tags(tmp_path / "t1", tag_values))[1]
    back, values_back = rows[::-1], tag_values[::-1]
    split = {
        "documents": documents(tmp_path / "a2", back[:13], back[13:]),
        "tags": tags(tmp_path / "t2", values_back[:13], values_back[13:]),
    }
    two = run(tmp_path / "s2", **split)[1]
    grades = {row["id"]: row["grade"] for row in one}
    assert grades == {row["id"]: row["grade"] for row in two}
    assert sorted(grades.values()).count("high") == 12


def test_a_killed_stage_resumes_with_the_missing_shards(tmp_path: Path) -> None:
    folders = ten(tmp_path)
    metrics, rows = run(tmp_path / "s", **folders)
    kept = tmp_path / "s" / "documents" / "0.parquet"
    before = kept.stat().st_mtime_ns
    (tmp_path / "s" / "documents" / "1.parquet").unlink()
    assert run(tmp_path / "s", **folders) == (metrics, rows)
    assert kept.stat().st_mtime_ns == before


def test_columns_of_other_documents_are_refused(tmp_path: Path) -> None:
    two = documents(tmp_path / "all", [("a", "x", "d"), ("b", "x", "d")])
    with pytest.raises(UserError, match="other documents, or another order"):
        run(tmp_path / "s", documents=two, tags=tags(tmp_path / "tag", [("b", 1, 1), ("a", 1, 1)]))
    with pytest.raises(UserError, match=r"no file .*0\.parquet: near must use the same documents"):
        run(tmp_path / "s", documents=two, similar=tmp_path / "near")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tags": None}, "tags, similar: name the folder"),
        ({"high": 0.7}, "sum to 1.1, more than 1"),
        ({"grade_by": "score", "high": 0.2}, "high=0.2 must be at least medium=0.4"),
        ({"weights": {"beauty": 1}}, "unknown dimension 'beauty'; use"),
        ({"weights": {"content": -1}}, "weights: expected finite numbers of at least 0"),
        ({"weights": {"content": math.nan}}, "weights: expected finite numbers of at least 0"),
        ({"weights": {"content": math.inf}}, "weights: expected finite numbers of at least 0"),
    ],
)
def test_impossible_settings_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        select.Select.model_validate({"kind": "select", "name": "s", "documents": "d", "tags": "t"} | changes)


def test_the_other_columns_are_unchanged(tmp_path: Path) -> None:
    folders = ten(tmp_path)
    rows = run(tmp_path / "s", **folders)[1]
    before = list(shards.rows(shards.list_shards(folders["documents"])))
    assert [{name: row[name] for name in shards.SCHEMA.names} for row in rows] == before
    assert (
        np.float32
        == pyarrow.parquet.read_schema(tmp_path / "s" / "documents" / "0.parquet").field("score").type.to_pandas_dtype()
    )
