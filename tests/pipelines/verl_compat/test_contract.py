"""The private names of other packages that this package uses."""

import ast
from pathlib import Path

import pytest
import ray

from tenfold.pipelines import verl_compat
from tenfold.pipelines.verl_compat import contract, fork_server

FOLDER = Path(verl_compat.__path__[0])


@pytest.mark.filterwarnings("ignore:.* engine is not available")
@pytest.mark.parametrize("private", contract.NAMES, ids=lambda private: f"{private.module}.{private.name}")
def test_the_installed_versions_have_all_private_names(private: contract.PrivateName) -> None:
    assert private.exists(), f"{private.used_by} needs {private.name} of {private.package}: {private.remedy}"


def test_missing_names_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [contract.PrivateName("ray", "ray", name, "replay", "") for name in ("no_such", "init.no_such")]
    monkeypatch.setattr(contract, "NAMES", (*contract.NAMES[-1:], *made, made[0]._replace(module="ray.no_such")))
    assert [private.name for private in contract.missing()] == ["no_such", "init.no_such", "no_such"]


def test_every_private_name_in_the_folder_is_listed() -> None:
    """These are attributes with an underscore of objects other than `self`, and overridden methods with one."""
    listed = {part for private in contract.NAMES for part in [*private.module.split("."), *private.name.split(".")]}
    for path in FOLDER.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
        calls = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
            if not (isinstance(node.value, ast.Name) and node.value.id == "self")
        }
        assert calls - own - listed - {"_py_driver_sys_path", "_exit"} == set(), path.name
    imported = {private.used_by for private in contract.NAMES}
    assert imported <= {str(path.relative_to(FOLDER).with_suffix("")) for path in FOLDER.rglob("*.py")}


@pytest.mark.parametrize("version", ["2.49.1", "2.61.0", "3.0.0"])
def test_untested_versions_of_ray_are_not_forked(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fork_server.can_fork()
    monkeypatch.setattr(ray, "__version__", version)
    assert not fork_server.can_fork()


def test_a_ray_without_the_name_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ray._raylet, "Config")
    assert not fork_server.can_fork()
