"""Episodes of `ToolsEnv`: calls, turns and verdicts."""

import json
from typing import Any

import gymnasium
import pytest

import tenfold
from tenfold import Status, UserError, Verdict
from tenfold.envs.services.environment import ToolsEnv

BANK = {"accounts": {"savings": 400, "checking": 50}, "transfers": [], "orders": {}}
MOVE = {"name": "transfer_money", "arguments": {"source": "savings", "target": "checking", "amount": 30}}
BALANCE = {"name": "account_balance", "arguments": {"account": "savings"}}


def environment(*turns: dict[str, Any], functions: list[str] | None = None, **options: Any) -> ToolsEnv:
    """Returns an environment with one problem. The text of its first turn is the question."""
    first, *others = turns
    gold: dict[str, Any] = {"services": {"bank": BANK}, "turns": [{"calls": first["calls"], **first}, *others]}
    if functions is not None:
        gold["functions"] = functions
    found = ToolsEnv([{"question": first.get("user", "Do it."), "answer": gold}], **options)
    found.reset()
    return found


def as_text(*calls: dict[str, Any]) -> str:
    return "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in calls)


def played(env: ToolsEnv, *actions: str) -> tuple[float, str]:
    """Plays all actions; returns the score and the reason of the verdict."""
    for action in actions:
        _, reward, terminated, _, info = env.step(action)
    assert terminated
    verdict: Verdict = info["verdict"]
    assert (verdict.status, verdict.score) == (Status.SCORED, reward)
    return reward, verdict.reason


def test_results_of_calls_are_replies_of_the_role_tool() -> None:
    env = environment({"calls": [MOVE]})
    reply, reward, terminated, _, info = env.step(as_text(BALANCE, MOVE))
    assert (reply, reward, terminated, info["role"], info["tool_calls"]) == ('400\n"moved 30 euros"', 0.0, False, "tool", 2)
    assert played(env, "Done.") == (1.0, "1 of 1 turns")


@pytest.mark.parametrize(
    "text",
    [
        'transfer_money(source="savings", target="checking", amount=30)',
        '[transfer_money(source="savings", target="checking", amount=30)]',
        json.dumps(MOVE),
        "<function=transfer_money><parameter=source>savings</parameter><parameter=target>checking</parameter>"
        "<parameter=amount>30</parameter></function>",
        "<tool_call>transfer_money<arg_key>source</arg_key><arg_value>savings</arg_value><arg_key>target</arg_key>"
        "<arg_value>checking</arg_value><arg_key>amount</arg_key><arg_value>30</arg_value></tool_call>",
        f"[TOOL_CALLS][{json.dumps(MOVE)}]",
        f"<think>I should move it.</think>{as_text(MOVE)}",
    ],
)
def test_calls_in_the_formats_of_todays_models_are_executed(text: str) -> None:
    assert played(environment({"calls": [MOVE]}), text, "Done.") == (1.0, "1 of 1 turns")


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        (["Done."], "turn 1 of 1: bank.accounts.savings is 400 instead of 370"),
        ([as_text(MOVE, MOVE), "Done."], "turn 1 of 1: bank.accounts.savings is 340 instead of 370"),
        ([as_text({**MOVE, "arguments": {**MOVE["arguments"], "amount": 29}}), "Done."], "bank.accounts.savings is 371"),  # type: ignore[dict-item]
        ([as_text({**MOVE, "name": "move"}), "Done."], "bank.accounts.savings is 400"),
        ([f"<think>{as_text(MOVE)}</think>Done."], "bank.accounts.savings is 400"),
        (["I call transfer_money with 30 euros."], "bank.accounts.savings is 400"),
    ],
)
def test_another_state_after_the_turn_fails(actions: list[str], reason: str) -> None:
    score, found = played(environment({"calls": [MOVE]}), *actions)
    assert score == 0
    assert reason in found


def test_results_that_the_gold_calls_read_must_have_been_seen() -> None:
    turns = {"calls": [BALANCE], "says": ["400"]}
    assert played(environment(turns), as_text(BALANCE), "There are 400 euros.") == (1.0, "1 of 1 turns")
    assert played(environment(turns), "There are 400 euros.") == (
        0.0,
        "turn 1 of 1: the result of account_balance was not read",
    )
    assert played(environment(turns), as_text(BALANCE), "There are 4000 euros.") == (
        0.0,
        "turn 1 of 1: the response lacks '400'",
    )
    other = {"name": "account_balance", "arguments": {"account": "checking"}}
    assert played(environment(turns), as_text(other), "400")[0] == 0
    again = {"calls": [BALANCE], "user": "How much was it?"}
    assert played(environment(turns, again), as_text(BALANCE), "400", "As I said, 400.")[0] == 1


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("1,400 euros", True),
        ("1400.", True),
        ("$1400!", True),
        ("1400.50", False),
        ("21400", False),
        ("1400.00 euros", True),
        ("**1400**", True),
        ("1400EUR", True),
        ("<think>1400</think>Done.", False),
    ],
)
def test_a_number_in_the_response_must_stand_alone(text: str, passes: bool) -> None:
    env = environment({"calls": [], "says": ["1400"]}, {"user": "Thanks.", "calls": [MOVE]})
    assert env.step(text)[2] is not passes


def test_each_user_turn_is_judged_and_the_first_that_fails_ends_the_episode() -> None:
    turns = [{"calls": [MOVE]}, {"user": "Once more.", "calls": [MOVE]}, {"user": "And once more.", "calls": [MOVE]}]
    env = environment(*turns)
    env.step(as_text(MOVE))
    reply, *_, info = env.step("Done.")
    assert (reply, info.get("role", "user")) == ("Once more.", "user")
    assert played(env, "No.") == (0.0, "turn 2 of 3: bank.accounts.savings is 370 instead of 340")
    partial = environment(*turns, partial=True)
    score, _ = played(partial, as_text(MOVE), "Done.", "No.")
    assert score == pytest.approx(1 / 3)


def test_a_turn_without_gold_calls_may_read_but_not_change() -> None:
    turns = [{"calls": []}, {"user": "30 euros.", "calls": [MOVE]}]
    assert played(environment(*turns), as_text(BALANCE), "How much?", as_text(MOVE), "Done.")[0] == 1
    assert played(environment(*turns), as_text(MOVE), "Done.")[0] == 0


def test_a_function_that_a_later_turn_adds_cannot_be_called_before() -> None:
    turns = [{"calls": []}, {"user": "Now.", "calls": [MOVE], "functions": ["transfer_money"]}]
    env = environment(*turns, functions=["account_balance"])
    prompt, _ = env.reset()
    assert "transfer_money" not in prompt
    reply, *_ = env.step(as_text(MOVE))
    assert reply == '{"error": "there is no function transfer_money"}'
    reply, *_ = env.step("I cannot.")
    assert reply.startswith("Now.\n\nYou can now also call these functions:\n{")
    assert played(env, as_text(MOVE), "Done.")[0] == 1


def test_errors_are_replies_from_which_a_policy_can_recover() -> None:
    env = environment({"calls": [MOVE]})
    reply, *_, info = env.step('<tool_call>\n{"name": "transfer_money", "arg\n</tool_call>')
    assert reply.startswith('{"error": "the call cannot be read: ')
    assert info["role"] == "tool"
    reply, *_ = env.step(as_text({**MOVE, "arguments": {**MOVE["arguments"], "amount": 900}}))  # type: ignore[dict-item]
    assert reply == '{"error": "the account savings has only 400 euros"}'
    assert played(env, as_text(MOVE), "Done.")[0] == 1


def test_too_many_calls_in_a_turn_end_the_episode() -> None:
    env = environment({"calls": [MOVE]}, max_calls=2)
    assert played(env, as_text(BALANCE), as_text(BALANCE, BALANCE)) == (0.0, "turn 1 of 1: more than 2 calls in a turn")
    env.reset()
    assert played(env, as_text(BALANCE), as_text(MOVE), "Done.")[0] == 1


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch hacked')",
        "[transfer_money(source=open('hacked', 'w').name, target='checking', amount=30)]",
        as_text({"name": "_take", "arguments": {"account": "savings", "amount": 30}}),
        as_text({"name": "__class__", "arguments": {}}),
        as_text({"name": "transfer_money", "arguments": {"source": {"__class__": "x"}, "target": [], "amount": 1e308}}),
        "<tool_call>" * 1000,
        "\ud800",
    ],
)
def test_hostile_text_is_data(text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = environment({"calls": [MOVE]})
    _, _, terminated, _, _ = env.step(text)
    if not terminated:
        assert played(env, "Done.")[0] == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("42", "another form"),
        ({"services": {"bank": BANK}, "turns": []}, "no turns"),
        ({"services": {"bank": BANK}, "turns": [{"calls": [{"name": "pay"}]}]}, "a turn of another form"),
        ({"services": {"bank": BANK}, "turns": [{"calls": []}, {"calls": []}]}, "without the user's text"),
        ({"services": {"bank": BANK}, "turns": [{"calls": []}], "functions": ["fly"]}, "no service has the function fly"),
        ({"services": {"moon": {}}, "turns": [{"calls": []}]}, "no service 'moon'"),
        (
            {"services": {"bank": BANK}, "turns": [{"calls": [{"name": "account_balance", "arguments": {"account": "x"}}]}]},
            "turn 1: the gold call of account_balance fails",
        ),
        (
            {
                "services": {"bank": BANK},
                "turns": [{"calls": []}, {"user": "Now.", "calls": [{"name": "fly", "arguments": {}}]}],
            },
            "turn 2: the gold call of fly fails: .*there is no function fly",
        ),
        ({"services": {"bank": BANK}, "turns": [{"calls": [], "says": [400]}]}, "a turn of another form"),
        ({"services": {"bank": BANK}, "turns": [{"calls": [], "says": "400"}]}, "a turn of another form"),
        ({"services": {"bank": BANK}, "turns": [{"calls": []}], "functions": [["fly"]]}, "functions of another form"),
    ],
)
def test_a_gold_answer_that_cannot_be_played_is_refused(answer: Any, words: str) -> None:
    env = ToolsEnv([{"question": "Do it.", "answer": answer}])
    with pytest.raises(UserError, match=words):
        env.reset()


def test_a_service_of_the_user_is_ten_lines(lab: Any) -> None:
    (lab / "lights.py").write_text(
        '''class Lights:
    """The lights of a house."""

    def __init__(self, on: dict[str, bool]):
        self.on = on

    def switch(self, room: str, on: bool) -> str:
        """Switches a light.

        Args:
            room: name of the room.
            on: true to switch it on.
        """
        self.on[room] = on
        return "done"
'''
    )
    row = {
        "question": "Light in the hall, please.",
        "answer": {
            "services": {"lights": {"on": {"hall": False}}},
            "turns": [{"calls": [{"name": "switch", "arguments": {"room": "hall", "on": True}}]}],
        },
    }
    (lab / "lights.jsonl").write_text(json.dumps(row) + "\n")
    tenfold.register(
        "lab/Lights-v0",
        entry_point="tenfold.envs.services.environment:ToolsEnv",
        problems="jsonl:lights.jsonl",
        services={"lights": "lights:Lights"},
    )
    env = gymnasium.make("lab/Lights-v0")
    env.reset()
    env.step('switch(room="hall", on=True)')
    assert env.step("Done.")[1] == 1


def test_calls_that_cannot_be_read_count_as_calls() -> None:
    env = environment({"calls": [MOVE]}, max_calls=2)
    unread = "<tool_call>{</tool_call>"
    assert played(env, unread, unread, unread) == (0.0, "turn 1 of 1: more than 2 calls in a turn")


@pytest.mark.parametrize("text", ["Done (400)", "f(2)", '["400"]', "400 (euros)"])
def test_an_answer_that_looks_like_a_call_is_an_answer(text: str) -> None:
    env = environment({"calls": [], "says": ["400"]} if "400" in text else {"calls": []}, {"user": "Thanks.", "calls": [MOVE]})
    assert env.step(text)[0] == "Thanks."


def test_a_value_that_the_policy_knows_need_not_be_read_before_a_change() -> None:
    turns = {"calls": [BALANCE, MOVE]}
    assert played(environment(turns), as_text(MOVE), "Done.")[0] == 1
    seen = {"calls": [{**BALANCE, "must_see": True}, MOVE]}
    assert played(environment(seen), as_text(MOVE), "Done.") == (0.0, "turn 1 of 1: the result of account_balance was not read")


@pytest.mark.parametrize(
    "amount",
    ["9" * 5000, "0x" + "f" * 5000, "1e400", "[" * 900 + "]" * 900, "'\\ud800'", "{1, 2}", "b'x'", "1j", "...", "None"],
)
def test_unusual_values_of_arguments_are_errors(amount: str) -> None:
    env = environment({"calls": [MOVE]})
    reply, _, terminated, _, info = env.step(f"[transfer_money(source='savings', target='checking', amount={amount})]")
    if not terminated and info.get("role") == "tool":
        assert "error" in reply
        env.step("Done.")


def test_functions_can_be_declared_as_tools_of_the_chat_template() -> None:
    env = environment({"calls": [MOVE]}, functions=["transfer_money"], describe="template", system="You are a clerk.")
    observation, info = env.reset()
    first, asked = info["messages"]
    assert [tool["function"]["name"] for tool in first["tools"]] == ["transfer_money"]
    assert first["content"].startswith("You are a clerk.\n\nThe results come back to you.")
    assert "transfer_money" not in first["content"]
    assert asked == {"role": "user", "content": "Do it."}
    assert '"name": "transfer_money"' in observation
    assert played(env, as_text(MOVE), "Done.") == (1.0, "1 of 1 turns")
