import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env

import tenfold
from tenfold.core import UserError
from tenfold.envs import built_in, identity, registry
from tenfold.envs.gold import SupportsGoldMove, gold_response
from tenfold.envs.text import TextEnv

GSM8K_LIKE = r"""{"question": "Two and two?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}
{"question": "Three less one?", "answer": "It is 2\n#### 2"}
"""
CHOICE_LIKE = """{"question": "Which is even?", "options": ["1", "2", "3", "5"], "answer": "2", "answer_letter": "B"}
{"question": "Which is a metal?", "options": {"A": "neon", "B": "iron", "C": "argon", "D": "xenon"}, "answer": "B"}
"""
MBPP_LIKE = """{"text": "Add.", "code": "def add(a, b): return a + b", "test_list": ["assert add(1, 2) == 3"]}
{"text": "Negate.", "code": "def negate(a): return -a", "test_list": ["assert negate(1) == -1"]}
"""
IFEVAL_LIKE = """{"prompt": "Say it.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}], "solution": "it"}
{"prompt": "Go.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}], "solution": "gone"}
"""


SAMPLE = ("caesar_cipher", "chain_sum", "composite", "maze", "mini_sudoku", "spiral_matrix")
"""Generators of reasoning-gym that the default tests check. `test_reasoning_gym.py` checks all."""
TAU2 = {id for id in built_in.TOOLS if id.startswith("tenfold/Tau2")}
ELSEWHERE = {*built_in.REASONING_GYM, "tenfold/BFCLMemoryVector-v0", *TAU2}
"""Ids that other tests check. `BFCLMemoryVector` needs a model from the hub, which `bfcl/test_memory.py` replaces. tau2-bench
needs a user, and no agent alone can take all gold actions (`tau2/test_tau2.py`)."""
IDS = [id for id in registry.ids() if id.startswith("tenfold/") and id not in ELSEWHERE] + [
    f"tenfold/RG-{name}-v0" for name in SAMPLE
]


@pytest.fixture(params=IDS)
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> gymnasium.Env[str, str]:
    """Each registered environment. A file replaces data of the hub."""
    declared = gymnasium.spec(request.param).kwargs
    declared = gymnasium.spec(declared["environment"]).kwargs if "environment" in declared else declared
    if declared.get("verifier") == "code" or request.param.startswith("tenfold/BFCLM"):
        request.getfixturevalue("sandboxed")
    problems = declared.get("problems") or str(registry.held_out_of(request.param))
    if problems.startswith("hf:"):
        rows = {"math": GSM8K_LIKE, "code": MBPP_LIKE, "science": CHOICE_LIKE, "instructions": IFEVAL_LIKE}[
            declared["verifier"]
        ]
        (tmp_path / "rows.jsonl").write_text(rows)
        return tenfold.make(request.param, problems=f"jsonl:{tmp_path}/rows.jsonl")
    (tmp_path / "search.jsonl").touch()
    search = {"search": f"{tmp_path}/search.jsonl"} if request.param == "tenfold/BFCLWebSearch-v0" else {}
    try:
        return tenfold.make(request.param, **search)
    except UserError as error:
        if "bfcl]" not in str(error):
            raise
        pytest.skip(str(error))


def test_environments_pass_gymnasiums_checker(environment: gymnasium.Env[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(environment.unwrapped)


def test_environments_pass_gymnasiums_passive_checker(environment: gymnasium.Env[str, str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checked = gymnasium.wrappers.PassiveEnvChecker(environment.unwrapped)
        checked.action_space.seed(0)
        for seed in range(20):
            observation, _ = checked.reset(seed=seed)
            assert observation in checked.observation_space
            checked.step(checked.action_space.sample())


def test_equal_seeds_and_actions_give_equal_episodes(environment: gymnasium.Env[str, str]) -> None:
    def play() -> list[object]:
        environment.action_space.seed(1)
        seen: list[object] = [environment.reset(seed=1)]
        for _ in range(50):
            seen += [environment.step(environment.action_space.sample()), environment.reset()]
        return seen

    assert play() == play()


def test_gold_answers_score_1(environment: gymnasium.Env[str, str]) -> None:
    inner = environment.unwrapped
    for index in range(min(20, len(inner.problems))):
        environment.reset(options={"problem": index})
        ended = False
        while not ended:
            gold = inner.gold_move() if isinstance(inner, SupportsGoldMove) else gold_response(inner.problems[index])
            _, reward, ended, _, _ = environment.step(gold)
        assert reward == 1


def test_importing_the_package_registers_its_environments() -> None:
    assert gymnasium.make("tenfold/ChainSum-v0").reset(seed=0)[0].startswith("State the final answer")


def test_a_registered_environment_can_be_made(lab: Path) -> None:
    (lab / "units.jsonl").write_text('{"question": "How many metres is 1 km?", "answer": 1000}\n')
    tenfold.register("lab/Units-v0", problems="jsonl:units.jsonl", verifier="math", template="{prompt} Just the number.")
    env = tenfold.make("lab/Units-v0")
    assert env.reset(seed=0)[0] == "How many metres is 1 km? Just the number."
    assert env.step("1,000")[1] == 1
    assert "lab/Units-v0" in registry.ids()


def test_a_question_mark_changes_options_of_the_registered_problems(lab: Path) -> None:
    env = tenfold.make("tenfold/ChainSum-v0", problems="?size=3&part=held_out").unwrapped
    assert len(env.problems) == 3
    assert env.problems[0].source.startswith("reasoning_gym:chain_sum?part=held_out&size=3&seed=2&min_terms=3&")
    mixture = {"id": "tenfold/Nim-v0", "problems": "?size=2"}
    tenfold.register("lab/Few-v0", entry_point="tenfold.envs.mixture:Mixture", environments=[mixture])
    assert len(tenfold.make("lab/Few-v0").unwrapped.problems) == 2
    changed, full = (
        identity.of_environment("tenfold/ChainSum-v0", {"problems": uri})
        for uri in ("?size=3&part=held_out", env.problems[0].source)
    )
    assert changed == full
    tenfold.register("lab/Objects-v0", problems=[], verifier="math")
    with pytest.raises(UserError, match="has no problem URI whose options can change"):
        tenfold.make("lab/Objects-v0", problems="?size=3")


def test_an_id_with_a_module_imports_the_module(lab: Path) -> None:
    (lab / "lab_words.py").write_text(
        "import tenfold\ntenfold.register('lab/Words-v0', problems=[tenfold.Problem('1', "
        "({'role': 'user', 'content': 'Say 5'},), '5', 'here')])\n"
    )
    assert tenfold.make("lab_words:lab/Words-v0").reset(seed=0)[0] == "Say 5"


def test_registrations_can_be_made_again_in_another_process(lab: Path) -> None:
    (lab / "rows.jsonl").write_text(GSM8K_LIKE)
    tenfold.register("told/Sums-v0", problems="jsonl:rows.jsonl?answer_after=%23%23%23%23")
    tenfold.register("told/Mix-v0", entry_point="tenfold.envs.mixture:Mixture", environments=["told/Sums-v0"])
    tenfold.register("untold/Objects-v0", problems=[], verifier=print)
    specs = [gymnasium.envs.registration.EnvSpec.from_json(text) for text in registry.registrations()]
    by_id = {spec.id: spec for spec in specs}
    assert {"told/Sums-v0", "told/Mix-v0"} <= by_id.keys()
    assert not {"untold/Objects-v0", "tenfold/ChainSum-v0"} & by_id.keys()
    for id in ("told/Sums-v0", "told/Mix-v0"):
        gymnasium.registry.pop(id)
        gymnasium.registry[id] = by_id[id]
    assert gymnasium.make("told/Mix-v0").reset(options={"problem": 1})[0].startswith("Three less one?")


def test_a_plug_in_package_registers_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    def bring() -> None:
        gymnasium.register("plugin/One-v0", entry_point=registry.TEXT_ENV)

    def broken() -> None:
        raise RuntimeError("half installed")

    plugins = [SimpleNamespace(value=f"{f.__name__}:x", load=lambda f=f: f) for f in (broken, bring)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: plugins)
    with pytest.warns(UserWarning, match="half installed"):
        assert "plugin/One-v0" in registry.ids()


def test_another_process_makes_an_environment_of_a_plug_in_by_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    def bring() -> None:
        tenfold.register("plugin/Two-v0", problems=[{"question": "2?", "answer": 2}], verifier=lambda gold, answer: True)

    plugin = SimpleNamespace(value="bring:two", load=lambda: bring)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [plugin])
    declared = registry.declaration(tenfold.make("plugin/Two-v0"), "plugin/Two-v0", {})
    assert gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(declared)).reset(seed=0)[0] == "2?"
    bring()  # no longer the plug-in's own registration
    with pytest.raises(UserError, match="put its registration into a module, and write MODULE:plugin/Two-v0 for the id"):
        registry.declaration(tenfold.make("plugin/Two-v0"), "plugin/Two-v0", {})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tenfold.make("tenfold/ChainSums-v0"), "tenfold/ChainSum-v0"),
        (lambda: tenfold.make("no_such_module:lab/X-v0"), "no_such_module"),
        (lambda: tenfold.register("lab/Nothing-v0"), "problems="),
        (lambda: tenfold.register("lab/no version given!", problems="jsonl:x"), "cannot register"),
        (lambda: tenfold.make("tenfold/ChainSum-v0", verifier="maths"), "math, choice, science, reasoning_gym"),
        (lambda: tenfold.make("tenfold/ChainSum-v0", verifier="a b:c"), "cannot be imported"),
        (lambda: tenfold.make("tenfold/ChainSum-v0", verifier="json:__doc__"), "is not a verifier"),
        (
            lambda: tenfold.make("tenfold/ChainSum-v0", verifer="math"),
            "'verifer'; the arguments are problems, verifier, template, system, invalid_gold",
        ),
        (lambda: tenfold.make("tenfold/ChainSum-v0", template="no place"), "{prompt}"),
        (lambda: tenfold.make("tenfold/ChainSum-v0").reset(options={"problem": 10**6}), "from 0"),
    ],
)
def test_a_user_error_is_one_line_with_a_remedy(call: object, words: str) -> None:
    with pytest.raises(UserError) as error:
        call()  # type: ignore[operator]
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_importing_the_package_imports_no_heavy_modules() -> None:
    assert "tenfold" in sys.modules
    import subprocess

    heavy = "import sys, tenfold; print([m for m in ('torch', 'transformers', 'verl', 'lm_eval') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.strip() == "[]"


BROKEN = """{"id": "good", "question": "1+1?", "answer": "2"}
{"id": "bad", "question": "?", "answer": "\\\\frac{1}{"}
"""


def test_unreadable_gold_answers_are_reported_on_creation(lab: Path) -> None:
    (lab / "broken.jsonl").write_text(BROKEN)
    with pytest.warns(UserWarning, match=r"1 of 2 problems cannot be used \(bad: "):
        assert len(TextEnv("jsonl:broken.jsonl").problems) == 2
    assert [problem.id for problem in TextEnv("jsonl:broken.jsonl", invalid_gold="drop").problems] == ["good"]
    with pytest.raises(UserError, match="bad"):
        TextEnv("jsonl:broken.jsonl", invalid_gold="error")
    with pytest.raises(UserError, match="expected warn, drop or error"):
        TextEnv("jsonl:broken.jsonl", invalid_gold="yes")


VERIFIERS = """
import tenfold
from tenfold import Problem, Verdict, Verifier


def score(problem: Problem, response: str) -> float:
    return float(response == problem.answer)


def is_correct(problem: Problem, response: str, strip: bool = True) -> bool:
    return response == problem.answer


def verdict(problem: Problem, response: str) -> Verdict:
    return tenfold.verify(problem.answer, response)


class Exact:
    def __call__(self, problem: Problem, response: str) -> float | Verdict:
        return score(problem, response)


def register(verifier: Verifier) -> None:
    tenfold.register("lab/Score-v0", problems="jsonl:p.jsonl", verifier=score)
    tenfold.register("lab/Bool-v0", problems="jsonl:p.jsonl", verifier=is_correct)
    tenfold.register("lab/Verdict-v0", problems="jsonl:p.jsonl", verifier=verdict)
    tenfold.register("lab/Object-v0", problems="jsonl:p.jsonl", verifier=Exact())
    tenfold.register("lab/Verifier-v0", problems="jsonl:p.jsonl", verifier=verifier)
"""


@pytest.mark.slow
def test_mypy_accepts_every_callable_that_works_as_a_verifier(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    (tmp_path / "verifiers.py").write_text(VERIFIERS)
    (tmp_path / "tenfold").symlink_to(Path(tenfold.__file__).parent)
    settings = ["--config-file=", f"--cache-dir={tmp_path}/cache", "--follow-imports=silent", "--ignore-missing-imports"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MYPYPATH", str(tmp_path))
        output, _, status = api.run([*settings, f"--python-executable={sys.executable}", f"{tmp_path}/verifiers.py"])
    assert status == 0, output
