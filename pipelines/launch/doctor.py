"""What works on a machine, and on each node of a Ray cluster: packages, GPUs, vLLM, the sandbox, languages, a shared folder."""

import importlib
import importlib.metadata
import os
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ... import disk
from ...core import UserError
from ..cluster import Cluster
from . import nodes

PACKAGES = ("tenfold", "torch", "transformers", "verl", "ray", "vllm", "flash-attn")
"""Packages whose versions are shown. They must be equal on all nodes."""
OPTIONAL = frozenset({"vllm", "flash-attn"})
"""Packages that only machines with GPUs need."""
PROTECTIONS = ("namespaces", "files", "landlock", "seccomp", "cgroup")
"""The protections of the local sandbox; see `verifiers/sandbox/local.py`."""


class Finding(NamedTuple):
    """The result of one check."""

    name: str
    text: str
    works: bool = True


Findings = dict[str, list[Finding]]
"""The findings of each node, by its address."""


def here(folder: Path | None = None, token: str = "") -> list[Finding]:
    """Returns what works on this machine.

    Args:
        folder: a folder that all nodes should share.
        token: what another machine has written into the file `token` in this folder; "": this file is not checked.
    """
    found = [Finding("machine", f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} processors, {_memory()}")]
    found += [_version(name) for name in PACKAGES]
    checks: list[tuple[str, Callable[[], Finding]]] = [("GPUs", _gpus), ("sandbox", _sandbox), ("languages", _languages)]
    if folder:
        checks.append(("folder", lambda: _folder(folder, token)))
    for name, check in checks:
        try:
            found.append(check())
        except Exception as error:  # a broken installation may raise anything
            found.append(Finding(name, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", works=False))
    return found


def _version(name: str) -> Finding:
    for build in (name, f"{name}-cpu"):
        try:
            return Finding(name, importlib.metadata.version(build))
        except importlib.metadata.PackageNotFoundError:
            continue
    return Finding(name, "not installed", works=name in OPTIONAL)


def _memory() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB"


def _gpus() -> Finding:
    """Lists the GPUs, and computes on each of them."""
    import torch

    if not torch.cuda.is_available():
        return Finding("GPUs", "none")
    names = []
    for number in range(torch.cuda.device_count()):
        ones = torch.ones(64, 64, dtype=torch.bfloat16, device=f"cuda:{number}")
        if float((ones @ ones).sum()) != 64**3:
            return Finding("GPUs", f"GPU {number} computes wrong results", works=False)
        properties = torch.cuda.get_device_properties(number)
        names.append(f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    return Finding("GPUs", "; ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)))


def _sandbox() -> Finding:
    """Runs a program in the local sandbox, and names the protections that the machine lacks.

    The finding has `works=True` if no protection is missing, or if $TENFOLD_SANDBOX_WITHOUT names all that are missing.
    """
    from ...verifiers.sandbox import Call, LocalSandbox
    from ...verifiers.sandbox.spawn import may_lack

    sandbox = LocalSandbox(1, without=PROTECTIONS)
    try:
        missing = sandbox.missing()
        results = sandbox.run("def double(x): return 2 * x", [Call("double", [21])]).results
        if not results or results[0].value != 42:
            return Finding("sandbox", "a program had no result", works=False)
    finally:
        sandbox.close()
    lacks = "; ".join(f"{name} ({reason})" for name, reason in missing.items())
    return Finding("sandbox", f"lacks {lacks}" if missing else "all protections", works=missing.keys() <= may_lack())


def _languages() -> Finding:
    """Lists the languages other than Python that run in the sandbox, with their versions, and the others with their packages.

    No language is required, so the finding has `works=True`.
    """
    from ...verifiers.sandbox import SandboxFault, languages

    runs, missing, seen = [], [], set()
    try:
        for name, spec in languages.LANGUAGES.items():
            if (spec.needs, spec.packages) in seen:  # the same toolchain with other options
                continue
            seen.add((spec.needs, spec.packages))
            if languages.lacks(name) is None:
                runs.append(f"{name} {languages.version(name)}".strip())
            else:
                missing.append(f"{name} (apt-get install {spec.packages})")
    except (UserError, SandboxFault) as error:
        return Finding("languages", f"only Python: {error}")
    return Finding("languages", ", ".join(runs) + (f"; missing: {', '.join(missing)}" if missing else ""))


def _folder(folder: Path, token: str) -> Finding:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x" * 4096)
    if token and (folder / "token").read_text() != token:
        return Finding("folder", f"{folder} is not the same folder as on the first machine", works=False)
    return Finding("folder", f"{folder} can be written")


@nodes.own_sigterm()
def on_nodes(cluster: Cluster, folder: Path | None) -> Findings:
    """Returns what works on each node of the Ray cluster at `cluster.address`.

    Args:
        cluster: a cluster with an address.
        folder: a folder that all nodes should share.

    Raises:
        UserError: there is no Ray.
    """
    import ray

    def look(folder: str | None, token: str) -> list[tuple[str, str, bool]]:
        """Runs on a node; see `nodes.on_each`."""
        import importlib
        import pathlib

        try:
            doctor = importlib.import_module("tenfold.pipelines.launch.doctor")
        except Exception as error:
            return [("tenfold", f"cannot be imported ({type(error).__name__}: {error}); install it", False)]
        return [tuple(each) for each in doctor.here(pathlib.Path(folder) if folder else None, token)]

    nodes.connect(cluster.address or "", runtime_env={"env_vars": nodes.inherited()})
    shared = Path(tempfile.mkdtemp(prefix=".doctor-", dir=folder)) if folder else None
    token = os.urandom(8).hex() if shared else ""
    try:
        if shared:
            (shared / "token").write_text(token)
        found: Findings = {}
        for address, reply in nodes.on_each(look, str(shared) if shared else None, token):
            name = address if address not in found else f"{address} ({len(found) + 1})"  # several nodes on one machine
            failed = isinstance(reply, ray.exceptions.RayError)
            no_reply = Finding("node", f"does not respond ({type(reply).__name__})", works=False)
            found[name] = [no_reply] if failed else [Finding(*each) for each in reply]
        return found
    finally:
        ray.shutdown()
        if shared:
            (shared / "token").unlink(missing_ok=True)
            shared.rmdir()


def differences(found: Findings) -> list[str]:
    """Returns a line for each package whose version differs between nodes, and for different Pythons or other languages."""
    lines = []
    for name in ("machine", *PACKAGES, "languages"):
        texts = {
            address: each.text.partition(",")[0] if name == "machine" else each.text
            for address, findings in found.items()
            for each in findings
            if each.name == name
        }
        if len({*texts.values()}) > 1:
            lines.append(f"{name} differs: " + ", ".join(f"{text} on {address}" for address, text in texts.items()))
    return lines


def check_folder(folder: str | None) -> Path | None:
    """Returns the absolute path of a folder that a user has named.

    Raises:
        UserError: there is no such folder.
    """
    if folder is None:
        return None
    path = disk.expanded(folder).resolve()
    if not path.is_dir():
        raise UserError(f"there is no folder {path}: create it first")
    return path
