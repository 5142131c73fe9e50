"""Times of the page in a headless Chromium, with `tenfold view` as a process of its own.

The time to the first paint is the browser's own (first-contentful-paint). The time to the content is from the start of the
navigation to the moment at which the page's list or chart is there. The time of an update is from the write of a step's line
and an episode to its appearance in the page.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

VIEWS = {
    "runs": ("#/", "main tbody tr"),
    "run": ("#/r0", "main h1"),
    "curves": ("#/r0/grpo/curves", "main canvas"),
    "episodes": ("#/r0/grpo/episodes", "main tbody tr"),
    "episodes with a word, highest scores": ("#/r0/grpo/episodes?text=boxed&sort=-score", "main tbody tr"),
    "groups of the last step": ("#/r0/grpo/groups", "main .groups"),
    "problems": ("#/r0/grpo/problems", "main tbody tr"),
    "an episode": ("#/r0/grpo/episode/1000", "main h1"),
}
"""For each view, its address and what shows that it has its content."""
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def serve(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Starts `tenfold view`; returns the process and the URL that it prints, without the part after #."""
    command = [sys.executable, "-m", "tenfold.cli", "view", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, process.stdout.readline().split("#")[0].split()[0]


def opened(browser: Any, address: str, content: str) -> tuple[float, float]:
    """Opens an address in a new page with an empty cache; returns the seconds to the first paint and to the content."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    started = time.monotonic()
    page.goto(address)
    page.wait_for_function("selector => document.querySelector(selector)", arg=content)  # a locator asks twice a second only
    seconds = time.monotonic() - started
    paint = page.wait_for_function(PAINT).json_value() / 1000
    page.close()
    return paint, seconds


def update(browser: Any, address: str, folder: Path, row: dict[str, Any]) -> float:
    """Adds a step to the run; returns the seconds until an open list of the newest episodes shows it."""
    page = browser.new_page()
    page.goto(f"{address}#/r0/grpo/episodes?sort=-step")
    page.locator("header .live.good").wait_for()
    step = row["step"] + 1
    with (folder / "grpo/episodes/host-1.jsonl").open("a") as episodes, (folder / "grpo/steps.jsonl").open("a") as steps:
        episodes.write(json.dumps(row | {"step": step}) + "\n")
        steps.write(json.dumps({"step": step, "reward": 0.5}) + "\n")
    started = time.monotonic()
    page.wait_for_function("step => document.querySelector('main tbody tr')?.innerText.includes(step)", arg=str(step))
    seconds = time.monotonic() - started
    page.close()
    return seconds


def measure(folder: Path, repeats: int) -> None:
    """Prints the times of each view and of an update. The index of the run must be complete."""
    from playwright.sync_api import sync_playwright

    server, address = serve(folder)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        with sync_playwright() as player:
            browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            opened(browser, address, "main tbody tr")  # not measured: the start of the browser's processes
            print(f"{'page':44}{'first paint s':>14}{'content s':>11}{'largest s':>11}")
            for label, (path, content) in VIEWS.items():
                times = [opened(browser, address + path, content) for _ in range(repeats)]
                paints, seconds = zip(*times, strict=True)
                print(
                    f"{label:44}{statistics.median(paints):14.3f}{statistics.median(seconds):11.3f}{max(seconds):11.3f}",
                    flush=True,
                )
            with (folder / "grpo/episodes/host-1.jsonl").open("rb") as file:
                file.seek(-4_000, 2)
                row = json.loads(file.read().splitlines()[-1])
            updates = [update(browser, address, folder, row | {"step": row["step"] + number}) for number in range(repeats)]
            print(f"a step is shown after {statistics.median(updates):.2f} s (largest {max(updates):.2f} s)")
            browser.close()
    finally:
        server.terminate()
        server.wait()
