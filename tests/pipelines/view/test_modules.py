"""The modules of the page of `tenfold view`, as texts."""

import re
from pathlib import Path

from .page_server import STATIC

MAKES_HTML = r"innerHTML|outerHTML|insertAdjacentHTML|dangerously|document\.write|DOMParser|\beval\b|new Function"


def own_modules() -> list[Path]:
    """Returns the page's own modules in the order in which index.html names them."""
    index = (STATIC / "index.html").read_text()
    return [STATIC / name for name in [*re.findall(r'modulepreload" href="static/([\w.]+)"', index), "main.js"]]


def test_modules_can_be_joined_to_one_script() -> None:
    """An export joins them: names at the top level differ, and a module comes after those that it imports."""
    names: list[str] = []
    done: set[str] = set()
    for path in own_modules():
        text = path.read_text()
        names += re.findall(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", text, re.MULTILINE)
        assert set(re.findall(r'from "\./([\w.]+)"', text)) <= done, path.name
        assert not re.search(r"\bimport\b[^;]*\bas\b", text), path.name
        done.add(path.name)
    assert len(names) == len(set(names))
    assert done == {path.name for path in STATIC.glob("*.js")} - {"scheme.js"} - {path.name for path in STATIC.glob("*.min.js")}


def test_no_module_makes_html_of_text() -> None:
    for path in own_modules():
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", path.read_text()
        ), path.name


def test_every_library_has_its_licence() -> None:
    licences = (STATIC / "LICENSES.txt").read_text()
    assert all(path.name in licences for path in STATIC.glob("*.min.*"))
    assert "The MIT License" in licences
    assert "Apache License" in licences
