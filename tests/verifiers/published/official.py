"""Judges responses with a benchmark's own code, and writes its verdicts into the file of the responses.

    python official.py FOLDER FILE.json

The file is named for the benchmark. FOLDER is a checkout of its repository at the commit that `source` in the file names. The
code runs in an environment of its own, with the packages that it imports: pandas, jinja2, requests, tqdm, numpy, prettytable,
openpyxl, timeout-decorator, pyyaml, absl-py, nltk, langdetect, immutabledict; for LiveBench also lxml, sympy, lark and
latex2sympy2; for MathArena Python 3.12 with sympy 1.14.0, antlr4-python3-runtime 4.11.0, loguru and regex. Clients of model
servers are replaced by empty modules, because no model is asked.

A file has the fields that all its cases share, and `cases`, each with a response. A case's `official` is what the code returns.
"""

import contextlib
import importlib
import io
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import yaml

Case = dict[str, Any]


def supergpqa(folder: Path) -> Callable[[Case], Case]:
    """The function `calculate_accuracy` of eval/eval.py, on a file with one sample."""
    sys.path.insert(0, str(folder))
    sys.modules["config.config_wrapper"] = MagicMock()
    calculate_accuracy = importlib.import_module("eval.eval").calculate_accuracy
    loader: Any = importlib.import_module("infer.data_loader")
    template = folder / "config/prompt/zero-shot.yaml"
    loader.read_yaml = lambda _: yaml.safe_load(template.read_text())

    def judge(case: Case) -> Case:
        loader.read_json_or_jsonl = lambda *_: [case]
        ((prompt, _),) = loader.load_data("SuperGPQA-all", "zero-shot")
        row = {"response": case["response"], "options": case["options"], "answer_letter": case["letter"]}
        with tempfile.TemporaryDirectory() as made:
            (Path(made) / "one.jsonl").write_text("".join(json.dumps(row | {"difficulty": name}) + "\n" for name in LEVELS))
            calculate_accuracy(f"{made}/one.jsonl", f"{made}/judged", "zero-shot")
            status = json.loads((Path(made) / "judged/one.jsonl").read_text().splitlines()[0])["status"]
        return {"score": float(status == "correct"), "prompt": prompt}

    return judge


LEVELS = ("easy", "middle", "hard")
"""Difficulties of SuperGPQA. Its code divides by the number of samples of each."""


def simple_evals(folder: Path) -> Callable[[Case], Case]:
    """The class `GPQAEval` of gpqa_eval.py, with a sampler that returns the response."""
    sys.modules |= {name: MagicMock() for name in ("openai",)}
    sys.path.insert(0, str(folder.parent))
    module = importlib.import_module(f"{folder.name}.gpqa_eval")

    class Sampler:
        def __init__(self, response: str):
            self.response, self.prompt = response, ""

        def _pack_message(self, content: str, role: str) -> dict[str, str]:
            return {"role": role, "content": content}

        def __call__(self, messages: list[dict[str, str]]) -> Any:
            self.prompt = messages[0]["content"]
            return MagicMock(response_text=self.response, actual_queried_message_list=messages)

    def judge(case: Case) -> Case:
        correct = "ABCD".index(case["letter"])
        others = [option for index, option in enumerate(case["options"]) if index != correct]
        names = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")
        row = {
            "Question": case["question"],
            "Correct Answer": case["options"][correct],
            **dict(zip(names, others, strict=True)),
        }
        rest = iter((1, 2, 3))
        order = [0 if index == correct else next(rest) for index in range(4)]
        found, sampler = module.GPQAEval.__new__(module.GPQAEval), Sampler(case["response"])
        found.examples = [row | {"permutation": order}]
        return {"score": found(sampler).score, "prompt": sampler.prompt}

    return judge


def mmlu_pro(folder: Path) -> Callable[[Case], Case]:
    """The function `single_request` of evaluate_from_api.py, with a client that returns the response.

    The score is None if there is no letter. The benchmark then takes a random option.
    """
    clients = ("openai", "anthropic", "google", "google.generativeai", "datasets", "ai21", "ai21.models", "ai21.models.chat")
    sys.modules |= {name: MagicMock() for name in clients}
    sys.path.insert(0, str(folder))
    module = importlib.import_module("evaluate_from_api")

    def judge(case: Case) -> Case:
        asked: list[str] = []

        def call_api(client: object, instruction: str, inputs: str) -> str:
            asked.append(instruction + inputs)
            return str(case["response"])

        module.call_api = call_api
        row = {"question_id": 1, "question": case["question"], "options": case["options"], "category": case["category"]}
        (row,) = module.preprocess([row])[case["category"]]
        examples = module.preprocess([dict(example) for example in case["examples"]])
        found, _, _ = module.single_request(None, row, examples, [])
        return {"score": None if found is None else float(found == case["letter"]), "prompt": asked[0]}

    return judge


def cmath(folder: Path) -> Callable[[Case], Case]:
    """The functions of utils.py that eval.py calls. The score is None if the script leaves the response out."""
    sys.path.insert(0, str(folder))
    module: Any = importlib.import_module("utils")
    has_exception = module.has_exception
    module.has_exception = lambda answer, *_: has_exception(answer)  # it is called with an argument that it does not take

    def judge(case: Case) -> Case:
        found = module.extract_digits_prediction(case["response"])
        return {"score": None if "ERROR" in found else float(module.match_digit_response(case["golden"], found))}

    return judge


def ifeval(folder: Path) -> Callable[[Case], Case]:
    """The strict and the loose test of evaluation_main.py."""
    sys.path.insert(0, str(folder))
    sys.argv = sys.argv[:1]
    module = importlib.import_module("instruction_following_eval.evaluation_main")
    importlib.import_module("langdetect").DetectorFactory.seed = 0  # without it, the language of a response is random

    def judge(case: Case) -> Case:
        given = [{name: value for name, value in kwargs.items() if value is not None} for kwargs in case["kwargs"]]
        example = module.InputExample(1, case["instruction_id_list"], case["prompt"], given)
        responses = {case["prompt"]: case["response"]}
        strict = module.test_instruction_following_strict(example, responses)
        loose = module.test_instruction_following_loose(example, responses)
        return {"strict": strict.follow_instruction_list, "loose": loose.follow_instruction_list}

    return judge


def matharena(folder: Path) -> Callable[[Case], Case]:
    """The function `extract_and_grade` of grader.py, and the prompt of the class `Runner` for each competition in the file."""
    unused = ("api_client", "request_logger", "runs", "solvers", "tools", "utils")
    tools = ("code_execution", "lean_execution", "paper_search", "submit_answer")
    modules = ["datasets", *(f"matharena.{name}" for name in unused), *(f"matharena.tools.{name}" for name in tools)]
    sys.modules |= {name: MagicMock() for name in modules}
    sys.path.insert(0, str(folder / "src"))
    importlib.import_module("loguru").logger.remove()
    importlib.import_module("matharena.utils").is_conversation_broken = lambda messages: (False, "")
    grader, runner = importlib.import_module("matharena.grader"), importlib.import_module("matharena.runner")

    def prompt(competition: str, problem: str) -> str:
        with tempfile.TemporaryDirectory() as made, contextlib.chdir(made), contextlib.redirect_stdout(io.StringIO()):
            Path("model.yaml").write_text("human_readable_id: model\nmodel: model\n")
            runner.Runner._load_problems = lambda self, ids: []
            found = runner.Runner(competition, 1, None, str(folder / "configs/competitions"), made, made, True)
            found._initialize_solver = MagicMock()
            found.problems = [{"problem_idx": 1, "problem": problem}]
            runner.Runs.return_value.N = 0
            found.prepare_run("model")
            template = found._initialize_solver.call_args.args[1]
        return str(template.format_map({"problem": problem}))  # as in the method `build_query` of pure_model_solver.py

    def judge(case: Case) -> Case:
        config = yaml.safe_load((folder / f"configs/competitions/{case['competition']}.yaml").read_text())
        turns = [{"role": "assistant", "content": case["response"]}]
        _, correct, _ = grader.extract_and_grade(turns, len(case["response"]), case["gold"], config)
        return {"score": float(correct), "prompt": {name: prompt(name, case["question"]) for name in case["competitions"]}}

    return judge


class _AsksModel(Exception):
    """LiveBench's code would ask a model."""


def livebench(folder: Path) -> Callable[[Case], Case]:
    """The function `play_a_match_gt` of gen_ground_truth_judgment.py, and for instructions those that `gen_judgments` calls.

    The score is None if a model would decide.
    """
    sys.path.insert(0, str(folder))
    others = "dotenv rich rich.traceback shortuuid livebench.model livebench.model.api_model_config livebench.if_runner.ifbench"
    harness = "livebench.agentic_code_runner.eval.harness"
    names = [*others.split(), *(f"{harness}.{name}" for name in ("constant", "report", "test_result")), harness]
    names += ["livebench.agentic_code_runner", "livebench.agentic_code_runner.eval"]
    sys.modules |= {name: MagicMock() for name in names}
    module: Any = importlib.import_module("livebench.gen_ground_truth_judgment")
    amps: Any = importlib.import_module("livebench.process_results.math.AMPS_Hard.utils")
    evaluation: Any = importlib.import_module("livebench.process_results.instruction_following.utils")
    os.environ["OPENAI_API_KEY"] = "none"

    def ask(*_: str) -> bool:
        raise _AsksModel

    amps.is_equiv_llm = ask

    def judge(case: Case) -> Case:
        question = case["questions"][case["question"]]
        if question["category"] == "instruction_following":
            text = re.sub("<think>.*?</think>", "", case["response"], flags=re.DOTALL).strip()
            (example,) = evaluation.evaluation_main.read_prompt_list([question])
            found = evaluation.evaluation_main.test_instruction_following_strict(example, {example.prompt: text})
            return {"score": evaluation.score_results(found.follow_all_instructions, found.follow_instruction_list)}
        answer = {"choices": [{"turns": [case["response"]]}]}
        with contextlib.redirect_stdout(io.StringIO()):
            result = module.play_a_match_gt(module.MatchSingle(question, "", answer))
        return {"score": None if "_AsksModel" in result.get("error_msg", "") else float(result["score"])}

    return judge


CATEGORIES = ("math", "reasoning", "language", "data_analysis", "instruction_following", "coding")
"""Categories of LiveBench, a file each."""
JUDGES = {
    "supergpqa": supergpqa,
    "simple_evals": simple_evals,
    "mmlu_pro": mmlu_pro,
    "cmath": cmath,
    "ifeval": ifeval,
    "matharena": matharena,
}
JUDGES |= {f"livebench_{name}": livebench for name in CATEGORIES}


def main() -> None:
    """Judges the cases of a file."""
    path = Path(sys.argv[2]).resolve()
    judge = JUDGES[path.stem](Path(sys.argv[1]).resolve())
    content = json.loads(path.read_text())
    shared = {name: value for name, value in content.items() if name not in ("source", "prompt", "cases")}
    rows = []
    for case in content["cases"]:
        official = judge(shared | {name: value for name, value in case.items() if name != "official"})
        if "prompt" in official:  # all cases have the same
            content["prompt"] = official.pop("prompt")
        rows.append(json.dumps(case | {"official": official.get("score", official)}, ensure_ascii=False))
    head = {name: value for name, value in content.items() if name != "cases"}
    text = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    path.write_text(text + ',\n "cases": [\n  ' + ",\n  ".join(rows) + "\n ]\n}\n")


if __name__ == "__main__":
    main()
