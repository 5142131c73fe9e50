import json
from pathlib import Path

import pytest

from tenfold.benchmarks import judged
from tenfold.core import UserError


def test_a_baseline_may_have_any_line_separator_of_unicode_in_its_answers_and_empty_lines(tmp_path: Path) -> None:
    row = {"uid": "q", "answer": "one\u2028two\x85three"}
    (tmp_path / "baseline.jsonl").write_text(json.dumps(row, ensure_ascii=False) + "\n\n", encoding="utf-8")
    assert judged.baseline(str(tmp_path / "baseline.jsonl")) == {"q": row["answer"]}


@pytest.mark.parametrize(
    "line", [b'{"uid": "q", "answer": null}', b'{"uid": "q", "answer": "\xff"}', b"[" * 100_000, b"7", b"{}"]
)
def test_a_baseline_with_a_line_of_another_form_is_an_error(line: bytes, tmp_path: Path) -> None:
    (tmp_path / "baseline.jsonl").write_bytes(b'{"uid": "p", "answer": "x"}\n' + line)
    with pytest.raises(UserError, match="line 2: expected an object with uid and answer"):
        judged.baseline(str(tmp_path / "baseline.jsonl"))
