"""`BFCLWebSearch`: questions of BFCL-V4 that need a web search over several pages.

    env = gymnasium.make("tenfold/BFCLWebSearch-v0", search="searches.jsonl")
    prompt, info = env.reset(options={"problem": 0})
    reply, *_ = env.step("[search_engine_query(keywords='most expensive tea in the world')]")
    reply, *_ = env.step("[fetch_url_content(url='https://example.org/tea', mode='truncate')]")
    reply, reward, *_ = env.step("{'answer': 'Zhang Yiming', 'context': 'Da Hong Pao is from China.'}")

`search.py` describes where the results come from. `answers.py` describes the protocol and the verdict.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ... import extras
from ...core import Message, Problem
from ...golds import BFCLAnswers
from . import agentic_problems, calls, texts
from .answers import BFCLAgentic, Service
from .inside import program
from .search import NotFound, Search, Unavailable, opened


class WebSearchAPI:
    """The functions that the policy calls, with the results and errors of the leaderboard's class of this name."""

    def __init__(self, search: Search, snippets: bool):
        """Takes the search, and whether its results contain a part of the page."""
        self._search, self._snippets = search, snippets

    def run(self, texts: Sequence[str]) -> list[str]:
        """Executes calls; returns their results. See `calls.py` for the form of the calls.

        Raises:
            ConnectionError: the search failed.
        """
        methods = {method.__name__: method for method in (self.search_engine_query, self.fetch_url_content)}
        try:
            return [program.result(methods, calls.parsed_or_error(text)) for text in texts]
        except Unavailable as error:
            raise ConnectionError(str(error)) from None

    def close(self) -> None:
        """Does nothing."""

    def search_engine_query(self, keywords: str, max_results: int | None = 10, region: str | None = "wt-wt") -> object:
        """Returns the titles and addresses of pages."""
        try:
            found = self._search.query(str(keywords), str(region))
        except NotFound:
            return texts.no_results()
        shown = ("title", "href", "body") if self._snippets else ("title", "href")
        return [{name: each[name] for name in shown} for each in found[:max_results]]

    def fetch_url_content(self, url: str, mode: str = "raw") -> object:
        """Returns the content of a page: its source ("raw"), as Markdown ("markdown"), or its text alone ("truncate")."""
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"Invalid URL: {url}")
        try:
            return {"content": _content(self._search.page(url), mode)}
        except Exception as error:  # the libraries that read pages raise any
            return {"error": f"An error occurred while fetching {url}: {error}"}


def _content(html: str, mode: str) -> str:
    if mode == "raw":
        return html
    if mode == "markdown":
        import html2text

        return str(html2text.HTML2Text().handle(html))
    if mode == "truncate":
        import bs4

        page = bs4.BeautifulSoup(html, "html.parser")
        for element in page(["script", "style"]):
            element.extract()
        return str(page.get_text(separator="\n", strip=True))
    raise ValueError(f"Unsupported mode: {mode}")


class BFCLWebSearch(BFCLAgentic):
    """The environment; see the module's docstring."""

    def __init__(
        self,
        problems: str | Sequence[Problem | Mapping[str, object]] = f"{agentic_problems.URI}:web_search",
        mode: str = "prompt",
        system: str | None = None,
        search: str | None = None,
    ):
        """Loads the problems.

        Args:
            problems: a problem URI, or a list of `Problem`s or rows, whose gold answers are `BFCLAnswers`.
            mode: "prompt" or "tools".
            system: text to put before the system turn.
            search: JSONL file with recorded results, or serpapi:URL; see `search.py`.

        Raises:
            UserError: an argument is invalid, a package is missing, or there is no search.
        """
        super().__init__(problems, mode, system)
        extras.require("web search of BFCL-V4", "bs4", "html2text")
        self.search = opened(search)

    def _started(self, gold: BFCLAnswers, options: Mapping[str, Any]) -> tuple[Service, Sequence[Message]]:
        return WebSearchAPI(self.search, gold.get("snippets", True)), ()
