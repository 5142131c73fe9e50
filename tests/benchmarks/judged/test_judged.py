import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks import evaluate, judged, rescore
from tenfold.benchmarks.judged import JudgeSettings, arena_hard, multi_challenge, style, writing_bench
from tenfold.benchmarks.result import Options, Result
from tenfold.core import Completion, Conversation, Message, Problem, Sampling, UserError
from tenfold.policies.scripted import ScriptedPolicy

CRITERIA = [{"name": f"criterion {n}", "criteria_description": "", "9-10": "best"} for n in range(5)]
ROWS: dict[str, list[dict[str, Any]]] = {
    "arena_hard_v2": [
        {"uid": f"q{n}", "category": kind, "subcategory": "", "prompt": f"Write {n}."}
        for n, kind in enumerate(["hard_prompt", "hard_prompt", "creative_writing"])
    ],
    "writing_bench": [{"index": n, "domain1": "Education", "query": f"Write {n}.", "checklist": CRITERIA} for n in range(3)],
    "multi_challenge": [
        {
            "QUESTION_ID": f"q{n}",
            "AXIS": axis,
            "CONVERSATION": [
                {"role": "user", "content": "1?"},
                {"role": "assistant", "content": "2"},
                {"role": "user", "content": "3?"},
            ],
            "TARGET_QUESTION": "Is it short?",
            "PASS_CRITERIA": "YES" if n else "NO",
        }
        for n, axis in enumerate(["SELF_COHERENCE", "INFERENCE_MEMORY", "INFERENCE_MEMORY"])
    ],
}
HLE = {"image": "", "answer_type": "exactMatch", "rationale": "", "raw_subject": "Geometry"}
ROWS["hle"] = [
    {"id": f"q{n}", "question": f"How many sides has figure {n}?", "answer": str(n), "category": category, **HLE}
    for n, category in ((0, "Math"), (2, "Math"), (3, "Other"))
]
FILES = {
    "arena_hard_v2": "arena_hard_v2_questions.jsonl",
    "hle": "hle.jsonl",
    "writing_bench": "benchmark_all.jsonl",
    "multi_challenge": "benchmark_questions.jsonl",
}


HLE_JUDGE = "scripted:extracted_final_answer: 3\nreasoning: It is 3.\n**correct:** Yes\nconfidence: 80%"
WRITING_JUDGE = 'scripted:{"score": 7, "reason": "fine"}'


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for task, rows in ROWS.items():
        (tmp_path / FILES[task]).write_text("".join(json.dumps(row) + "\n" for row in rows))
    official = {"uid": "q2", "messages": [{}, {"role": "assistant", "content": {"answer": "a baseline"}}]}
    answers = [{"uid": "q0", "answer": "a baseline"}, {"uid": "q1", "answer": "a baseline"}, official]
    (tmp_path / "baseline.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    return tmp_path


def run(task: str, judge: str, data: Path, folder: Path | None = None) -> Result:
    options = Options(data=str(data), judge=judge, baseline=str(data / "baseline.jsonl"), max_tokens=16)
    return evaluate.run_task(task, ScriptedPolicy("short"), options, folder=folder)


@pytest.mark.parametrize(
    ("task", "judge", "score", "problems"),
    [
        ("arena_hard_v2", "scripted:I prefer the first. [[A>B]]", 0.5, 2),
        ("arena_hard_v2", "scripted:[[A>>B]] at first sight, but [[A=B]]", 0.5, 2),
        ("writing_bench", 'scripted:```json\n{"reason": "fine", "score": 7}\n```', 0.7, 3),
        ("multi_challenge", "scripted:It is.\nVERDICT: YES", 0.5, 3),
        ("multi_challenge", "scripted:VERDICT: NO", 0.5, 3),
        ("hle", HLE_JUDGE, 1.0, 3),
        ("hle", "scripted:correct: no\nconfidence: 5", 0.0, 3),
    ],
)
def test_a_judge_scores_every_sample(task: str, judge: str, score: float, problems: int, data: Path, tmp_path: Path) -> None:
    """The score of Arena-Hard has only the hard prompts, that of MultiChallenge is the mean over two axes."""
    result = run(task, judge, data, folder=tmp_path / "out")
    assert result.score.mean == pytest.approx(score)
    samples = 1 if task == "hle" else 3
    assert (result.score.problems, result.score.samples, result.score.without_score) == (problems, samples, 0)
    assert result.settings["judge"] == judge
    rows = [json.loads(line) for line in (tmp_path / "out" / f"{result.task}.scores.jsonl").read_text().splitlines()]
    assert all(sample["judge_messages"] for row in rows for sample in row["samples"])
    assert rescore.rescore(tmp_path / "out")[0][1] == result


def own_figures(result: Result) -> dict[str, float]:
    return {name: value for name, value in result.figures.items() if not name.startswith("judge: ")}


def test_each_benchmark_has_its_own_figures(data: Path) -> None:
    assert own_figures(run("multi_challenge", "scripted:VERDICT: YES", data)) == {
        "inference_memory": 1,
        "self_coherence": 0,
        "any attempt": 0.5,
    }
    assert own_figures(run("writing_bench", WRITING_JUDGE, data)) == {"Education": pytest.approx(0.7)}
    assert own_figures(run("hle", HLE_JUDGE, data)) == {
        "mean confidence": pytest.approx(0.8),
        "category Math": 1,
        "category Other": 1,
    }
    figures = own_figures(run("arena_hard_v2", "scripted:[[A>B]]", data))
    interval = (", low (90%, over verdicts)", ", high (90%, over verdicts)")
    assert set(figures) == {
        f"{kind}{figure}" for kind in ("hard_prompt", "creative_writing") for figure in ("", *interval, ", style controlled")
    }


def test_a_judge_is_measured(data: Path) -> None:
    result = run("arena_hard_v2", "scripted:[[A>B]]", data)
    measured = {name: value for name, value in result.figures.items() if name.startswith("judge: ")}
    assert measured == {
        "judge: unreadable answers": 0,
        "judge: score of the shorter half": 0.5,
        "judge: score of the longer half": 0.5,
        "judge: same verdict in both orders": 0,
        "judge: preference for the first text": 1,
        "judge: preference for the longer text": 0.5,
    }
    assert result.judge["questions"] == 3 * 3 * 2
    assert result.judge["prompt_tokens"] > 1000
    longer = run("arena_hard_v2", f"call:{__name__}:prefer_the_longer", data).figures
    assert (longer["judge: preference for the longer text"], longer["judge: same verdict in both orders"]) == (1, 1)


def prefer_the_longer(conversation: Conversation, seed: int) -> str:
    a, b = (conversation[-1]["content"].split(f"<answer of {name}>")[1].split(f"</answer of {name}>")[0] for name in "AB")
    return "[[A>B]]" if len(a) > len(b) else "[[B>A]]"


def test_a_run_says_what_differs_from_the_published_protocol(data: Path, tmp_path: Path) -> None:
    differing = run("writing_bench", WRITING_JUDGE, data).settings["protocol"]
    assert differing == [
        "the judge's prompt has our words; with prompt.py of X-PLUG/WritingBench in --data it is the published one",
        "the judge is scripted, the published one claude-sonnet-4-5 or "
        "claude-sonnet-4-5-20250929 or claude-sonnet-4.5 or WritingBench-Critic-Model-Qwen-7B",
        "responses have up to 16 tokens, the published ones 16000",
    ]
    unreadable = run("writing_bench", f"call:{__name__}:sometimes_unreadable", data)
    assert "3 responses are left out, because no answer of the judge can be read" in unreadable.settings["protocol"][-1]
    assert unreadable.score.without_score == 3
    assert unreadable.figures["judge: unreadable answers"] == pytest.approx(1 / 3)
    text = run("multi_challenge", "scripted:It is short. YES", data)
    assert "the judge answers in text, not in a structured form" in text.settings["protocol"]


class Server(ScriptedPolicy):
    """A policy on a server that can answer in a structured form."""

    response_format: Any = None


def test_a_published_judge_answers_in_the_structured_form_of_the_benchmark(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server('{"reasoning": "It is.", "verdict": "YES"}')
    monkeypatch.setattr("tenfold.policies.load_policy", lambda uri: server)
    result = run("multi_challenge", "openai:gpt-4o-2024-08-06", data)
    assert result.score.mean == 0.5
    assert server.response_format["json_schema"]["schema"]["required"] == ["reasoning", "verdict"]
    assert not any("structured" in difference for difference in result.settings["protocol"])
    server.response_format = None
    own = run("multi_challenge", "openai:own-judge", data)
    assert (own.score.mean, server.response_format) == (0.5, None)
    assert "the judge answers in text, not in a structured form" in own.settings["protocol"]


def sometimes_unreadable(conversation: Conversation, seed: int) -> str:
    return "no idea" if "Write 1." in conversation[-1]["content"] else '{"score": 7, "reason": ""}'


PROMPT_FILES = {
    "arena_hard_v2": {
        "judge_utils.py": """SAME = "Judge: {x}"
JUDGE_SETTINGS = {
    "hard_prompt": {"baseline": "b", "system_prompt": SAME},
    "creative_writing": {"baseline": "b", "system_prompt": "Judge texts"},
}""",
        "arena-hard-v2.0.yaml": 'prompt_template: "<|User Prompt|>\\n{QUESTION}\\nA: {ANSWER_A} B: {ANSWER_B}"',
    },
    "hle": {
        "run_judge_results.py": 'JUDGE_PROMPT = """Q: {question} R: {response} A: {correct_answer} 0|\\%|"""\nraise SystemExit',
        "run_model_predictions.py": 'SYSTEM_PROMPT = "Explanation, Answer, Confidence: {yours}"',
    },
    "multi_challenge": {
        "evaluator.py": "import openai\nJUDGE_PROMPT = '''Response: {}\nCriteria: {} {{}}'''\nraise SystemExit"
    },
    "writing_bench": {
        "prompt.py": 'evaluate_system = """\nExpert.\n""".strip()\n'
        'evaluate_prompt = """\n{criteria}|{query}|{response}|{criteria}|{{"score": 1}}\n""".strip()'
    },
}
LAST_QUESTIONS = {
    "arena_hard_v2": ["Judge texts", "<|User Prompt|>\nWrite 2.\nA: short B: a baseline"],
    "hle": ["Q: How many sides has figure 3? R: short A: 3 0|\\%|"],
    "multi_challenge": ["Response: short\nCriteria: Is it short? {}"],
    "writing_bench": ["Expert.", f'{CRITERIA[4]}|Write 2.|short|{CRITERIA[4]}|{{"score": 1}}'],
}
ASKED: list[Conversation] = []


def remember(conversation: Conversation, seed: int) -> str:
    ASKED.append(conversation)
    is_writing = "criteria_description" in conversation[-1]["content"]
    return '{"score": 7, "reason": ""}' if is_writing else "VERDICT: YES [[A=B]]\ncorrect: yes\nconfidence: 9"


@pytest.mark.parametrize("task", PROMPT_FILES)
def test_the_published_prompt_is_read_from_the_data_and_kept_for_judging_again(task: str, data: Path, tmp_path: Path) -> None:
    """The files are not run: that of MultiChallenge would end the program."""
    for name, text in PROMPT_FILES[task].items():
        (data / name).write_text(text)
    ASKED.clear()
    result = run(task, f"call:{__name__}:remember", data, folder=tmp_path / "out")
    assert [turn["content"] for turn in ASKED[-1]] == LAST_QUESTIONS[task]
    assert not any("has our words" in difference for difference in result.settings["protocol"])
    for name in PROMPT_FILES[task]:
        (data / name).unlink()
    ASKED.clear()
    assert rescore.rescore(tmp_path / "out", trust=True)[0][1] == result
    assert ASKED == []
    assert run(task, f"call:{__name__}:remember", data).hash != result.hash


@pytest.mark.parametrize(
    ("task", "name", "text", "message"),
    [
        ("hle", "run_judge_results.py", "JUDGE_PROMPT = '{question} {response}'", "the question has the places"),
        ("hle", "run_judge_results.py", "PROMPT = ''", "run_judge_results.py does not have JUDGE_PROMPT"),
        ("hle", "run_model_predictions.py", "SYSTEM_PROMPT = 1", "run_model_predictions.py does not have SYSTEM_PROMPT"),
        ("arena_hard_v2", "judge_utils.py", "JUDGE_SETTINGS = {}", "does not have the prompts of Arena-Hard v2"),
        ("arena_hard_v2", "arena-hard-v2.0.yaml", "prompt: x", "arena-hard-v2.0.yaml has an unexpected form"),
        ("multi_challenge", "evaluator.py", "if:", "evaluator.py is not a Python file"),
        ("multi_challenge", "evaluator.py", "JUDGE_PROMPT = open('x')", "evaluator.py does not have JUDGE_PROMPT"),
        ("multi_challenge", "evaluator.py", "JUDGE_PROMPT = '{} {} {}'", "the question has the places"),
        ("multi_challenge", "evaluator.py", "JUDGE_PROMPT = 'no place'", "the question has the places"),
        ("writing_bench", "prompt.py", "evaluate_prompt = '{criteria.x}'", "does not have evaluate_system"),
        ("writing_bench", "prompt.py", "evaluate_system = ''\nevaluate_prompt = '{name}'", "the question has the places"),
    ],
)
def test_a_file_without_the_published_prompt_is_an_error(task: str, name: str, text: str, message: str, data: Path) -> None:
    for file, content in PROMPT_FILES[task].items():
        (data / file).write_text(content)
    (data / name).write_text(text)
    with pytest.raises(UserError, match=message):
        run(task, "scripted:x", data)


def test_damaged_settings_of_a_judge_are_an_error(data: Path, tmp_path: Path) -> None:
    result = run("writing_bench", WRITING_JUDGE, data, folder=tmp_path / "out")
    path = tmp_path / "out" / f"{result.task}.result.json"
    for damaged in ({}, {"prompts": {}, "published": True, "sampling": {"heat": 1}, "attempts": 1}):
        path.write_text(json.dumps({**result.as_dict(), "settings": {**result.settings, "judging": damaged}}))
        with pytest.raises(UserError, match="judging of the result has an unexpected form"):
            rescore.rescore(tmp_path / "out")


def test_a_judged_task_without_judge_or_baseline_is_an_error(data: Path) -> None:
    assert evaluate.missing("multi_challenge", Options()) == "it needs a judge; name one with --judge"
    assert evaluate.missing("arena_hard_v2", Options(judge="scripted:x")) == (
        "it needs a baseline's answers; name their files with --baseline"
    )
    assert evaluate.missing("aime24", Options()) is None
    with pytest.raises(UserError, match="needs a judge"):
        evaluate.run_task("multi_challenge", ScriptedPolicy("x"), Options(data=str(data)))
    with pytest.raises(UserError, match="published by X-PLUG/WritingBench"):
        evaluate.run_task("writing_bench", ScriptedPolicy("x"), Options(judge="scripted:x"))


ARENA, WRITING, MULTI = (JudgeSettings(benchmark.OWN_PROMPTS) for benchmark in (arena_hard, writing_bench, multi_challenge))
PROBLEM = Problem("q", (Message(role="user", content="Why {a}?"),), "because", "", {"category": "hard_prompt"})


def test_an_unreadable_answer_is_asked_for_again_and_then_counts_as_unjudged() -> None:
    seeds: list[int] = []

    def answer(conversation: Conversation, seed: int) -> str:
        seeds.append(seed)
        return "no idea" if len(seeds) <= 2 else "[[A=B]]"

    [result] = judged.judge(arena_hard, [(PROBLEM, "answer")], ScriptedPolicy(answer), {}, ARENA)
    assert (result.score, len(seeds), len(set(seeds))) == (0.5, 4, 4)
    [result] = judged.judge(arena_hard, [(PROBLEM, "answer")], ScriptedPolicy("no idea"), {}, ARENA)
    assert result.score is None


@pytest.mark.parametrize(
    ("benchmark", "text", "finish_reason", "value"),
    [
        (writing_bench, '{"score": 9, "reason": "It is', "length", None),
        (multi_challenge, "VERDICT: NO", "length", None),
        (multi_challenge, "VERDICT: NO", "stop", "NO"),
    ],
)
def test_the_last_word_of_a_truncated_answer_does_not_count(
    benchmark: Any, text: str, finish_reason: str, value: object
) -> None:
    """NO may be a part of another word."""

    class Judge:
        def generate(
            self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
        ) -> list[list[Completion]]:
            return [[Completion(text, finish_reason)] for _ in conversations]

    gold = CRITERIA if benchmark is writing_bench else {"question": "Short?", "passing_answer": "NO"}
    problem = Problem("q", (Message(role="user", content="Why?"),), gold, "")
    [result] = judged.judge(benchmark, [(problem, "answer")], Judge(), {}, JudgeSettings(benchmark.OWN_PROMPTS))
    assert {*result.values} == {value}


def test_killed_judging_resumes_without_repeating_questions(tmp_path: Path) -> None:
    responses = [(PROBLEM, f"answer {n}") for n in range(4)]

    class Stops(ScriptedPolicy):
        left = 2

        def generate(self, *args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return super().generate(*args, **kwargs)

    store, policy = tmp_path / "judge.jsonl", Stops("[[A=B]]")
    policy.batch_size = 2
    with pytest.raises(KeyboardInterrupt):
        judged.judge(arena_hard, responses, policy, {"judge": "x"}, ARENA, store)
    cost = judged.cost(arena_hard, responses, store, {"judge": "x"}, ARENA)
    assert (cost.questions, cost.stored) == (8, 4)
    assert cost.tokens > 100
    policy.left = 2
    assert [row.score for row in judged.judge(arena_hard, responses, policy, {"judge": "x"}, ARENA, store)] == [0.5] * 4
    assert policy.left == 0


def test_the_judge_does_not_see_reasoning_nor_responses_that_are_only_reasoning() -> None:
    seen: list[str] = []

    def answer(conversation: Conversation, seed: int) -> str:
        seen.append(conversation[-1]["content"])
        return "[[A=B]]"

    judged.judge(
        arena_hard, [(PROBLEM, "<think>secret</think>open"), (PROBLEM, "<think>cut off")], ScriptedPolicy(answer), {}, ARENA
    )
    assert len(seen) == 2
    assert "open" in seen[0]
    assert not any("secret" in text or "cut off" in text for text in seen)


EMPTY = ["", "  \n", "<think>I might write a poem.", "<think>yes</think>\n"]


@pytest.mark.parametrize("response", EMPTY)
@pytest.mark.parametrize(
    ("benchmark", "problem", "judge"),
    [
        (arena_hard, PROBLEM, "[[A=B]]"),
        (writing_bench, Problem("w", PROBLEM.prompt, CRITERIA, "", {"domain1": "x"}), '{"score": 7, "reason": ""}'),
        (multi_challenge, Problem("m", (), {"question": "?", "passing_answer": "NO"}, "", {"axis": "x"}), "VERDICT: NO"),
        (multi_challenge, Problem("m", (), {"question": "?", "passing_answer": "YES"}, "", {"axis": "x"}), "VERDICT: YES"),
    ],
)
def test_a_response_without_text_gets_score_0_without_a_question_to_the_judge(
    benchmark: Any, problem: Problem, judge: str, response: str
) -> None:
    settings = JudgeSettings(benchmark.OWN_PROMPTS)
    empty, full = judged.judge(benchmark, [(problem, response), (problem, "A poem.")], ScriptedPolicy(judge), {}, settings)
    assert (empty.score, empty.texts) == (0, ())
    assert full.score != 0
    assert judged.cost(benchmark, [(problem, response)], None, {}, settings).questions == 0
    assert benchmark.summary([empty])
    assert "1 responses without text have the lowest score" in benchmark.differences([empty])[0]


def test_reasoning_does_not_count_for_the_style() -> None:
    lists = "\n".join(f"- item {n}" for n in range(50))
    [row] = judged.judge(arena_hard, [(PROBLEM, f"<think>{lists}</think>because")], ScriptedPolicy("[[A=B]]"), {}, ARENA)
    assert style.style_difference(row.response, "because") == [0, 0, 0, 0]


def test_placeholders_in_a_response_are_not_replaced() -> None:
    first, second = arena_hard.questions(PROBLEM, "{prompt} {{b}} [[A>>B]]", ARENA.prompts)
    assert "Why {a}?" in first[1]["content"]
    assert first[1]["content"].count("because") == 1
    assert "<answer of B>\n{prompt} {{b}} [[A>>B]]\n</answer of B>" in first[1]["content"]
    assert "<answer of A>\n{prompt} {{b}} [[A>>B]]\n</answer of A>" in second[1]["content"]
    problem = Problem("", (), {"question": "{response}?", "passing_answer": "YES"}, "")
    assert "{response}?" in multi_challenge.questions(problem, "x", MULTI.prompts)[0][0]["content"]
