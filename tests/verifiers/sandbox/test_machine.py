"""The sandbox adapts to the machine: protections that are missing, and where its interpreter is."""

import sys

import pytest

from tenfold.core import UserError
from tenfold.verifiers.sandbox import Call, LocalSandbox, backends

pytestmark = pytest.mark.usefixtures("sandboxed")


def test_a_missing_protection_is_refused_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.verifiers.sandbox.system_calls.compiled", lambda: b"not a filter")
    with pytest.raises(UserError, match="it lacks seccomp"):
        LocalSandbox(workers=1).run("x = 1")
    lenient = LocalSandbox(workers=1, without=["seccomp"])
    assert list(lenient.missing()) == ["seccomp"]
    assert lenient.run("def f(): return 1", [Call("f")]).results[0].value == 1
    lenient.close()


def test_missing_protections_are_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenfold.verifiers.sandbox.system_calls.compiled", lambda: b"not a filter")
    monkeypatch.setattr(backends, "_of_process", backends._of_process.__wrapped__)
    monkeypatch.setenv("TENFOLD_SANDBOX_WITHOUT", "landlock, seccomp")
    sandbox = backends.shared()
    assert isinstance(sandbox, LocalSandbox)
    assert list(sandbox.missing()) == ["seccomp"]
    sandbox.close()


def test_a_folder_of_the_interpreter_may_be_a_link_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "base_prefix", "/")  # so that the links /bin and /lib are folders of the interpreter as well
    sandbox = LocalSandbox(workers=1)
    assert sandbox.missing() == {}
    sandbox.close()
