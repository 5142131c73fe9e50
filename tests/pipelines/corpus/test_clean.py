import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from tenfold.core import UserError
from tenfold.pipelines.corpus import shards
from tenfold.pipelines.corpus.clean import Clean
from tenfold.pipelines.corpus.planted import documents as planted
from tenfold.pipelines.stage import Context

WORDS = [*planted.STOP, *planted.WORDS, *(f"{word}{end}" for word in planted.WORDS[:20] for end in ("s", "like", "less"))]
PROBLEM = "A farmer keeps seventeen hens in a yard that is twice as long as it is wide, and every hen lays one egg a day"
OTHER = "Two trains leave two towns that are ninety miles apart, one at noon and one an hour later: where do the trains meet"


def good(seed: object) -> str:
    rng = random.Random(str(seed))
    return "\n".join(" ".join(rng.choice(WORDS) for _ in range(14)).capitalize() + "." for _ in range(14))


def rows(texts: list[str], source: str = "book", domain: str = "text") -> list[dict[str, str]]:
    return [{"text": text, "source": f"{source}/{number}", "domain": domain} for number, text in enumerate(texts)]


def write(folder: Path, documents: list[dict[str, str]], size: int = 20) -> Path:
    (folder / "documents").mkdir(parents=True)
    documents = [{"id": row["source"].replace("/", "."), **row} for row in documents]
    for start in range(0, len(documents), size):
        table = pyarrow.Table.from_pylist(documents[start : start + size], schema=shards.SCHEMA)
        shards.write(folder / "documents" / f"{start:05}.parquet", table)
    return folder


def cleaned(
    corpus: Path, folder: Path, progress: Callable[..., None] = lambda *a, **k: None, **settings: Any
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    stage = Clean(name="clean", kind="clean", documents=str(corpus), workers=1, **settings)
    stage.check()
    return stage.run(Context(folder, "micro:", 0, {}, progress))


def ids(folder: Path) -> list[str]:
    return [row["id"] for row in shards.rows(shards.list_shards(folder), ["id"])]


def removed(folder: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in shards.rows(sorted((folder / "removed").glob("*.parquet")))}


@pytest.fixture
def problems(tmp_path: Path) -> str:
    file = tmp_path / "problems.jsonl"
    file.write_text("\n".join(json.dumps({"question": text, "answer": 1, "id": text[:5]}) for text in (PROBLEM, OTHER)))
    return f"jsonl:{file}"


def test_each_step_removes_documents_with_its_reason(tmp_path: Path, problems: str) -> None:
    near = good(1).replace("\n", " instead\n", 1)
    texts = [good(1), "too short", good(2), f"{good(3)}\n{PROBLEM}.", good(2).upper(), near, good(4)]
    metrics = cleaned(write(tmp_path / "d", rows(texts)), tmp_path / "c", decontaminate=[problems])
    assert ids(tmp_path / "c") == ["book.2", "book.5", "book.6"]
    rows_removed = removed(tmp_path / "c")
    assert {id: (row["reason"], row["match"]) for id, row in rows_removed.items()} == {
        "book.0": ("near_duplicate", "book.5"),  # the longer one is kept
        "book.1": ("few_words", None),
        "book.3": ("contaminated", f"{problems}#A far"),
        "book.4": ("exact_duplicate", "book.2"),
    }
    assert rows_removed["book.1"]["snippet"] == "too short"
    assert rows_removed["book.3"]["detail"] == " ".join(PROBLEM.lower().split()[:13])
    assert metrics["input"] == {"documents": 7, "characters": sum(map(len, texts))}
    assert metrics["kept"] == {"documents": 3, "characters": len(good(2)) + len(near) + len(good(4))}
    assert metrics["removed"]["exact_duplicate"]["documents"] == 1
    assert metrics["removed"]["exact_duplicate"]["examples"][0]["match"] == "book.2"
    assert metrics["contamination"]["problems"] == 2
    json.dumps(metrics)


def test_a_contaminated_copy_does_not_replace_the_clean_document(tmp_path: Path, problems: str) -> None:
    lines = good(1).splitlines()
    texts = [good(1), "\n".join([*lines[:7], PROBLEM + ".", *lines[7:]])]
    cleaned(write(tmp_path / "d", rows(texts)), tmp_path / "c", decontaminate=[problems], near_duplicates=0.7)
    assert ids(tmp_path / "c") == ["book.0"]


def test_a_killed_stage_resumes_with_the_same_result(tmp_path: Path) -> None:
    corpus = write(tmp_path / "d", rows([good(seed // 2) for seed in range(60)]), size=10)
    whole = cleaned(corpus, tmp_path / "whole")

    def killed_at(step: int) -> Callable[..., None]:
        def progress(done: int, total: int, **values: Any) -> None:
            assert total == 12
            if done == step:
                raise KeyboardInterrupt

        return progress

    for step in (2, 6, 9):
        with pytest.raises(KeyboardInterrupt):
            cleaned(corpus, tmp_path / "killed", killed_at(step))
    reported: list[int] = []
    assert cleaned(corpus, tmp_path / "killed", lambda done, total: reported.append(done)) == whole
    assert reported == [6, 9, 10, 11, 12]  # finished shards are not processed again
    assert ids(tmp_path / "killed") == ids(tmp_path / "whole")
    assert removed(tmp_path / "killed") == removed(tmp_path / "whole")


def test_the_result_does_not_depend_on_the_shards(tmp_path: Path) -> None:
    documents = rows([good(seed // 2) + " Indeed." * (seed % 3) for seed in range(40)])
    for size in (3, 40):
        cleaned(write(tmp_path / f"d{size}", documents, size), tmp_path / f"c{size}")
    assert ids(tmp_path / "c3") == ids(tmp_path / "c40")
    assert len(ids(tmp_path / "c3")) == 20


def test_rules_and_steps_can_be_turned_off(tmp_path: Path) -> None:
    corpus = write(tmp_path / "d", rows([good(1), good(1).replace("\n", " instead\n", 1), "too short", planted.FOREIGN["de"]]))
    metrics = cleaned(
        corpus,
        tmp_path / "c",
        near_duplicates=None,
        disabled_rules=["few_words", "few_stop_words", "lines_without_punctuation", "short_lines"],
        languages=[],
    )
    assert ids(tmp_path / "c") == ["book.0", "book.1", "book.2", "book.3"]
    summary = Clean(name="clean", kind="clean", documents=str(corpus)).summary(metrics)
    assert summary == "kept 4 of 4 documents; removed none"


def test_invalid_settings_raise_a_one_line_error(tmp_path: Path) -> None:
    corpus = write(tmp_path / "d", rows(["too short"]))
    with pytest.raises(UserError, match="unknown rule 'few_wrods'; use many_words, few_words"):
        cleaned(corpus, tmp_path / "c", disabled_rules=["few_wrods"])
    with pytest.raises(UserError, match="languages: unknown code 'zh-cn'; use af, ar, "):
        cleaned(corpus, tmp_path / "c", languages=["en", "zh-cn"])
    with pytest.raises(UserError, match="no task 'nothing'"):
        cleaned(corpus, tmp_path / "c", decontaminate=["nothing"])
    with pytest.raises(UserError, match="contains no documents"):
        cleaned(tmp_path, tmp_path / "c")
    with pytest.raises(UserError, match="all 1 documents were removed, most of them as few_words"):
        cleaned(corpus, tmp_path / "c")


def test_the_report_has_recall_and_precision_by_kind(tmp_path: Path, problems: str) -> None:
    books = rows([good(seed) for seed in range(80)])
    documents = [
        *books,
        *planted.bad(26, seed=1),
        *planted.duplicates(books, 36, seed=1),
        *planted.contaminated(books, problems, 20, seed=1),
    ]
    random.Random(0).shuffle(documents)
    metrics = cleaned(write(tmp_path / "d", documents), tmp_path / "c", decontaminate=[problems])
    recall = metrics["planted"]["recall"]
    kinds = {f"bad/{kind}": 2 for kind in planted.BAD} | dict.fromkeys(planted.COPIES, 6) | {"contaminated": 20}
    assert {kind: counts["planted"] for kind, counts in recall.items()} == kinds
    assert {kind: counts["found"] for kind, counts in recall.items()} == kinds
    assert metrics["kept"]["documents"] == 80
    precision = metrics["planted"]["precision"]
    assert precision["rules"] == {"removed": 26, "correct": 26, "precision": 1.0}
    assert precision["contaminated"] == {"removed": 20, "correct": 20, "precision": 1.0}
    assert precision["near_duplicate"]["removed"] == 18
    assert precision["near_duplicate"]["precision"] == 1.0


def test_the_report_counts_missed_documents(tmp_path: Path, problems: str) -> None:
    books = rows([good(seed) for seed in range(40)])
    corpus = write(tmp_path / "d", [*books, *planted.duplicates(books, 12, 2), *planted.contaminated(books, problems, 8, 2)])
    report = cleaned(corpus, tmp_path / "c", near_duplicates=None)["planted"]
    assert report["recall"]["contaminated"]["missed"] == 8
    assert report["recall"]["contaminated"]["recall"] == 0
    assert report["recall"]["near/changed"]["missed"] == 2
    assert report["recall"]["near/changed"]["examples_missed"][0].startswith("planted:near/changed/2.")
    assert report["recall"]["exact/capitals"]["found"] == 2
    assert report["precision"]["near_duplicate"]["removed"] == 0


def test_a_document_whose_source_only_looks_planted_is_not_in_the_report(tmp_path: Path) -> None:
    books = rows([good(seed) for seed in range(3)])
    other = {"text": good("other"), "source": f"planted:mine/of/{books[0]['source']}", "domain": "text"}
    assert cleaned(write(tmp_path / "d", [*books, other]), tmp_path / "c")["planted"]["recall"] == {}


def test_copies_of_documents_that_share_a_source_are_found(tmp_path: Path) -> None:
    books = [row | {"source": "wiki"} for row in rows([good(seed) for seed in range(20)])]
    documents = [row | {"id": str(number)} for number, row in enumerate([*books, *planted.duplicates(books, 6, 1)])]
    recall = cleaned(write(tmp_path / "d", documents), tmp_path / "c")["planted"]["recall"]
    assert {counts["found"] for counts in recall.values()} == {1}
    recall = cleaned(write(tmp_path / "d2", documents), tmp_path / "c2", near_duplicates=None)["planted"]["recall"]
    assert recall["near/changed"]["missed"] == 1


def test_the_report_of_documents_with_one_id_ends(tmp_path: Path) -> None:
    books = rows([good(seed) for seed in range(12)])
    corpus = write(tmp_path / "d", [*books, *books, *planted.duplicates(books, 12, 2)])
    assert cleaned(corpus, tmp_path / "c")["planted"]["recall"]["exact/same"]["found"] == 2


def test_documents_removed_by_another_step_count_neither_as_found_nor_as_missed(tmp_path: Path, problems: str) -> None:
    books = rows([f"{good(seed)}\n{PROBLEM}." for seed in range(12)])
    corpus = write(tmp_path / "d", [*books, *rows([good("clean")], "clean"), *planted.duplicates(books, 12, 1)])
    recall = cleaned(corpus, tmp_path / "c", decontaminate=[problems])["planted"]["recall"]
    assert {(counts["found"], counts["missed"], counts["removed_by_other_step"]) for counts in recall.values()} == {(0, 0, 2)}
    assert recall["exact/same"]["recall"] is None


def test_planted_documents_depend_on_their_seed(tmp_path: Path, problems: str) -> None:
    books = rows([good(seed) for seed in range(30)])
    for make in (
        lambda seed: list(planted.bad(13, seed)),
        lambda seed: list(planted.duplicates(books, 6, seed)),
        lambda seed: list(planted.contaminated(books, problems, 4, seed)),
    ):
        assert make(1) == make(1)
        assert not {row["source"] for row in make(1)} & {row["source"] for row in make(2)}
        assert [row["text"] for row in make(1)] != [row["text"] for row in make(2)]
    numbers = [int(row["source"].rpartition("/")[2]) for row in planted.duplicates(books, 6, 1)]
    assert len(set(numbers)) == 6
    assert max(numbers) >= 6  # not the first ones
    with pytest.raises(UserError, match="expected 31 documents of at least 100 words, got 30"):
        list(planted.duplicates(books, 31))
    (tmp_path / "books.jsonl").write_text("\n".join(map(json.dumps, books)))
    copies = list(planted.duplicates(f"jsonl:{tmp_path}/books.jsonl", 6, 1))
    assert copies == list(planted.duplicates(books, 6, 1))
    texts = [row["text"] for row in planted.contaminated(books, problems, 4, 1)]
    assert all(PROBLEM in text or OTHER in text for text in texts)
