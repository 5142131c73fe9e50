"""`inspect:`, without inspect-ai: what is said of bad ids. `test_real_inspect.py` plays real tasks."""

import importlib.util

import pytest

import tenfold
from tenfold import named_code
from tenfold.core import UserError

WITHOUT = importlib.util.find_spec("inspect_ai") is None


@pytest.mark.skipif(not WITHOUT, reason="inspect-ai is installed")
def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(UserError, match=r"^inspect: needs the package inspect-ai: pip install inspect-ai$"):
        tenfold.make("inspect:inspect_evals/gsm8k")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"limit": 0}, "limit: expected a number of samples of at least 1, got 0"),
        ({"limit": True}, "limit: expected a number of samples of at least 1, got True"),
        ({"seconds": 0}, "seconds: expected a number above 0, got 0"),
        ({"seconds": "1"}, "seconds: expected a number above 0, got '1'"),
    ],
)
def test_options_are_checked_before_the_task_is_loaded(options: dict[str, object], line: str) -> None:
    with pytest.raises(UserError) as raised:
        tenfold.make("inspect:inspect_evals/gsm8k", **options)
    assert str(raised.value) == line


def test_the_core_does_not_need_the_package_to_find_an_id() -> None:
    assert tenfold.envs.registry.find("inspect:a/b").kwargs == {"address": "a/b"}


@pytest.mark.skipif(WITHOUT, reason="needs inspect-ai")
def test_a_recipe_cannot_name_a_file_and_a_package_only_if_it_lists_it() -> None:
    with named_code.limited(named_code.Limits()):
        with pytest.raises(UserError, match="a recipe cannot name a file"):
            tenfold.make(f"inspect:{__file__}@task")
        with pytest.raises(UserError, match=r"names 'json', which is code of .*: if you trust it, list json"):
            tenfold.make("inspect:json/task")
