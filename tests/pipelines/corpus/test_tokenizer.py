from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pyarrow
import pytest
from transformers import AutoTokenizer

from tenfold.core import UserError
from tenfold.pipelines.corpus import shards, tokenizer
from tenfold.pipelines.stage import Context


def stage(documents: Path, **changes: Any) -> tokenizer.Tokenizer:
    given = {"kind": "tokenizer", "name": "tokenizer", "documents": str(documents), "vocabulary": 300}
    return tokenizer.Tokenizer.model_validate(given | changes)


def corpus(folder: Path) -> Path:
    (folder / shards.DOCUMENTS).mkdir()
    row = {"id": "a", "text": " ".join(topics.values()), "source": "s", "domain": "text"}
    shards.write(folder / shards.DOCUMENTS / "0.parquet", pyarrow.Table.from_pylist([row], schema=shards.SCHEMA))
    return folder


def test_each_digit_is_a_token_and_letters_are_merged(tmp_path: Path) -> None:
    chosen = stage(corpus(tmp_path))
    chosen.check()
    metrics = chosen.run(Context(tmp_path, "", 0, {}, lambda *a, **k: None))
    assert metrics["vocabulary"] == 300
    assert metrics["characters_per_token"] > 1
    trained = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
    assert trained.tokenize("12345") == ["1", "2", "3", "4", "5"]


def test_check_refuses_a_folder_without_documents(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no documents"):
        stage(tmp_path).check()
