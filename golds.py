"""The forms of a problem's gold answer (`Problem.answer`) that each verifier accepts.

    math            a text, a number, a list of alternatives, or `ToleratedGold`
    choice          `Options`
    science         a form of `math` or `choice`
    code            `CodeTests`
    code_share      `CodeTests`
    fullstack       `ProgramTests`
    function_calls  `FunctionCalls`
    tools           `ToolTurns`, of the environment `envs/services/environment.py`
    bfcl_turns      `BFCLTurns`, of the environment `envs/bfcl/multi_turn.py`
    bfcl_answers    `BFCLAnswers`, of the environments `envs/bfcl/memory.py` and `envs/bfcl/web_search.py`
    tau2            `Tau2Task`, of the environment `envs/tau2/environment.py`
    instructions    `Instructions`
    livebench, livebench_coding  `LiveBenchGold`
    reasoning_gym   the form that the generator of the problem defines
    judge           the form that the verifier of its option `rules` accepts (`math` by default)
    text            a text or an integer
    json_schema     a schema and a value, see `verifiers/formats/json_schema.py`
    regex           a pattern, or texts to match and to reject, see `verifiers/formats/regex.py`
    sql             a query and databases, see `verifiers/formats/sql.py`

The verifiers `format`, `length` and `language` do not read the gold answer.

Gold answers are read from files and can have any form. A verifier's `invalid_gold` checks the form before the answer is used.
"""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class ToleratedGold(TypedDict):
    """A gold answer, or several of which each is correct, with a tolerance for numbers."""

    gold: str | float | Sequence[str | float]
    tolerance: NotRequired[float | str]
    """Largest accepted error, relative to the gold number."""


class Options(TypedDict):
    """The options of a multiple-choice problem in the order of the prompt, and the letter of the correct one."""

    letter: str
    options: Sequence[str]


class CallTest(TypedDict, total=False):
    """A call of the judged function, with the expected return value."""

    arguments: Sequence[object]
    keywords: Mapping[str, object]
    output: object


class StdinTest(TypedDict):
    """The standard input of a program, and the expected standard output."""

    input: str
    output: str


class RunLimits(TypedDict, total=False):
    """The fields of `verifiers.sandbox.Limits`, which documents them."""

    cpu_seconds: float
    wall_seconds: float
    memory: int
    processes: int
    output: int
    disk: int


class CodeTests(TypedDict, total=False):
    """The tests of a coding problem: one of `calls`, `test`, `asserts`, `stdin`, with options. See `verifiers/code.py`."""

    entry_point: str
    """Name of the judged function (with `calls` or `test`)."""
    calls: Sequence[CallTest]
    test: str
    asserts: Sequence[str]
    stdin: Sequence[StdinTest]
    setup: str
    functions: Sequence[str]
    tolerance: float
    unordered: bool
    checker: str
    language: str
    limits: "RunLimits"
    """Limits of each run that differ from the defaults of the sandbox."""
    encoded: bool
    public: int
    header: str
    footer: str


class ProgramTests(TypedDict):
    """Test code that is combined with the program of the response. See `verifiers/fullstack.py`."""

    language: str
    """Language of the response's program."""
    runs_as: str
    """Language that the combined program is run as."""
    tests: str
    files: NotRequired[Mapping[str, str]]
    """Contents in base64, by file name."""
    imports: NotRequired[Sequence[str]]
    """Packages that the tests or a known solution import. If absent, those in the tests' source."""


class Parameters(TypedDict, total=False):
    """The parameters of a declared function, in JSON Schema."""

    properties: Mapping[str, Mapping[str, object]]
    required: Sequence[str]


class Declaration(TypedDict):
    """A declared function."""

    name: str
    parameters: NotRequired[Parameters | None]


GoldCall = Mapping[str, Mapping[str, Sequence[object]]]
"""The name of one function, and the accepted values of each parameter."""


class FunctionCalls(TypedDict):
    """Declared functions, and the gold calls. See `verifiers/function_calls.py`."""

    functions: Sequence[Declaration]
    calls: Sequence[GoldCall]
    language: NotRequired[str]
    any_call: NotRequired[bool]
    """True if any call of a declared function is correct. `calls` is then empty."""
    format: NotRequired[str]
    """The only format of calls that counts (`verifiers/calls/leaderboard.py`). If absent, the verifier's option decides."""
    tagged: NotRequired[bool]
    """With `format`: the calls must be inside <TOOLCALL>...</TOOLCALL>."""


class Instructions(TypedDict):
    """Names of IFEval's instructions, and the arguments of each."""

    instructions: Sequence[str]
    arguments: NotRequired[Sequence[Mapping[str, object] | None]]


class LiveBenchGold(TypedDict):
    """The rule of a question of LiveBench, and what the rule needs. See `verifiers/live_bench/verdict.py`."""

    rule: str
    """Name of the rule, mostly that of the question's task."""
    gold: NotRequired[object]
    """The gold answer: a text; a list of integers or events; or a mapping of columns."""
    option: NotRequired[str]
    """Of a multiple-choice question (`amc`): the text of the correct option."""
    format: NotRequired[str]
    """Of a table (`tablereformat`): the format to convert it to."""
    version: NotRequired[int]
    """Of a table: the version of the task."""
    instructions: NotRequired["Instructions"]
    tests: NotRequired["CodeTests"]
    """Tests of LiveCodeBench's form (`live_code_bench`)."""
    unit_tests: NotRequired[str]
    """Source of a class TestCases (`unit_tests`)."""
    seconds: NotRequired[float]
    """Time limit of the unit tests."""
    imports: NotRequired[Sequence[str]]
    """Packages that the unit tests, or the code of the question, import."""
    start: NotRequired[str]
    """The part of the program that the question gives."""
    entry_point: NotRequired[str]
    code: NotRequired[str]
    """The code of the question, for programs that do not define the function `entry_point`."""


class ServiceCall(TypedDict):
    """A gold call of a function of a service."""

    name: str
    arguments: Mapping[str, object]
    must_see: NotRequired[bool]
    """The policy must see the result of this call. Default: true if the gold calls of the turn change nothing."""


class ToolTurn(TypedDict):
    """A user turn of a problem with services."""

    calls: Sequence[ServiceCall]
    """Gold calls, in their order. Empty if the request lacks something, or no function can do it."""
    user: NotRequired[str]
    """Text of the user. The first turn has none: it is the problem's prompt."""
    functions: NotRequired[Sequence[str]]
    """Functions that are available from this turn on."""
    says: NotRequired[Sequence[str]]
    """Texts that the last response of the turn must contain, in upper or lower case."""


class ToolTurns(TypedDict):
    """The gold answer of a problem with services; see `envs/services/environment.py`."""

    services: Mapping[str, Mapping[str, object]]
    """The initial state of each service: the arguments of its constructor."""
    turns: Sequence[ToolTurn]
    functions: NotRequired[Sequence[str]]
    """Functions that are available in the first turn; all if absent."""


class BFCLTurn(TypedDict):
    """A user turn of a multi-turn problem of BFCL-V4."""

    user: str
    functions: Sequence[Mapping[str, object]]
    """Declarations of the functions that this turn adds."""
    calls: Sequence[str]
    """Gold calls as Python text. Empty if the request lacks something, or no function can do it."""


class BFCLTurns(TypedDict):
    """The gold answer of a multi-turn problem of BFCL-V4; see `envs/bfcl/multi_turn.py`."""

    classes: Sequence[str]
    """The classes of the services."""
    config: Mapping[str, object]
    """The initial state by class."""
    functions: Sequence[Mapping[str, object]]
    """Declarations of the functions that are available in the first turn."""
    turns: Sequence[BFCLTurn]
    long_context: bool
    code: str
    """SHA-256 of the source of the services, which decides the results of calls."""


class BFCLAnswers(TypedDict):
    """The gold answer of an agentic problem of BFCL-V4; see `envs/bfcl/answers.py`."""

    answers: Sequence[str]
    """Texts, one of which the last response must contain. Empty for a conversation that is not judged."""
    service: str
    """The class of the service."""
    functions: Sequence[Mapping[str, object]]
    """Declarations of its functions."""
    code: str
    """SHA-256 of the source of the service, which decides the results of calls. Empty if it has no source."""
    scenario: NotRequired[str]
    """Of a problem with memory: whose memory it is."""
    turns: NotRequired[Sequence[str]]
    """Of a conversation: the user's turns after the first."""
    snippets: NotRequired[bool]
    """Of a problem with web search: whether search results contain a part of the page."""


class Tau2Task(TypedDict):
    """The gold answer of a task of tau2-bench; see `envs/tau2/environment.py`."""

    domain: str
    """airline, retail, telecom or mock."""
    task: Mapping[str, object]
    """The task as in tau2-bench's file, with the scenario of the user, the initial state and the criteria of the evaluation."""
    code: str
    """SHA-256 of the code and the data of the domain, which decide the results of calls and the score."""
