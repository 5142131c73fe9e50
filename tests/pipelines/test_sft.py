import json
from pathlib import Path

import torch
from tenfold.envs import problems
from tenfold.pipelines import sft, training
from tenfold.policies import initial

TINY = "micro:?hidden=16&layers=1&heads=2"


def settings(path: Path, **changes: object) -> sft.SFT:
    return sft.SFT.model_validate({"kind": "sft", "name": "sft", "problems": f"jsonl:{path}", "steps": 1} | changes)


def test_the_loss_is_on_the_answer_alone(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text(json.dumps({"question": "2 + 2?", "answer": "it is 4 #### 4"}))
    stage = settings(tmp_path / "r.jsonl", template="{prompt} Go.", answer="So: {answer}")
    tokenizer = initial.load(initial.checkpoint(TINY), torch.float32)[1]
    (problem,) = problems.load(stage.problems + "?answer_after=%23%23%23%23")
    example = sft._example(problem, stage, tokenizer)
    assert example is not None
    learnt = [token for token in example["labels"] if token != training.IGNORED]
    assert tokenizer.decode(example["input_ids"]) == "<|user|>2 + 2? Go.<|end|><|assistant|>So: it is 4 #### 4<|end|>"
    assert tokenizer.decode(learnt) == "So: it is 4 #### 4<|end|>"
    assert example["input_ids"][-len(learnt) :] == learnt


def test_padding_is_neither_read_nor_learnt() -> None:
    batch = sft._collate([{"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}, {"input_ids": [8], "labels": [8]}], pad=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 0, 0]]
    assert batch["labels"].tolist() == [[-100, 6, 7], [8, -100, -100]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
