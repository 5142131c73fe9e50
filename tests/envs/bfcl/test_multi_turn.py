"""Multi-turn problems of BFCL-V4: gold calls pass, and trajectories get the verdict of the leaderboard's own code."""

import ast
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import Status, UserError
from tenfold.envs.bfcl import calls, services, texts
from tenfold.envs.bfcl.multi_turn import BFCLMultiTurn
from tenfold.envs.bfcl.problems import CATEGORIES, URI
from tenfold.verifiers.calls.call import Malformed

try:
    DATA = services.package() / "data"
except UserError:
    pytest.skip("needs bfcl-eval", allow_module_level=True)

Trajectory = list[list[str]]
"""For each user turn the responses of the policy."""


@pytest.fixture(scope="module")
def env() -> Iterator[BFCLMultiTurn]:
    made = BFCLMultiTurn()
    yield made
    made.close()


def index_of(env: BFCLMultiTurn, id: str) -> int:
    return next(index for index, problem in enumerate(env.problems) if problem.id == id)


def played(env: BFCLMultiTurn, index: int, trajectory: Trajectory) -> tuple[float, str]:
    """Plays a trajectory; returns the score and the reason."""
    env.reset(options={"problem": index})
    for turn, responses in enumerate(trajectory):
        for response in [*responses, "That is all."]:
            if env.turn == turn:  # a limit of steps may have ended the turn
                _, reward, ended, _, info = env.step(response)
                if ended:
                    return float(reward), info["verdict"].reason
    raise AssertionError("the episode has not ended")


def gold_of(env: BFCLMultiTurn, index: int) -> Trajectory:
    """Returns the gold trajectory: a response with all calls in each turn that has gold calls."""
    env.reset(options={"problem": index})
    found: Trajectory = [[] for _ in env.gold["turns"]]
    ended = False
    while not ended:
        move, turn = env.gold_move(), env.turn
        _, _, ended, _, _ = env.step(move)
        if move.startswith("["):
            found[turn].append(move)
    return found


def test_an_episode_follows_the_protocol(env: BFCLMultiTurn) -> None:
    _, info = env.reset(options={"problem": index_of(env, "multi_turn_miss_func_0")})
    system, asked = info["messages"]
    assert (system["role"], asked["role"]) == ("system", "user")
    assert "is in Python 3 syntax." in system["content"]
    assert '"name": "sort"' not in system["content"], "a later turn adds it"
    reply, reward, ended, _, info = env.step("[cd(folder='document'), mkdir(dir_name='temp')]")
    assert ast.literal_eval(reply) == [
        {"role": "tool", "name": "cd(folder='document')", "content": '{"current_working_directory": "document"}'},
        {"role": "tool", "name": "mkdir(dir_name='temp')", "content": "None"},
    ]
    assert (reward, ended, info["role"], info["tool_calls"]) == (0.0, False, "user", 2)
    env.step("mv(source='final_report.pdf', destination='temp')")
    reply, *_ = env.step("I have moved it.")
    assert reply.startswith("Perform a detailed search using grep")
    env.step("[cd(folder='temp'), grep(file_name='final_report.pdf', pattern='budget analysis')]")
    env.step("Found.")
    reply, *_ = env.step("I cannot sort it.")
    assert "'name': 'sort'" in reply
    _, reward, ended, _, info = env.step("Sorted.")
    assert (reward, ended, info["verdict"].reason) == (0.0, True, "turn 4 of 5: no function was called")


@pytest.mark.parametrize("mode", ["prompt", "tools"])
@pytest.mark.parametrize("category", CATEGORIES)
def test_gold_calls_pass(category: str, mode: str) -> None:
    env = tenfold.make("tenfold/BFCLMultiTurn-v0", problems=f"{URI}?categories={category}", mode=mode)
    for index in (0, 77, 150):
        env.reset(options={"problem": index})
        ended = False
        while not ended:
            _, reward, ended, _, _ = env.step(env.unwrapped.gold_move())  # type: ignore[attr-defined]
        assert reward == 1
    env.close()


def test_functions_can_be_tools_of_the_chat_template(env: BFCLMultiTurn) -> None:
    by_tools = BFCLMultiTurn(mode="tools")
    _, info = by_tools.reset(options={"problem": index_of(env, "multi_turn_base_0")})
    (first,) = info["messages"]
    declared = {tool["function"]["name"]: tool["function"]["parameters"] for tool in first["tools"]}
    assert declared["tail"]["type"] == "object"
    assert declared["tail"]["properties"]["lines"]["type"] == "integer"
    reply, *_, info = by_tools.step('<tool_call>\n{"name": "ls", "arguments": {}}\n</tool_call>')
    assert (json.loads(reply), info["role"]) == ({"current_directory_content": ["document", "archive"]}, "tool")
    by_tools.close()


def test_more_than_20_responses_with_calls_in_a_turn_fail_unless_it_is_the_last(env: BFCLMultiTurn) -> None:
    index = index_of(env, "multi_turn_base_0")
    gold = gold_of(env, index)
    assert played(env, index, [gold[0] + ["[ls()]"] * 20, *gold[1:]])[1].endswith("more than 20 responses with calls in a turn")
    assert played(env, index, [gold[0] + ["[ls()]"] * 19, *gold[1:]])[0] == 1
    assert played(env, index, [*gold[:-1], gold[-1] + ["[pwd()]"] * 20])[0] == 1


def test_a_call_that_needs_too_much_time_ends_the_episode(env: BFCLMultiTurn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "LIMITS", services.Limits(cpu_seconds=1.0, wall_seconds=20.0))
    index = next(index for index, problem in enumerate(env.problems) if "MathAPI" in problem.answer["classes"])  # type: ignore[index]
    env.reset(options={"problem": index})
    _, reward, ended, _, info = env.step("[logarithm(value=2.0, base=10.0, precision=1000000000)]")
    assert (reward, ended, info["verdict"].status) == (0.0, True, Status.TIMEOUT)
    assert env.reset(options={"problem": index})[1]["index"] == index


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("[ls()]", ["ls()"]),
        ("```\nls(a=True), cd(folder='x')\n```", ["ls(a=True)", "cd(folder='x')"]),
        (
            "cd(folder=x, n=-3, m=2*3+1, t=(1, 'a'), d={'a': 1, 2: [3]})",
            ["cd(folder='x', n=-3, m=7, t=(1, 'a'), d={'a': 1, '2': [3]})"],
        ),
        ("[f(x=g(y=1), z=h())]", ["f(x=g(y=1), z='h()')"]),
        ("[f(x=a[0], y=b[1, 2])]", ["f(x='a[0]', y='b[(1, 2)]')"]),
        ("[f(x='ab' * 2, y=[1] + [2], z=3 * +5, v=1 << 2, w=~1 + 2)]", ["f(x='abab', y=[1, 2], z=15, v=4, w=0)"]),
        ("[cd('x')]", ["cd()"]),
        ("[]", []),
        ("", []),
    ],
)
def test_responses_are_read_as_the_leaderboard_reads_them(response: str, expected: list[str]) -> None:
    assert calls.in_prompt_mode(response) == expected


@pytest.mark.parametrize(
    "response",
    [
        "Done.",
        "I call [ls()].",
        "[ls() ls()]",
        "[ls(x=lambda: 1)]",
        "[f(x={})]",
        "[f(x=2**99999999)]",
        "[f(x='a'*99999999)]",
        "[f(x=1 << 99999999)]",
        "[f(x='%99999999d' % 1)]",
        "[f(x=__import__('os').getcwd)]",
        "[(" * 500,
        "[x for x in y]",
        "[f(x=\0)]",
    ],
)
def test_other_responses_are_answers(response: str) -> None:
    with pytest.raises(Malformed):
        calls.in_prompt_mode(response)


@pytest.mark.parametrize(
    "response",
    [
        f"[ls(a=0x{'f' * 5_000})]",
        '<tool_call>\n{"name": "ls", "arguments": ' + '{"a": ' * 170 + "1" + "}" * 170 + "}\n</tool_call>",
        json.dumps({"name": "ls", "arguments": {"folder=" + "-" * 400 + "1, y": 1}}),
        '{"name": "ls", "arguments": {"a": 1e999}}',
        "[ls(a={'x': 1, 'y': {'c': {'d': 2}}})]",
    ],
)
@pytest.mark.parametrize("mode", ["prompt", "tools"])
def test_odd_calls_never_raise_and_their_errors_are_equal_in_each_episode(response: str, mode: str) -> None:
    env = BFCLMultiTurn(mode=mode)
    replies = []
    for _ in range(2):
        env.reset(options={"problem": 0})
        replies.append(env.step(response)[0])
    env.close()
    assert replies[0] == replies[1]


def test_a_problem_of_another_form_is_a_users_error() -> None:
    row = {"question": "Hello.", "answer": {"classes": ["Nope"]}}
    with pytest.raises(UserError, match="its answer is not `BFCLTurns`"):
        BFCLMultiTurn([row]).reset()
    gold = {"config": {}, "functions": [], "turns": [], "long_context": False, "code": ""}
    with pytest.raises(UserError, match="no class 'Nope'"):
        BFCLMultiTurn([{"question": "Hello.", "answer": {"classes": ["Nope"], **gold}}]).reset()
    wrong = {"classes": ["GorillaFileSystem"], **gold, "config": {"GorillaFileSystem": {"root": 3}}}
    wrong["turns"] = [{"user": "Hello.", "functions": [], "calls": ["ls()"]}]
    env = BFCLMultiTurn([{"question": "Hello.", "answer": wrong}])
    env.reset()
    with pytest.raises(UserError, match="reject their initial state"):
        env.step("[ls()]")


def test_texts_of_calls_are_parsed_as_data() -> None:
    assert calls.parsed("f('a', x=g(y=1), z=[1, 'b'])") == [
        "f",
        [["value", "'a'"]],
        {"x": ["call", ["g", [], {"y": ["value", "1"]}]], "z": ["value", "[1, 'b']"]},
    ]
    held = services.Services(["GorillaFileSystem"], {}, False)
    evil = [
        "cd(folder=__import__('os').getcwd())",
        "open(file='/etc/passwd')",
        "_load_scenario(scenario={})",
        "cd(folder=(",
        "cd(**{'folder': '..'})",
    ]
    assert all(result.startswith("Error during execution: ") for result in held.run(evil))
    held.close()


def rows() -> dict[str, tuple[dict[str, Any], list[list[str]], str]]:
    """Returns the rows of all categories with their gold calls and category, by id."""
    found = {}
    for category in CATEGORIES:
        file = f"BFCL_v4_{category}.json"
        golds = [json.loads(line)["ground_truth"] for line in (DATA / "possible_answer" / file).read_text().splitlines()]
        for line, gold in zip((DATA / file).read_text().splitlines(), golds, strict=True):
            row = json.loads(line)
            found[row["id"]] = (row, gold, category)
    return found


def mutants(gold: Trajectory, functions: Sequence[texts.Declaration], rng: random.Random) -> Iterator[Trajectory]:
    """Yields the gold trajectory and changes of it."""
    single = [[f"[{call}]" for response in turn for call in split(response)] for turn in gold]
    yield gold
    yield single
    yield [["Done."] for _ in gold]
    places = [(turn, place) for turn, responses in enumerate(single) for place in range(len(responses))]
    for _ in range(3):
        turn, place = rng.choice(places)
        called = single[turn][place]
        other = rng.choice(functions)
        changed = f"[{other['name']}({', '.join(f'{name}={value(part, rng)!r}' for name, part in arguments(other))})]"

        def at(responses: list[str], turn: int = turn) -> Trajectory:
            return [*single[:turn], responses, *single[turn + 1 :]]

        before, after = single[turn][:place], single[turn][place + 1 :]
        yield at([*before, *after])  # without a call
        yield at([*before, called, called, *after])  # twice
        yield at([*before, *after, called])  # later
        yield at([*before, changed, called, *after])  # with another call
        yield at([*before, changed, *after])  # another call instead
        yield at([*before, another_value(called, rng), *after])  # another value
        yield at([*before, called.replace("(", "x(", 1), *after])  # a function that does not exist
        yield at([*before, f"I call {called}", *after])  # text
        yield at([*before, f"```{called}```", *after])
    earlier = [place for place in places if place[0] and single[place[0] - 1]]
    if earlier:  # a call that is made a turn too early
        turn, place = rng.choice(earlier)
        moved = [[*responses] for responses in single]
        moved[turn - 1].append(moved[turn].pop(place))
        yield moved
    for turn in [turn for turn, responses in enumerate(single) if not responses]:  # calls in a turn without gold calls
        yield [*single[:turn], single[turn + 1] if turn + 1 < len(single) else ["[ls()]"], *single[turn + 1 :]]
        yield [*single[:turn], [single[places[0][0]][0]], *single[turn + 1 :]]


def split(response: str) -> list[str]:
    node = ast.parse(response, mode="eval").body
    assert isinstance(node, ast.List)
    return [ast.unparse(call) for call in node.elts]


def arguments(function: texts.Declaration) -> list[tuple[str, dict[str, Any]]]:
    parameters = function["parameters"]
    return [(name, part) for name, part in parameters["properties"].items() if name in parameters.get("required", ())]


def value(part: dict[str, Any], rng: random.Random) -> object:
    kinds: dict[str, object] = {
        "integer": rng.randrange(9),
        "float": rng.random(),
        "boolean": True,
        "array": [1, "a"],
        "dict": {"a": 1},
    }
    return kinds.get(part["type"], rng.choice(["temp", "report.txt", "AAPL", "x (y)"]))


def another_value(called: str, rng: random.Random) -> str:
    """Returns the call with another value of one of its arguments."""
    tree = ast.parse(called, mode="eval")
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    if not constants:
        return called
    chosen = rng.choice(constants)
    chosen.value = f"{chosen.value}x" if isinstance(chosen.value, str) else chosen.value + 1  # type: ignore[operator]
    return ast.unparse(tree)


def disagreements(env: BFCLMultiTurn, indices: Sequence[int], limit: int) -> tuple[int, int, list[str]]:
    """Judges mutants of the gold trajectories of some problems with our and with the leaderboard's code.

    Returns:
        The number of trajectories, the number that pass, and those with different verdicts.
    """
    known, asked, ours = rows(), [], []
    for index in indices:
        problem, rng = env.problems[index], random.Random(index)
        row, gold, category = known[problem.id]
        trajectories = [*mutants(gold_of(env, index), problem.answer["functions"], rng)]  # type: ignore[index]
        for trajectory in [*trajectories[:3], *rng.sample(trajectories[3:], min(limit, len(trajectories) - 3))]:
            asked.append(json.dumps({"row": row, "gold": gold, "category": category, "responses": trajectory}))
            ours.append((*played(env, index, trajectory), trajectory))
    script = Path(__file__).with_name("official_multi_turn.py")
    run = subprocess.run([sys.executable, script], input="\n".join(asked), capture_output=True, text=True, check=True)
    theirs = [json.loads(line) for line in run.stdout.splitlines()]
    found = [
        f"ours: {score} ({reason}), theirs: {valid} ({error}): {trajectory}"
        for (score, reason, trajectory), (valid, error) in zip(ours, theirs, strict=True)
        if bool(score) != valid
    ]
    return len(ours), sum(bool(score) for score, *_ in ours), found


def test_trajectories_get_the_verdict_of_the_leaderboards_own_code(env: BFCLMultiTurn) -> None:
    count, passing, found = disagreements(env, range(3, 800, 100), 6)
    assert not found
    assert count == 72
    assert 8 < passing < 64


@pytest.mark.slow
def test_thousands_of_trajectories_get_the_verdict_of_the_leaderboards_own_code(env: BFCLMultiTurn) -> None:
    count, passing, found = disagreements(env, range(0, 800, 5), 12)
    assert not found
    assert count > 2_000
    assert 500 < passing < 1_900
