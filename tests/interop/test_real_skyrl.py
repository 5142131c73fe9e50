"""The conformance suite through the real skyrl_gym."""

import interop_environments as own
import pytest
from interop_pairs import TOOL, pairs

pytestmark = [pytest.mark.interop, pytest.mark.usefixtures("sandboxed")]


@pytest.fixture(scope="module", autouse=True)
def registered() -> None:
    import skyrl_gym

    skyrl_gym.register(id="tenfold", entry_point="tenfold.envs.interop.skyrl:SkyRLEnv")


@pytest.mark.parametrize("id", own.IDS)
def test_every_response_gets_the_score_of_the_suite(id: str) -> None:
    import skyrl_gym

    from tenfold.envs.interop.skyrl import NoVerdict, rows

    expected = [pair for pair in pairs() if pair.id == id and not pair.is_truncated]  # SkyRL does not say what is truncated
    data = {row["problem"]: row for row in rows(id, sorted({pair.problem for pair in expected}))}
    for pair in expected:
        row = data[pair.problem]
        environment = skyrl_gym.make(row["env_class"], env_config=None, extras={**row, "max_turns": len(pair.turns)})
        prompt, about = environment.init(row["prompt"])
        assert (prompt, about["problem_id"]) == (row["prompt"], f"p{pair.problem}")
        rewards: list[float] = []
        if pair.score is None:
            with pytest.raises(NoVerdict, match=f"problem {pair.problem} has no verdict"):
                environment.step(pair.turns[0].text)
            continue
        for turn in pair.turns:
            output = environment.step(f"{turn.text}<|im_end|>")
            rewards.append(output["reward"])
        assert (sum(rewards), output["done"], output["observations"]) == (pair.score, True, []), pair.name
        environment.close()


def test_the_reply_of_a_tool_is_an_observation() -> None:
    import skyrl_gym

    environment = skyrl_gym.make("tenfold", env_config=None, extras={"environment": TOOL, "problem": 0})
    environment.init([])
    output = environment.step('<tool_call>\n{"name": "python", "arguments": {"code": "print(6 * 7)"}}\n</tool_call>')
    assert (output["reward"], output["done"]) == (0, False)
    assert [(turn["role"], turn["content"].strip()) for turn in output["observations"]] == [("tool", "42")]
    assert environment.step("It is 42.")["reward"] == 1


def test_a_row_without_an_environment_is_one_line() -> None:
    import skyrl_gym

    from tenfold.core import UserError

    with pytest.raises(UserError, match="a row of SkyRL needs `environment`, an id, and `problem`"):
        skyrl_gym.make("tenfold", env_config=None, extras={})
