"""The identity of an environment."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold.core import Message, Problem, UserError
from tenfold.envs import identity, registry
from tenfold.policies.identity import files
from tenfold.policies.scripted import ScriptedPolicy

ROWS = [{"question": f"{n} + 1?", "answer": str(n + 1)} for n in range(3)]


@pytest.fixture
def rows(lab: Path) -> Path:
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return lab / "rows.jsonl"


def changed(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_an_identity_has_settings_and_digests_of_their_data(rows: Path) -> None:
    tenfold.register("lab/Sums-v0", problems="jsonl:rows.jsonl", verifier="math", template="{prompt} Now.")
    found = identity.of_environment("lab/Sums-v0", {"system": "Be brief."})
    content = found.pop("problems content")
    assert found == {
        "entry_point": "tenfold.envs.text:TextEnv",
        "problems": "jsonl:rows.jsonl",
        "verifier": "tenfold.verifiers.math:verify",
        "verifier form": "worked_out",
        "template": "{prompt} Now.",
        "system": "Be brief.",
    }
    changed(rows, '"answer": "3"', '"answer": "4"')
    assert identity.of_environment("lab/Sums-v0")["problems content"] != content
    changed(rows, '"answer": "4"', '"answer": "3"')
    assert identity.of_environment("lab/Sums-v0")["problems content"] == content


def test_objects_are_identified_by_their_content() -> None:
    def registered(gold: str, slack: int) -> dict[str, str]:
        def near(problem: Problem, response: str) -> bool:
            return abs(int(response) - int(problem.answer)) <= slack

        problem = Problem("p", (Message(role="user", content="1 + 1?"),), gold, "")
        tenfold.register("lab/Objects-v0", problems=[problem], verifier=near)  # type: ignore[arg-type]
        return identity.of_environment("lab/Objects-v0")

    first = registered("2", 0)
    assert registered("2", 0) == first
    assert registered("3", 0)["problems content"] != first["problems content"]
    assert registered("2", 1)["verifier source"] != first["verifier source"]


class Own:
    """A class of the user."""


def test_files_and_modules_are_identified_by_their_content(rows: Path) -> None:
    (rows.parent / "lab_scores.py").write_text("def score(x):\n    return x\n")
    (rows.parent / "tables").mkdir()
    (rows.parent / "tables/one.csv").write_text("1")
    given: dict[str, Any] = {
        "table": "rows.jsonl",
        "scorer": "lab_scores:score",
        "folder": "tables",
        "depth": 3,
        "owner": Own(),
    }
    tenfold.register("lab/Own-v0", entry_point=f"{__name__}:Own", **given)
    first = identity.of_environment("lab/Own-v0")
    assert first["depth"] == "3"
    for path, old, new, name in (
        (rows, "1 + 1", "1 + 2", "table content"),
        (rows.parent / "lab_scores.py", "x\n", "2 * x\n", "scorer source"),
        (rows.parent / "tables/one.csv", "1", "10", "folder content"),
    ):
        changed(path, old, new)
        now = identity.of_environment("lab/Own-v0")
        assert {key for key in first if first[key] != now[key]} == {name}
        first = now
    assert "entry_point source" in first


@pytest.mark.parametrize("sign", [".", "/", "~", "~20 words", "~no-such-user"])
@pytest.mark.usefixtures("lab")
def test_a_text_that_is_no_path_of_data_is_identified_by_itself(sign: str) -> None:
    tenfold.register("lab/Signs-v0", entry_point=f"{__name__}:Own", sign=sign)
    found = identity.of_environment("lab/Signs-v0")
    assert (found["sign"], "sign content" in found) == (sign, False)


@pytest.mark.parametrize(("empty", "text"), [([], "[]"), ((), "[]"), ({}, "{}")], ids=repr)
def test_an_empty_value_is_not_an_absent_one(empty: object, text: str) -> None:
    tenfold.register("lab/Allowed-v0", entry_point=f"{__name__}:Own", words=empty)
    assert identity.of_environment("lab/Allowed-v0")["words"] == text


def test_rows_in_an_unknown_format_are_identified_by_their_file(lab: Path) -> None:
    (lab / "own.jsonl").write_text('{"board": "x.o", "best": 1}\n')
    tenfold.register("lab/Boards-v0", problems="jsonl:own.jsonl", entry_point=f"{__name__}:Own")
    first = identity.of_environment("lab/Boards-v0")
    changed(lab / "own.jsonl", '"best": 1', '"best": 2')
    assert identity.of_environment("lab/Boards-v0")["problems content"] != first["problems content"]


def test_other_problems_replace_those_of_a_wrapped_environment(rows: Path) -> None:
    """Does not use GSM8K itself."""
    wrapper = {"entry_point": "tenfold.envs.tools:with_python", "environment": "tenfold/GSM8K-v0"}
    tenfold.register("lab/Wrapped-v0", **wrapper, problems="jsonl:rows.jsonl")
    found = identity.of_environment("lab/Wrapped-v0")
    assert found["environment problems"] == "jsonl:rows.jsonl"
    assert "environment problems content" in found
    tenfold.register("lab/Wrapped-v0", **wrapper)
    with pytest.raises(UserError, match="openai/gsm8k"):
        identity.of_environment("lab/Wrapped-v0")


def test_a_reward_model_is_identified_by_weights_and_tokenizer(rows: Path) -> None:
    from tenfold.policies import checkpoints

    folder = checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2")
    (rows.parent / "a judge").symlink_to(folder)
    preference = {"entry_point": "tenfold.envs.preference:PreferenceEnv", "reward_model": "path:a judge"}
    tenfold.register("lab/Preferred-v0", problems="jsonl:rows.jsonl", **preference)
    first = identity.of_environment("lab/Preferred-v0")
    assert {"reward_model model.safetensors", "reward_model chat_template.jinja"} <= first.keys()
    (rows.parent / "a judge").unlink()
    (rows.parent / "a judge").symlink_to(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2&seed=1"))
    now = identity.of_environment("lab/Preferred-v0")
    assert {name for name in first if first[name] != now[name]} == {"reward_model model.safetensors"}


@pytest.mark.parametrize("uri", ["scripted:7", "openai:model?base_url=http://localhost:1/v1"])
def test_a_policy_without_files_is_its_uri(uri: str) -> None:
    assert files(uri) == {}


def test_a_function_policy_is_identified_by_its_source_text(lab: Path) -> None:
    (lab / "lab_says.py").write_text("def say(conversation, seed):\n    return '7'\n")
    before = files("call:lab_says:say")
    changed(lab / "lab_says.py", "7", "8")
    assert files("call:lab_says:say") != before


def test_a_store_is_not_continued_with_other_gold_answers_or_judge(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENFOLD_JUDGE", "scripted:VERDICT: UNSURE")
    tenfold.register("lab/Kept-v0", problems="jsonl:rows.jsonl", verifier="judge")

    def play() -> int:
        return len(tenfold.rollout("lab/Kept-v0", ScriptedPolicy("The answer is 2."), samples=2, store="episodes.jsonl"))

    assert play() == play() == 6
    stored = Path("episodes.jsonl").read_bytes()
    os.environ["TENFOLD_JUDGE"] = "scripted:VERDICT: DIFFERENT"
    with pytest.raises(UserError, match=r"made with rewards=\{'verifier policy': 'scripted:VERDICT: UNSURE'\}, not"):
        play()
    os.environ["TENFOLD_JUDGE"] = "scripted:VERDICT: UNSURE"
    changed(rows, '"answer": "3"', '"answer": "2"')
    with pytest.raises(UserError, match=r"was made with rewards=\{'problems content': "):
        play()
    assert Path("episodes.jsonl").read_bytes() == stored


def test_a_store_records_the_environments_id_and_not_gymnasiums_wrappers(rows: Path) -> None:
    tenfold.register("lab/Named-v0", problems="jsonl:rows.jsonl")
    tenfold.rollout("lab/Named-v0", ScriptedPolicy("2"), samples=1, store="named.jsonl", store_settings={"by": "me"})
    settings = json.loads(Path("named.jsonl").read_text().splitlines()[0])
    assert "'environment': 'lab/Named-v0'" in str(settings)
    assert "'by': 'me'" in str(settings)


def test_an_environment_with_a_module_is_identified_in_nested_arguments(rows: Path) -> None:
    source = "import tenfold\ntenfold.register('lab/Late-v0', problems='jsonl:rows.jsonl')\n"
    (rows.parent / "lab_late.py").write_text(source)
    mixture = {"entry_point": "tenfold.envs.mixture:Mixture", "environments": ["lab_late:lab/Late-v0"]}
    tenfold.register("lab/Mixed-v0", **mixture)
    assert "environments 0 problems content" in identity.of_environment("lab/Mixed-v0")
    sys.modules.pop("lab_late")


def test_texts_of_rows_are_data(lab: Path) -> None:
    rows = [
        {"question": "generate:os:mkdir?path=made", "answer": "1"},
        {"id": "gsm:q-v1", "question": "lab/nothing.jsonl", "answer": "2", "verifier": "none", "rules": "none"},
    ]
    tenfold.register("lab/Rows-v0", problems=rows)
    first = identity.of_environment("lab/Rows-v0")
    assert not (lab / "made").exists()
    assert "generate" not in str(first)
    assert "os:mkdir" not in {*registry.user_code_names()}
    rows[1]["answer"] = "3"
    tenfold.register("lab/Rows-v0", problems=[*rows])
    assert identity.of_environment("lab/Rows-v0")["problems content"] != first["problems content"]
