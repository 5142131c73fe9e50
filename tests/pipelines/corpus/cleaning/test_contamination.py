import json
from pathlib import Path

import datasets
import pytest

from tenfold.core import Message, Problem, UserError
from tenfold.pipelines.corpus.cleaning import contamination, ngrams

LONG = "A farmer keeps seventeen hens in a yard that is twice as long as it is wide, and every hen lays one egg a day"


def problems(*prompts: str) -> list[Problem]:
    return [Problem(str(number), (Message(role="user", content=text),), None, "") for number, text in enumerate(prompts)]


def problem_in(text: str, *prompts: str) -> str | None:
    found = contamination.find_problem(
        ngrams.word_hashes(ngrams.words(text)), contamination.index_problems({"set": problems(*prompts)})
    )
    return found.problem if found else None


def test_a_run_of_thirteen_words_identifies_a_problem_and_twelve_do_not() -> None:
    words = LONG.split()
    assert problem_in("Once, " + " ".join(words[4:17]).upper() + "!", LONG, "Another problem altogether") == "set#0"
    assert problem_in("Once, " + " ".join(words[4:16]) + "!", LONG, "Another problem altogether") is None
    assert problem_in("x = '''" + "\n".join(words) + "'''", LONG) == "set#0"


def test_a_problem_of_eight_to_twelve_words_is_searched_as_a_whole() -> None:
    short = "How many primes lie between 10 and 50?"
    assert problem_in(f"He asked: {short} Nobody knew.", short) == "set#0"
    assert problem_in("How many primes lie between 10 and 40?", short) is None
    assert problem_in("What is two and two?", "What is two and two?") is None
    assert contamination.index_problems({"set": problems("What is two and two?")}).unsearchable == ("set#0",)


def test_template_words_identify_no_problem() -> None:
    template = "Read the following question with care and give the answer as a number in a box at the end: "
    prompts = [template + f"how far does a train go in {hours} hours at {speed} miles an hour with {stops} stops on the way"
             for hours, speed, stops in ((2, 30, 4), (5, 60, 1), (7, 45, 3))]  # fmt: skip
    long = template + LONG
    assert problem_in(template + "what is the colour of the sky", *prompts, long) is None
    assert problem_in(prompts[1], *prompts, long) == "set#1"
    assert problem_in(LONG, *prompts, long) == "set#3"
    sums = [
        f"State the final answer to the following arithmetic problem: {left} + {right} - 3 ="
        for left in (1, 2)
        for right in (4, 5)
    ]
    assert problem_in(sums[2], *sums) == "set#2"
    assert problem_in("State the final answer to the following arithmetic problem: 2 + 4 - 7 =", *sums) is None
    assert problem_in("State the final answer to the following arithmetic problem: 2 - 4 + 3 =", *sums) is None


def test_equal_problems_are_no_template() -> None:
    assert problem_in(LONG, LONG, LONG.upper(), "Another problem altogether") == "set#0"


def test_chinese_problems_are_found_by_their_characters() -> None:
    problem = "\u5c0f\u660e\u670912\u4e2a\u82f9\u679c\uff0c\u7ed9\u4e86\u5c0f\u7ea25\u4e2a\uff0c\u8fd8\u5269\u591a\u5c11\u4e2a"
    assert problem_in(f"\u9898\u76ee\uff1a{problem}\u7b54\u6848\u662f7\u3002", problem) == "set#0"
    assert problem_in(problem[:12], problem) is None


def test_sets_are_uris_benchmarks_or_suites(tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps({"question": LONG, "answer": 17}))
    index = contamination.build_index([f"jsonl:{file}", "humaneval"])
    assert {name.partition("#")[0] for name in index.names} == {f"jsonl:{file}", "humaneval"}
    assert len(index.names) == 165
    assert set(contamination.problem_sets(["quick"])) == {"chain_sum", "humaneval"}
    found = contamination.find_problem(ngrams.word_hashes(ngrams.words("from typing import List\n\n" * 20)), index)
    assert found is None


def test_benchmarks_can_be_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "aime24.jsonl").write_text(json.dumps({"problem": LONG, "answer": 17}))
    assert contamination.build_index(["aime24"], data=str(tmp_path)).names == ("aime24#aime24/0",)


def test_each_part_of_an_lm_eval_task_is_a_set(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "one two three four five six seven eight nine ten eleven twelve".split()
    rows = [
        {"question": " ".join(words[n:] + words[:n]), "choices": list("wxyz"), "answer": 0, "subject": "x"} for n in range(8)
    ]
    part = datasets.Dataset.from_list(rows)
    parts = datasets.DatasetDict({split: part for split in ("test", "dev", "validation")})
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: parts)
    index = contamination.build_index(["lm_eval:mmlu_abstract_algebra"])
    assert index.names[3] == "lm_eval:mmlu_abstract_algebra#3"
    found = contamination.find_problem(
        ngrams.word_hashes(ngrams.words(f"{rows[3]['question']}\nA. w\nB. x\nC. y\nD. z\nAnswer: A")), index
    )
    assert found is not None
    assert found.problem == "lm_eval:mmlu_abstract_algebra#3"


def test_a_task_that_compares_contexts_is_searched_by_its_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "The trophy does not fit into the brown suitcase because _ is too large for it."
    rows = [{"sentence": sentence, "option1": "the trophy", "option2": "the suitcase", "answer": "1"}]
    part = datasets.Dataset.from_list(rows)
    parts = datasets.DatasetDict({split: part for split in ("train", "validation")})
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: parts)
    index = contamination.build_index(["lm_eval:winogrande"])
    assert index.names == ("lm_eval:winogrande#0",)
    document = f"He said: {sentence.replace('_', 'the trophy')}"
    assert contamination.find_problem(ngrams.word_hashes(ngrams.words(document)), index) is not None


def test_missing_benchmarks_and_data_raise_a_one_line_error() -> None:
    with pytest.raises(UserError, match="no task 'humanevil'; did you mean humaneval"):
        contamination.build_index(["humanevil"])
    with pytest.raises(UserError, match="lm-eval has no task 'gsm9k'"):
        contamination.build_index(["lm_eval:gsm9k"])
    with pytest.raises(UserError, match="the data of lm_eval:gsm8k cannot be loaded"):
        contamination.build_index(["lm_eval:gsm8k"])
    with pytest.raises(UserError, match=r"writing_bench is published by .*: download it and set data to its folder"):
        contamination.build_index(["writing_bench"])
    with pytest.raises(UserError, match="there is no file"):
        contamination.build_index(["jsonl:nowhere.jsonl"])
