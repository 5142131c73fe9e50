"""The `mix` stage: every document's tokens are in its source, and held-out documents are separate."""

from pathlib import Path

import numpy
import pyarrow
import pydantic
import pytest

from tenfold.core import UserError
from tenfold.pipelines.corpus import mix, shards, tokens
from tenfold.pipelines.stage import Context
from tenfold.policies import checkpoints

TINY = "micro:?hidden=16&layers=1&heads=2"


def write(folder: Path, number: int, rows: list[dict[str, str]]) -> None:
    (folder / "documents").mkdir(exist_ok=True)
    shards.write(folder / "documents" / f"{number:05}.parquet", pyarrow.Table.from_pylist(rows))


def mixed(folder: Path, documents: Path, **settings: object) -> tokens.Sources:
    folder.mkdir(exist_ok=True)
    stage = mix.Mix.model_validate({"kind": "mix", "name": "mix", "documents": str(documents), "workers": 1} | settings)
    stage.run(Context(folder, TINY, 0, {}, lambda *a, **k: None))
    return tokens.open_sources(folder)


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    for number in range(2):
        rows = [
            {"id": f"{number}-{n}", "text": f"text {number} {n}", "domain": "code" if n % 2 else "text", "grade": "high"}
            for n in range(50)
        ]
        write(tmp_path, number, rows)
    return tmp_path


def test_a_source_has_its_documents_in_order_each_with_an_end_token(documents: Path, tmp_path: Path) -> None:
    sources = mixed(tmp_path / "mix", documents, held_out=0)
    assert sources.tokens.keys() == {"high/code", "high/text"}
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint(TINY))
    ids = numpy.fromfile(tokens.file_of(sources.folder, "high/code"), sources.dtype)
    expected = [f"text {number} {n}" for number in range(2) for n in range(1, 50, 2)]
    assert tokenizer.decode(ids) == "".join(text + tokenizer.eos_token for text in expected)
    assert len(ids) == sources.tokens["high/code"]


def test_the_name_of_the_end_token_in_a_document_is_text(tmp_path: Path) -> None:
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint(TINY))
    text = f"END = '{tokenizer.eos_token}'"
    write(tmp_path, 0, [{"id": str(n), "text": text, "domain": "code"} for n in range(3)])
    sources = mixed(tmp_path / "mix", tmp_path, held_out=0)
    ids = numpy.fromfile(tokens.file_of(sources.folder, "code"), sources.dtype)
    assert (ids == sources.end).sum() == 3
    assert tokenizer.decode(ids) == (text + tokenizer.eos_token) * 3


def test_sources_are_limited_by_the_setting_max_tokens(documents: Path, tmp_path: Path) -> None:
    whole = mixed(tmp_path / "whole", documents)
    limited_mix = mixed(tmp_path / "limited_mix", documents, max_tokens={"high/code": 50, "*": 1e9})
    assert limited_mix.tokens == whole.tokens | {"high/code": 50}
    assert limited_mix.held_out == whole.held_out
    limited, full = (numpy.fromfile(tokens.file_of(part.folder, "high/code"), part.dtype) for part in (limited_mix, whole))
    assert limited.tolist() == full[:50].tolist()
    with pytest.raises(pydantic.ValidationError, match="greater than or equal to 0"):
        mixed(tmp_path / "negative", documents, max_tokens={"*": -5})


def test_held_out_documents_are_deterministic_and_not_in_the_training_tokens(documents: Path, tmp_path: Path) -> None:
    both = [mixed(tmp_path / name, documents, held_out=0.3) for name in ("first", "second")]
    assert both[0].tokens == both[1].tokens
    tokenizer = checkpoints.tokenizer_of(checkpoints.checkpoint(TINY))

    def texts(held_out: bool) -> list[str]:
        data = numpy.fromfile(tokens.file_of(both[0].folder, "high/text", held_out), both[0].dtype)
        return tokenizer.decode(data).split(tokenizer.eos_token)[:-1]

    assert not set(texts(True)) & set(texts(False))
    assert len(texts(True)) + len(texts(False)) == 50
    assert 5 < len(texts(True)) < 25


def test_a_killed_stage_resumes_with_the_same_tokens(documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = mixed(tmp_path / "whole", documents)
    real, written = shards.write, []

    def killed(*arguments: object) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(real(*arguments))  # type: ignore[arg-type, func-returns-value]

    monkeypatch.setattr(shards, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        mixed(tmp_path / "again", documents)
    monkeypatch.undo()
    again = mixed(tmp_path / "again", documents)
    for source in whole.tokens:
        first, second = (tokens.file_of(sources.folder, source).read_bytes() for sources in (whole, again))
        assert first == second


def test_a_folder_without_documents_raises_a_one_line_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no documents: use the folder of a stage that writes documents"):
        mixed(tmp_path / "mix", tmp_path)
