"""`tenfold doctor`: what works on this machine and on the nodes of a Ray cluster."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from tenfold import cli
from tenfold.pipelines.launch import doctor, nodes
from tenfold.pipelines.launch.doctor import Finding
from tenfold.verifiers.sandbox import languages


def test_this_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--folder", str(tmp_path), "--json"]) in (0, 2)
    found = {each["name"]: each for each in json.loads(capsys.readouterr().out)["this machine"]}
    assert found["tenfold"]["works"]
    assert found["GPUs"]["works"]
    assert found["folder"]["text"] == f"{tmp_path} can be written"
    assert found["sandbox"]["works"] == (found["sandbox"]["text"] == "all protections")
    assert found["languages"]["works"]
    if found["sandbox"]["works"]:
        assert re.match(r"bash \d+[.]\d+", found["languages"]["text"])
    assert not list(tmp_path.iterdir())


def test_languages_that_a_machine_lacks_are_listed_with_the_packages_that_bring_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bash, lua = languages.LANGUAGES["bash"], languages.LANGUAGES["lua"]
    monkeypatch.setattr(languages, "LANGUAGES", {"bash": bash, "lua": replace(lua, needs="no-such-lua")})
    monkeypatch.setattr(languages, "_checked", {})
    cli.main(["doctor"])
    printed = capsys.readouterr().out
    assert "lua (apt-get install lua5.4)" in printed or "only Python" in printed


def test_what_does_not_work_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("tenfold", "no-such-package"))
    assert cli.main(["doctor"]) == 2
    printed = capsys.readouterr()
    assert "FAIL no-such-package not installed" in printed.out
    assert "no-such-package on this machine" in printed.err
    assert cli.main(["doctor", "--folder", str(tmp_path / "missing")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_another_folder_of_the_same_name_is_found(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("another")
    (finding,) = [each for each in doctor.here(tmp_path, "this") if each.name == "folder"]
    assert finding == Finding("folder", f"{tmp_path} is not the same folder as on the first machine", works=False)


def test_different_versions_are_named() -> None:
    one = [Finding("machine", "Python 3.11.7, 2 processors"), Finding("torch", "2.13.0"), Finding("GPUs", "none")]
    other = [Finding("machine", "Python 3.11.7, 8 processors"), Finding("torch", "2.12.0"), Finding("GPUs", "8 x H100")]
    assert doctor.differences({"a": one, "b": other}) == ["torch differs: 2.13.0 on a, 2.12.0 on b"]


def test_a_cluster_without_ray_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("ray_address: 127.0.0.1:1\n")
    assert cli.main(["doctor", "--cluster", str(tmp_path / "c.yaml")]) == 2
    assert "no Ray at '127.0.0.1:1'" in capsys.readouterr().err
    (tmp_path / "c.yaml").write_text("gpuss: 2\n")
    assert cli.main(["doctor", "--cluster", str(tmp_path / "c.yaml")]) == 2
    assert "c.yaml: gpuss: unknown setting 'gpuss'; use one of device, " in capsys.readouterr().err


@pytest.mark.slow
def test_each_node_of_a_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import ray
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    started.add_node(num_cpus=1)
    try:
        (tmp_path / "c.yaml").write_text(f"ray_address: {started.address}\n")
        assert cli.main(["doctor", "--cluster", str(tmp_path / "c.yaml"), "--folder", str(tmp_path), "--json"]) in (0, 2)
        found = json.loads(capsys.readouterr().out)
        assert len(found) == 2
        for findings in found.values():
            assert {each["name"]: each["works"] for each in findings} | {"tenfold": True, "folder": True} == {
                each["name"]: each["works"] for each in findings
            }
        assert not list(tmp_path.glob(".doctor-*"))
    finally:
        ray.shutdown()
        started.shutdown()
        nodes.release()
        os.environ.pop("RAY_ADDRESS", None)
