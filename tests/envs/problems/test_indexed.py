"""Large sources: their problems are read when they are asked for, and are equal to those of a list."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tenfold.core import Problem, UserError
from tenfold.envs.problems import sources
from tenfold.envs.problems.stored.problems import IndexedProblems

Load = Callable[[str], Sequence[Problem]]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Loads a URI as if its files were large."""

    def load(uri: str) -> Sequence[Problem]:
        with monkeypatch.context() as patch:
            patch.setattr(sources, "SMALL_BYTES", 0)
            patch.setattr(sources, "SMALL_ROWS", 0)
            sources._load.cache_clear()
            problems = sources.load(uri)
        sources._load.cache_clear()
        assert isinstance(problems, IndexedProblems)
        return problems

    return load


def outcome(load: Load, uri: str) -> object:
    """Returns the problems of a URI, or that there is an error. Of several errors, another one may come first."""
    try:
        return [*load(uri)]
    except UserError:
        return "error"


IDS = st.sampled_from(["a", "a#2", "a#3", "b", "rows/1", "rows/3", "mbpp/a", "mbpp/rows/2", "", None, 1, "1", 2.0])
TEXTS = st.sampled_from(["1+1?", "è ☃", "", "\ud800", "line\nline", None])
GOLDS = st.sampled_from([2, "2", "so\n#### 7", "####", "", None, [1, 2], {"gold": 3}, float("nan")])
ROWS = st.one_of(
    st.fixed_dictionaries({"question": TEXTS, "answer": GOLDS}, optional={"id": IDS, "unique_id": IDS, "task_id": IDS}),
    st.fixed_dictionaries({"prompt": TEXTS, "answer": GOLDS}, optional={"id": IDS, "key": IDS, "index": IDS, "uid": IDS}),
    st.fixed_dictionaries(
        {"text": st.just("add"), "test_list": st.just(["assert f(1) == 1"]), "code": st.just("")}, optional={"task_id": IDS}
    ),
    st.fixed_dictionaries(
        {"question": TEXTS, "choices": st.just(["x", "y"]), "answer": st.sampled_from([0, 1, 5])},
        optional={"id": IDS, "uuid": IDS},
    ),
)
LINES = st.one_of(
    ROWS.map(json.dumps),
    ROWS.map(lambda row: json.dumps(row, ensure_ascii=False).encode("utf-8", "replace").decode()),
    st.sampled_from(["", " \t", "\ufeff" + '{"question": "1?", "answer": 1}']),
)
OPTIONS = st.sampled_from(
    [
        "",
        "?skip=1",
        "?limit=2",
        "?skip=2&limit=3",
        "?limit=0",
        "?skip=50",
        "?shuffle=3",
        "?id=id",
        "?id=key",
        "?answer_after=%23%23%23%23",
        "?skip=1&id=question",
    ]
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(LINES, max_size=12), header=st.booleans(), end=st.sampled_from(["", "\n", "\n\n"]), options=OPTIONS)
def test_the_problems_are_those_of_a_list(
    tmp_path: Path, large: Load, lines: list[str], header: bool, end: str, options: str
) -> None:
    lines = ['{"settings": {}}', *lines] if header else lines
    (tmp_path / "rows.jsonl").write_text("\n".join(lines) + end, encoding="utf-8", errors="replace", newline="")
    uri = f"jsonl:{tmp_path}/rows.jsonl{options}"
    sources._load.cache_clear()
    assert outcome(large, uri) == outcome(sources.load, uri)
