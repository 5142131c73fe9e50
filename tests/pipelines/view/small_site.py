"""Small runs for tests of the page: one finished, one at work, one with hostile text."""

from typing import Any
from urllib.parse import quote

from .page_server import Json, Site, StageData

HOSTILE = (
    "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script></script><!-- "
    "<a href=\"javascript:document.title='taken'\">link</a> ${1+1} {{7*7}} &lt;b&gt; \u202egnp.exe\u2066 \x1b[31mred\x07 \u200b"
    + "long"
    * 200
)
HOSTILE_RUN = f"#/r2/{quote(HOSTILE, safe='')}"
VIEWS = [
    "#/",
    "#/r0",
    "#/r1",
    "#/r0/recipe",
    "#/r0/grpo/curves?smooth=0.5&with=r1%2Fgrpo",
    "#/r0/grpo/groups?step=2",
    "#/r0/grpo/episodes?sort=-tokens",
    "#/r0/grpo/episode/5?at=5",
    "#/r0/grpo/problems",
    "#/r0/after/results",
    "#/compare?a=r0%2Fbefore&b=r0%2Fafter",
    "#/r2",
    "#/r2/recipe",
    *(
        f"{HOSTILE_RUN}/{view}"
        for view in ("curves", "groups", "episodes", "episode/0", "episode/1", "problems", "results", "corpus")
    ),
    "#/r9",
]
"""Addresses of all views; the last one does not exist."""


def episode(
    number: int, step: int | None, problem: int, sample: int, text: str, score: float | None = 1.0, **fields: Any
) -> Json:
    """Returns an episode with one turn."""
    status = "scored" if score is not None else "fault"
    verdict = {"status": status, "score": score, "method": "exact", "reason": f"{text[-20:]} against 4", "judge_messages": []}
    prompt = f"What is the sum of the following two numbers: {problem} + 2?"
    return {
        **{
            "number": number,
            "source": None,
            "step": step,
            "problem": problem,
            "problem_id": f"sums/{problem}",
            "sample": sample,
        },
        **{"attempt": 0, "score": score, "advantage": None, "status": status, "method": "exact", "reason": verdict["reason"]},
        **{"tokens": len(text), "finish": "stop", "turns": 1, "start": text[:200], "prompt": prompt, "gold": "4"},
        "messages": [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}],
        "verdict": verdict,
        **fields,
    }


def training(steps: int) -> StageData:
    """Returns a GRPO stage: 4 problems of 4 samples each step. All samples of problem 0 are correct."""
    rows: list[Json] = []
    for step in range(1, steps + 1):
        for problem in range(4):
            for sample in range(4):
                score = float(problem == 0 or (sample + step) % (problem + 1) == 0)
                text = f"<think>{problem} and 2\n</think>It is {problem + 2 if score else 9}, step {step}."
                rows.append(episode(len(rows), step, problem, sample, text, score))
    numbers = list(range(1, steps + 1))
    values = {
        "reward": [n / 10 for n in numbers],
        "loss": [1 / n for n in numbers],
        "kl": [None if n == 2 else n / 1000 for n in numbers],
        "seconds": [2.5 for _ in numbers],
    }
    return StageData(steps={"names": [*values], "steps": numbers, "values": values}, episodes=rows)


def benchmark(correct: int) -> StageData:
    """Returns a benchmark of 10 problems with 4 samples each; a problem has up to `correct` correct ones."""
    rows = [
        episode(4 * problem + sample, None, problem, sample, f"It is {problem + 2}.", float(sample < min(correct, problem)))
        for problem in range(10)
        for sample in range(4)
    ]
    score = sum(row["score"] for row in rows) / len(rows)
    result = {
        **{"task": "sums_avg4", "samples": 4, "problems": 10, "score": score, "low": score - 0.2, "high": score + 0.1},
        **{"interval": "over new problems", "low_samples": score - 0.05, "high_samples": score + 0.05},
        **{"protocol": ["answers are compared by value"], "cautions": ["only 10 problems"], "settings": {"temperature": 0.6}},
    }
    return StageData(episodes=rows, results=[result])


def tools() -> StageData:
    """Returns a stage whose only episode calls a tool, and has hostile text in all places."""
    function = {"name": "lookup", "arguments": {"place": "Oslo", "note": HOSTILE}}
    messages = [
        {"role": "system", "content": HOSTILE, "tools": [{"type": "function", "function": {"name": HOSTILE}}]},
        {"role": "user", "content": HOSTILE},
        {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "call_1", "name": "lookup", "content": '{"temperature": 4}'},
        {"role": "assistant", "content": f"<think>{HOSTILE}</think>It is 4 degrees. {HOSTILE}"},
    ]
    parts = [
        {"name": "calls", "score": 1.0, "weight": 0.75, "method": "exact", "reason": "all calls match"},
        {"name": HOSTILE, "score": 0.0, "weight": 0.25, "method": HOSTILE, "reason": HOSTILE},
    ]
    verdict = {
        "status": "scored",
        "score": 0.75,
        "method": HOSTILE,
        "reason": HOSTILE,
        "parts": parts,
        "judge_messages": [HOSTILE],
    }
    fields = {"messages": messages, "verdict": verdict, "gold": HOSTILE, "finish": HOSTILE, "problem_id": HOSTILE}
    texts = {"start": HOSTILE, "prompt": HOSTILE, "reason": HOSTILE, "method": HOSTILE}
    table = {"title": HOSTILE, "head": ["reason", HOSTILE], "rows": [[HOSTILE, 1200], ["kept", 88]]}
    steps = {"names": [HOSTILE, "loss"], "steps": [1, 2], "values": {HOSTILE: [1, 2], "loss": [2, 1]}}
    result = {
        **{"task": HOSTILE, "samples": 1, "problems": 1, "score": 0.75, "low": 0.5, "high": 1.0, "interval": HOSTILE},
        **{
            "low_samples": None,
            "high_samples": None,
            "protocol": [HOSTILE],
            "cautions": [HOSTILE],
            "settings": {HOSTILE: HOSTILE},
        },
    }
    rows = [episode(0, 1, 0, 0, "", 0.75) | fields | texts, episode(1, 1, 0, 1, HOSTILE, None) | texts]
    return StageData(steps=steps, episodes=rows, results=[result], corpus=[table])


def stage(name: str, kind: str, has: list[str], **fields: Any) -> Json:
    """Returns a finished stage."""
    return {
        **{"name": name, "kind": kind, "state": "finished", "done": 0, "total": 0, "values": {}, "per_second": None},
        **{
            "seconds_left": None,
            "seconds": 129,
            "summary": f"{name} is done",
            "has": has,
            "commit": "14aa3a3a",
            "machine": "2 processors",
        },
        **fields,
    }


def run(id: str, name: str, stages: list[Json], **fields: Any) -> Json:
    """Returns a run's page."""
    return {
        **{"id": id, "name": name, "folder": f"runs/{name}", "kind": "run", "description": "adds numbers", "state": "finished"},
        **{"holder": "", "error": "", "command": "", "stages": stages, "board": [], "recipe": f"name: {name}\nstages: []\n"},
        **fields,
    }


def site() -> Site:
    """Returns the runs `sums` (r0), `more` (r1, at work) and one with hostile text (r2)."""
    bench = ["episodes", "result"]
    change = {"value": 0.2, "low": 0.1, "high": 0.3}
    board = [
        {"stage": "before", "task": "sums_avg4", "score": 0.35, "low": 0.2, "high": 0.5, "change": None},
        {"stage": "after", "task": "sums_avg4", "score": 0.55, "low": 0.4, "high": 0.7, "change": change},
    ]
    sums = [stage("before", "bench", bench), stage("grpo", "grpo", ["steps", "episodes"]), stage("after", "bench", bench)]
    working = {
        "state": "running",
        "done": 3,
        "total": 5,
        "per_second": 0.5,
        "seconds_left": 4,
        "values": {"reward": 0.3},
        "summary": "",
    }
    more = [stage("grpo", "grpo", ["steps", "episodes"], **working), stage("after", "bench", [], state="waiting", summary="")]
    hostile = [stage(HOSTILE, HOSTILE, ["steps", "episodes", "result", "corpus"], summary=HOSTILE, machine=HOSTILE)]
    texts = {name: HOSTILE for name in ("description", "holder", "error", "command", "recipe", "folder")}
    details = [run("r0", "sums", sums, board=board), run("r1", "more", more, state="running", holder="process 7 on node1")]
    details.append(run("r2", HOSTILE, hostile, state="failed", **texts))
    runs = [
        {name: one[name] for name in ("id", "name", "folder", "kind", "state", "error")}
        | {"updated": 1_764_000_000, "stages": len(one["stages"])}
        | {"stages_finished": sum(part["state"] == "finished" for part in one["stages"])}
        for one in details
    ]
    stages = {("r0", "before"): benchmark(2), ("r0", "grpo"): training(5), ("r0", "after"): benchmark(4)}
    stages |= {("r1", "grpo"): training(3), ("r2", HOSTILE): tools()}
    return Site(runs, {one["id"]: one for one in details}, stages)
