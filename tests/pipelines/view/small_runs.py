"""Small runs, written in the formats of the stages, and a server that shows them."""

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import uvicorn

from tenfold.benchmarks import result
from tenfold.core import Completion, Episode, Message, Status, Verdict
from tenfold.pipelines.recipe.progress.log import Log
from tenfold.pipelines.view import server
from tenfold.pipelines.view.runs import Runs
from tenfold.policies.store import Store, episode_row

Answer = dict[str, Any]


def episode(problem: int, sample: int, text: str, score: float | None = 1.0, **fields: Any) -> Answer:
    """Returns an episode as a stage stores it."""
    status = Status.SCORED if score is not None else Status.FAULT
    verdict = Verdict(status, score, "exact", f"{text[:20]} against 4")
    messages = (Message(role="user", content=f"Problem {problem}: 2 + 2 = ?"), Message(role="assistant", content=text))
    finish = fields.pop("finish_reason", "stop")
    played = Episode(f"sums/{problem}", sample, messages, verdict, fields.pop("tokens", len(text)), finish)
    return {**episode_row(problem, played, [Completion(text, finish, (1, 2))]), **fields}


def step_episode(step: int, problem: int, sample: int, text: str, score: float | None = 1.0, **fields: Any) -> Answer:
    """Returns an episode as an agent loop of GRPO writes it."""
    row = episode(problem, sample, text, score, **fields)
    del row["turns"]
    return {**row, "step": step, "attempt": 0, "generate_seconds": 0.1, "environment_seconds": 0.1, "reused": False}


def lines(rows: list[Answer]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


class Run:
    """Writes the files of a run."""

    def __init__(self, folder: Path, stages: dict[str, str], **settings: Any):
        """Begins a run.

        Args:
            folder: folder of the run.
            stages: kinds of the stages, by name.
            **settings: further entries of the recipe.
        """
        self.folder, self.stages = folder, stages
        folder.mkdir(parents=True)
        listed = [{"kind": kind, "name": name} for name, kind in stages.items()]
        recipe = {"name": folder.name, "policy": "micro:", "stages": listed} | settings
        (folder / "recipe.yaml").write_text(json.dumps(recipe))
        Log(folder).add("run", recipe=folder.name, process=1, stages=[*stages])

    def begin(self, name: str, **settings: Any) -> Path:
        """Writes the settings of a stage and returns its folder."""
        (self.folder / name).mkdir(exist_ok=True)
        Log(self.folder).add("start", stage=name, kind=self.stages[name], resumed=False)
        self._record(name, settings, "settings.json")
        return self.folder / name

    def finish(self, name: str, metrics: Answer, **settings: Any) -> None:
        """Writes the record of a finished stage."""
        more = {"metrics": metrics, "comparable": {}, "wall_seconds": 1.5, "resumed": False}
        self._record(name, settings, "stage.json", **more)
        Log(self.folder).add("end", stage=name, seconds=1.5)

    def _record(self, name: str, settings: Answer, file: str, **more: Any) -> None:
        machine = {"platform": "Linux", "processor": "a processor", "processors": 2, "memory_gib": 8, "gpus": []}
        stage = {"kind": self.stages[name], "name": name, **settings}
        row = {"name": name, "stage": stage, "seed": 0, "policy": "micro:", "commit": "1234abcd", "machine": machine}
        (self.folder / name / file).write_text(json.dumps(row | more))

    def store(self, name: str, rows: list[Answer], file: str = "episodes.jsonl") -> Path:
        """Adds episodes to a store of a stage, as a filter does."""
        path = self.folder / name / file
        Store(path, {"environment": "<TextEnv<lab/Sums-v0>>", "policy": "micro:"}).append(rows)
        return path

    def episodes(self, name: str, rows: list[Answer], file: str = "host-1.jsonl") -> Path:
        """Adds episodes to a file of an agent loop."""
        path = self.folder / name / "episodes" / file
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as stream:
            stream.write(lines(rows))
        return path


def write_result(folder: Path, task: str, scores: list[list[float | None]], **settings: Any) -> result.Result:
    """Writes the files of a benchmark's result.

    Args:
        folder: folder of the results.
        task: name of the task.
        scores: the scores of the samples of each problem.
        **settings: further settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[result.ScoredProblem] = []
    samples = Store[Answer](folder / f"{task}.samples.jsonl", {"policy": "micro:"})
    for problem, row in enumerate(scores):
        verdicts: list[result.ScoredSample] = []
        for sample, score in enumerate(row):
            text = f"answer {sample} to problem {problem}"
            samples.append([{"request": f"q{problem}", "sample": sample, "text": text, "finish_reason": "stop", "tokens": 5}])
            status = "fault" if score is None else "scored"
            verdict = {"status": status, "score": score, "method": "exact", "reason": text, "judge_messages": []}
            verdicts.append({**verdict, "tokens": 5, "finish_reason": "stop"})  # type: ignore[typeddict-item]
        prompt = [Message(role="user", content=f"Question {problem}?")]
        named = {"problem": f"{task}/{problem}", "prompt": prompt, "gold": f"gold {problem}", "meta": {}}
        rows.append({**named, "request": f"q{problem}", "samples": verdicts})  # type: ignore[typeddict-item]
    own = {"task": task, "policy": "micro:", "protocol": ["as published"], "problems_hash": "1"} | settings
    k = len(scores[0])
    found = result.result_of(f"{task}_avg{k}", rows, own, hashed=own, store=f"{task}.samples.jsonl")
    result.save(folder, found, rows)
    return found


def metrics_of(*found: result.Result) -> Answer:
    """Returns the metrics of a bench stage with these results."""
    return {"scores": {each.task: dataclasses.asdict(each.score) for each in found}}


class Site:
    """A server and a client that asks it."""

    def __init__(self, runs: Runs, host: str, token: str):
        """Starts the server on a free port."""
        app = server.application(runs, host, token)
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="on", timeout_graceful_shutdown=1))
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        while not self.server.started:
            assert self.thread.is_alive()
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=120, trust_env=False)

    def get(self, path: str, **query: object) -> Answer:
        """Returns the answer to a request that must succeed."""
        response = self.client.get(path, params={name: str(value) for name, value in query.items()})
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        return answer

    def error(self, path: str, **query: object) -> tuple[int, str]:
        """Returns the status and the text of an error."""
        response = self.client.get(path, params={name: str(value) for name, value in query.items()})
        assert response.json().keys() == {"error"}
        return response.status_code, response.json()["error"]

    def indexed(self, run: str = "r0") -> "Site":
        """Asks for the episodes of each stage of a run, and waits until all are indexed."""
        for stage in self.get(f"/api/runs/{run}")["stages"]:
            if "episodes" in stage["has"]:
                self.get(f"/api/runs/{run}/stages/{quote(stage['name'], safe='')}/episodes", limit=0)
        self.until(lambda: self.get(f"/api/runs/{run}")["indexing"] == 1)
        return self

    def until(self, holds: Callable[[], bool]) -> None:
        """Waits until something holds."""
        end = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.05)

    def close(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join()
