"""Rules that all games share, through the public interface."""

from typing import Any

import gymnasium
import pytest

import tenfold
from tenfold.core import Sampling, Status, UserError
from tenfold.envs import built_in
from tenfold.envs.games.game import TextGame
from tenfold.envs.problems import sources
from tenfold.policies.scripted import ScriptedPolicy

IDS = sorted(built_in.GAMES)
HOSTILE = [
    "",
    " ",
    "\0",
    "\\boxed{",
    "\\boxed{}",
    "\\boxed{" * 20_000,
    "<answer>" * 20_000,
    "<think>" * 20_000 + "\\boxed{1}",
    "\\boxed{1e9}",
    "\\boxed{-1}",
    "\\boxed{٣}",
    "\\boxed{²}",
    "\\boxed{A 0}",
    "\\boxed{H 99}",
    "\\boxed{ß}",
    "\\boxed{İ}",
    "9" * 1_000_000,
    "\ud800",
    "\\boxed{\n\n}",
    "'; drop table games; --",
]


def game(id: str, **options: Any) -> TextGame:
    found = tenfold.make(id, **options).unwrapped
    assert isinstance(found, TextGame)
    return found


def play(env: TextGame, index: int, moves: list[str]) -> tuple[list[str], float, dict[str, Any]]:
    """Returns the replies, the last reward and the last info."""
    env.reset(options={"problem": index})
    replies, reward, info = [], 0.0, {}
    for move in moves:
        reply, reward, ended, truncated, info = env.step(move)
        replies.append(reply)
        assert not truncated
        if ended:
            break
    return replies, reward, info


@pytest.mark.parametrize("id", IDS)
def test_gold_moves_win_every_game(id: str) -> None:
    env = game(id)
    for index in range(len(env.problems)):
        env.reset(options={"problem": index})
        for _ in range(env.problems[index].answer["turns"]):  # type: ignore[index]
            _, reward, ended, _, info = env.step(env.gold_move())
            if ended:
                break
        assert (reward, info["verdict"].score, info["invalid_actions"]) == (1, 1, 0)


def test_gold_moves_win_also_if_halving_needs_more_turns() -> None:
    env = game("tenfold/GuessNumber-v0", problems="?turns=3&size=50")
    for index in range(50):
        env.reset(options={"problem": index})
        rewards = [env.step(env.gold_move())[1]]
        while not rewards[-1] and len(rewards) < 3:
            rewards.append(env.step(env.gold_move())[1])
        assert rewards[-1] == 1


def test_problems_may_be_rows_and_those_of_another_kind_are_one_line_errors() -> None:
    rows = [
        {"prompt": "Nim!", "answer": {"piles": [1, 2], "turns": 3}},
        {"prompt": "1 + 1?", "answer": 2},
        {"prompt": "?", "answer": {}},
    ]
    env = game("tenfold/Nim-v0", problems=rows)
    assert play(env, 0, ["\\boxed{B 1}", "\\boxed{B 1}"])[1] == 1
    for index in (1, 2):
        with pytest.raises(UserError, match=r"^problem \d is not a problem of Nim: .*; use problems that the generator of Nim"):
            env.reset(options={"problem": index})
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step("\\boxed{A 1}")


@pytest.mark.parametrize("id", IDS)
def test_any_text_is_answered_counted_and_ends_within_the_limit(id: str) -> None:
    env = game(id)
    limit = env.problems[0].answer["turns"]  # type: ignore[index]
    replies, reward, info = play(env, 0, (HOSTILE * 2)[:limit])
    assert all(replies)
    assert len(replies) <= limit
    assert reward == 0
    assert info["verdict"].status == Status.SCORED
    assert info["invalid_actions"] > 3
    for text in HOSTILE:  # each as the first move
        env.reset(options={"problem": 0})
        assert env.step(text)[1] == 0


@pytest.mark.parametrize("id", IDS)
def test_the_echoed_prompt_scores_0(id: str) -> None:
    env = game(id)
    prompt, _ = env.reset(options={"problem": 1})
    replies, reward, _ = play(env, 1, [prompt] * 20)
    assert reward == 0
    assert len(replies) == env.problems[1].answer["turns"] or id == "tenfold/Nim-v0"  # type: ignore[index]


@pytest.mark.parametrize("id", IDS)
def test_parts_share_no_problem_and_seeds_give_the_same_problems(id: str) -> None:
    train = game(id, problems="?size=40").problems
    other = game(id, problems="?size=40&seed=1").problems
    held_out = game(id, problems="?size=20&part=held_out").problems
    assert [p.id for p in train] == [p.id for p in game(id).problems[:40]]
    assert len({p.id for p in train}) == 40
    assert {p.id for p in train} != {p.id for p in other}
    assert not {p.id for p in [*train, *other]} & {p.id for p in held_out}


@pytest.mark.parametrize("id", IDS)
def test_the_prompt_states_the_limit_of_turns(id: str) -> None:
    env = game(id)
    assert all(str(p.answer["turns"]) in p.prompt[0]["content"] for p in env.problems[:5])  # type: ignore[index]


def test_ids_are_equal_on_all_machines() -> None:
    assert {id: game(id).problems[0].id for id in IDS} == {
        "tenfold/GuessNumber-v0": "guess_number/41d210160c72",
        "tenfold/Hangman-v0": "hangman/409b0609af18",
        "tenfold/Mastermind-v0": "mastermind/b6432953add5",
        "tenfold/Nim-v0": "nim/a0158599ca9e",
        "tenfold/TwentyQuestions-v0": "twenty_questions/3ccaa99b42de",
    }


def test_a_rollout_plays_turn_by_turn() -> None:
    env = game("tenfold/GuessNumber-v0")
    policy = ScriptedPolicy("I halve: \\boxed{500}")
    episode, *_ = tenfold.rollout(lambda: env, policy, samples=1, problems=1, sampling=Sampling(max_tokens=10_000))
    assert [turn["role"] for turn in episode.messages[:4]] == ["user", "assistant", "user", "assistant"]
    assert len(episode.messages) == 14
    assert episode.verdict.score == 0


def test_guess_number_replies_higher_and_lower() -> None:
    env = game("tenfold/GuessNumber-v0")
    number, low, high = (env.problems[0].answer[name] for name in ("number", "low", "high"))  # type: ignore[index]
    assert low < number < high
    replies, reward, info = play(env, 0, [f"\\boxed{{{low}}}", f"Then {high}?\n{high}", "hm", f"\\boxed{{{number}}}"])
    assert [reply.partition(".")[0] for reply in replies] == [
        f"My number is higher than {low}",
        f"Reply with one integer from {low} to {high} in \\boxed{{}}",
        f"Reply with one integer from {low} to {high} in \\boxed{{}}",
        f"Correct: my number is {number}",
    ] or replies[1].startswith("My number is lower")
    assert reward == 1
    assert info["verdict"].reason.startswith("4 turns, ")


def test_mastermind_counts_placed_and_misplaced_letters() -> None:
    env = game("tenfold/Mastermind-v0")
    env.reset(options={"problem": 0})
    env.code = "AABC"  # type: ignore[attr-defined]
    for guess, reply in (
        ("A B D D", "ABDD: 1 in the right place, 1 in another place."),
        ("baaa", "BAAA: 1 in the right place, 2 in another place."),
        ("AAAA", "AAAA: 2 in the right place, 0 in another place."),
        ("AABC", "Correct"),
    ):
        assert env.step(f"\\boxed{{{guess}}}")[0].startswith(reply)


@pytest.mark.parametrize(
    ("move", "is_legal"),
    [("A 1", True), ("A1", True), ("a: 1", True), ("Take A, 1", True), ("PILE A 1", True), ("1 A", False), ("AA 1", False)],
)
def test_nim_reads_a_pile_and_a_number(move: str, is_legal: bool) -> None:
    _, _, info = play(game("tenfold/Nim-v0"), 0, [f"\\boxed{{{move}}}"])
    assert info["invalid_actions"] == int(not is_legal)


def test_nim_is_lost_after_one_mistake() -> None:
    env = game("tenfold/Nim-v0")
    for index in range(50):
        env.reset(options={"problem": index})
        move = env.gold_move()
        name, count = move[7:-1].split()
        pile = env.piles["ABCD".index(name)]  # type: ignore[attr-defined]
        worse = count == "1" and pile > 1
        if not worse and count == "1":
            continue
        ended, action = False, f"\\boxed{{{name} {2 if worse else 1}}}"
        reward = 0.0
        while not ended:
            _, reward, ended, _, _ = env.step(action)
            action = env.gold_move() if not ended else ""
        assert reward == 0


def test_hangman_shows_letters_and_limits_wrong_guesses() -> None:
    env = game("tenfold/Hangman-v0")
    env.reset(options={"problem": 0})
    env.word = "kettle"  # type: ignore[attr-defined]
    assert env.step("\\boxed{e}")[0] == "e is in the word: _ e _ _ _ e. Wrong guesses left: 6. Turns left: 14."
    assert env.step("E")[0].startswith("Reply with one new letter")
    assert env.step("turtle")[0].startswith("turtle is not the word: _ e _ _ _ e. Wrong guesses left: 5.")
    for letter in "abcd":
        env.step(letter)
    reply, reward, ended, _, info = env.step("f")
    assert (reply, reward, ended) == ("f is wrong, and no wrong guess is left. The word is kettle.", 0, True)
    assert info["invalid_actions"] == 1


def test_twenty_questions_answers_questions_about_properties() -> None:
    env = game("tenfold/TwentyQuestions-v0")
    env.reset(options={"problem": 0})
    answer: Any = env.problems[0].answer
    chosen = answer["objects"][answer["number"] - 1]
    assert env.step(f"Is it {chosen[1]}?\n\\boxed{{{chosen[1]}}}")[0].startswith(f"{chosen[1]}: yes.")
    other = next(colour for colour in ("red", "blue") if colour != chosen[1])
    assert env.step(other)[0].startswith(f"{other}: no.")
    wrong = answer["number"] % 16 + 1
    assert env.step(str(wrong))[0].startswith(f"My object is not number {wrong}.")
    assert env.step(str(answer["number"]))[1] == 1


@pytest.mark.parametrize(
    ("id", "options", "words"),
    [
        ("tenfold/GuessNumber-v0", "?numbers=1", "numbers: expected an integer from 2 to 1000000, got 1"),
        ("tenfold/GuessNumber-v0", "?size=many", "size: expected an integer >= 1, got 'many'"),
        ("tenfold/GuessNumber-v0", "?part=test", "part: expected all, train or held_out"),
        ("tenfold/GuessNumber-v0", "?nombers=5", "unknown option 'nombers'"),
        ("tenfold/Hangman-v0", "?size=400", r"size=400: with these options, part=train has only about \d+ problems"),
        ("tenfold/Nim-v0", "?max_objects=1&min_piles=2&max_piles=2", "no start of these piles can be won"),
        ("tenfold/Mastermind-v0", "?letters=30", "letters: expected an integer from 2 to 10, got 30"),
    ],
)
def test_wrong_options_are_one_line_errors(id: str, options: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        game(id, problems=options)


@pytest.mark.parametrize("id", IDS)
def test_each_generator_has_as_many_problems_as_its_default_size(id: str) -> None:
    uri = built_in.GAMES[id]["problems"].partition("?")[0]
    assert len(sources.load(uri)) >= 200


def test_options_change_the_difficulty() -> None:
    (problem,) = sources.load("generate:tenfold.envs.games.guess_number:problems?numbers=1000&size=1")
    assert problem.answer["high"] - problem.answer["low"] == 999  # type: ignore[index]
    assert problem.answer["turns"] == 10  # type: ignore[index]
