"""The page of `tenfold view`, in a real browser, with a small server in place of the viewer's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .page_server import STATIC, Site, cells, is_own, open_tab, serve, show, until
from .small_site import HOSTILE_RUN, VIEWS, episode, site

CONTRAST = Path(__file__).with_name("contrast.js").read_text()


@pytest.fixture
def runs() -> Site:
    return site()


@pytest.fixture
def address(runs: Site) -> Iterator[str]:
    with serve(runs) as address:
        yield address


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    errors: list[str] = []
    tab = open_tab(browser, errors, viewport={"width": 1280, "height": 900})
    tab.goto(address)
    tab.locator("header .live.good").wait_for()  # before, an event would not arrive
    yield tab
    tab.close()
    assert not errors


def test_runs_are_listed_with_their_state_and_progress(tab: Any) -> None:
    row = tab.get_by_role("row").filter(has_text="more")
    row.wait_for()
    assert "running" in row.inner_text()
    assert "0 of 2" in row.inner_text()
    tab.get_by_role("link", name="more").click()
    stage = tab.locator(".stage").filter(has_text="grpo")
    assert all(text in stage.inner_text() for text in ("3 of 5", "4 s left"))
    assert stage.locator("progress").get_attribute("value") == "3"


def test_scores_of_a_run_have_intervals_and_changes(tab: Any) -> None:
    show(tab, "#/r0")
    row = tab.locator(".board tbody tr").nth(1)
    assert "55.0 [40.0, 70.0]" in row.inner_text()
    assert "+20.0 [+10.0, +30.0]" in row.inner_text()


def test_the_way_from_a_step_to_an_episode_and_back(tab: Any, runs: Site) -> None:
    runs.stages["r0", "grpo"].episodes[20] |= {"advantage": 0.75, "finish": "length"}
    show(tab, "#/r0/grpo/groups?step=2")
    row = tab.locator(".groups tbody tr").first
    assert "zero variance" in row.inner_text()
    assert tab.locator(".groups tbody tr").nth(1).locator(".cell").all_inner_texts() == ["1", "0", "1", "0"]
    assert tab.get_by_role("link", name="episode 20: 1, advantage 0.75, length").count() == 1
    tab.get_by_role("button", name="Next step").click()
    until(tab, "location.hash.includes('step=3') && document.querySelector('.groups caption').innerText.includes('3')")
    tab.locator(".groups tbody tr").nth(1).locator(".cell").nth(2).click()
    tab.get_by_role("heading", name="Episode 38").wait_for()
    assert "against 4" in tab.locator(".verdict").inner_text()
    tab.locator(".siblings .cell[aria-current]").wait_for()
    assert tab.locator(".siblings .cell").count() == 4
    tab.keyboard.press("j")
    tab.get_by_role("heading", name="Episode 39").wait_for()
    tab.go_back()
    tab.get_by_role("heading", name="Episode 38").wait_for()
    tab.go_back()
    tab.locator(".groups").wait_for()
    assert "step=3" in tab.url


def test_thinking_is_folded_and_a_key_opens_it(tab: Any) -> None:
    show(tab, "#/r0/grpo/episode/5")
    thinking = tab.locator("details.thinking .text")
    assert not thinking.is_visible()
    assert tab.locator(".message.assistant > .text").inner_text() == "It is 3, step 1."
    tab.keyboard.press("t")
    assert thinking.inner_text() == "1 and 2"


def test_tool_calls_are_shown_as_code(tab: Any) -> None:
    show(tab, f"{HOSTILE_RUN}/episode/0")
    assert "calls lookup" in tab.locator(".message.assistant").first.inner_text()
    assert '"place": "Oslo"' in tab.locator(".call .code").inner_text()
    assert '"temperature": 4' in tab.locator(".message.tool .code").inner_text()
    assert "all calls match" in tab.locator(".parts").inner_text()


def test_filters_are_in_the_address_and_back_undoes_them(tab: Any) -> None:
    show(tab, "#/r0/grpo/episodes")
    assert "80 episodes" in tab.locator(".pager").inner_text()
    tab.get_by_label("Least score").fill("1")
    tab.get_by_label("Least score").blur()
    tab.get_by_role("columnheader", name="Step").get_by_role("link").click()
    tab.get_by_label("Text of the response").fill("step 4")
    until(tab, "location.hash.includes('text=step+4') && document.querySelectorAll('.episodes tbody tr').length < 12")
    assert set(cells(tab, 4)) == {"4"}
    assert set(cells(tab, 1)) == {"1"}
    shared = tab.evaluate("location.hash")
    tab.get_by_role("button", name="Clear").click()
    tab.get_by_text("1–50 of 80 episodes").wait_for()
    tab.go_back()
    tab.wait_for_function("text => location.hash === text", arg=shared)
    assert tab.get_by_label("Text of the response").input_value() == "step 4"


def test_back_returns_to_the_same_place_of_a_list(tab: Any) -> None:
    show(tab, "#/r0/grpo/episodes?limit=100")
    row = tab.get_by_role("link", name="50", exact=True)
    row.scroll_into_view_if_needed()
    place = tab.evaluate("scrollY")
    row.click()
    tab.get_by_role("heading", name="Episode 50").wait_for()
    assert tab.evaluate("scrollY") == 0
    tab.go_back()
    tab.locator(".episodes").wait_for()
    until(tab, f"Math.abs(scrollY - {place}) < 3")


def test_facets_and_sorting_and_pages(tab: Any, runs: Site) -> None:
    runs.stages["r0", "grpo"].episodes.append(episode(80, 5, 3, 4, "a longer response than " + "all " * 9 + "others", None))
    show(tab, "#/r0/grpo/episodes?limit=20")
    assert tab.locator(".episodes tbody tr").count() == 20
    tab.get_by_role("link", name="Next", exact=True).click()
    tab.get_by_text("21–40 of 81 episodes").wait_for()
    tab.get_by_role("button", name="fault 1").click()
    tab.get_by_text("1–1 of 1 episode").wait_for()
    assert tab.get_by_role("button", name="fault 1").get_attribute("aria-pressed") == "true"
    tab.get_by_role("button", name="fault 1").click()
    tab.get_by_role("columnheader", name="Tokens").get_by_role("link").click()
    until(tab, "document.querySelector('th[aria-sort=descending]')?.innerText.startsWith('Tokens')")
    until(tab, "document.querySelector('.episodes tbody tr').innerText.startsWith('80')")
    assert "sort=-tokens" in tab.url


def test_a_bar_of_the_histogram_opens_its_problems(tab: Any) -> None:
    show(tab, "#/r0/before/problems")
    tab.get_by_role("link", name="0.2 to 0.3: 1").click()
    tab.get_by_text("1–1 of 1 problem").wait_for()
    assert cells(tab, 3) == ["0.25"]
    tab.go_back()
    tab.get_by_text("1–10 of 10 problems").wait_for()


def test_problems_have_their_mean_over_the_steps(tab: Any) -> None:
    show(tab, "#/r0/grpo/problems?sort=-rate")
    assert cells(tab, 0)[0] == "0"
    line = tab.get_by_role("img", name="from 1 at step 1 to 1 at step 5")
    assert line.count() == 1


def test_curves_of_two_runs_smoothed_zoomed_and_saved(tab: Any, tmp_path: Path) -> None:
    show(tab, "#/r0/grpo/curves")
    assert tab.locator(".chart .title").all_inner_texts() == ["reward", "loss", "kl", "seconds"]
    tab.get_by_text("Values (4 of 4)").click()
    tab.get_by_role("checkbox", name="seconds").uncheck()
    tab.get_by_text("Over one another").click()
    tab.get_by_role("checkbox", name="more / grpo").check()
    tab.locator(".legend").filter(has_text="more / grpo").first.wait_for()
    tab.get_by_label("Smoothing").fill("0.5")
    tab.get_by_label("To step").fill("4")
    tab.get_by_label("To step").blur()
    until(tab, "location.hash.includes('range=1~4') || location.hash.includes('range=1%7E4')")
    assert all(part in tab.url for part in ("smooth=0.5", "with=r1%2Fgrpo", "values=reward%2Closs%2Ckl"))
    assert tab.locator(".chart").count() == 3
    saved = {}
    for kind in ("CSV", "SVG", "PNG"):
        with tab.expect_download() as download:
            tab.get_by_role("button", name=f"Save kl as {kind}").click()
        download.value.save_as(tmp_path / kind)
        saved[kind] = (tmp_path / kind).read_bytes()
    lines = saved["CSV"].decode().split()
    assert lines[0].startswith("step,sums")
    assert saved["CSV"].decode().splitlines()[2] == "2,,"
    assert saved["CSV"].decode().splitlines()[4:] == ["4,0.004,", "5,0.005,"]
    assert saved["SVG"].startswith(b"<svg")
    assert saved["SVG"].count(b"<path") == 6  # two lines, both unsmoothed as well, and two in the legend
    assert saved["PNG"].startswith(b"\x89PNG")


def test_curves_of_any_name_and_size_can_be_chosen_and_saved(tab: Any, runs: Site) -> None:
    stage = runs.stages["r1", "grpo"]
    values: dict[str, list[float | None]] = {"clock, in ns": [1e17, 1e17 + 16, 1e17], "huge": [1e308, -1e308, None]}
    stage.steps = {"names": [*values, "other"], "steps": [1, 2, 3], "values": {**values, "other": [1, 2, 3]}}
    show(tab, "#/r1/grpo/curves")
    tab.get_by_text("Values (3 of 3)").click()
    tab.get_by_role("checkbox", name="other").uncheck()
    until(tab, "document.querySelectorAll('.chart').length === 2")
    assert tab.locator(".chart .title").all_inner_texts() == [*values]
    for name in values:
        with tab.expect_download() as download:
            tab.get_by_role("button", name=f"Save {name} as SVG").click()
        assert download.value.path().stat().st_size < 10_000


def test_dragging_over_a_chart_zooms_and_a_double_click_ends_it(tab: Any) -> None:
    show(tab, "#/r0/grpo/curves?values=reward")
    box = tab.locator(".u-over").bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 40)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 60)
    tab.mouse.up()
    until(tab, "location.hash.includes('range=2')")
    assert tab.get_by_label("To step").input_value() == "4"
    tab.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + 40)
    until(tab, "!location.hash.includes('range')")


def test_arrow_keys_read_the_steps_of_a_chart(tab: Any) -> None:
    show(tab, "#/r0/grpo/curves?values=reward")
    tab.locator(".plot").focus()
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowLeft")
    tab.get_by_role("status").filter(has_text="step 4: sums / grpo 0.4").wait_for(state="attached")


def test_results_have_both_intervals(tab: Any) -> None:
    show(tab, "#/r0/after/results")
    panel = tab.locator(".task").inner_text()
    assert "75.0 [55.0, 85.0]" in panel
    assert "75.0 [70.0, 80.0]" in panel
    assert "only 10 problems" in panel
    tab.get_by_role("link", name="Problem by problem").click()
    tab.locator(".problems tbody tr").first.wait_for()
    assert cells(tab, 3)[:3] == ["0", "0.25", "0.5"]


def test_two_results_are_compared_by_problem(tab: Any) -> None:
    show(tab, "#/r0/after/results")
    tab.get_by_role("link", name="Compare with another result").click()
    tab.get_by_label("Second").select_option(label="sums / before")
    tab.get_by_text("Difference, second minus first").wait_for()
    assert tab.locator(".panel .big").inner_text() == "−32.5"
    assert "[−37.5, −27.5]" in tab.locator(".panel").inner_text()
    tab.get_by_role("button", name="Swap").click()
    until(tab, "document.querySelector('.panel .big')?.innerText === '+32.5'")


def test_a_running_run_is_followed_without_losing_the_readers_place(tab: Any, runs: Site) -> None:
    show(tab, "#/r1/grpo/episodes?limit=200")
    tab.get_by_text("1–48 of 48 episodes").wait_for()
    tab.evaluate("scrollTo(0, 300)")
    field = tab.get_by_label("Problem", exact=True)
    field.evaluate("element => element.focus({preventScroll: true})")
    runs.stages["r1", "grpo"].episodes.append(episode(48, 4, 0, 0, "It is new."))
    runs.changed("r1", "grpo")
    tab.get_by_text("1–49 of 49 episodes").wait_for(state="attached")
    assert tab.evaluate("scrollY") == 300
    assert field.evaluate("element => element === document.activeElement")


def test_a_page_that_was_hidden_asks_again(tab: Any, runs: Site) -> None:
    show(tab, "#/")
    tab.get_by_role("row", name="more").wait_for()
    hide = "hidden => { Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden}); "
    hide += "document.dispatchEvent(new Event('visibilitychange')) }"
    tab.evaluate(hide, True)
    runs.runs[1]["state"] = "finished"
    tab.evaluate(hide, False)
    tab.get_by_role("row", name="more").filter(has_text="finished").wait_for()


def test_an_open_part_stays_open_and_a_stage_moves_on(tab: Any, runs: Site) -> None:
    show(tab, "#/r1/grpo/curves")
    tab.get_by_text("Values (4 of 4)").click()
    steps = runs.stages["r1", "grpo"].steps
    assert steps is not None
    steps["steps"].append(4)
    for name, values in steps["values"].items():
        values.append(77.0 if name == "reward" else None)
    runs.details["r1"]["state"] = "finished"
    runs.changed("r1", "grpo")
    tab.locator(".legend").filter(has_text="77").wait_for()
    assert tab.locator("details.choices[open]").count() == 1
    show(tab, "#/r1")
    assert "finished" in tab.locator("h1").inner_text()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (400, "dark")])
def test_all_views_fit_the_window_are_readable_and_let_no_text_act(browser: Any, address: str, width: int, scheme: str) -> None:
    errors: list[str] = []
    tab = open_tab(browser, errors, viewport={"width": width, "height": 800}, color_scheme=scheme)
    tab.goto(address)
    for view in VIEWS:
        show(tab, view)
        tab.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert tab.evaluate(CONTRAST) == [], view
        assert tab.locator("main").locator("img, script, iframe, object, style").count() == 0, view
        links = tab.evaluate(
            "[...document.querySelectorAll('[href], [src], [action]')].map((a) => a.getAttribute('href') ?? a.src)"
        )
        assert all(is_own(link) or link.startswith(("#", "static/")) for link in links), view
        assert tab.title() != "taken"
    tab.close()
    assert not errors


def test_hostile_text_is_shown_as_it_is_with_its_invisible_marks(tab: Any) -> None:
    show(tab, f"{HOSTILE_RUN}/episode/0")
    text = tab.locator(".message.user .text").inner_text()
    assert text.startswith("<img src=x onerror=\"document.title='taken'\"><script>")
    assert "${1+1} {{7*7}} &lt;b&gt;" in text
    assert "⟦RLO⟧gnp.exe⟦LRI⟧ ␛[31mred␇ ⟦zero width space⟧" in text


def test_the_keyboard_reaches_the_content_and_the_heading_receives_the_focus(tab: Any) -> None:
    tab.get_by_role("row").first.wait_for()
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.innerText") == "Skip to the content"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "content"
    tab.get_by_role("link", name="sums").focus()
    tab.keyboard.press("Enter")
    until(tab, "document.activeElement.innerText.startsWith('sums')")
    assert tab.title() == "sums – tenfold view"


def test_the_colours_can_be_chosen_and_are_kept(tab: Any) -> None:
    tab.get_by_label("Colours").select_option("dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = tab.evaluate(ground)
    tab.reload()
    assert tab.evaluate(ground) == dark
    tab.get_by_label("Colours").select_option("light")
    assert tab.evaluate(ground) != dark


def test_an_error_of_the_server_is_shown_in_one_line(tab: Any) -> None:
    show(tab, "#/r9")
    assert tab.get_by_role("alert").inner_text() == "Error: there is nothing under this name"


def test_a_run_that_is_removed_is_an_error_beside_what_was_read(tab: Any, runs: Site) -> None:
    show(tab, "#/r1")
    del runs.details["r1"]
    runs.changed("r1")
    tab.get_by_role("alert").filter(has_text="there is nothing under this name").wait_for()
    assert "grpo" in tab.locator(".stages").inner_text()


def test_a_list_is_asked_for_again_until_all_episodes_are_indexed(tab: Any, runs: Site) -> None:
    stage = runs.stages["r0", "grpo"]
    rows, stage.episodes, stage.more = stage.episodes, [], {"incomplete": True, "broken": 2}
    show(tab, "#/r0/grpo/groups")
    tab.get_by_text("The episodes are being indexed.").wait_for()
    show(tab, "#/r0/grpo/episodes")
    tab.get_by_text("The episodes are being indexed.").wait_for()
    stage.episodes, stage.more = rows, {"broken": 2}
    tab.get_by_text("1–50 of 80 episodes").wait_for()
    assert tab.get_by_text("2 lines of the files cannot be read, and are left out.").count() == 1


def test_a_stage_without_views_shows_its_result(tab: Any) -> None:
    show(tab, "#/r1/after")
    assert "There is nothing to show of this stage yet." in tab.locator("main").inner_text()
    assert tab.get_by_role("alert").count() == 0


def test_an_exported_page_filters_its_stored_rows(browser: Any, runs: Site, tmp_path: Path) -> None:
    export = pytest.importorskip("tenfold.pipelines.view.export")
    stage = "/api/runs/r0/stages/grpo"
    paths = ["/api/runs", "/api/runs/r0", "/api/runs/r2", f"{stage}/steps", f"{stage}/episodes/5"]
    stored = {path: runs.answer(path, {}) for path in paths}
    stored[f"{stage}/episodes?offset=0&limit=1000"] = runs.answer(f"{stage}/episodes", {"limit": "60"})
    stored[f"{stage}/groups?step=2"] = runs.answer(f"{stage}/groups", {"step": "2"})
    (tmp_path / "page.html").write_text(export.page(STATIC, json.dumps(stored)))
    errors: list[str] = []
    tab = open_tab(browser, errors)
    tab.goto((tmp_path / "page.html").as_uri() + "#/r0/grpo/episodes?step=2&min_score=1&sort=-tokens")
    tab.get_by_text("60 of 80 episodes").wait_for()
    assert set(cells(tab, 4)) == {"2"}
    assert set(cells(tab, 1)) == {"1"}
    for view in ("#/", "#/r0", "#/r2", "#/r0/grpo/curves", "#/r0/grpo/groups", "#/r0/grpo/episode/5"):
        show(tab, view)
        assert tab.get_by_role("alert").count() == (view == "#/r2")
    tab.close()
    assert not errors
