"""lm-eval's own tasks on small data in their form: lm-eval's prompts and metrics with our policies, store and score."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager

from tenfold.benchmarks import catalogue, evaluate, lm_eval_tasks
from tenfold.benchmarks.lm import PolicyLM
from tenfold.benchmarks.result import Options
from tenfold.core import Conversation, UserError
from tenfold.policies import checkpoints
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.policies.transformers import TransformersPolicy

GSM8K = [{"question": f"What is {n} + 1?", "answer": f"{n} + 1 = {n + 1}\n#### {n + 1}"} for n in range(8)]
MMLU = [{"question": f"Which is {n}?", "choices": ["0", "1", "2", "3"], "answer": n % 4, "subject": "x"} for n in range(8)]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: str, name: str | None = None, **kwargs: Any) -> Any:
        rows = {"openai/gsm8k": GSM8K, "cais/mmlu": MMLU}[path]
        part = datasets.Dataset.from_list(rows)
        return datasets.DatasetDict({split: part for split in ("train", "test", "dev", "validation")})

    monkeypatch.setattr(datasets, "load_dataset", load)


def test_gsm8k_has_few_shot_prompts_as_plain_text_and_lm_evals_metric(hub: None, tmp_path: Path) -> None:
    seen: list[Conversation] = []

    def answer(conversation: Conversation, seed: int) -> str:
        seen.append(conversation)
        number = int(conversation[0]["content"].rsplit("What is ", 1)[1].split()[0])
        return f"It is {number + 1}.\n#### {number + 1 if number < 2 else 0}"

    result = lm_eval_tasks.evaluate("lm_eval:gsm8k", ScriptedPolicy(answer), Options(limit=4), folder=tmp_path)
    assert (result.score.mean, result.score.problems, result.score.samples) == (0.5, 4, 1)
    assert result.figures["gsm8k exact_match,strict-match"] == 0.5
    assert [turn["role"] for turn in seen[0]] == ["text"]
    assert seen[0][0]["content"].count("Question: What is") == 6
    again = lm_eval_tasks.evaluate("lm_eval:gsm8k", ScriptedPolicy("not asked again"), Options(limit=4), folder=tmp_path)
    assert again == result


def test_lm_evals_scorers_do_not_see_answers_inside_reasoning(hub: None) -> None:
    responses = iter(
        ["<think>\n#### {}\nBut", "<think>\n#### 0\n</think>\n#### {}", "#### {}", "<think>\n#### {}\n</think>\n#### 0"]
    )

    def answer(conversation: Conversation, seed: int) -> str:
        return next(responses).replace("{}", str(int(conversation[0]["content"].rsplit("What is ", 1)[1].split()[0]) + 1))

    result = lm_eval_tasks.evaluate("lm_eval:gsm8k", ScriptedPolicy(answer), Options(limit=4))
    assert result.figures["gsm8k exact_match,strict-match"] == result.figures["gsm8k exact_match,flexible-extract"] == 0.5


def test_mmlu_needs_a_policy_with_likelihoods(hub: None) -> None:
    policy = TransformersPolicy(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))
    result = lm_eval_tasks.evaluate("lm_eval:mmlu_abstract_algebra", policy, Options(limit=4))
    assert result.score.problems == 4
    assert 0 <= result.score.mean <= 1
    with pytest.raises(UserError, match="which this policy does not compute"):
        lm_eval_tasks.evaluate("lm_eval:mmlu_abstract_algebra", ScriptedPolicy("A"), Options(limit=4))


def test_the_log_likelihood_of_a_continuation_is_the_sum_over_its_tokens(hub: None) -> None:
    import torch

    policy = TransformersPolicy(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"), batch_size=2)
    pairs = [
        ("12 + 3 =", " 15"),
        ("1", "2"),
        ("9 - 4 =", " 5 "),
        ("What is", " the number"),
        (policy.tokenizer.eos_token, "7+8"),
    ]
    together = policy.loglikelihoods(pairs)
    for (context, continuation), (likelihood, _) in zip(pairs, together, strict=True):
        ids = policy.tokenizer(context + continuation)["input_ids"]
        start = len(policy.tokenizer(context)["input_ids"])
        with torch.inference_mode():
            logprobs = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        alone = sum(float(logprobs[index - 1, ids[index]]) for index in range(start, len(ids)))
        assert likelihood == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("pair", [("What is ", "the number"), ("What is  ", "the number"), ("", "the"), (" ", "the number")])
def test_spaces_before_a_continuation_and_the_first_token_of_a_text_are_scored(hub: None, pair: tuple[str, str]) -> None:
    policy = TransformersPolicy(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"))
    context, continuation = pair
    before = context.rstrip() or policy.tokenizer.eos_token  # this tokenizer has no token that begins a text
    moved = (before, context[len(context.rstrip()) :] + continuation)
    (found,), (expected,) = policy.loglikelihoods([pair]), policy.loglikelihoods([moved])
    assert found == (pytest.approx(expected[0], abs=1e-4), expected[1])


TASK = """
dataset_path: openai/gsm8k
test_split: test
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
output_type: generate_until
"""


@pytest.fixture
def small(hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replaces lm-eval's tasks by small ones."""
    (tmp_path / "small").mkdir()
    for name, settings in {
        "limited": "tag: [several]\ngeneration_kwargs: {until: 'Question:', max_new_tokens: 7}\n"
        "metric_list: [{metric: exact_match}]",
        "corpus": "metric_list: [{metric: bleu}]",
        "coded": "tag: [risky]\nunsafe_code: true",
    }.items():
        (tmp_path / "small" / f"{name}.yaml").write_text(f"task: {name}\n{TASK}{settings}\n")
    (tmp_path / "small" / "both.yaml").write_text("group: both\ntask: [limited, coded]\n")
    monkeypatch.setattr(catalogue, "LM_EVALS", tmp_path)
    for cached in (catalogue.lm_eval_tasks, catalogue._all_lm_eval_tasks):
        cached.cache_clear()
    yield
    for cached in (catalogue.lm_eval_tasks, catalogue._all_lm_eval_tasks):
        cached.cache_clear()


@pytest.mark.parametrize("name", ["limited", "several"])
def test_a_task_or_a_tag_has_the_tasks_token_limit_and_stop_text(name: str, small: None) -> None:
    seen = []

    class Policy(ScriptedPolicy):
        def generate(self, conversations: Any, samples: int, sampling: Any, keys: Any = None) -> Any:
            seen.append((sampling.max_tokens, sampling.stop))
            return super().generate(conversations, samples, sampling, keys)

    result = lm_eval_tasks.evaluate(f"lm_eval:{name}", Policy("1 + 1 = 2\n#### 2"), Options())
    assert result.score.mean == 1 / 8
    assert set(seen) == {(7, ("Question:",))}


@pytest.mark.parametrize("prompt", ["[{1, 2}, {3}] has length", '[{"a": 1}]', "[{" * 50_000])
def test_a_plain_text_prompt_may_look_like_a_conversation(prompt: str) -> None:
    policy = ScriptedPolicy(lambda conversation, seed: f"{conversation[0]['role']} {conversation[0]['content']}")
    [sampled] = PolicyLM(policy).generate_until([Instance("generate_until", {}, (prompt, {"max_gen_toks": 9}), 0)])
    assert sampled == f"text {prompt}"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("corpus", "metric bleu has no score from 0 to 1 for each problem"),
        ("coded", "outside of a sandbox"),
        ("both", "outside of a sandbox"),
        ("risky", "outside of a sandbox"),
        ("limited_avg4", "have their own number of samples; omit _avg4"),
    ],
)
def test_tasks_that_cannot_be_measured_are_errors(name: str, words: str, small: None) -> None:
    with pytest.raises(UserError, match=words):
        evaluate.evaluate(f"lm_eval:{name}", ScriptedPolicy("1"))


def test_an_unknown_task_and_a_task_that_runs_code_outside_the_sandbox_are_errors() -> None:
    with pytest.raises(UserError, match="outside of a sandbox"):
        lm_eval_tasks.evaluate("lm_eval:humaneval", ScriptedPolicy("x"), Options())
    with pytest.raises(UserError, match="lm-eval has no task 'gsm9k'"):
        lm_eval_tasks.evaluate("lm_eval:gsm9k", ScriptedPolicy("x"), Options())


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replaces lm-eval's folder of tasks by a small one."""
    for file, text in {
        "first/one.yaml": "task: one\ntag: [odd]\ndataset_path: sums",
        "second/nested/two.yaml": "include: ../base\ntask: two",
        "second/base": "dataset_path: differences",
        "second/again.yaml": "task: one\ndataset_path: quotients",
        "third/three.yaml": "task: three\ntag: odd",
        "third/both.yaml": "group: both\ntask: [one, two]",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.setattr(catalogue, "LM_EVALS", tmp_path)
    for cached in (catalogue.lm_eval_tasks, catalogue._all_lm_eval_tasks):
        cached.cache_clear()
    yield
    for cached in (catalogue.lm_eval_tasks, catalogue._all_lm_eval_tasks):
        cached.cache_clear()


def test_a_task_is_found_without_parsing_other_folders_and_a_group_with_all_its_tasks(folders: None) -> None:
    found = {name: catalogue.lm_eval_tasks(name).task_index for name in ("one", "two", "three", "both", "odd", "thre")}
    everything = TaskManager(include_path=str(catalogue.LM_EVALS), include_defaults=False).task_index
    assert {name: index.get(name) for name, index in found.items()} == everything | {"thre": None}
    assert found["one"]["one"].cfg["dataset_path"] == "sums"  # the first file counts
    assert (found["one"].keys(), found["two"].keys(), found["thre"].keys()) == ({"one", "odd"}, {"two", "one"}, set())
    assert found["both"] == found["odd"] == everything


@pytest.mark.slow
def test_tasks_are_the_same_as_in_lm_evals_own_index() -> None:
    everything = TaskManager().task_index
    for name in ("gsm8k", "mmlu_abstract_algebra", "mmlu", "humaneval", "ai2_arc", "hellaswag"):
        assert catalogue.lm_eval_tasks(name).task_index[name] == everything[name]


def test_lm_evals_scorer_and_ours_agree_on_the_same_responses(hub: None, tmp_path: Path) -> None:
    """They also agree on the 5,276 labelled solutions of GSM8K, which are not part of this repository."""
    (tmp_path / "gsm8k_test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in GSM8K))
    ends = ["#### {}", "#### {}.", "#### {},000", "#### -{}", "#### 7\n#### {}", "#### ${}", "####", "The answer is {}."]

    def answer(conversation: Conversation, seed: int) -> str:
        number = int(conversation[0]["content"].rsplit("What is ", 1)[1].split()[0])
        return f"{number} and 1.\n" + ends[number].replace("{}", str(number + (number != 6)))

    theirs = lm_eval_tasks.evaluate("lm_eval:gsm8k", ScriptedPolicy(answer), Options(), folder=tmp_path / "theirs")
    ours = evaluate.run_task("gsm8k_avg1", ScriptedPolicy(answer), Options(data=str(tmp_path)), folder=tmp_path / "ours")

    def scores(folder: str, task: str) -> list[float]:
        return [json.loads(line)["samples"][0]["score"] for line in (tmp_path / folder / task).open()]

    assert theirs.task == "lm_eval_gsm8k"
    strict, own = scores("theirs", f"{theirs.task}.scores.jsonl"), scores("ours", f"{ours.task}.scores.jsonl")
    assert strict[:4] == own[:4] == [1, 1, 0, 0]
    # lm-eval's strict match takes the first ####, and reads no other form.
    assert (strict[4:], own[4:]) == ([0, 0, 0, 0], [1, 1, 0, 1])
