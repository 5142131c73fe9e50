"""Runs tests of the form `stdin`: whole programs, which are judged by what they print."""

from ...golds import CodeTests
from ..sandbox import RunStatus, Sandbox, languages
from . import fences
from .equality import same_output
from .forms import NoTests, TestResults, limits_of

STDIN_FACTOR = 10
"""All `stdin` tests of one program may together use this many times its limits on processor time, wall time and output. Our
choice."""


def run(program: str, answer: CodeTests, box: Sandbox) -> TestResults:
    """Tests of whole programs: compares standard output for given standard input."""
    passed: list[bool] = []
    why, end = "", RunStatus.FINISHED
    language = language_of(answer)
    limits, cpu, wall, output = limits_of(answer), 0.0, 0.0, 0
    # A program that prints exactly the expected outputs must not exceed the limit.
    max_output = max(STDIN_FACTOR * limits.output, 2 * sum(len(test["output"]) for test in answer["stdin"]))
    for number, test in enumerate(answer["stdin"]):
        stdin = test["input"].replace("\r\n", "\n")  # line ends depend on the data set and are not part of the problem
        if language == "python":
            outcome = box.run(program, stdin=stdin, limits=limits)
        else:
            outcome = languages.run(language, program, stdin, limits)
        ok = outcome.status == RunStatus.FINISHED and same_output(test["output"], outcome.stdout, answer.get("tolerance"))
        if outcome.status == RunStatus.ERROR and not passed and language != "python" and (lack := languages.lacks(language)):
            raise NoTests(lack)  # a compiler that is installed, but does not work here
        if not ok and not why:
            why, end = f"(test {number + 1}: {outcome.reason or f'printed {outcome.stdout[:120]!r}'})", outcome.status
        passed.append(ok)
        cpu += outcome.cpu_seconds
        wall += max(0.0, outcome.wall_seconds - outcome.waited_seconds - box.round_trip_seconds)
        output += len(outcome.stdout) + len(outcome.stderr)
        timeout = outcome.status == RunStatus.TIMEOUT
        spent = (cpu > STDIN_FACTOR * limits.cpu_seconds, wall > STDIN_FACTOR * limits.wall_seconds, output > max_output)
        if timeout or any(spent):  # the other tests would probably take as long
            what = "wall time" if timeout else ("processor time", "wall time", "output")[spent.index(True)]
            if timeout or len(passed) < len(answer["stdin"]):
                end = RunStatus.OUTPUT if what == "output" else RunStatus.TIMEOUT
                why = why or f"(test {number + 2}: all tests together use more than {STDIN_FACTOR} times the limit on {what})"
            passed += [False] * (len(answer["stdin"]) - len(passed))
            break
    return passed, why, end


def language_of(answer: CodeTests) -> str:
    """Returns the language of whole programs. Raises `NoTests` if it does not run here."""
    language = fences.language_of(str(answer.get("language") or "python"))
    if language != "python" and language not in languages.LANGUAGES:
        raise NoTests(f"language: {language!r} does not run here; python, {', '.join(languages.LANGUAGES)} do")
    return language
