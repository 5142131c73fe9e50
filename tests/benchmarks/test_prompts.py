"""Prompts and sampling settings that depend on the model: base models, thinking on and off, recommended sampling settings."""

import json
import shutil
from pathlib import Path

import pytest

from tenfold import cli
from tenfold.benchmarks import evaluate
from tenfold.benchmarks.report.comparable import Measured, setting_differences
from tenfold.benchmarks.result import Options, Result, results
from tenfold.core import Completion, Conversation, Sampling, UserError
from tenfold.policies import checkpoints
from tenfold.policies.chat.prompts import prompt_tokens
from tenfold.policies.scripted import ScriptedPolicy

THINKING = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}<|assistant|>"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
)
"""A chat template with the variable of Qwen3's."""


def run(*arguments: str) -> int:
    return cli.main(["bench", *arguments])


@pytest.fixture
def model(lab: Path) -> Path:
    """A checkpoint in the folder `model` with a chat template, and a task file with two few-shot examples."""
    (lab / "sums.jsonl").write_text('{"question": "3 + 4?", "answer": 7}\n{"question": "3 + 5?", "answer": 8}\n')
    (lab / "sums.yaml").write_text(
        "problems: 'jsonl:sums.jsonl'\nsamples: 2\nmax_tokens: 8\nfewshot: 0\n"
        "examples: [{prompt: '1 + 1?', response: '2'}, {prompt: '2 + 2?', response: '4'}]\n"
    )
    return shutil.copytree(checkpoints.checkpoint("micro:?hidden=16&layers=1&heads=2"), lab / "model")


def measure(out: str, *options: str) -> Result:
    assert run("--task", "sums.yaml", "--policy", "path:model", "--out", out, *options) == 0
    written = max(Path(out).glob("*.result.json"), key=lambda path: path.stat().st_mtime_ns)
    return next(result for result in results(out) if written.name == f"{result.task}.result.json")


def without_template(model: Path) -> None:
    (model / "chat_template.jinja").unlink()
    assert not checkpoints.tokenizer_of(model).chat_template


def test_a_base_model_gets_few_shot_prompts_as_plain_text(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without_template(model)
    result = measure("b", "--text", "--fewshot", "2")
    prompt = "Question: 1 + 1?\n\nAnswer: 2\n\nQuestion: 2 + 2?\n\nAnswer: 4\n\nQuestion: 3 + 4?\nAnswer:"
    row = json.loads(Path("b/sums_avg2.scores.jsonl").read_text().splitlines()[0])
    assert row["prompt"] == [{"role": "text", "content": prompt}]
    assert (result.settings["text"], result.settings["stop"], result.cautions) == (True, ["\nQuestion:"], [])
    assert "caution" not in capsys.readouterr().err
    assert run("rescore", "b") == 0
    assert results("b") == [result]


def test_a_sample_of_a_plain_text_prompt_ends_at_the_next_question(model: Path) -> None:
    class Base:
        """Continues with a further question, as base models do."""

        def generate(
            self, conversations: list[Conversation], samples: int, sampling: Sampling, keys: object = None
        ) -> list[list[Completion]]:
            text = " 7\n\nQuestion: 9 + 9?\nAnswer: 18"
            for stop in sampling.stop:
                text = text.partition(stop)[0]
            return [[Completion(text, "stop")] * samples for _ in conversations]

    assert evaluate.evaluate("sums.yaml", Base(), text=True).score.mean == 0.5  # type: ignore[arg-type]
    assert evaluate.evaluate("sums.yaml", Base()).score.mean == 0  # type: ignore[arg-type]


def test_a_model_without_a_chat_template_gets_a_caution_that_says_what_to_do(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    without_template(model)
    result = measure("b")
    (caution,) = result.cautions
    assert "for a base model, set text (--text) and fewshot (--fewshot N)" in caution
    assert f"caution: {caution}\n" in capsys.readouterr().err
    assert run("rescore", "b") == 0
    assert results("b")[0].cautions == [caution]


def test_thinking_is_set_in_the_chat_template_and_recorded(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (model / "chat_template.jinja").write_text(THINKING)
    default = measure("b")
    off, on = measure("off", "--thinking", "off"), measure("b", "--thinking", "on")
    assert (off.settings["thinking"], on.settings["thinking"], default.settings.get("thinking")) == ("off", "on", None)
    assert len({result.hash for result in (default, on, off)}) == 3
    differences = setting_differences(Measured(Path("b"), "b", on), Measured(Path("off"), "off", off))
    assert str(differences) == "not comparable: thinking on and off"
    assert len(list(Path("b").glob("sums*.samples.jsonl"))) == 2  # samples with and without --thinking are not mixed
    measure("b")  # continues the first file
    assert run("rescore", "off") == 0
    assert results("off") == [off]


@pytest.mark.parametrize(
    ("thinking", "end"), [("on", "<|assistant|>"), ("off", "<think>\n\n</think>\n\n"), (None, "<|assistant|>")]
)
def test_the_prompts_have_the_thinking_of_the_options(model: Path, thinking: str | None, end: str) -> None:
    (model / "chat_template.jinja").write_text(THINKING)

    class Echo:
        """Stores its prompts."""

        tokenizer = checkpoints.tokenizer_of(model)
        prompts: list[str] = []  # noqa: RUF012

        def generate(
            self, conversations: list[Conversation], samples: int, sampling: Sampling, keys: object = None
        ) -> list[list[Completion]]:
            self.prompts += [self.tokenizer.decode(prompt_tokens(self.tokenizer, turns)) for turns in conversations]
            return [[Completion("7", "stop")] * samples for _ in conversations]

    for task in ("sums.yaml", "env:tenfold/ChainSum-v0"):
        evaluate.run_task(task, Echo(), Options(limit=2, samples=1, thinking=thinking))  # type: ignore[arg-type]
    assert len(Echo.prompts) == 4
    assert all(prompt.endswith(end) for prompt in Echo.prompts)
    assert Echo.tokenizer.chat_template == THINKING


def test_the_models_own_sampling_settings_are_printed_and_recorded(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20}
    (model / "generation_config.json").write_text(json.dumps(config))
    assert measure("task").settings["sampling"]["temperature"] == 0.6
    capsys.readouterr()
    sampling = measure("model", "--sampling", "model").settings["sampling"]
    assert (sampling["temperature"], sampling["top_p"], sampling["top_k"]) == (0.7, 0.8, 20)
    printed = capsys.readouterr().out
    assert "sampling: temperature 0.7, top_p 0.8, top_k 20 (generation_config.json of path:model)" in printed
    assert "; temperature 0.7, top_p 0.8, top_k 20, max_tokens " in printed
    assert measure("own", "--sampling", "model", "--top-k", "5").settings["sampling"]["top_k"] == 5
    (model / "generation_config.json").write_text(json.dumps(config | {"top_k": 0}))  # all tokens
    assert "top_k" not in measure("all", "--sampling", "model").settings["sampling"]
    assert measure("mixed", "--sampling", "model", "--temperature", "1").settings["sampling"]["temperature"] == 1
    (model / "generation_config.json").write_text(json.dumps(config | {"do_sample": False}))
    assert measure("greedy", "--sampling", "model").settings["sampling"]["do_sample"] is False


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--thinking", "off"], "thinking: the policy has no chat template with the variable enable_thinking; omit --thinking"),
        (["--thinking", "off", "--text"], "a plain text prompt has no chat template"),
        (["--sampling", "model"], "path:model has no generation_config.json with temperature, top_p or top_k"),
        (["--sampling", "model", "--greedy"], "--greedy means temperature 0; omit --sampling model"),
        (["--sampling", "model", "--policy", "scripted:7"], "scripted:7 is not a checkpoint"),
        (["lm_eval:gsm8k", "--text"], "omit --text"),
        (["env:tenfold/ChainSum-v0", "--text"], "an environment has prompts of its own; omit --text"),
    ],
)
def test_options_that_do_not_fit_give_one_line(
    model: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [] if ":" in options[0] else ["--task", "sums.yaml"]
    assert run("--policy", "path:model", "--out", "b", *tasks, *options) == 2
    message = capsys.readouterr().err
    assert words in message
    assert message.count("error: ") == 1


def test_evaluate_rejects_thinking_without_a_template(lab: Path) -> None:
    with pytest.raises(UserError, match="omit --thinking"):
        evaluate.evaluate("chain_sum", ScriptedPolicy("7"), thinking="off", limit=1)
