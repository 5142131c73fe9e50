import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks import catalogue, evaluate, identity, rescore
from tenfold.benchmarks.result import Options, Result, results
from tenfold.core import Completion, Conversation, Problem, SamplingIncomplete, Status, UserError, Verdict, sample_seed
from tenfold.policies.scripted import ScriptedPolicy

GSM8K_FORM = "jsonl:{}/rows.jsonl?answer_after=%23%23%23%23"
MATH = [task for task in catalogue.names() if catalogue.settings(task)["metadata"].get("verifier") == "math"]


def guess(conversation: Conversation, seed: int) -> str:
    return f"seed {seed}, so \\boxed{{{seed % 2}}}"


@pytest.fixture
def problems(tmp_path: Path) -> str:
    rows = [{"question": f"Is {n} odd?", "answer": f"halving...\n#### {n % 2}"} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return GSM8K_FORM.format(tmp_path)


def rows_of(folder: Path, task: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{task}.scores.jsonl").read_text().splitlines()]


def store_of(folder: Path) -> Path:
    """The only file of samples in a folder."""
    (path,) = folder.glob("*.samples.jsonl")
    return path


def samples_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in store_of(folder).read_text().splitlines()][1:]


@pytest.mark.parametrize("task", MATH)
def test_a_task_generates_k_different_samples_and_judges_all_of_them(task: str, problems: str, tmp_path: Path) -> None:
    result = evaluate.run_task(task, ScriptedPolicy(guess), Options(problems=problems), folder=tmp_path)
    k = catalogue.settings(task)["repeats"]
    rows, samples = rows_of(tmp_path, result.task), samples_of(tmp_path)
    assert re.fullmatch(rf"{task}-own-[0-9a-f]{{6}}_avg{k}", result.task)
    assert (result.score.problems, result.score.samples) == (6, k)
    assert len({(sample["request"], sample["text"]) for sample in samples}) == len(samples) == 6 * k
    assert result.score.mean == pytest.approx(sum(sample["score"] for row in rows for sample in row["samples"]) / (6 * k))
    assert result.settings["sampling"]["temperature"] == 0.6
    assert result.settings["sampling"]["top_p"] == 0.95


@pytest.mark.parametrize("task", sorted(set(catalogue.names()) - {"chain_sum", "small_functions", "short_notes"}))
def test_a_task_has_the_sampling_settings_of_the_report(task: str) -> None:
    settings = catalogue.settings(task)["generation_kwargs"]
    assert settings == {"until": [], "do_sample": True, "temperature": 0.6, "top_p": 0.95, "max_gen_toks": 65536}


@pytest.mark.parametrize("rates", [[0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.05] * 6, [0.5] * 6])
def test_the_interval_over_new_samples_contains_the_known_mean_pass_rate(rates: list[float], problems: str) -> None:
    def answer(conversation: Conversation, seed: int) -> str:
        number = int(conversation[0]["content"].split()[1])
        correct = sample_seed(seed, "coin", 0) / 2**53 < rates[number]
        return f"\\boxed{{{number % 2 if correct else 7}}}"

    score = evaluate.run_task("gsm8k_avg64", ScriptedPolicy(answer), Options(problems=problems)).score
    assert score.samples == 64
    assert score.same_problems_low <= sum(rates) / 6 <= score.same_problems_high
    assert score.low <= score.same_problems_low <= score.mean <= score.same_problems_high <= score.high


def test_a_stopped_benchmark_resumes_with_the_same_result(problems: str, tmp_path: Path) -> None:
    class Stops(ScriptedPolicy):
        calls = 0

        def generate(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls > 2:
                raise KeyboardInterrupt
            return super().generate(*args, **kwargs)

    def run(policy: ScriptedPolicy, folder: str) -> Result:
        policy.batch_size = 16
        return evaluate.run_task("gsm8k", policy, Options(problems=problems), folder=tmp_path / folder)

    whole = run(ScriptedPolicy(guess), "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Stops(guess), "stopped")
    resumed = Stops(guess)
    assert run(resumed, "stopped") == whole
    assert resumed.calls == 1
    assert store_of(tmp_path / "stopped").read_text() == store_of(tmp_path / "whole").read_text()


def test_a_server_failure_loses_no_problem_whose_samples_are_complete(problems: str, tmp_path: Path) -> None:
    class Fails(ScriptedPolicy):
        failing = True

        def generate(self, conversations: Any, samples: int, *args: Any, **kwargs: Any) -> Any:
            sampled = super().generate(conversations, samples, *args, **kwargs)
            if not self.failing:
                return sampled
            half: list[list[Completion | None]] = [list(row) for row in sampled]
            half[1][3] = None
            raise SamplingIncomplete("the server stopped", half)

    policy = Fails(guess)
    with pytest.raises(UserError, match="the server stopped"):
        evaluate.run_task("gsm8k", policy, Options(problems=problems), folder=tmp_path)
    assert len(samples_of(tmp_path)) == 5 * 8
    policy.failing = False
    evaluate.run_task("gsm8k", policy, Options(problems=problems), folder=tmp_path)
    assert len(samples_of(tmp_path)) == 6 * 8


def test_a_result_has_its_settings_and_their_hash(problems: str, tmp_path: Path) -> None:
    def run(**options: Any) -> Result:
        return evaluate.run_task("gsm8k_avg4", ScriptedPolicy(guess), Options(problems=problems, **options))

    result = run()
    assert run().hash == result.hash
    assert len({result.hash, run(seed=1).hash, run(limit=3).hash, run(top_p=0.9).hash, run(max_tokens=9).hash}) == 5
    assert result.settings | {"samples": 4, "verifier": "math", "number": 6, "seed": 0} == result.settings
    assert run(temperature=0).settings["sampling"]["do_sample"] is False


def test_a_result_has_the_identity_and_versions_of_its_verifier(problems: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> Result:
        return evaluate.run_task("gsm8k_avg2", ScriptedPolicy(guess), Options(problems=problems))

    result = run()
    assert result.settings["identity"] == {"verifier": "tenfold.verifiers.math:verify", "verifier form": "worked_out"}
    assert {"tenfold", "math-verify", "sympy", "sandbox"} <= result.settings["versions"].keys()
    monkeypatch.setattr("tenfold.envs.identity.__version__", "9.9")
    assert run().hash != result.hash


def test_identity_includes_the_verifiers_source_and_the_judges_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for score in ("0.0", "1.0"):
        (tmp_path / "lab_strict.py").write_text(f"def verify(problem, response):\n    return {score}\n")
        found.append(identity.of_verdicts({"verifier": "lab_strict:verify"}, Options()))
    assert found[0] != found[1]
    judged = identity.of_verdicts({"judged": "multi_challenge"}, Options(judge="micro:?hidden=16&layers=1&heads=2"))
    assert {"judge", "judge model.safetensors", "judge chat_template.jinja"} <= judged.keys()


def test_stored_samples_are_judged_again_without_a_policy(
    problems: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = evaluate.run_task(
        "gsm8k_avg4",
        ScriptedPolicy(guess),
        Options(problems=problems, seed=5),
        store_settings={"policy": "guess"},
        folder=tmp_path,
    )
    assert rescore.rescore(tmp_path) == [(before, before)]
    monkeypatch.setattr("tenfold.verifiers.load", lambda _: lambda problem, response: Verdict(Status.SCORED, 1.0, "kind", ""))
    [(old, new)] = rescore.rescore(tmp_path)
    assert (old.score.mean, new.score.mean) == (before.score.mean, 1)
    assert results(tmp_path) == [new]
    store_of(tmp_path).write_text("".join(store_of(tmp_path).read_text().splitlines(True)[:-4]))
    with pytest.raises(UserError, match="not stored"):
        rescore.rescore(tmp_path)


def test_rescore_runs_code_that_results_name_only_with_trust(problems: str, tmp_path: Path) -> None:
    out, hit = tmp_path / "out", tmp_path / "hit"
    evaluate.run_task("gsm8k_avg4", ScriptedPolicy(guess), Options(problems=problems, seed=5), folder=out)
    for path in (path for path in out.rglob("*.json*") if problems in path.read_text()):
        path.write_text(path.read_text().replace(problems, f"generate:os:mkdir?path={hit}"))
    with pytest.raises(UserError, match=r"out names 'os:mkdir', which is code of the module os \(.*os\.py\).*run with --trust"):
        rescore.rescore(out)
    assert not hit.exists()
    with pytest.raises(UserError, match="os:mkdir must yield problems"):  # os.mkdir runs, and returns no rows
        rescore.rescore(out, trust=True)
    assert hit.exists()


def test_samples_are_stored_with_their_finish_reason(problems: str, tmp_path: Path) -> None:
    options = Options(problems=problems, limit=2, seed=3)
    evaluate.run_task("gsm8k", ScriptedPolicy(guess), options, folder=tmp_path, store_settings={"policy": "guess"})
    settings, *samples = [json.loads(line) for line in store_of(tmp_path).read_text().splitlines()]
    assert settings == {"settings": {"policy": "guess", "seed": 3}}
    assert len(samples) == 16
    assert {"text", "finish_reason", "tokens", "request", "sample"} == set(samples[0])
    with pytest.raises(UserError, match="guess"):
        evaluate.run_task("gsm8k", ScriptedPolicy(guess), options, folder=tmp_path, store_settings={"policy": "x"})


def test_a_sample_with_a_fault_is_judged_once_more_and_then_left_out(problems: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[tuple[str, str]] = set()

    def shaky(problem: Problem, response: str) -> Verdict:
        first = (problem.id, response) not in seen
        seen.add((problem.id, response))
        if first or problem.id == "rows/0":
            return Verdict(Status.FAULT, None, "shaky", "the first time, and always on problem 0")
        return Verdict(Status.SCORED, 1.0, "shaky", "")

    monkeypatch.setattr("tenfold.verifiers.load", lambda name: shaky)
    score = evaluate.run_task("gsm8k", ScriptedPolicy(guess), Options(problems=problems)).score
    assert (score.mean, score.problems, score.without_score) == (1, 5, 8)
    with pytest.raises(UserError, match=r"none of 8 samples has a score.*; first reason: \S"):
        evaluate.run_task("gsm8k", ScriptedPolicy(guess), Options(problems=problems, limit=1))


def test_problems_with_equal_prompts_share_their_samples(tmp_path: Path) -> None:
    rows = [{"id": str(n), "problem": "Choose a number.", "answer": answer} for n, answer in enumerate(["1", "1", "2"])]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    responses = iter(["\\boxed{1}", "It is probably \\boxed{2}"])
    policy = ScriptedPolicy(lambda conversation, seed: next(responses))
    options = Options(problems=f"jsonl:{tmp_path}/rows.jsonl")
    result = evaluate.run_task("gsm8k_avg2", policy, options, folder=tmp_path)
    found = [[(sample["score"], sample["tokens"]) for sample in row["samples"]] for row in rows_of(tmp_path, result.task)]
    assert found == [[(1, 1), (0, 4)], [(1, 1), (0, 4)], [(0, 1), (1, 4)]]
    assert len(samples_of(tmp_path)) == 2


def test_a_suite_is_not_evaluated_as_one_task() -> None:
    with pytest.raises(UserError, match="quick is a suite; evaluate one of its tasks: chain_sum, humaneval"):
        evaluate.evaluate("quick", ScriptedPolicy("1"), limit=1)


def test_problems_are_read_from_the_data_folder(tmp_path: Path) -> None:
    rows = [{"id": n, "problem": f"{n} + 1?", "solution": f"\\boxed{{{n + 1}}}", "answer": str(n + 1)} for n in range(3)]
    (tmp_path / "aime24.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = evaluate.run_task("aime24", ScriptedPolicy("\\boxed{1}"), Options(data=str(tmp_path)))
    assert result.score.mean == pytest.approx(1 / 3)
    assert result.settings["problems"].endswith("aime24.jsonl")
    with pytest.raises(UserError, match=r"there is no aime25\.jsonl in .*hf:math-ai/aime25"):
        evaluate.run_task("aime25", ScriptedPolicy("1"), Options(data=str(tmp_path)))


def test_maj_at_k_counts_equal_answers_in_different_notations_together(problems: str) -> None:
    """Two fifths of the samples are correct. The others all differ, or are all equal in several notations."""

    def majority(incorrect: Callable[[int], object]) -> float:
        def answer(conversation: Conversation, seed: int) -> str:
            number = int(conversation[0]["content"].split()[1])
            return f"\\boxed{{{number % 2}}}" if seed % 5 < 2 else f"\\boxed{{{incorrect(seed)}}}"

        return evaluate.run_task("gsm8k_avg32", ScriptedPolicy(answer), Options(problems=problems)).figures["maj@32"]

    assert majority(lambda seed: seed) == 1
    assert majority(lambda seed: ["7/2", "3.5", "\\frac{7}{2}"][seed % 3]) < 1
    assert majority(lambda seed: ["5e9000", "50e8999"][seed % 2]) < 1, "more digits than Python writes"
    assert "maj@1" not in evaluate.run_task("gsm8k_avg1", ScriptedPolicy("1"), Options(problems=problems)).figures


def test_maj_at_k_counts_equal_choices_together(tmp_path: Path) -> None:
    """Two fifths of the samples choose the correct option B. The others choose C, by its letter or by its text."""
    row = {"question": "Which is a metal?", "options": ["oxygen", "iron", "sulfur", "argon"], "answer_letter": "B"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    incorrect = ["The answer is C.", "\\boxed{(C) sulfur}", "\\boxed{sulfur}"]

    def answer(conversation: Conversation, seed: int) -> str:
        return "\\boxed{iron}" if seed % 5 < 2 else incorrect[seed % 3]

    options = Options(problems=f"jsonl:{tmp_path}/rows.jsonl")
    result = evaluate.run_task("supergpqa_avg32", ScriptedPolicy(answer), options)
    assert 0.2 < result.score.mean < 0.5
    assert result.figures["maj@32"] == 0


def test_names_of_suites_and_sample_numbers_are_expanded() -> None:
    assert [request.task for request in catalogue.expand(["quick"])] == ["chain_sum", "humaneval"]
    assert catalogue.expand(["aime24_avg64", "aime24"]) == [("aime24", 64), ("aime24", None)]


def test_a_users_mistake_raises_a_user_error() -> None:
    with pytest.raises(UserError, match="no task 'chain_sums'; did you mean chain_sum"):
        evaluate.evaluate("chain_sums", ScriptedPolicy("1"))
    with pytest.raises(UserError, match="no file missing"):
        evaluate.run_task("gsm8k", ScriptedPolicy("1"), Options(problems="jsonl:missing.jsonl"))
    with pytest.raises(UserError, match="the data set openai/gsm8k is not in the cache"):
        evaluate.evaluate("gsm8k", ScriptedPolicy("1"))
    with pytest.raises(UserError, match="at least one sample per problem"):
        evaluate.evaluate("chain_sum_avg0", ScriptedPolicy("1"))
    with pytest.raises(UserError, match="top_p"):
        Options(top_p=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thinking": True}, 'thinking: expected "on" or "off", got True'),
        ({"samples": 2.5}, "samples: expected a whole number of 1 or more, got 2.5"),
        ({"samples": True}, "samples: expected a whole number of 1 or more, got True"),
        ({"limit": 0.5}, "limit: expected a whole number of 1 or more, got 0.5"),
        ({"fewshot": -1}, "fewshot: expected a whole number of 0 or more, got -1"),
        ({"temperature": "1"}, "temperature: expected a finite number of at least 0, got '1'"),
        ({"top_p": "1"}, "top_p: expected a number above 0 and at most 1, got '1'"),
        ({"seed": None}, "seed: expected a whole number, got None"),
    ],
)
def test_an_option_that_is_no_number_of_its_kind_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        evaluate.evaluate("chain_sum", ScriptedPolicy("7"), **options)


def test_a_truncated_sample_without_a_boxed_answer_is_incorrect(problems: str) -> None:
    """Problem 1 has the answer 1. "answer is 1 2" truncated to three words must not count as the answer 1."""
    result = evaluate.run_task("gsm8k_avg2", ScriptedPolicy("answer is 1 2"), Options(problems=problems, max_tokens=3))
    assert (result.score.mean, result.truncated) == (0, 1)
    boxed = ScriptedPolicy("\\boxed{1} because the")
    assert evaluate.run_task("gsm8k_avg2", boxed, Options(problems=problems, max_tokens=2)).score.mean == 0.5
