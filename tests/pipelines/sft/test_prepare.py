"""Problems are tokenized once, part by part, into shards that the stages and processes of a run share."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenfold.envs.problems import sources
from tenfold.pipelines.sft import examples, prepare, sft
from tenfold.pipelines.stage import Context
from tenfold.pipelines.trainer.data import parts, tokenized
from tenfold.policies import checkpoints
from tenfold.policies.chat.prompts import prompt_tokens

from . import chat_templates

TINY = "micro:?hidden=16&layers=1&heads=2"


def silent(done: int, total: int, **values: object) -> None:
    """Ignores the progress."""


def write_rows(path: Path, count: int) -> str:
    """Writes rows of which every seventh has no answer and every ninth is long; returns their URI."""
    rows = [
        {"question": f"{n} + 1 = ?", "answer": None if n % 7 == 3 else f"{n + 1}" + " indeed" * (40 * (n % 9 == 2))}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl:{path}"


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes shards of five problems, tokenized in this process."""
    monkeypatch.setattr(prepare, "PART", 5)
    monkeypatch.setattr(parts, "PARALLEL", 1000)


def source(uri: str, verifier: str | None = None, policy: str = TINY, **form: Any) -> prepare.Source:
    fixed = {"template": "{prompt}", "system": None, "target_template": "{answer}", "thinking_template": None}
    made = examples.Form(**fixed | {"max_tokens": 40, "truncate": False} | form)
    return prepare.Source(uri, made, verifier, str(checkpoints.checkpoint(policy)))


def train(uri: str, folder: Path, **changes: Any) -> tuple[dict[str, Any], bytes]:
    """Runs an sft stage in a folder; returns its metrics and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    stage = {
        "kind": "sft",
        "name": "sft",
        "problems": uri,
        "steps": 9,
        "batch_size": 4,
        "learning_rate": 1e-3,
        "max_tokens": 40,
    }
    metrics = sft.SFT.model_validate(stage | changes).run(Context(folder, TINY, 1, {}, silent))
    return metrics, (folder / "policy/model.safetensors").read_bytes()


def shards(run: Path) -> dict[Path, int]:
    """Returns the files of all shards of a run, with the times at which they were written."""
    return {path: path.stat().st_mtime_ns for path in sorted((run / tokenized.FOLDER).rglob("*")) if path.is_file()}


@pytest.mark.usefixtures("small_parts")
def test_the_size_of_the_parts_does_not_change_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write_rows(tmp_path / "r.jsonl", 32)
    several = train(uri, tmp_path / "parts" / "sft")
    monkeypatch.setattr(prepare, "PART", 100)
    assert train(uri, tmp_path / "whole" / "sft") == several
    assert len(shards(tmp_path / "parts")) == 7
    assert len(shards(tmp_path / "whole")) == 1
    assert several[0]["why_left_out"] == {"without an answer": 5, "too long": 4}
    assert several[0]["examples"] == 23


@pytest.mark.usefixtures("small_parts")
def test_a_killed_preparation_continues_with_the_missing_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write_rows(tmp_path / "r.jsonl", 32)
    whole = train(uri, tmp_path / "whole" / "sft")
    true_write, written = tokenized.write, list[Path]()

    def killed(shard: Path, found: Any) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        true_write(shard, found)
        written.append(shard)

    monkeypatch.setattr(tokenized, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        train(uri, tmp_path / "killed" / "sft")
    before = shards(tmp_path / "killed")
    assert [*before] == written
    monkeypatch.setattr(tokenized, "write", true_write)
    assert train(uri, tmp_path / "killed" / "sft") == whole
    assert len(shards(tmp_path / "killed")) == 7
    assert shards(tmp_path / "killed").items() >= before.items()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "removed"])
def test_a_damaged_shard_is_written_again(tmp_path: Path, damage: str) -> None:
    rows = source(write_rows(tmp_path / "r.jsonl", 32))
    paths = prepare.prepare(rows, tmp_path, silent)
    before, whole = shards(tmp_path), paths[2].read_bytes()
    if damage == "removed":
        paths[2].unlink()
    else:
        changed = bytes([whole[-40] ^ 1])
        paths[2].write_bytes({"cut": whole[:-9], "changed": whole[:-40] + changed + whole[-39:], "empty": b""}[damage])
    reports = []
    assert prepare.prepare(rows, tmp_path, lambda done, total: reports.append((done, total))) == paths
    assert reports == [(32, 32)]
    assert paths[2].read_bytes() == whole
    assert {path: shards(tmp_path)[path] for path in before if path != paths[2]} == {
        path: time for path, time in before.items() if path != paths[2]
    }


@pytest.mark.usefixtures("small_parts")
def test_stages_with_the_same_examples_share_the_shards(tmp_path: Path) -> None:
    uri = write_rows(tmp_path / "r.jsonl", 32)
    train(uri, tmp_path / "first")
    before = shards(tmp_path)
    train(uri, tmp_path / "second", name="second", steps=3, packed=False)
    assert shards(tmp_path) == before
    train(uri, tmp_path / "third", name="third", template="Please: {prompt}")
    assert len(shards(tmp_path)) == 2 * len(before)


def test_whatever_changes_an_example_changes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = write_rows(tmp_path / "r.jsonl", 12)
    model, tokenizer = checkpoints.load(checkpoints.checkpoint(TINY), dtype=None)  # type: ignore[arg-type]
    tokenizer.chat_template += " "
    model.save_pretrained(tmp_path / "other")
    tokenizer.save_pretrained(tmp_path / "other")
    (tmp_path / "own_verifier.py").write_text("def verify(problem, response):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    keys = [
        source(uri).key,
        source(uri, template="{prompt}!").key,
        source(uri, system="Be brief.").key,
        source(uri, target_template="So: {answer}").key,
        source(uri, thinking_template="").key,
        source(uri, max_tokens=41).key,
        source(uri, truncate=True).key,
        source(uri, "math").key,
        source(uri, "own_verifier:verify").key,
        source(uri, policy=f"path:{tmp_path}/other").key,
        source(f"{uri}?limit=11").key,
    ]
    (tmp_path / "own_verifier.py").write_text("def verify(problem, response):\n    return 0.0\n")
    keys.append(source(uri, "own_verifier:verify").key)
    assert source(uri).key == keys[0]
    write_rows(tmp_path / "r.jsonl", 13)
    keys.append(source(uri).key)
    assert len(set(keys)) == len(keys)


@pytest.mark.usefixtures("small_parts")
def test_two_processes_share_one_preparation(tmp_path: Path, by_one_and_by_two: Any) -> None:
    stage = {"kind": "sft", "name": "sft", "problems": write_rows(tmp_path / "r.jsonl", 32), "steps": 3, "batch_size": 4}
    both = sft.SFT.model_validate(stage | {"max_tokens": 40, "learning_rate": 1e-3})
    by_one_and_by_two(both, TINY, 1)
    # This process has made seven shards of five problems, and the two processes one of all: their parts have the usual size.
    assert sorted(len([*folder.iterdir()]) for folder in (tmp_path / tokenized.FOLDER).iterdir()) == [1, 7]


def test_several_processes_write_the_shards_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "PART", 5)
    rows = source(write_rows(tmp_path / "r.jsonl", 14), verifier="math", target_template="It is {answer}.")
    contents = []
    for name, least in (("one", 1000), ("several", 2)):
        monkeypatch.setattr(parts, "PARALLEL", least)
        contents.append([path.read_bytes() for path in prepare.prepare(rows, tmp_path / name, silent)])
    assert contents[0] == contents[1]


def test_an_error_in_another_process_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps({"question": "?", "answer": "1", "thinking": "One."}) + "\n")
    given = json.loads(json.dumps([source(f"jsonl:{tmp_path}/r.jsonl"), parts.Part(0, 1, [str(tmp_path / "shard")])]))
    message = parts.call(f"{prepare.__name__}:tokenize", "r.jsonl", *given)
    assert "r/0 has thinking, but the model has no <think> tags; set thinking_template" in message


TEMPLATES = {name: getattr(chat_templates, name) for name in "QWEN QWEN3 LLAMA MISTRAL DEEPSEEK MARKED THINKS".split()}
ROWS = [
    {"messages": [{"role": role, "content": text} for role, text in turns]}
    for turns in (
        [("user", "2 + 2?"), ("assistant", "4")],
        [("system", "Be brief."), ("user", "2 + 2?"), ("assistant", "4"), ("user", "and 3 + 3?"), ("assistant", "It is 6.")],
        [("user", "\ud800 é 数学?"), ("assistant", "x" * 300)],
        [("user", "2 + 2?"), ("assistant", "add(2, 2)"), ("tool", "4"), ("assistant", "It is 4.")],
    )
]


@pytest.mark.parametrize("name", ["none", "micro", "thinks", "bos", *TEMPLATES])
def test_examples_that_are_tokenized_together_equal_those_tokenized_alone(tmp_path: Path, name: str) -> None:
    tokenizer: Any = checkpoints.tokenizer_of(checkpoints.checkpoint(TINY))
    if name == "thinks":
        tokenizer.chat_template = tokenizer.chat_template.replace("<|assistant|>'", "<|assistant|><think>\n'")
    elif name == "bos":
        tokenizer.add_special_tokens({"bos_token": "<s>"})
        tokenizer.chat_template = None
    elif name != "micro":
        tokenizer.chat_template = TEMPLATES.get(name)
    call = {"type": "function", "function": {"name": "add", "arguments": {"x": 1}}}
    with_call = {"messages": [{"role": "user", "content": "1?"}, {"role": "assistant", "content": "", "tool_calls": [call]}]}
    rows = [row for row in ROWS if name != "MISTRAL" or row["messages"][0]["role"] != "system"]  # it rejects system turns
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, with_call, *rows[::-1]]))
    problems = sources.load(f"jsonl:{tmp_path}/r.jsonl")

    def found(batch: int) -> Iterator[tuple[tokenized.Tokens | None, str]]:
        return examples.each(problems, tokenizer, source("", max_tokens=900).form, batch=batch)

    together = [tokens for tokens, _ in found(100)]
    assert together == [tokens for tokens, _ in found(1)]
    for problem, tokens in zip(problems, together, strict=True):
        alone = examples.example(problem, tokenizer, "{prompt}", None, "{answer}", None)
        assert tokens is not None
        assert tokens[0] == alone["input_ids"]
        assert [id if kept else tokenized.IGNORED for id, kept in zip(*tokens, strict=True)] == alone["labels"]
        first = next(place for place, turn in enumerate(problem.prompt) if turn["role"] != "system")
        prompt = prompt_tokens(tokenizer, problem.prompt[: first + 1])
        if "tool_calls" not in str(problem.meta) and name in ("none", "micro", "thinks"):
            assert tokens[0][: len(prompt)] == prompt, "as the policy is prompted"
