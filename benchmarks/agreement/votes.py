"""Pairs of responses with votes for the better one, as people's judgments and benchmarks of judges are published.

    jsonl:FILE   parquet:FILE   hf:ORG/NAME?split=human

These URIs are read as in `envs/problems/sources.py`. A row is one vote. Its columns tell its form:

    conversation_a, conversation_b, winner   MT-Bench's human judgments, Chatbot Arena
    response_A, response_B, label            JudgeBench
    output_1, output_2, label                LLMBar
    response_a, response_b, winner           a file of your own
    chosen, rejected                         RewardBench and other preference pairs: a vote for `chosen`

`winner` and `label` have one of the words in `FIRST`, `SECOND` and `TIES`. The prompt is text or messages. Further columns are
used if a row has them: `question_id`, `model_a`, `model_b`, `judge` (the voter), `turn` (the number of the turn that the vote
is on), and `source` or `subset` (a part of the data). The option `voter=PREFIX`, such as `voter=expert`, leaves out the votes
of all voters whose names start otherwise.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from ... import extras
from ...core import Message, UserError, message_text
from ...envs.problems import cells, conversations, sources
from ...envs.problems.rows import PROMPT_COLUMNS
from ...responses import without_thinking

Vote = float
"""1.0: the first response is better; 0.0: the second one; 0.5: a tie."""
TIE = 0.5
FIRST, SECOND = ("model_a", "a", "a>b", "1"), ("model_b", "b", "b>a", "2")
"""Words for the better response, in lower case."""
TIES = ("tie", "a=b")
"""Starts of words for a tie, such as "tie (bothbad)" of Chatbot Arena and "tie (inconsistent)" of MT-Bench's GPT-4."""
FORMS = (
    ("conversation_a", "conversation_b", "winner"),
    ("response_A", "response_B", "label"),
    ("response_a", "response_b", "winner"),
    ("output_1", "output_2", "label"),
    ("chosen", "rejected", ""),
)
"""Columns of the two responses, and of the vote."""
PROMPTS = (*PROMPT_COLUMNS, "input")
LAST_TURN = "(Both answers are conversations that begin with this prompt. Compare the last turn of the assistant.)"
"""Is added to the prompt for a judge if the responses have several turns: people's votes are on the last one. Our words."""
PARTS = ("source", "subset")
"""Columns that name a part of the data."""
SOURCES: Mapping[str, Callable[[str, str, dict[str, str]], Iterable[object]]] = {
    "jsonl": sources.jsonl_rows,
    "parquet": sources.parquet_rows,
    "hf": sources.hub_rows,
}


@dataclasses.dataclass(frozen=True)
class VotedPair:
    """Two responses to one prompt with all votes on them."""

    question: str
    """Identifies the question. The pairs of one question are not independent."""
    part: str
    """The part of the data; empty if it has no parts."""
    models: tuple[str, str]
    """Names of the models of both responses; empty if they are unknown."""
    prompt: tuple[Message, ...]
    """What both responses answer: the turns that both conversations begin with."""
    first: str
    """The first response. If the conversations differ before their last turn, all turns that differ, each with its role."""
    second: str
    has_turns: bool
    """True if the responses are texts of several turns."""
    votes: tuple[Vote, ...] = ()

    @property
    def content(self) -> list[object]:
        """All but the votes, as JSON data."""
        return [self.question, self.part, list(self.models), list(self.prompt), self.first, self.second]

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for all votes on a pair."""
        return (self.question, self.part, self.models, _transcript(self.prompt), self.first, self.second)


def load(uri: str) -> list[VotedPair]:
    """Returns the pairs of a URI, in the order of their first votes. All votes on a pair are joined, whatever their order.

    Raises:
        UserError: an unknown scheme or option, a missing file, a row in another form (with its number), or no vote at all.
    """
    address, _, query = uri.partition("?")
    scheme, _, location = address.partition(":")
    if scheme not in SOURCES or not location:
        raise UserError(f"cannot read votes from {uri!r}: start with one of {', '.join(f'{name}:' for name in SOURCES)}")
    options = dict(parse_qsl(query, keep_blank_values=True))
    voter = options.pop("voter", "")
    pairs: dict[tuple[object, ...], VotedPair] = {}
    votes: dict[tuple[object, ...], list[Vote]] = {}
    with extras.required_by(address):
        rows = SOURCES[scheme](uri, location, options)
        if options:
            raise UserError(f"{uri}: unknown option {min(options)!r}; the option is voter")
        for number, row in enumerate(rows, start=1):
            found = _of_row(row, f"{uri}, row {number}", voter, sparse=scheme != "jsonl")
            if found is not None:
                pairs.setdefault(found.key, found)
                votes.setdefault(found.key, []).extend(found.votes)
    if not pairs:
        raise UserError(f"{uri}: there are no votes" + f" of voters whose names start with {voter!r}" * bool(voter))
    return [dataclasses.replace(pair, votes=tuple(votes[key])) for key, pair in pairs.items()]


def _of_row(given: object, where: str, voter: str, sparse: bool) -> VotedPair | None:
    """Returns the vote of a row, with its responses in the order of their models and texts; None if another voter gave it."""
    if not isinstance(given, Mapping):
        raise UserError(f"{where}: expected an object with columns, got {type(given).__name__}")
    row: Mapping[str, Any] = cells.plain(given)
    form = next((form for form in FORMS if all(column in row for column in form if column)), None)
    if form is None:
        known = "; ".join(", ".join(filter(None, form)) for form in FORMS)
        raise UserError(f"{where}: the columns are {', '.join(map(str, row))}; expected those of one form: {known}")
    named = row.get("judge")
    if voter and not str(named[0] if isinstance(named, list) and named else named).startswith(voter):
        return None
    vote = _vote(row[form[2]], where) if form[2] else 1.0
    turn = row.get("turn") if form == FORMS[0] else None
    played = [_until(_turns(row, column, where, sparse), turn) for column in form[:2]]
    shared = _shared(played[0], played[1], where)
    prompt = tuple(played[0][:shared])
    models = [str(row.get(column) or "") for column in ("model_a", "model_b")]
    sides = list(zip(models, [_transcript(each[shared:]) for each in played], strict=True))
    if sides[1] < sides[0]:
        sides, vote = sides[::-1], 1 - vote
    return VotedPair(
        question=_transcript(prompt) if cells.is_missing(row.get("question_id")) else str(row["question_id"]),
        part=_part(row) if turn is None else f"turn {turn}",
        models=(sides[0][0], sides[1][0]),
        prompt=prompt,
        first=sides[0][1],
        second=sides[1][1],
        has_turns=any(len(each) > shared + 1 for each in played),
        votes=(vote,),
    )


def _vote(word: object, where: str) -> Vote:
    text = str(word).strip().lower()
    if text.startswith(TIES):
        return TIE
    if text in FIRST or text in SECOND:
        return float(text in FIRST)
    known = ", ".join((*FIRST, *SECOND, *TIES))
    raise UserError(f"{where}: the vote is {word!r:.80}; expected one of {known}")


def _part(row: Mapping[str, Any]) -> str:
    """Returns the part of the data that a row belongs to. As in JudgeBench's scores, the subjects of MMLU-Pro are one part."""
    name = next((str(row[column]) for column in PARTS if not cells.is_missing(row.get(column))), "")
    return re.sub(r"^(mmlu-pro)-.*", r"\1", name)


def _turns(row: Mapping[str, Any], column: str, where: str, sparse: bool) -> list[Message]:
    """Returns the conversation of a column: its own turns, after the row's prompt if it is only a response."""
    value = row[column]
    if isinstance(value, list | Mapping):
        turns = list(conversations.messages(value, where, sparse))
        if any(message["role"] != "assistant" for message in turns):
            return turns
    elif isinstance(value, str):
        turns = [Message(role="assistant", content=value)]
    else:
        raise UserError(f"{where}: {column} must be text or a list of messages, got {value!r:.80}")
    prompt = next((name for name in PROMPTS if not cells.is_missing(row.get(name))), None)
    if prompt is None:
        raise UserError(f"{where}: there is no prompt; expected one of the columns {', '.join(PROMPTS)}")
    return [*conversations.messages(conversations.parse_if_json(row[prompt]), where, sparse), *turns]


def _until(conversation: list[Message], turn: object) -> list[Message]:
    """Returns a conversation up to the assistant's turn with this number, from 1. MT-Bench's rows contain later turns, too."""
    ends = [place for place, message in enumerate(conversation, start=1) if message["role"] == "assistant"]
    return conversation[: ends[turn - 1]] if isinstance(turn, int) and 1 <= turn <= len(ends) else conversation


def _shared(first: list[Message], second: list[Message], where: str) -> int:
    """Returns the number of turns that both conversations begin with: the prompt. It ends before a turn of the assistant."""
    if not first or not second or first[-1]["role"] != "assistant" or second[-1]["role"] != "assistant":
        raise UserError(f"{where}: each conversation must end with a response of the assistant")
    shared = 0
    while shared < min(len(first), len(second)) - 1 and first[shared] == second[shared]:
        shared += 1
    while shared and first[shared - 1]["role"] == "assistant":
        shared -= 1
    if not shared:
        raise UserError(f"{where}: the conversations do not begin with the same prompt")
    return shared


def _transcript(turns: Sequence[Message]) -> str:
    """Returns turns as text: the only one without its role. Reasoning of the assistant is left out."""
    texts = [
        without_thinking(message_text(turn)).strip() if turn["role"] == "assistant" else message_text(turn) for turn in turns
    ]
    if len(turns) == 1:
        return texts[0]
    return "\n\n".join(f"{turn['role']}: {text}" for turn, text in zip(turns, texts, strict=True))


def question_text(pair: VotedPair) -> str:
    """Returns the prompt of a pair as one text for a judge."""
    text = _transcript(pair.prompt)
    return f"{text}\n\n{LAST_TURN}" if pair.has_turns else text
