"""`tenfold verify --votes`: a judge of two responses is compared with votes. Functions take the place of the judge's model."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sklearn.metrics import cohen_kappa_score

from tenfold import cli
from tenfold.benchmarks.agreement import figures
from tenfold.benchmarks.agreement.asking import PairVerdict
from tenfold.benchmarks.agreement.votes import VotedPair, load
from tenfold.core import Completion, Conversation, Sampling, UserError
from tenfold.policies.server.replies import InvalidReply

OFFICIAL: dict[str, Any] = json.loads((Path(__file__).parent / "official.json").read_text())
"""Made-up votes and verdicts, with what the programs of FastChat and JudgeBench count on them."""
GAMES = {
    (str(question), str(turn), frozenset(models)): {models[0]: one, models[1]: two}
    for question, *models, turn, one, two in OFFICIAL["games"]
}
"""Verdict from the side of the first model, by the model that is shown first."""
ROWS = [
    {"question": "1 + 1?", "response_a": "2", "response_b": "It may be three.", "winner": "a"},
    {"question": "2 + 2?", "response_a": "five", "response_b": "4", "winner": "b"},
    {"question": "3 + 3?", "response_a": "6", "response_b": "six, a perfect number", "winner": "tie"},
    {"question": "3 + 3?", "response_a": "six, a perfect number", "response_b": "6", "winner": "a"},
    {"question": "4 + 4?", "response_a": "", "response_b": "8", "winner": "b"},
]


def shown(conversation: Conversation) -> tuple[str, str]:
    """Returns the two texts that the judge compares."""
    a, b = (conversation[-1]["content"].split(f"<answer {of}>")[1].split("</answer")[0].strip() for of in ("of A", "of B"))
    return a, b


def published(conversation: Conversation, seed: int) -> str:
    """Gives the made-up verdict on a game, if there is one. A text ends with the model, the question and the turn."""
    a, b = (re.findall(r"(\S+) on (\d+), turn (\d)$", text)[0] for text in shown(conversation))
    verdict = GAMES.get((a[1], a[2], frozenset((a[0], b[0]))), {}).get(a[0])
    return f"[[{verdict if a[0] < b[0] else reversed_verdict(verdict)}]]" if verdict else "No verdict."


def reversed_verdict(verdict: str) -> str:
    return {"A>B": "B>A", "B>A": "A>B"}.get(verdict, verdict)


def by_text(conversation: Conversation, seed: int) -> str:
    """Gives the made-up verdict that the text which is shown first contains."""
    a, _ = shown(conversation)
    return f"[[{a.partition(': ')[2]}]]"


def correct(conversation: Conversation, seed: int) -> str:
    """Prefers texts with one word, as people do, and finds those of the third question equal."""
    a, b = shown(conversation)
    return "[[A=B]]" if "6" in (a, b) else "[[A>>B]]" if len(a.split()) < len(b.split()) or b == "five" else "[[B>A]]"


def correct_letter(conversation: Conversation, seed: int) -> str:
    text = conversation[-1]["content"]
    first, second = (re.findall(rf"<answer {name}>\n(.*)\n", text)[0] for name in "AB")
    return "A" if first in ("2", "4", "6") or second in ("five", "It may be three.") else "B"


def longer(conversation: Conversation, seed: int) -> str:
    a, b = shown(conversation)
    return "[[A>B]]" if len(a) > len(b) else "[[B>A]]"


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"jsonl:{path}"


def measured(capsys: pytest.CaptureFixture[str], votes: str, *arguments: str) -> dict[str, Any]:
    """Runs the command and returns its line of JSON."""
    capsys.readouterr()
    assert cli.main(["verify", "--votes", votes, *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def policy(function: str) -> tuple[str, str]:
    return "--policy", f"call:{__name__}:{function}"


def cases(share: dict[str, float]) -> list[float]:
    """Returns the number of agreeing cases, and of all."""
    return [round(share["mean"] * share["cases"], 6), share["cases"]]


def mt_bench(question: int, models: list[str], turn: int, winner: str, judge: object) -> dict[str, Any]:
    """Returns a row of MT-Bench's human judgments. Its conversations contain both turns."""

    def turns(model: str) -> list[dict[str, str]]:
        return [
            {"role": role, "content": f"{speaker} {question}, turn {number}"}
            for number in (1, 2)
            for role, speaker in (("user", "question"), ("assistant", f"{model} on"))
        ]

    row: dict[str, Any] = {"question_id": question, "model_a": models[0], "model_b": models[1], "winner": winner, "turn": turn}
    return row | {"judge": judge, "conversation_a": turns(models[0]), "conversation_b": turns(models[1])}


@pytest.fixture
def human(tmp_path: Path) -> str:
    rows = [mt_bench(question, [a, b], turn, winner, judge) for question, a, b, turn, winner, judge in OFFICIAL["votes"]]
    return write(tmp_path / "human.jsonl", rows) + "?voter=expert"


def test_agreement_is_counted_as_in_fastchat(human: str, capsys: pytest.CaptureFixture[str]) -> None:
    expected = OFFICIAL["fastchat"]
    found = measured(capsys, human, *policy("published"))
    for turn, counts in expected["judge"].items():
        assert {name: cases(found["parts"][turn][name]) for name in counts} == counts
    for name in ("with_ties", "without_ties"):
        assert cases(found["agreement"]["voters with each other"][name]) == of_both_turns(expected["voters"], name)


def of_both_turns(counts: dict[str, dict[str, list[int]]], name: str) -> list[int]:
    return [sum(numbers) for numbers in zip(*(turn[name] for turn in counts.values()), strict=True)]


def test_published_verdicts_are_compared_without_a_judge(
    human: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """GPT-4's verdicts of MT-Bench have the form of votes."""
    names = {"A>B": "model_a", "B>A": "model_b", "A=B": "tie"}
    rows = [
        mt_bench(question, [a, b], turn, names[one] if one == two else "tie (inconsistent)", ["gpt-4", "pair-v2"])
        for question, a, b, turn, one, two in OFFICIAL["games"]
        if one and two
    ]
    gpt4 = write(tmp_path / "gpt4.jsonl", rows)
    found = measured(capsys, human, "--verdicts", gpt4)["agreement"][f"published: {gpt4}"]
    for name in ("with_ties", "without_ties"):
        assert cases(found[name]) == of_both_turns(OFFICIAL["fastchat"]["judge"], name)


def test_accuracy_is_that_of_judgebench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "pair_id": str(number),
            "source": source,
            "question": f"question {number}",
            "response_A": f"first: {one}",
            "response_B": f"second: {two}",
            "label": label,
        }
        for number, (source, label, one, two) in enumerate(
            (source, label, one or "none", two or "none") for source, label, one, two in OFFICIAL["pairs"]
        )
    ]
    found = measured(capsys, write(tmp_path / "pairs.jsonl", rows), *policy("by_text"))
    accuracies = {"": found["agreement"]["judge"]["accuracy"]}
    accuracies |= {part: figures["accuracy"] for part, figures in found["parts"].items()}
    assert {part: 100 * share["mean"] for part, share in accuracies.items()} == pytest.approx(OFFICIAL["judgebench"])


def test_a_judge_that_prefers_the_first_response_agrees_with_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, write(tmp_path / "votes.jsonl", ROWS[:4]), "--policy", "scripted:[[A>B]]")
    judge = found["agreement"]["judge"]
    assert cases(judge["with_ties"]) == [1, 4]  # the vote for a tie: a verdict that changes with the order is a tie
    assert judge["without_ties"] is None
    assert judge["kappa"]["mean"] == 0
    assert found["bias"]["changed"]["mean"] == found["bias"]["shown_first"]["mean"] == 1


def test_a_judge_that_agrees_reaches_the_agreement_of_voters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = measured(capsys, write(tmp_path / "votes.jsonl", ROWS), *policy("correct"))
    judge = found["agreement"]["judge"]
    assert (found["pairs"], found["questions"]) == (4, 4)
    assert cases(judge["with_ties"]) == [4, 5]  # of the two votes on the third question, one is for a tie
    assert cases(judge["without_ties"]) == [3, 3]
    assert cases(found["agreement"]["voters with each other"]["with_ties"]) == [0, 1]
    assert cases(found["agreement"]["judge, on pairs with several votes"]["with_ties"]) == [1, 2]
    assert (found["bias"]["changed"]["mean"], found["bias"]["shown_first"]["mean"]) == (0, 0.5)
    assert found["cost"]["questions"] == found["cost"]["tokens"] == 6  # an empty response loses without a question
    assert found["cost"]["seconds"] > 0


@pytest.mark.parametrize("question", ["arena_hard", "preference"])
def test_answers_that_cannot_be_read_are_counted(question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    votes = write(tmp_path / "votes.jsonl", ROWS[:3])
    found = measured(capsys, votes, "--policy", "scripted:Both are nice.", "--question", question)
    assert found["cost"]["unreadable"] == found["cost"]["questions"] == 6
    assert found["agreement"]["judge"]["with_ties"] is None
    assert cases(found["agreement"]["judge"]["accuracy"]) == [0, 2]


def test_a_reward_model_is_asked_for_a_letter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    votes = write(tmp_path / "votes.jsonl", ROWS)
    found = measured(capsys, votes, *policy("correct_letter"), "--question", "preference")
    assert cases(found["agreement"]["judge"]["without_ties"]) == [3, 4]  # it cannot say that both are equal
    assert found["bias"]["changed"]["mean"] == 0
    probable = measured(capsys, votes, "--policy", "micro:?hidden=32&layers=1", "--question", "preference")
    assert probable["agreement"]["judge"]["with_ties"]["cases"] == 5


class OneLetterServer:
    """A server whose model answers with a letter, but not about the second question."""

    def choice_probabilities(self, conversations: Sequence[Conversation], options: Sequence[str]) -> list[list[float]]:
        answers = [[math.nan] * 2 if "2 + 2" in conversation[0]["content"] else [0.7, 0.3] for conversation in conversations]
        if all(math.isnan(chances[0]) for chances in answers):  # as `OpenAIPolicy` does
            raise UserError("the model must answer with one of A, B") from InvalidReply()
        return answers


def test_a_server_that_answers_with_other_texts_does_not_stop_the_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenfold.benchmarks.agreement.measure.load_policy", lambda uri: OneLetterServer())
    for rows, unreadable in ((ROWS[:2], 2), (ROWS[1:2], 2), (ROWS[:1], 0)):
        votes = write(tmp_path / "votes.jsonl", rows)
        found = measured(capsys, votes, "--policy", "scripted:a server", "--question", "preference")
        assert found["cost"]["unreadable"] == unreadable
        assert found["bias"]["shown_first"] is None or found["bias"]["shown_first"]["mean"] == 1


def test_a_preference_for_length_is_compared_with_the_votes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bias = measured(capsys, write(tmp_path / "votes.jsonl", ROWS[:4]), *policy("longer"))["bias"]
    assert bias["longer"]["mean"] == 1
    assert cases(bias["longer_votes"]) == [1, 3]
    assert (bias["on_longer"]["mean"], bias["on_shorter"]["mean"]) == (1, 0)


JUDGES = '''
from pathlib import Path

def stops(conversation, seed):
    """Fails at the 70th question, once."""
    with Path("asked").open("a") as file:
        file.write("asked\\n")
    if len(Path("asked").read_text().splitlines()) == 70:
        raise ConnectionError("no route")
    return "[[A>B]]" if "<answer of A>" in conversation[-1]["content"] else "A"
'''


@pytest.mark.parametrize("question", ["arena_hard", "preference"])
def test_a_stopped_measurement_continues(question: str, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab / "judges.py").write_text(JUDGES)
    votes = write(lab / "votes.jsonl", [ROWS[0] | {"question": f"1 + 1? ({number})"} for number in range(40)])
    arguments = ["--policy", "call:judges:stops", "--question", question, "--out", "out.jsonl"]
    assert cli.main(["verify", "--votes", votes, *arguments]) == 2
    assert len((lab / "out.jsonl").read_text().splitlines()) == 1 + 64  # settings, then a batch
    found = measured(capsys, votes, *arguments)
    assert found["cost"]["questions"] == 80
    assert len((lab / "asked").read_text().splitlines()) == 70 + 16
    assert found["settings"]["policy"] == "call:judges:stops"
    assert cli.main(["verify", "--votes", votes, "--policy", "scripted:[[A>B]]", *arguments[2:]]) == 2
    assert "was made with policy=" in capsys.readouterr().err


class Down:
    """A server that does not answer."""

    def generate(
        self, conversations: Sequence[Conversation], samples: int, sampling: Sampling, keys: Sequence[str] | None = None
    ) -> list[list[Completion]]:
        return [[Completion("", "fault", ())] for _ in conversations]


def test_questions_that_a_server_did_not_answer_are_asked_again(
    lab: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    votes, arguments = write(lab / "votes.jsonl", ROWS[:3]), ("--policy", "scripted:[[A=B]]", "--out", "out.jsonl")
    with monkeypatch.context() as patched:
        patched.setattr("tenfold.benchmarks.agreement.measure.load_policy", lambda uri: Down())
        assert cli.main(["verify", "--votes", votes, *arguments]) == 2
    assert "6 questions to the judge have no answer" in capsys.readouterr().err
    cost = measured(capsys, votes, *arguments)["cost"]
    assert (cost["faults"], cost["unreadable"]) == (0, 0)


@pytest.mark.parametrize(
    ("row", "pair"),
    [
        ({"input": "q", "output_1": "x", "output_2": "y", "label": 2}, ("", "q", "x", "y", 0.0)),
        ({"prompt": "q", "chosen": "y", "rejected": "x", "subset": "math"}, ("math", "q", "x", "y", 0.0)),
        (
            {
                "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}],
                "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "y"}],
            },
            ("", "q", "x", "y", 1.0),
        ),
        (
            {"question": "q", "response_A": "<think>b</think>x", "response_B": "y", "label": "A>B", "source": "mmlu-pro-law"},
            ("mmlu-pro", "q", "x", "y", 1.0),
        ),
        ({"question": "q", "response_a": "y", "response_b": "x", "winner": "tie"}, ("", "q", "x", "y", 0.5)),
    ],
)
def test_published_forms_of_votes(row: dict[str, Any], pair: tuple[Any, ...], tmp_path: Path) -> None:
    (found,) = load(write(tmp_path / "votes.jsonl", [row]))
    assert (found.part, found.prompt[0]["content"], found.first, found.second, *found.votes) == pair


def test_votes_on_a_later_turn_are_on_the_conversations_until_then(tmp_path: Path) -> None:
    row = mt_bench(81, ["b", "a"], 2, "model_a", "expert_1")
    votes = write(tmp_path / "votes.jsonl", [row, row | {"winner": "tie (bothbad)", "turn": 1}])
    second, first = load(votes)
    assert (second.part, second.prompt, second.votes) == ("turn 2", first.prompt, (0.0,))
    assert second.first == "assistant: a on 81, turn 1\n\nuser: question 81, turn 2\n\nassistant: a on 81, turn 2"
    assert (first.first, first.second, first.votes) == ("a on 81, turn 1", "b on 81, turn 1", (0.5,))


@pytest.mark.parametrize(
    ("rows", "options", "error"),
    [
        ([{"question": "q", "answer": "a"}], "", "row 1: the columns are question, answer; expected those of one form"),
        ([ROWS[0], ROWS[1] | {"winner": "c"}], "", "row 2: the vote is 'c'; expected one of model_a"),
        ([{"response_a": "x", "response_b": "y", "winner": "a"}], "", "row 1: there is no prompt"),
        ([ROWS[0] | {"judge": "author_1"}], "?voter=expert", "no votes of voters whose names start with 'expert'"),
        (ROWS, "?votes=2", "unknown option 'votes'"),
        (ROWS[:2], "", "no pair has several votes, whose agreement could be measured; add --policy URI"),
    ],
)
def test_votes_that_cannot_be_measured_are_refused(
    rows: list[Any], options: str, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["verify", "--votes", write(tmp_path / "votes.jsonl", rows) + options]) == 2
    assert error in capsys.readouterr().err


def test_kappa_does_not_depend_on_the_order_of_the_responses() -> None:
    """Each vote counts in both orders of its responses."""
    votes, verdicts = [1, 1, 0, 0.5, 1, 0.5, 0, 1], [1, 0, 0, 0.5, 0.5, 1, 1, 1]
    pairs = [VotedPair(str(n), "", ("", ""), (), "x", "y", False, (vote,)) for n, vote in enumerate(votes)]
    found = figures.agreement(pairs, [PairVerdict(one, one) for one in verdicts]).kappa
    labels = [[str(value) for vote in row for value in (float(vote), float(1 - vote))] for row in (votes, verdicts)]
    assert found is not None
    assert found.mean == pytest.approx(cohen_kappa_score(*labels))
    assert found.low < found.mean < found.high
