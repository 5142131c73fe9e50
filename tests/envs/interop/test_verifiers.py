"""verifiers both ways where the package is not installed. The package itself is tried in tests/interop."""

import importlib
import importlib.metadata

import pytest

import tenfold
from tenfold.core import UserError
from tenfold.envs import registry

INSTALLED = any(found.name == "verifiers" for found in importlib.metadata.distributions())
pytestmark = pytest.mark.skipif(INSTALLED, reason="the package is installed")


def test_a_taskset_is_found_by_its_id_and_names_the_missing_package() -> None:
    assert registry.find("verifiers:gsm8k").kwargs == {"address": "gsm8k"}
    with pytest.raises(UserError, match=r"pip install 'verifiers==0\.4\.\*'"):
        tenfold.make("verifiers:gsm8k")


def test_our_taskset_names_the_missing_package() -> None:
    with pytest.raises(UserError, match=r"pip install 'verifiers==0\.4\.\*'"):
        importlib.import_module("tenfold.envs.interop.verifiers_taskset")


@pytest.mark.parametrize(("option", "value"), [("limit", 0), ("limit", True), ("seconds", 0)])
def test_options_are_checked(option: str, value: object) -> None:
    with pytest.raises(UserError, match=f"{option}: expected"):
        tenfold.make("verifiers:gsm8k", **{option: value})
