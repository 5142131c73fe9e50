import json
import math
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pydantic
import pytest

from tenfold.core import UserError
from tenfold.pipelines.corpus import retrieve, shards
from tenfold.pipelines.corpus.retrieval import milvus, seeds
from tenfold.pipelines.stage import Context

MATHS = [f"We prove theorem {n}: the sum of the angles, by induction on lemma {n + 1}." for n in range(15)]
COOKING = [f"Chop {n} onions and stir the soup until {n + 1} spoons of butter melt." for n in range(15)]


def corpus(folder: Path, *parts: list[str], domains: tuple[str, ...] = ("maths", "cooking")) -> Path:
    """Returns a folder with a shard for each list of texts."""
    (folder / shards.DOCUMENTS).mkdir(parents=True)
    for number, (part, domain) in enumerate(zip(parts, domains, strict=False)):
        rows = [
            {"id": f"{domain}-{n}", "text": text, "source": f"{domain}/{n}", "domain": domain} for n, text in enumerate(part)
        ]
        shards.write(folder / shards.DOCUMENTS / f"{number:03}.parquet", pyarrow.Table.from_pylist(rows, schema=shards.SCHEMA))
    return folder


def run(folder: Path, documents: Path, progress: Callable[..., None] = lambda *a, **k: None, **changes: Any) -> dict[str, Any]:
    settings = {"kind": "retrieve", "name": "near", "documents": str(documents), "workers": 1, "limit": 20} | changes
    folder.mkdir(exist_ok=True)
    return retrieve.Retrieve.model_validate(settings).run(Context(folder, "micro:", 0, {}, progress))


def similar(folder: Path) -> list[dict[str, Any]]:
    return list(shards.rows(sorted((folder / "similar").glob("*.parquet"))))


def seed_file(folder: Path, *texts: str) -> dict[str, Any]:
    (folder / "seeds.jsonl").write_text(
        "".join(json.dumps({"text": text, "source": f"seed {text[:5]}"}) + "\n" for text in texts)
    )
    return {"uri": f"jsonl:{folder}/seeds.jsonl"}


def test_the_most_similar_documents_are_those_about_the_seeds_subject(tmp_path: Path) -> None:
    documents = corpus(tmp_path / "all", COOKING, MATHS, domains=("cooking", "maths"))
    metrics = run(tmp_path / "near", documents, seeds=[seed_file(tmp_path, "A theorem with a proof by induction on a lemma.")])
    rows = similar(tmp_path / "near")
    assert [row["id"] for row in rows] == [row["id"] for row in shards.rows(shards.list_shards(documents))]
    best = sorted(rows, key=lambda row: -row["similarity"])[:15]
    assert {row["id"].split("-")[0] for row in best} == {"maths"}
    assert {tuple(row["seeds"]) for row in best} == {("seed A the",)}
    assert all((row["similarity"] > 0) == bool(row["seeds"]) for row in rows)
    assert metrics["nearest"][0]["id"] == best[0]["id"]
    assert metrics["found"] == sum(row["similarity"] > 0 for row in rows)


def test_similarity_is_the_weighted_reciprocal_rank_fusion_of_all_lists(tmp_path: Path) -> None:
    documents = corpus(tmp_path / "all", ["red apples", "blue boats"])
    seed_settings = [{"source": "maths/0", "weight": 3.0}, {"source": "maths/1"}]
    run(tmp_path / "near", documents, seeds=seed_settings)
    first, second = similar(tmp_path / "near")
    # Each document is first in both lists of its own seed. In the other seed's lists it is second by vector, missing by words.
    assert first["similarity"] == pytest.approx(3 * 2 / 61 + 1 / 62)
    assert second["similarity"] == pytest.approx(2 / 61 + 3 / 62)
    assert first["seeds"] == ["maths-0", "maths-1"]
    assert second["seeds"] == ["maths-0", "maths-1"]  # because 3/62 is more than 2/61


def test_reciprocal_rank_fusion_follows_its_definition() -> None:
    assert milvus.fuse([[7, 8], [8]]) == pytest.approx({7: 1 / 61, 8: 1 / 62 + 1 / 61})


def test_distinctive_words_are_rare_words() -> None:
    counts = {"the": 90, "theorem": 3, "lemma": 2, "of": 95}
    assert seeds.distinctive_words("The theorem of the lemma, of the zyzzyva", counts, 100, 3) == "lemma theorem the"


def test_seeds_can_be_problems_with_solutions(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps({"question": "Prove a theorem?", "answer": "By a lemma #### 4"}))
    documents = corpus(tmp_path / "all", MATHS)
    stage = retrieve.Retrieve.model_validate(
        {"kind": "retrieve", "name": "n", "documents": str(documents), "seeds": [{"uri": f"problems:jsonl:{tmp_path}/p.jsonl"}]}
    )
    stage.check()
    (seed,) = seeds.load(stage.seeds, [])
    assert "Prove a theorem?" in seed.text
    assert "By a lemma" in seed.text


def test_the_uri_of_seeds_may_be_a_pattern_of_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"text": f"lemma {name}"}))
    stage = retrieve.Retrieve.model_validate(
        {
            "kind": "retrieve",
            "name": "n",
            "documents": str(corpus(tmp_path / "all", MATHS)),
            "seeds": [{"uri": f"jsonl:{tmp_path}/*.jsonl"}],
        }
    )
    stage.check()
    assert [seed.text for seed in seeds.load(stage.seeds, [])] == ["lemma a", "lemma b"]


def test_a_database_may_be_in_a_folder_whose_name_has_an_at_sign(tmp_path: Path) -> None:
    metrics = run(tmp_path / "me@lab", corpus(tmp_path / "all", MATHS), seeds=[{"source": "maths/1"}])
    assert metrics["found"] > 0
    assert (tmp_path / "me@lab" / "milvus.db").is_dir()


def test_a_database_may_be_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    run(tmp_path / "near", corpus(tmp_path / "all", MATHS), seeds=[{"source": "maths/1"}], database="~/own.db")
    assert (tmp_path / "own.db").is_dir()
    assert "theorem" in retrieve.search("~/own.db", "theorem")[0]["text"]


def test_a_collection_of_the_same_documents_with_other_texts_is_refused(tmp_path: Path) -> None:
    database = str(tmp_path / "shared.db")
    run(tmp_path / "first", corpus(tmp_path / "all", ["red apples"]), seeds=[{"domain": "maths"}], database=database)
    with pytest.raises(UserError, match="contains other documents"):
        run(tmp_path / "second", corpus(tmp_path / "new", ["green pears"]), seeds=[{"domain": "maths"}], database=database)


def test_the_check_refuses_an_unknown_embedding_model(tmp_path: Path) -> None:
    given = {"kind": "retrieve", "name": "n", "documents": str(corpus(tmp_path / "all", MATHS)), "seeds": [{"domain": "*"}]}
    for embedder in ("hash:?dims=64", "nowhere:"):
        with pytest.raises(UserError, match=embedder.partition("?")[0]):
            retrieve.Retrieve.model_validate(given | {"embedder": embedder}).check()


KILLED = """
import os, sys
from pathlib import Path
from tenfold.pipelines.stage import Context
from tenfold.pipelines.corpus import retrieve
from tenfold.pipelines.corpus.retrieval import milvus

def progress(done, total, inserted=0, **values):
    if inserted >= 20:
        os._exit(9)  # like a kill, it runs no handlers

milvus.BATCH = 10
stage = retrieve.Retrieve.model_validate_json(sys.argv[1])
stage.run(Context(Path(sys.argv[2]), "micro:", 0, {}, progress))
"""


def test_rows_inserted_before_a_kill_are_not_inserted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = corpus(tmp_path / "all", MATHS, COOKING)
    settings = {
        "kind": "retrieve",
        "name": "near",
        "documents": str(documents),
        "seeds": [{"source": "maths/1*"}],
        "workers": 1,
    }
    folder = tmp_path / "killed"
    folder.mkdir()
    child = subprocess.run([sys.executable, "-c", KILLED, json.dumps(settings), str(folder)], capture_output=True, text=True)
    assert child.returncode == 9, child.stderr
    monkeypatch.setattr(milvus, "BATCH", 10)
    inserted: list[int] = []

    def progress(done: int, total: int, **values: int) -> None:
        inserted.extend(count for name, count in values.items() if name == "inserted")

    run(folder, documents, progress, seeds=settings["seeds"], limit=100)
    run(tmp_path / "whole", documents, seeds=settings["seeds"], limit=100)
    assert inserted == [30]
    assert similar(folder) == similar(tmp_path / "whole")


def test_an_interrupted_insert_does_not_change_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "BATCH", 10)
    documents = corpus(tmp_path / "all", MATHS, COOKING)
    seed_settings = [{"source": "maths/1*"}]

    def interrupted(done: int, total: int, inserted: int = 0, **values: int) -> None:
        if inserted == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "stopped", documents, interrupted, seeds=seed_settings)
    run(tmp_path / "stopped", documents, seeds=seed_settings)
    run(tmp_path / "whole", documents, seeds=seed_settings)
    assert similar(tmp_path / "stopped") == similar(tmp_path / "whole")


def test_a_text_is_truncated_between_characters(tmp_path: Path) -> None:
    assert milvus.truncate("éé", 3) == "é"
    documents = corpus(tmp_path / "all", ["ü" * 200_000, "theorem"])
    run(tmp_path / "near", documents, seeds=[seed_file(tmp_path, "theorem")], text_bytes=milvus.MAX_TEXT_BYTES)
    (_, other) = retrieve.search(str(tmp_path / "near" / "milvus.db"), "theorem")
    assert len(other["text"].encode()) == milvus.MAX_TEXT_BYTES - 1


def test_a_database_can_be_searched(tmp_path: Path) -> None:
    run(tmp_path / "near", corpus(tmp_path / "all", MATHS, COOKING), seeds=[seed_file(tmp_path, "theorem")])
    database = str(tmp_path / "near" / "milvus.db")
    best, *_ = retrieve.search(database, "stir the soup with 4 onions", limit=3)
    assert (best["id"], best["domain"], best["text"]) == ("cooking-4", "cooking", COOKING[4])
    assert best["score"] == pytest.approx(1 / (60 + best["words"]) + 1 / (60 + best["vector"]))
    with pytest.raises(UserError, match="was filled with embedder=hash:"):
        retrieve.search(database, "soup", embedder="hash:?dim=8")
    with pytest.raises(UserError, match="has no collection 'others'"):
        retrieve.search(database, "soup", collection="others")
    with pytest.raises(UserError, match="limit: expected at least 1, got 0"):
        retrieve.search(database, "soup", limit=0)
    with pytest.raises(UserError, match="no database"):
        retrieve.search(str(tmp_path / "none.db"), "soup")


@pytest.fixture
def server(tmp_path: Path) -> Any:
    """Starts a server that is addressed like a cluster."""
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(tmp_path / "server"))
    yield server, f"http://127.0.0.1:{port}"
    server.stop(grace=None)
    database.close()


def test_a_cluster_has_the_same_result_as_a_file_and_its_token_is_not_written(
    tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", "root:secret")
    monkeypatch.setenv("TENFOLD_KEYS", "MILVUS_TOKEN=127.0.0.1")
    documents, seed_settings = corpus(tmp_path / "all", MATHS, COOKING), [{"source": "maths/1*"}]
    run(tmp_path / "file", documents, seeds=seed_settings)
    run(tmp_path / "cluster", documents, seeds=seed_settings, database=server[1])
    assert similar(tmp_path / "cluster") == similar(tmp_path / "file")
    assert not any(b"secret" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert "secret" not in "".join(capfd.readouterr())
    with pytest.raises(UserError, match="the collection 'documents' contains other documents"):
        run(tmp_path / "others", corpus(tmp_path / "some", MATHS), seeds=seed_settings, database=server[1])


def test_a_server_that_stops_raises_a_one_line_error(tmp_path: Path, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "CALL_SECONDS", 1.0)
    monkeypatch.setattr(milvus, "BATCH", 10)

    def gone(done: int, total: int, inserted: int = 0, **values: int) -> None:
        if inserted:
            server[0].stop(grace=None).wait()

    with pytest.raises(UserError, match=r"^Milvus at http://127.*run the stage again, which resumes from here$") as error:
        run(tmp_path / "near", corpus(tmp_path / "all", MATHS), gone, seeds=[{"domain": "maths"}], database=server[1])
    assert "\n" not in str(error.value)


def test_an_unreachable_server_raises_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus, "CONNECT_SECONDS", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(UserError, match="check that the server runs and that MILVUS_TOKEN is correct"):
            milvus.check(f"http://127.0.0.1:{taken.getsockname()[1]}")


def test_a_database_opened_by_another_process_raises_a_one_line_error(tmp_path: Path) -> None:
    from milvus_lite import MilvusLite

    database = str(tmp_path / "milvus.db")
    other = MilvusLite(database)  # its lock also prevents a second opening by the same process
    try:
        with pytest.raises(UserError, match="is it open in another process"), milvus.connect(database):
            pass
    finally:
        other.close()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [{"domain": "history"}]}, "no text matches {'domain': 'history'}"),
        ({"seeds": [{"domain": "maths"}], "database": "http://root:secret@127.0.0.1"}, "MILVUS_TOKEN"),
        ({"seeds": [{"domain": "maths"}], "database": "http://root:secret@127.0.0.1/a.db"}, "MILVUS_TOKEN"),
        ({"seeds": [{"domain": "maths"}], "database": "root:secret@127.0.0.1:19530"}, "MILVUS_TOKEN"),
        ({"seeds": [{"domain": "maths"}], "database": "milvus"}, "a folder NAME.db"),
        ({"seeds": [{"domain": "maths"}], "database": "http://localhost:99999"}, r"http\(s\)://HOST:PORT"),
        ({"seeds": [{"domain": "maths"}], "database": "http://localhost:port"}, r"http\(s\)://HOST:PORT"),
    ],
)
def test_invalid_settings_raise_a_one_line_error_without_secrets(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        run(tmp_path / "near", corpus(tmp_path / "all", MATHS), **changes)
    assert "secret" not in str(error.value)


def test_seeds_are_either_a_uri_or_patterns_of_documents() -> None:
    for wrong in (
        {},
        {"uri": "jsonl:a", "domain": "maths"},
        {"domain": "maths", "weight": 0},
        {"domain": "a", "weight": math.inf},
    ):
        with pytest.raises(pydantic.ValidationError):
            seeds.Seeds.model_validate(wrong)


def test_a_corpus_without_documents_raises_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no document in"):
        run(tmp_path / "near", corpus(tmp_path / "all", []), seeds=[{"domain": "maths"}])
