"""The page of results, in a real browser."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tenfold.benchmarks import evaluate
from tenfold.benchmarks.report import page
from tenfold.benchmarks.result import Options
from tenfold.core import Conversation, UserError
from tenfold.policies.scripted import ScriptedPolicy

HOSTILE = "<script>document.title = 'taken'</script></script><img src=x onerror=\"document.title='taken'\">\u2028"


def answer(conversation: Conversation, seed: int) -> str:
    number = int(conversation[0]["content"].split()[1])
    return f"<think>let me think\n</think>{HOSTILE} so \\boxed{{{number % 2 if seed % 3 else 7}}}"


@pytest.fixture(scope="module")
def result_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    rows = [{"problem": f"Is {n} odd? </script>", "answer": str(n % 2), "solution": ""} for n in range(30)]
    (folder / "aime24.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = Options(data=str(folder))
    evaluate.run_task(
        "aime24", ScriptedPolicy(answer), options, folder=folder / "out", store_settings={"policy": "scripted:<b>"}
    )
    page.write(folder / "out")
    return folder / "out"


@pytest.fixture
def page_tab(browser: Any, result_folder: Path) -> Iterator[Any]:
    tab = browser.new_page()
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((result_folder / "index.html").as_uri())
    yield tab
    tab.close()
    assert not errors


def test_a_benchmark_is_shown_with_its_interval_and_reported_figures(page_tab: Any) -> None:
    assert page_tab.title() == "Benchmarks of scripted:<b>"
    row = page_tab.locator("#overview tbody tr")
    assert row.count() == 1
    assert row.locator("td").nth(0).inner_text() == "aime24_avg8"
    assert row.locator("svg line").count() == 2 + 5  # two intervals and a tick per published score
    page_tab.get_by_text("difference from published scores").click()
    assert page_tab.get_by_role("row", name="Qwen3-14B").get_by_text("cannot give 79.3").is_visible()


def test_every_response_can_be_opened_with_its_verdict(page_tab: Any, result_folder: Path) -> None:
    rows = [json.loads(line) for line in (result_folder / "aime24_avg8.scores.jsonl").read_text().splitlines()]
    assert page_tab.locator(".grid button").count() == 30
    page_tab.locator(".grid button").nth(3).click()
    assert page_tab.locator(".prompt").inner_text().startswith("user: Is 3 odd? </script>")
    for number, sample in enumerate(rows[3]["samples"]):
        kind = "correct" if sample["score"] == 1 else "incorrect"
        page_tab.get_by_role("button", name=f"sample {number + 1}: {kind}").click()
        assert f"by {sample['method']}: {sample['reason']}" in page_tab.locator(".verdict").inner_text()
    assert "<script>document.title = 'taken'</script>" in page_tab.locator(".response").inner_text()
    assert page_tab.locator(".response .think").inner_text().startswith("<think>let me think")
    assert page_tab.title() == "Benchmarks of scripted:<b>"


def test_a_link_opens_a_response(browser: Any, result_folder: Path) -> None:
    tab = browser.new_page()
    tab.goto((result_folder / "index.html").as_uri() + "#aime24_avg8/5/2")
    assert tab.get_by_role("button", name="sample 3: ").get_attribute("aria-pressed") == "true"
    assert tab.get_by_role("heading", name="Problem aime24/5").is_visible()
    tab.close()


def test_problems_show_their_pass_rates_and_can_be_sorted(page_tab: Any) -> None:
    def rates() -> list[float]:
        labels = [button.get_attribute("aria-label") for button in page_tab.locator(".grid button").all()]
        return [float(label.rpartition(": ")[2].rstrip("%")) for label in labels]

    before = rates()
    page_tab.get_by_label("sort by pass rate").check()
    assert rates() == sorted(before, reverse=True)


def test_a_page_without_its_folder_shows_an_error(browser: Any, result_folder: Path, tmp_path: Path) -> None:
    shutil.copy(result_folder / "index.html", tmp_path)
    tab = browser.new_page()
    tab.goto((tmp_path / "index.html").as_uri())
    tab.locator(".grid button").nth(0).click()
    tab.get_by_text("keep the folder `page` next to this file").wait_for(state="visible")
    tab.close()


def test_a_prompt_is_shown_with_its_tool_calls(lab: Path) -> None:
    call = {"id": "a", "function": {"name": "lookup", "arguments": {"place": "Oslo"}}}
    turns = [
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "4"},
    ]
    (lab / "calls.jsonl").write_text(json.dumps({"messages": turns, "answer": "4"}) + "\n")
    (lab / "calls.yaml").write_text("problems: 'jsonl:calls.jsonl'\nsamples: 1\nmax_tokens: 64\n")
    result = evaluate.evaluate("calls.yaml", ScriptedPolicy("4"), folder="out")
    page.write("out")
    shown = (lab / f"out/page/{result.task}/0.js").read_text()
    assert "user: Where?" in shown
    assert '\\"name\\": \\"lookup\\"' in shown


def test_a_folder_without_results_has_no_page(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="contains no result"):
        page.write(tmp_path)
