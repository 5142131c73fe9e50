"""Who may ask the server, and what it never answers."""

import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from .small_runs import Run, Site, episode

TOKEN = "a token that nobody guesses"
SECRET = "a secret outside of the run"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "runs/small", {"filter": "filter", "sft": "sft"})
    run.begin("filter")
    run.begin("sft")
    run.store("filter", [episode(0, 0, "first")])
    (tmp_path / "secret.txt").write_text(SECRET)
    return run


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/runs",
        "/api/runs/r0",
        "/api/runs/r9",
        "/nothing",
        "/api/none",
        "/api/runs/r0/stages/filter/groups?limit=x",
    ],
)
def test_every_answer_has_the_headers(run: Run, serve: Callable[..., Site], path: str) -> None:
    headers = serve(run.folder).client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.com:80", "", "0.0.0.0", "[::2]"])
def test_another_name_in_the_host_header_is_refused(run: Run, serve: Callable[..., Site], host: str) -> None:
    response = serve(run.folder).client.get("/api/runs", headers={"Host": host})
    assert (response.status_code, "runs" in response.json()) == (421, False)


@pytest.mark.parametrize(
    ("host", "status"), [("10.0.0.7:80", 403), ("localhost", 403), ("[fe80::1]", 403), ("evil.example", 421)]
)
def test_on_all_addresses_any_address_is_a_name(run: Run, serve: Callable[..., Site], host: str, status: int) -> None:
    site = serve(run.folder, host="0.0.0.0", token=TOKEN)
    assert site.client.get("/api/runs", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("site_of_page", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_a_browser_does_not_ask_for_pages_of_other_sites(
    run: Run, serve: Callable[..., Site], site_of_page: str, status: int
) -> None:
    site = serve(run.folder)
    headers = {"Sec-Fetch-Site": site_of_page}
    assert site.client.get("/api/runs", headers=headers).status_code == status
    assert site.client.get("/", headers=headers).status_code == 200  # a link to the page


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:80", "[::1]:80", "LOCALHOST"])
def test_the_names_of_the_loopback_address_are_accepted(run: Run, serve: Callable[..., Site], host: str) -> None:
    assert serve(run.folder).client.get("/api/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_only_get_is_allowed(run: Run, serve: Callable[..., Site], method: str) -> None:
    response = serve(run.folder).client.request(method, "/api/runs")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")


def test_without_the_token_nothing_is_answered(run: Run, serve: Callable[..., Site]) -> None:
    site = serve(run.folder, token=TOKEN)
    guesses = ["", "a", TOKEN[:-1], TOKEN + "x", "é", "\x00", "a" * 10_000]
    for path in ("/", "/api/runs", "/static/index.html", "/api/events"):
        for guess in guesses:
            response = httpx.get(site.url + path, params={"token": guess}, trust_env=False)
            assert (response.status_code, response.json().keys()) == (403, {"error"})
            assert "set-cookie" not in response.headers
    cookies = f"tenfold_view_{site.url.rsplit(':')[-1]}={TOKEN[:-1]}"
    assert httpx.get(site.url + "/api/runs", headers={"Cookie": cookies}, trust_env=False).status_code == 403


def test_the_token_of_the_url_becomes_a_cookie(run: Run, serve: Callable[..., Site]) -> None:
    site = serve(run.folder, token=TOKEN)
    response = site.client.get("/", params={"token": TOKEN})
    assert (
        response.status_code == 200
    )  # no redirect: after a link on another site, a browser would follow it without the cookie
    assert 'http-equiv="refresh" content="0; url=/"' in response.text
    assert TOKEN not in response.text
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert site.client.get("/").status_code == 200
    assert site.get("/api/runs")["runs"]
    assert site.client.get("/api/runs", headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2f..%2frunner.py",
        "//etc/passwd",
        "/static//etc/passwd",
        "/api/runs/../../../../etc/passwd",
        "/api/runs/r0/stages/..%2f..%2fsecret.txt/steps",
        "/api/runs/r0/stages/%2e%2e/episodes",
        "/api/runs/r0/stages/%00/steps",
        "/api/compare?a=r0/..&b=r0/../..",
    ],
)
def test_no_path_leads_to_a_file(run: Run, serve: Callable[..., Site], path: str) -> None:
    site = serve(run.folder)
    with socket.create_connection(("127.0.0.1", int(site.url.rsplit(":")[-1]))) as connection:  # a client would tidy the path
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.split()[1] == b"404"


def link_stage(run: Run, outside: Path) -> None:
    (run.folder / "sft/settings.json").unlink()
    (run.folder / "sft").rmdir()
    (run.folder / "sft").symlink_to(outside.parent)


def link_steps(run: Run, outside: Path) -> None:
    (run.folder / "sft/steps.jsonl").symlink_to(outside)


def link_store(run: Run, outside: Path) -> None:
    (run.folder / "filter/other.jsonl").symlink_to(outside)


def link_episodes(run: Run, outside: Path) -> None:
    (run.folder / "filter/episodes").symlink_to(outside.parent)


def link_record(run: Run, outside: Path) -> None:
    (run.folder / "sft/stage.json").symlink_to(outside)


def link_log(run: Run, outside: Path) -> None:
    (run.folder / "log.jsonl").unlink()
    (run.folder / "log.jsonl").symlink_to(outside)


def link_recipe(run: Run, outside: Path) -> None:
    (run.folder / "recipe.yaml").unlink()
    (run.folder / "recipe.yaml").symlink_to(outside)


@pytest.mark.parametrize("link", [link_stage, link_steps, link_store, link_episodes, link_record, link_log, link_recipe])
def test_a_link_out_of_the_run_is_not_followed(
    run: Run, serve: Callable[..., Site], tmp_path: Path, link: Callable[[Run, Path], None]
) -> None:
    outside = tmp_path / "outside/other.jsonl"
    outside.parent.mkdir()
    other = Run(tmp_path / "other", {"filter": "filter"})
    other.begin("filter")
    other.store("filter", [episode(0, 0, SECRET)]).rename(outside)
    with outside.open("a") as file:
        file.write(f'{{"step": 1, "loss": 1.0, "text": "{SECRET}"}}\n')
    link(run, outside)
    site = serve(run.folder)
    site.indexed()
    answers = [site.client.get(path).text for path in ("/api/runs", "/api/runs/r0")]
    for stage in ("filter", "sft"):
        views = ("episodes", "steps", "problems", "groups", "results", "corpus")
        answers += [site.client.get(f"/api/runs/r0/stages/{stage}/{view}").text for view in views]
    assert SECRET not in "".join(answers)
    assert '"loss"' not in "".join(answers)


@pytest.mark.parametrize("name", ["..", "../other", "/etc", ".", "", "a/b", "a\x00b"])
def test_a_stage_whose_name_is_no_folder_of_the_run_is_an_error_of_the_run(
    tmp_path: Path, serve: Callable[..., Site], name: str
) -> None:
    run = Run(tmp_path / "runs/small", {name: "sft"})
    site = serve(run.folder)
    (found,) = site.get("/api/runs")["runs"]
    assert (found["state"], "is not a folder of the run" in found["error"] or "recipe.yaml" in found["error"]) == (
        "failed",
        True,
    )
    assert site.get("/api/runs/r0")["stages"] == []
