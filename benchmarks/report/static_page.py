"""HTML pages without scripts. All text is escaped, because the text of a model or of a file may contain HTML."""

import html
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

from ... import disk
from ...core import UserError
from ...terminal import plain
from ...texts import without_surrogates

STYLE = """
  :root { color-scheme: light dark; --back: #f7f8f9; --paper: #fff; --ink: #1f2328; --soft: #59636e; --line: #e1e5e9;
    --mark: #0b5cad; --bad: #b3261e }
  @media (prefers-color-scheme: dark) { :root { --back: #101317; --paper: #171b20; --ink: #e5e8ec; --soft: #9aa5b1;
    --line: #2a3038; --mark: #79b8ff; --bad: #ff8f85 } }
  body { margin: 0 auto; max-width: 1080px; padding: 24px 20px 80px; background: var(--back); color: var(--ink);
    font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif }
  h1 { font-size: 24px; overflow-wrap: anywhere } h2 { font-size: 16px; margin: 32px 0 8px }
  h3 { font-size: 15px; margin: 18px 0 6px }
  .frame { overflow-x: auto; margin: 12px 0; border: 1px solid var(--line); border-radius: 10px; background: var(--paper) }
  table { border-collapse: collapse; width: 100% }
  th, td { text-align: left; padding: 8px 14px; border-bottom: 1px solid var(--line); vertical-align: top }
  tr:last-child > td { border-bottom: 0 } th { font-weight: 500; font-size: 13px; color: var(--soft) }
  td { font-variant-numeric: tabular-nums } ul { margin: 6px 0; padding-left: 20px } .soft { color: var(--soft) }
  .alarm { color: var(--bad); font-weight: 600 } a { color: var(--mark); text-decoration: none }
  a:hover { text-decoration: underline }
  img { display: block; max-width: 100%; height: auto; margin: 8px 0; padding: 8px; background: #fff;
    border: 1px solid var(--line); border-radius: 10px; box-sizing: border-box }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line); border-radius: 10px; padding: 12px;
    background: var(--paper); max-height: 24em; overflow: auto; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace }
  @media (max-width: 500px) { body { padding: 16px 12px 60px } th, td { padding: 6px 8px } }
  summary { cursor: pointer } details { margin: 6px 0 }
"""
"""The colours and forms of `tenfold view`, without a script."""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content security policy: the browser runs no script and loads nothing; pictures are in the page."""
START = (
    '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
    f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
    '<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>'
)
"""The text of each page up to its title."""


def write(path: Path, title: str, parts: Iterable[str], replaces: str | None = None) -> Path:
    """Writes a page and returns its path.

    Args:
        path: file to write.
        title: title and heading, as text.
        parts: the content, as HTML.
        replaces: start of the title of the pages that may be replaced; default: any file is replaced.

    Raises:
        UserError: the path is another page, another file or a folder.
    """
    if replaces is not None and path.exists() and not _has_title(path, replaces):
        raise UserError(
            f"{path} exists and is not a page with a title {replaces!r}, so it is not replaced; choose another file with --out"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write(path, page(title, parts))
    return path


def page(title: str, parts: Iterable[str]) -> str:
    """Returns a page.

    Args:
        title: title and heading, as text.
        parts: the content, as HTML.
    """
    head = f"{START}{text(title)}</title>\n<style>{STYLE}</style>\n<h1>{text(title)}</h1>\n"
    return head + "\n".join(parts) + "\n</html>\n"


def _has_title(path: Path, start: str) -> bool:
    """True if a file is a page, perhaps of another version, whose title has this start."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(1000)
    return head.startswith(START[:30].encode()) and f"<title>{text(start)}".encode() in head


def text(value: object) -> str:
    """Returns a value as HTML text, without control characters."""
    return html.escape(plain(without_surrogates(str(value))))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns an HTML table.

    Args:
        columns: headings, as text.
        rows: cells, as HTML.
    """
    head = "".join(f"<th>{text(column)}</th>" for column in columns)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="frame"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def items(values: Iterable[str]) -> str:
    """Returns an HTML list of texts; empty if there are none."""
    found = "".join(f"<li>{text(value)}</li>" for value in values)
    return f"<ul>{found}</ul>" if found else ""


def link(page: Path, folder: Path, label: str, fragment: str = "") -> str:
    """Returns a link to the page of a folder of results; only the label if the folder has no page.

    Args:
        page: the file that contains the link.
        folder: folder of the results.
        label: text of the link.
        fragment: part of the page, such as "gsm8k_avg8/5/0".
    """
    target = folder / "index.html"
    if not target.is_file():
        return text(label)
    relative = os.path.relpath(target.resolve(), page.parent.resolve())
    address = quote(os.fsencode(relative)) + (f"#{quote(without_surrogates(fragment))}" if fragment else "")
    return f'<a href="{html.escape(address)}">{text(label)}</a>'
