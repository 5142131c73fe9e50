import json
from pathlib import Path

import pytest
import tenfold
from hypothesis import given
from hypothesis import strategies as st
from tenfold.pipelines.context import Context
from tenfold.pipelines.rl import filter as rl_filter


def run(lab: Path, policy: str, **changes: object) -> dict:
    rows = [{"question": f"{n} mod 4", "answer": n % 4} for n in range(12)]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"kind": "filter", "name": "filter", "environment": "lab/Mod-v0", "max_tokens": 4} | changes
    if "lab/Mod-v0" not in tenfold.envs.registry.ids():
        tenfold.register("lab/Mod-v0", problems=f"jsonl:{lab}/rows.jsonl")
    (lab / "filter").mkdir()
    context = Context(lab / "filter", policy, 1, {}, lambda *args, **figures: None)
    return rl_filter.run(
        rl_filter.Filter.model_validate(settings | {"options": {"problems": f"jsonl:{lab}/rows.jsonl"}}), context
    )


def test_problems_inside_the_band_stay_and_all_are_recorded(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tenfold.policies.scripted import ScriptedPolicy

    def says(conversation: list, seed: int) -> str:
        number = int(conversation[0]["content"].split()[0])
        return str(number % 4) if number < 4 or (number < 8 and seed % 2) else "9"

    monkeypatch.setattr(rl_filter, "load_policy", lambda uri, **options: ScriptedPolicy(says))
    metrics = run(lab, "scripted:", samples=32)
    problems = json.loads((lab / "filter/kept.json").read_text())["problems"]
    assert [row["index"] for row in problems if row["kept"]] == [4, 5, 6, 7]
    assert [row["pass_rate"] for row in problems[:4] + problems[8:]] == [1] * 4 + [0] * 4
    assert (metrics["kept"], metrics["dropped"]) == (4, 8)
    assert (metrics["histogram"][0], sum(metrics["histogram"][1:9]), metrics["histogram"][9]) == (4, 4, 4)


@pytest.mark.parametrize("answer", ["0", "nothing"])
def test_the_ends_of_the_band_are_not_in_it(lab: Path, answer: str) -> None:
    with pytest.raises(tenfold.core.UserError, match="none of 12 problems"):
        run(lab, f"scripted:{answer}", samples=2, above=0.0, below=1.0)


@given(st.lists(st.floats(0, 1)))
def test_the_histogram_counts_every_rate_once(rates: list[float]) -> None:
    counts = rl_filter.histogram(rates)
    assert sum(counts) == len(rates)
    assert len(counts) == 10
