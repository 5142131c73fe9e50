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
  body { margin: 0 auto; max-width: 1080px; padding: 24px 20px 80px; font: 15px/1.5 system-ui, sans-serif }
  :root { color-scheme: light dark }
  h1 { font-size: 24px } h2 { font-size: 19px; margin: 32px 0 6px } h3 { font-size: 15px; margin: 18px 0 6px }
  table { border-collapse: collapse } th, td { text-align: left; padding: 5px 12px 5px 0; border-bottom: 1px solid #8886 }
  td { font-variant-numeric: tabular-nums } ul { margin: 6px 0; padding-left: 20px } .soft { opacity: .7 }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid #8886; border-radius: 8px; padding: 12px }
  summary { cursor: pointer } details { margin: 6px 0 }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Content security policy: the browser runs no script and loads nothing."""
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
    head = f"{START}{text(title)}</title>\n<style>{STYLE}</style>\n<h1>{text(title)}</h1>\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    disk.write(path, head + "\n".join(parts) + "\n</html>\n")
    return path


def _has_title(path: Path, start: str) -> bool:
    """True if a file is a page whose title has this start."""
    expected = f"{START}{text(start)}".encode()
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(expected)) == expected


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
    return f"<table>\n<tr>{head}</tr>\n{body}\n</table>"


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
