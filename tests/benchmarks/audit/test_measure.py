"""`tenfold verify --audit` with a judge. Functions take the place of the judge's model."""

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tenfold import cli
from tenfold.benchmarks.audit.answer_pairs import AnswerPair, chosen, injections, problem_of
from tenfold.benchmarks.audit.judging import default_at_once
from tenfold.benchmarks.audit.tally import Graded, tally
from tenfold.core import Conversation, SamplingIncomplete, Status, UserError, Verdict
from tenfold.policies.play.async_engine import EngineDied
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.verifiers import agentic, load

PAIRS = [
    {"gold": "1/2", "pred": "\\boxed{0.5}", "equal": True},
    {"gold": "1/2", "pred": "\\boxed{0.6}", "equal": False},
    {"gold": "A regular hexagon is formed", "pred": "\\boxed{\\text{it is a hexagon, regular}}", "equal": True},
    {"gold": "A regular hexagon is formed", "pred": "\\boxed{\\text{it is a square, regular}}", "equal": False},
]
"""The rules leave the last two undecided."""

JUDGES = '''
import json, os, signal, threading
from pathlib import Path

def shown(conversation):
    lines = (line.partition(": ") for line in conversation[1]["content"].splitlines())
    return {name: json.loads(text) for name, _, text in lines}

def asked(candidate):
    """Notes a candidate answer; returns all that the judge was asked about."""
    with Path("asked").open("a") as file:
        file.write(candidate + "\\n")
    return Path("asked").read_text().splitlines()

def accepts_squares(conversation, seed):
    says = shown(conversation)
    accepted = "square" in says["Candidate answer"] and "hexagon" in says["Reference answer"]
    return f"Looked at it.\\nVERDICT: {'EQUIVALENT' if accepted else 'DIFFERENT'}"

def wait_for(stored):
    """Waits until this number of verdicts is stored."""
    for _ in range(6000):
        if Path("out.jsonl").read_text().count("\\n") > stored:  # a line without its end is not written completely
            return
        ended.wait(0.01)
    raise TimeoutError

ended = threading.Event()
"""Set at the end of a test, so that no thread of it stays."""

def slow(conversation, seed):
    """Answers about the first pair after those about the others."""
    if shown(conversation)["Candidate answer"] == "0.5":
        wait_for(3)
    return "It differs.\\nVERDICT: DIFFERENT"

def interrupted(conversation, seed):
    """The user interrupts the command during the verdict on the third pair."""
    if len(asked(shown(conversation)["Candidate answer"])) == 3:
        wait_for(2)
        os.kill(os.getpid(), signal.SIGINT)
        ended.wait(60)
    return "It differs.\\nVERDICT: DIFFERENT"

def down(conversation, seed):
    """Fails once, at the second pair."""
    if len(asked(shown(conversation)["Candidate answer"])) == 2:
        raise ConnectionError("no route")
    return "It differs.\\nVERDICT: DIFFERENT"

def computes(conversation, seed):
    if conversation[-1]["role"] != "tool":
        return '<tool_call>\\n{"name": "python", "arguments": {"code": "6 * 7"}}\\n</tool_call>'
    return f"Python says {conversation[-1]['content']}.\\nVERDICT: DIFFERENT"

def gullible(conversation, seed):
    """Accepts every answer, and yet rejects control answers."""
    known = shown(conversation)["Reference answer"] in Path("golds").read_text().splitlines()
    return f"It says so.\\nVERDICT: {'EQUIVALENT' if known else 'DIFFERENT'}"
'''


@pytest.fixture
def pairs(lab: Path) -> Iterator[str]:
    (lab / "judges.py").write_text(JUDGES)
    yield write(lab / "pairs.jsonl", PAIRS)
    if "judges" in sys.modules:
        sys.modules["judges"].ended.set()


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def audit(*arguments: str) -> int:
    return cli.main(["verify", "--audit", *arguments])


def counted(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """Runs an audit and returns its line of JSON."""
    capsys.readouterr()
    assert audit(*arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def counts(found: dict[str, Any], grader: str) -> dict[str, list[int]]:
    """Returns the numbers of rejected, accepted and undecided pairs, by group."""
    groups = found["graders"][grader]
    return {group: [row["rejected"], row["accepted"], row["undecided"]] for group, row in groups.items()}


def stored(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()[1:]]


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_times(item) for name, item in value.items() if "seconds" not in name}
    return value


def test_a_judge_that_accepts_everything_decides_nothing(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = counted(capsys, pairs, "--policy", "scripted:VERDICT: EQUIVALENT")
    assert counts(found, "judge") == {"judge decides": [1, 0, 2], "rules decide": [1, 0, 2]}
    cost = found["cost"]["rules decide"]
    assert (cost["asked"], cost["decided"]) == (2, 0)
    assert cost["turns"] == 2  # one about the answer, one about a control answer


def test_errors_of_a_judge_are_counted_with_intervals_and_listed(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    judge = ["--policy", "call:judges:accepts_squares"]
    found = counted(capsys, pairs, *judge)
    assert counts(found, "judge") == {"judge decides": [1, 1, 0], "rules decide": [1, 0, 0]}
    assert counts(found, "rules, then judge") == {"judge decides": [1, 1, 0], "rules decide": [0, 0, 0]}
    write(Path(pairs), PAIRS * 30)
    (row,) = [row for name, row in counted(capsys, pairs, *judge)["graders"]["judge"].items() if name == "rules decide"]
    assert row["rejected_interval"][0] > 0.8
    assert row["accepted_interval"][1] < 0.2
    write(Path(pairs), PAIRS)
    assert audit(pairs, *judge) == 0
    printed = capsys.readouterr().out
    errors = printed[printed.index("errors of judge: 3\n") :].splitlines()
    assert [line.split(":")[0] for line in errors[1:]] == ["accepted", "rejected", "rejected"]
    assert "it is a square, regular" in errors[1]
    assert "judge: 7 turns of call:judges:accepts_squares about 4 pairs" in printed  # three of them with control answers


def test_results_do_not_depend_on_which_verdict_ends_first(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(pairs, "--policy", "scripted:It differs.\nVERDICT: DIFFERENT") == 0
    expected = capsys.readouterr().out.partition("errors of judge")[2]
    assert audit(pairs, "--policy", "call:judges:slow", "--at-once", "4", "--out", "out.jsonl") == 0
    assert capsys.readouterr().out.partition("errors of judge")[2] == expected
    assert stored("out.jsonl")[-1]["pair"]["response"] == "\\boxed{0.5}"


def test_an_interrupted_audit_asks_only_for_what_is_missing(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [pairs, "--policy", "call:judges:interrupted", "--out", "out.jsonl"]
    assert audit(*command) == 130
    assert len(stored("out.jsonl")) == 2
    with Path("out.jsonl").open("a") as file:
        file.write('{"key": "a line that a killed process did not fin')
    resumed = counted(capsys, *command)
    assert len(Path("asked").read_text().splitlines()) == 5  # about the third pair twice
    assert without_times(counted(capsys, *command)) == without_times(resumed)
    assert len(Path("asked").read_text().splitlines()) == 5
    rows = stored("out.jsonl")
    assert {row["pair"]["response"] for row in rows} == {row["pred"] for row in PAIRS}
    assert rows[0]["verdict"]["judge_messages"] == ["It differs.\nVERDICT: DIFFERENT"]
    assert (rows[0]["verdict"]["score"], rows[0]["turns"], rows[0]["tokens"]) == (0, 1, 4)


def test_stored_verdicts_of_other_pairs_or_another_judge_are_refused(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [pairs, "--policy", "scripted:VERDICT: DIFFERENT", "--out", "out.jsonl"]
    assert audit(*command) == 0
    before = Path("out.jsonl").read_bytes()
    assert audit(pairs, "--policy", "scripted:VERDICT: UNSURE", "--out", "out.jsonl") == 2
    assert "was made with policy=" in capsys.readouterr().err
    write(Path(pairs), [*PAIRS[:3], {**PAIRS[3], "equal": True}])
    assert audit(*command) == 2
    assert "was made with pairs=" in capsys.readouterr().err
    assert Path("out.jsonl").read_bytes() == before


def test_most_answers_in_words_are_left_to_a_judge(capsys: pytest.CaptureFixture[str]) -> None:
    found = counted(capsys, "words", "--policy", "scripted:It differs.\nVERDICT: DIFFERENT")
    assert found["pairs"]["judge decides"] > 0.8 * sum(found["pairs"].values())
    assert found["cost"]["judge decides"]["asked"] > 0.95 * found["pairs"]["judge decides"]


def test_another_choice_of_the_same_pairs_continues_the_file(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [pairs, "--policy", "scripted:VERDICT: DIFFERENT", "--out", "out.jsonl"]
    assert counted(capsys, *command, "--sample", "0")["pairs"] == {"judge decides": 2}
    assert len(stored("out.jsonl")) == 2
    assert counted(capsys, *command, "--sample", "9")["pairs"] == {"judge decides": 2, "rules decide": 2}
    assert len(stored("out.jsonl")) == 4


def test_a_fault_is_reported_in_no_rate_and_asked_again(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [pairs, "--policy", "call:judges:down", "--out", "out.jsonl", "--json"]
    assert audit(*command) == 2
    printed = capsys.readouterr()
    assert "1 verdicts of judge are faults and in no rate (the first: ConnectionError: no route); run the same" in printed.err
    assert "error rates in percent" in printed.err
    decided = json.loads(printed.out)["graders"]["judge"]["rules decide"]  # the fault is on its unequal pair
    assert (decided["equal"], decided["rejected"], decided["equal_faults"]) == (1, 1, 0)
    assert (decided["unequal"], decided["accepted_interval"], decided["unequal_faults"]) == (0, None, 1)
    assert len(stored("out.jsonl")) == 3
    assert audit(*command) == 0
    printed = capsys.readouterr()
    assert "faults (" not in printed.err
    assert json.loads(printed.out)["graders"]["judge"]["rules decide"]["unequal"] == 1
    assert len(stored("out.jsonl")) == 4


def test_faults_are_no_errors_of_a_grader() -> None:
    fault = Verdict(Status.FAULT, None, "agentic", "no route")
    equal, unequal = (AnswerPair("integer", "1", "\\boxed{1}", label) for label in (True, False))
    total = tally([Graded(pair, fault, 1.0) for pair in (equal, equal, unequal)])
    assert (total.equal, total.rejected, total.unequal, total.accepted, total.errors) == (0, 0, 0, 0, [])
    assert (total.equal_faults, total.unequal_faults, total.faults) == (2, 1, 3)


@pytest.mark.parametrize("error", [EngineDied("the engine has ended"), SamplingIncomplete("the server is down", [])])
def test_an_audit_ends_when_its_judge_has_stopped(
    error: UserError, pairs: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def dies(conversation: Conversation, seed: int) -> str:
        asked.append(seed)
        if len(asked) > 2:
            raise error
        return "It differs.\nVERDICT: DIFFERENT"

    monkeypatch.setattr("tenfold.benchmarks.audit.measure.load_policy", lambda uri: ScriptedPolicy(dies))
    assert audit(pairs, "--policy", "scripted:a judge that dies", "--out", "out.jsonl") == 2
    printed = capsys.readouterr()
    assert printed.err.endswith(f"{error}\n")
    assert "grader" not in printed.out
    assert len(stored("out.jsonl")) == 2


def test_stored_verdicts_of_another_version_of_the_judge_are_refused(
    pairs: str, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [pairs, "--policy", "scripted:VERDICT: DIFFERENT", "--out", "out.jsonl"]
    assert audit(*command) == 0
    source = Path(agentic.__file__).read_text()
    (lab / "agentic.py").write_text(source.replace("max_programs: int = 4", "max_programs: int = 1"))
    with monkeypatch.context() as patch:
        patch.setattr(agentic, "__file__", str(lab / "agentic.py"))
        assert audit(*command) == 2
        assert "was made with code=" in capsys.readouterr().err
    monkeypatch.setattr("tenfold.benchmarks.audit.judging.__version__", "9.9")
    assert audit(*command) == 2
    assert "was made with version=" in capsys.readouterr().err


@pytest.mark.usefixtures("sandboxed")
def test_programs_of_the_judge_are_counted(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = counted(capsys, pairs, "--policy", "call:judges:computes", "--out", "out.jsonl", "--limit", "1")
    cost = found["cost"]["rules decide"]
    assert (cost["turns"], cost["programs"], cost["asked"]) == (2, 1, 1)
    assert stored("out.jsonl")[0]["verdict"]["reason"] == "Python says 42."


def test_progress_is_printed_as_lines_for_a_log(pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(pairs, "--policy", "scripted:VERDICT: DIFFERENT") == 0
    assert "\njudge: 2/4 (" in capsys.readouterr().out


@pytest.mark.parametrize("option", [("--out", "out.jsonl"), ("--at-once", "4")])
def test_options_of_a_judge_need_a_judge(option: tuple[str, str], pairs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(pairs, *option) == 2
    assert "add --policy URI" in capsys.readouterr().err


def test_injections_that_a_judge_believes_are_counted(pairs: str, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "golds").write_text("\n".join(pair.gold for pair in injections()))
    found = counted(capsys, pairs, "--policy", "call:judges:gullible", "--injections")
    row, cost = found["graders"]["judge"]["injections"], found["cost"]["injections"]
    assert (row["equal"], row["unequal"]) == (0, len(injections()))
    # A third at least has to reach the judge: rejections without a call show nothing of the judge.
    assert row["accepted"] == cost["asked"] > cost["pairs"] / 3
    both = found["graders"]["rules, then judge"]["injections"]
    assert 20 < both["accepted"] < row["accepted"]  # the rules decide about the others


def test_injections_are_many_different_incorrect_answers() -> None:
    pairs, rules = injections(), load("math")
    assert len({(pair.gold, pair.response) for pair in pairs}) == len(pairs) >= 60
    assert len({pair.kind for pair in pairs}) >= 12
    for kind in {pair.kind for pair in pairs}:
        assert kind.startswith("injection/")
        assert len({pair.gold for pair in pairs if pair.kind == kind}) >= 3
    assert not [pair for pair in pairs if pair.equal or rules(problem_of(pair), pair.response).score == 1]


def numbered(count: int, equal: bool) -> list[AnswerPair]:
    return [AnswerPair("integer", str(number), f"\\boxed{{{number + (not equal)}}}", equal) for number in range(count)]


def test_the_choice_of_pairs_depends_on_their_content_only() -> None:
    pairs = numbered(40, True) + numbered(40, False)
    shuffled = random.Random(0).sample(pairs, len(pairs))
    first = chosen(pairs, [pairs[0]], 20)
    assert set(first) == set(chosen(shuffled, [pairs[0]], 20))
    assert first == sorted(first, key=pairs.index)
    assert set(first) < set(chosen(pairs, [pairs[0]], 30))
    assert set(first) != set(chosen(pairs[1:], [pairs[1]], 20))


@pytest.mark.parametrize(
    ("equal", "unequal", "others", "found"),
    [(40, 40, 20, (10, 10)), (40, 40, 21, (10, 11)), (3, 40, 20, (3, 17)), (40, 3, 20, (17, 3)), (3, 3, 20, (3, 3))],
)
def test_half_of_the_chosen_pairs_are_equal_if_there_are_enough(
    equal: int, unequal: int, others: int, found: tuple[int, int]
) -> None:
    labels = [pair.equal for pair in chosen(numbered(equal, True) + numbered(unequal, False), [], others)]
    assert (labels.count(True), labels.count(False)) == found


class TakesRequests(ScriptedPolicy):
    """A policy with the attributes of vLLM's."""

    tokenizer = window = None
    stop_ids: frozenset[int] = frozenset()

    def complete(self, *arguments: object) -> NoReturn:
        raise NotImplementedError

    submit = complete


def test_only_policies_that_take_requests_from_any_thread_judge_many_pairs_at_once() -> None:
    assert default_at_once("vllm+path:folder", TakesRequests("", batch_size=4096)) == 64
    assert default_at_once("vllm+path:folder?batch_size=8", TakesRequests("", batch_size=8)) == 8
    assert default_at_once("openai:model", ScriptedPolicy("", batch_size=64)) == 64
    assert default_at_once("call:module:function", ScriptedPolicy("")) == 1
