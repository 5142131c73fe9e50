import json
import math
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tenfold.core import Conversation, SamplingIncomplete, UserError
from tenfold.pipelines.corpus.tagging import annotate, dimensions, questions
from tenfold.pipelines.corpus.tagging.annotate import Annotation
from tenfold.pipelines.corpus.tagging.questions import Question
from tenfold.policies import checkpoints
from tenfold.policies.scripted import ScriptedPolicy
from tenfold.policies.store import Store

NAMES = [dimension.name for dimension in dimensions.dimensions()]
SCORES = {name: number % 10 for number, name in enumerate(NAMES)}


def labels_of(parts: Iterator[dict[int, Annotation]]) -> dict[int, dimensions.Labels | None]:
    return {number: annotation.labels for part in parts for number, annotation in part.items()}


def test_there_are_twenty_content_and_format_dimensions_with_rubrics() -> None:
    assert len(set(NAMES)) == 20
    assert {dimension.kind for dimension in dimensions.dimensions()} == {"content", "format"}
    assert all(list(dimension.rubric) == [0, 3, 6, 9] for dimension in dimensions.dimensions())


def test_the_prompt_has_the_rubric_and_the_text() -> None:
    content = questions.prompt("Seven is prime.")[0]["content"]
    assert "Seven is prime." in content
    assert all(f"{d.name}: {d.asks}" in content and d.rubric[9] in content for d in dimensions.dimensions())


def test_a_long_text_is_shortened_to_its_beginning_and_end() -> None:
    shown = questions.excerpt("begin" + "x" * 100_000 + "end")
    assert shown.startswith("begin")
    assert shown.endswith("end")
    assert "not shown" in shown
    assert len(shown) < questions.MAX_EXCERPT + 200


def test_the_excerpt_in_the_prompt_has_the_given_length() -> None:
    text = " ".join(f"word{number}" for number in range(1_000))
    content = questions.prompt(text, Question(excerpt=300))[0]["content"]
    assert text[:200] in content
    assert text[-100:] in content
    assert text[:201] not in content


def test_the_binary_question_has_the_same_descriptions_for_two_scores() -> None:
    content = questions.prompt("Seven is prime.", Question(scale="binary"))[0]["content"]
    assert all(f"  1: {d.rubric[6]} Or: {d.rubric[9]}" in content for d in dimensions.dimensions())
    assert '"clarity": 0-1' in content
    assert "9" not in content.split("Score the document", 1)[1].split("dimension by itself", 1)[0]
    assert questions.schema(Question(scale="binary"))["properties"]["clarity"]["maximum"] == 1


@pytest.mark.parametrize(
    "answer",
    [
        json.dumps(SCORES),
        f"```json\n{json.dumps(SCORES, indent=2)}\n```\nI hope this helps.",
        f"<think>\nMaybe {json.dumps(dict.fromkeys(NAMES, 9))}\n</think>\n{json.dumps(SCORES)}",
        json.dumps({"scores": SCORES | {"remark": "short"}}),
        json.dumps({name: str(score) for name, score in SCORES.items()}),
        json.dumps(SCORES).replace("}", ",}"),
        json.dumps(SCORES).replace("_", " ").replace('"', "'"),
        "\n".join(f"- **{name.replace('_', '-').title()}**: {score}" for name, score in SCORES.items()),
    ],
)
def test_scores_are_found_in_an_answer(answer: str) -> None:
    assert questions.read(answer) == SCORES


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "All of it is a clear 7.",
        "{" * 5_000,
        '{"a":' * 5_000,
        json.dumps(SCORES)[:-9],
        json.dumps({name: score for name, score in SCORES.items() if name != "clarity"}),
        json.dumps(SCORES).replace('"clarity": 6', '"clarity": 0-9'),
        json.dumps(SCORES | {"clarity": 10}),
        json.dumps(SCORES | {"clarity": -1}),
        json.dumps(SCORES | {"clarity": 4.5}),
        json.dumps(SCORES | {"clarity": True}),
        json.dumps(SCORES | {"clarity": None}),
        f"<think>\n{json.dumps(SCORES)}\n</think>\nI cannot say.",
    ],
)
def test_an_answer_without_a_valid_score_of_each_dimension_is_no_label(answer: str) -> None:
    assert questions.read(answer).keys() < set(NAMES)
    assert labels_of(annotate.label_with_policy(ScriptedPolicy(answer), ["a text"])) == {0: None}


def test_binary_labels_are_0_and_9() -> None:
    answer = json.dumps({name: score % 2 for name, score in SCORES.items()} | {"clarity": 2})
    expected = {name: 9 * (score % 2) for name, score in SCORES.items() if name != "clarity"}
    assert questions.read(answer, Question(scale="binary")) == expected


def test_a_policy_is_asked_again_after_an_invalid_answer() -> None:
    seeds: list[int] = []

    def answer(conversation: Conversation, seed: int) -> str:
        seeds.append(seed)
        return "Well." if len(seeds) < annotate.ATTEMPTS else json.dumps(SCORES)

    assert labels_of(annotate.label_with_policy(ScriptedPolicy(answer), ["a text"])) == {0: SCORES}
    assert len(set(seeds)) == annotate.ATTEMPTS


def test_scores_that_an_answer_lacks_are_taken_from_the_next_answer() -> None:
    answers = iter(
        [
            json.dumps({name: score for name, score in SCORES.items() if name not in ("clarity", "safety")}),
            json.dumps({"clarity": SCORES["clarity"], "breadth": 0}),
            json.dumps(dict.fromkeys(NAMES, 9) | {"safety": SCORES["safety"]}),
        ]
    )
    policy = ScriptedPolicy(lambda conversation, seed: next(answers))
    ((annotation,),) = (part.values() for part in annotate.label_with_policy(policy, ["a text"]) if part)
    assert annotation.labels == SCORES
    assert annotation.answers == 3
    assert {name: annotation.without_valid_score.get(name, 0) for name in ("clarity", "safety", "breadth", "structure")} == {
        **{"clarity": 1, "safety": 2},
        **{"breadth": 0, "structure": 1},
    }


class Chooser:
    """A policy whose probabilities depend on whether a text contains "good"."""

    def __init__(self) -> None:
        self.options: list[list[str]] = []

    def choice_probabilities(self, conversations: Any, options: Any) -> list[list[float]]:
        self.options.append([*options])
        best = len(options) - 1
        chances = {True: {best: 0.75, 0: 0.25}, False: {0: 0.75, best: 0.25}}
        return [
            [chances["\ngood\n" in turns[0]["content"]].get(score, 0.0) for score in range(len(options))]
            for turns in conversations
        ]


def test_a_choice_labels_each_dimension_with_its_mean_score() -> None:
    policy = Chooser()
    labels = labels_of(annotate.label_by_choice(policy, ["good", "bad", "good"], Question(answer="choice"), 2))
    assert labels == {number: dict.fromkeys(NAMES, label) for number, label in enumerate((6.75, 2.25, 6.75))}
    assert len(policy.options) == 2 * 20  # two texts at once
    assert policy.options[0] == [f'{{"{NAMES[0]}": {score}' for score in range(10)]


def test_a_binary_choice_is_the_more_probable_score() -> None:
    labels = labels_of(annotate.label_by_choice(Chooser(), ["good", "bad"], Question(scale="binary", answer="choice")))
    assert labels == {0: dict.fromkeys(NAMES, 9), 1: dict.fromkeys(NAMES, 0)}


@pytest.mark.parametrize("scale", ["graded", "binary"])
def test_a_document_whose_prompt_fills_the_window_stays_unlabelled(scale: questions.Scale) -> None:
    class ShortWindow(Chooser):
        def choice_probabilities(self, conversations: Any, options: Any) -> list[list[float]]:
            rows = super().choice_probabilities(conversations, options)
            asked_last = NAMES[-1] in options[0]  # the beginning of this answer has more tokens
            return [
                [math.nan] * len(row) if asked_last and "\nlong\n" in turns[0]["content"] else row
                for turns, row in zip(conversations, rows, strict=True)
            ]

    labels = labels_of(annotate.label_by_choice(ShortWindow(), ["long", "good"], Question(scale=scale, answer="choice")))
    assert labels[0] is None
    assert labels[1] is not None
    assert list(labels[1]) == NAMES


def test_a_checkpoint_labels_by_choice(tmp_path: Path) -> None:
    shutil.copytree(checkpoints.checkpoint("micro:"), tmp_path / "long")
    config = json.loads((tmp_path / "long" / "config.json").read_text())
    (tmp_path / "long" / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8_192}))
    annotator = annotate.load(f"path:{tmp_path / 'long'}", question=Question(100, answer="choice"))
    labels = labels_of(annotator(["one", "two"]))
    assert all(row is not None and list(row) == NAMES and 0 < min(row.values()) < 9 for row in labels.values())


def test_policies_without_probabilities_cannot_label_by_choice() -> None:
    for uri in ("openai:m?base_url=http://localhost/v1", "scripted:7"):
        with pytest.raises(UserError, match="use a checkpoint, or answer: json"):
            annotate.load(uri, question=Question(answer="choice"))


def test_the_rules_round_their_labels_on_the_binary_scale() -> None:
    (graded,) = labels_of(annotate.load("rules:")([PROSE])).values()
    (binary,) = labels_of(annotate.load("rules:", question=Question(scale="binary"))([PROSE])).values()
    assert graded is not None
    assert binary == {name: 9 if label >= 5 else 0 for name, label in graded.items()}
    assert set(binary.values()) == {0, 9}


def test_a_text_without_valid_answers_stays_unlabelled() -> None:
    def answer(conversation: Conversation, seed: int) -> str:
        return json.dumps(SCORES) if "good" in conversation[0]["content"].splitlines()[-5:][0] else "no"

    assert labels_of(annotate.label_with_policy(ScriptedPolicy(answer), ["bad", "good", "bad again"])) == {
        0: None,
        1: SCORES,
        2: None,
    }


def test_stored_labels_are_not_requested_again(tmp_path: Path) -> None:
    texts, asked = {f"d{number}": f"text {number}" for number in range(5)}, []

    def annotator(batch: Any) -> Iterator[dict[int, Annotation]]:
        for number, text in enumerate(batch):
            asked.append(text)
            yield {number: Annotation(SCORES if text != "text 1" else None, 1, {})}
            if text == "text 3" and asked.count(text) == 1:
                raise KeyboardInterrupt

    path = tmp_path / "labels.jsonl"
    with pytest.raises(KeyboardInterrupt):
        annotate.label(texts, annotator, Store(path, {}), 2, lambda *_: None)
    annotate.label(texts, annotator, Store(path, {}), 2, lambda *_: None)
    assert asked == list(texts.values())
    assert {row["id"]: row["labels"] for row in Store(path, {}).rows} == dict.fromkeys(texts, SCORES) | {"d1": None}


class Server(ThreadingHTTPServer):
    """A server of OpenAI's chat completions. `answer` maps a request to the response; None is a failure."""

    def __init__(self, answer: Any) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.requests, self.guard = answer, [], threading.Lock()

    @property
    def uri(self) -> str:
        return f"openai:judge?base_url=http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.guard:
            self.server.requests.append(request)
            content = self.server.answer(request)
        message = {"role": "assistant", "content": content}
        reply = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": "judge",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        body = json.dumps({"error": {"message": "no"}} if content is None else reply).encode()
        self.send_response(503 if content is None else 400 if content == "refused" else 200)
        self.send_header("retry-after-ms", "1")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Any]:
    servers: list[Server] = []

    def start(answer: Any) -> Server:
        servers.append(Server(answer))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_labels_documents(serve: Any) -> None:
    def answer(request: dict[str, Any]) -> str:
        good = "\ngood\n" in request["messages"][0]["content"]
        return json.dumps(dict.fromkeys(NAMES, 8 if good else 2)) if request["temperature"] else "Let me think first."

    server = serve(answer)
    assert labels_of(annotate.load(server.uri, seed=3)(["good", "bad"])) == {
        0: dict.fromkeys(NAMES, 8),
        1: dict.fromkeys(NAMES, 2),
    }
    assert len(server.requests) == 4  # the first answer to each prompt is invalid, the second is valid
    assert len({request["seed"] for request in server.requests}) == 4
    sent_schema = server.requests[0]["response_format"]["json_schema"]["schema"]
    assert sent_schema["required"] == list(questions.schema()["properties"])


def test_a_server_without_valid_answers_labels_nothing(serve: Any) -> None:
    server = serve(lambda request: '{"clarity": "very"} ' * 30)
    assert labels_of(annotate.load(server.uri)(["one", "two"])) == {0: None, 1: None}
    assert len(server.requests) == 2 * annotate.ATTEMPTS


def test_labels_before_a_server_failure_are_stored(serve: Any, tmp_path: Path) -> None:
    server = serve(lambda request: None if "\nthree\n" in request["messages"][0]["content"] else json.dumps(SCORES))
    store = Store(tmp_path / "labels.jsonl", {})
    texts = {name: name for name in ("one", "two", "three")}
    with pytest.raises(SamplingIncomplete, match="503"):
        annotate.label(texts, annotate.load(server.uri), store, 8, lambda *_: None)
    assert {row["id"] for row in Store(tmp_path / "labels.jsonl", {}).rows} == {"one", "two"}


def test_a_document_that_a_server_refuses_stays_unlabelled(serve: Any, tmp_path: Path) -> None:
    server = serve(lambda request: "refused" if "\ntwo\n" in request["messages"][0]["content"] else json.dumps(SCORES))
    store = Store(tmp_path / "labels.jsonl", {})
    texts = {name: name for name in ("one", "two", "three")}
    annotate.label(texts, annotate.load(server.uri), store, 8, lambda *_: None)
    assert {row["id"]: row["labels"] is None for row in store.rows} == {"one": False, "two": True, "three": False}


PROSE = """Why is the sum of two even numbers even?

Let a and b be even. Then a = 2m and b = 2n, because that is what even means. Therefore a + b = 2m + 2n = 2(m + n), and so the
sum is twice a whole number. For example, 4 + 6 = 10.

It follows that the sum of any number of even numbers is even, since each step adds one even number to another.
"""
CODE = '''"""Reads numbers."""


def load(path):
    """Returns the numbers in a file, one per line."""
    # An empty line is not a number.
    return [int(line) for line in path.read_text().splitlines() if line]
'''
NAVIGATION = "Home | Menu | Log in | Subscribe | Privacy policy | Cookies | Copyright 2020, all rights reserved\n"


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("reasoning_depth", PROSE, NAVIGATION),
        ("mathematical_content", PROSE, CODE),
        ("code_content", CODE, PROSE),
        ("question_answer_value", PROSE, NAVIGATION),
        ("self_containedness", PROSE, "see above and https://a.example/b and click here " * 5),
        ("safety", PROSE, PROSE + "casino jackpot joe@mail.example " * 5),
        ("completeness", PROSE, PROSE[40:-60]),
        ("clean_markup", PROSE, "<div><b>" + PROSE.replace(" ", "&nbsp;") + "</b></div>"),
        ("unrepeated", PROSE, PROSE * 5),
        ("spelling_and_encoding", PROSE, PROSE.replace("e", "\ufffd")),
        ("structure", PROSE, " ".join(PROSE.split())),
        ("boilerplate_free", PROSE, NAVIGATION * 5),
        ("line_integrity", PROSE, PROSE.replace(" ", "\n")),
        ("length_fitness", PROSE * 8, "A few words."),
    ],
)
def test_the_rules_score_better_texts_higher(name: str, better: str, worse: str) -> None:
    high, low = labels_of(annotate.load("rules:")([better, worse])).values()
    assert high is not None
    assert low is not None
    assert high[name] > low[name] + 1


@pytest.mark.parametrize("text", ["", " \n", "\n" * 100_000, "{" * 100_000, "a(" * 100_000, "\x00\ufffd", "x" * 1_000_000])
def test_the_rules_score_any_text(text: str) -> None:
    labels = labels_of(annotate.load("rules:")([text]))[0]
    assert labels is not None
    assert list(labels) == NAMES
    assert set(labels.values()) <= set(range(10))


def test_an_invalid_annotator_raises_an_error() -> None:
    for uri in ("rules:strict", "nobody:", "openai:m?base=http://localhost"):
        with pytest.raises(UserError):
            annotate.load(uri)
