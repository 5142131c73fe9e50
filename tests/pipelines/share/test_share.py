"""`tenfold push` and `tenfold pull` with the real client of the hub and a stand-in for its server."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, constants
from safetensors.torch import save_file

from tenfold.pipelines.share.parcel import listed
from tenfold.policies import checkpoints

from .hub_stand_in import TOKEN, Hub

Cli = Callable[..., tuple[int, str]]


def card_of(hub: Hub, name: str = "lab/sums", kind: str = "model") -> str:
    return hub.repository(name, kind).tree["README.md"].decode()


def test_a_pushed_stage_comes_back_as_a_policy(hub: Hub, tenfold: Cli, run: Path, tmp_path: Path) -> None:
    assert tenfold("push", str(run / "sft"), "lab/sums", "--yes", "--license", "mit")[0] == 0
    repository = hub.repository("lab/sums")
    assert repository.private
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja", "recipe.yaml"} <= repository.tree.keys()

    status, said = tenfold("pull", "lab/sums", "mine")
    assert status == 0
    assert "policy: path:mine" in said
    model, tokenizer = checkpoints.load(checkpoints.checkpoint("path:mine"), torch.float32)
    assert tokenizer.chat_template
    before, _ = checkpoints.load(run / "sft" / "policy", torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))


def test_the_model_card(hub: Hub, tenfold: Cli, run: Path) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes", "--license", "mit")
    card = ModelCard(card_of(hub))
    (result,) = card.data.eval_results or []
    assert (result.metric_type, result.metric_value) == ("avg@8", 73.5)
    assert "[68.3, 78.2]" in str(result.metric_name)
    assert (card.data.license, card.data.base_model, card.data.library_name) == ("mit", "lab/base", "transformers")
    assert "lab/base, licence not known" in card.text  # the licence of the checkpoint is not that of its base model
    for part in ("few problems", "3 samples have no score", "uncommitted changes", "adds digits", "tenfold run recipe.yaml"):
        assert part in card.text
    assert listed(card_of(hub)).keys() == hub.repository("lab/sums").tree.keys() - {"README.md", ".gitattributes"}


def test_scores_of_other_weights_are_not_the_checkpoints(hub: Hub, tenfold: Cli, run: Path, micro: Path) -> None:
    save_file({"other": torch.ones(2)}, run / "sft" / "policy" / "model.safetensors")
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    assert ModelCard(card_of(hub)).data.eval_results is None
    assert "no benchmark of these weights" in card_of(hub)


def test_a_dry_run_prints_all_and_asks_nobody(hub: Hub, tenfold: Cli, run: Path) -> None:
    status, said = tenfold("push", str(run / "sft"), "lab/sums", "--dry-run")
    assert status == 0
    assert hub.asked == []
    assert "model.safetensors" in said
    assert "model-index" in said
    assert "licence is not known" in said


def test_nothing_is_sent_without_an_answer(hub: Hub, tenfold: Cli, run: Path) -> None:
    status, said = tenfold("push", str(run / "sft"), "lab/sums")
    assert (status, hub.asked) == (2, [])
    assert "--yes" in said


SECRETS = {
    "the value of a variable": "as q8-Zr77-secret-value says",
    "a token of a well-known form": "sk-proj-abcdefghij0123456789",
    "an address with a password": "https://me:pass@lab.org/x",
    "a setting": 'api_key: "abcdef0123456789abcd"',
    "the hub's token": TOKEN,
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
def test_a_file_with_a_secret_does_not_go(
    secret: str, hub: Hub, tenfold: Cli, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_API_KEY", "q8-Zr77-secret-value")
    path = run / "sft" / "policy" / "generation_config.json"
    path.write_text(json.dumps({"note": "x"}, indent=1) + f"\n{secret}\n")
    status, said = tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    assert (status, hub.asked) == (2, [])
    assert "generation_config.json, line 4" in said
    assert secret not in said
    assert "q8-Zr77" not in said


def test_a_secret_in_the_recipe_or_the_header_of_the_weights_is_found(hub: Hub, tenfold: Cli, run: Path) -> None:
    weights = run / "sft" / "policy" / "model.safetensors"
    save_file({"a": torch.ones(2)}, weights, {"note": TOKEN})
    assert "model.safetensors, line 1" in tenfold("push", str(run / "sft"), "lab/sums", "--yes")[1]
    save_file({"a": torch.ones(2)}, weights)
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("adds digits", TOKEN))
    status, said = tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    assert (status, hub.asked, TOKEN in said) == (2, [], False)


def test_what_does_not_go(hub: Hub, tenfold: Cli, run: Path, tmp_path: Path) -> None:
    policy = run / "sft" / "policy"
    for name in ("optimizer.pt", "pytorch_model.bin", ".env", "modeling.py", "notes.md"):
        (policy / name).write_text("x")
    (tmp_path / "private.json").write_text("{}")
    (policy / "tokenizer_secret.json").symlink_to(tmp_path / "private.json")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(policy / "tokenizer.sock"))
        _, said = tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    sent = hub.repository("lab/sums").tree.keys()
    for name in ("optimizer.pt", "pytorch_model.bin", ".env", "modeling.py", "tokenizer_secret.json", "tokenizer.sock"):
        assert f"does not go: {name}" in said
        assert name not in sent


def test_weights_that_are_a_pickle_do_not_go(hub: Hub, tenfold: Cli, run: Path) -> None:
    torch.save({"a": torch.ones(2)}, run / "sft" / "policy" / "model.safetensors")
    status, said = tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    assert (status, hub.asked) == (2, [])
    assert "is not a file of safetensors" in said


def test_an_interrupted_push_sends_the_rest(hub: Hub, tenfold: Cli, run: Path) -> None:
    hub.faults["commit/"] = [503]
    status, said = tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    assert status == 2
    assert "run the same command again" in said
    assert hub.repository("lab/sums").tree.keys() == {".gitattributes"}
    hub.asked.clear()
    assert tenfold("push", str(run / "sft"), "lab/sums", "--yes")[0] == 0
    assert not [asked for asked in hub.asked if asked.startswith("PUT")]  # the weights were there
    commits = len(hub.repository("lab/sums").commits)
    assert tenfold("push", str(run / "sft"), "lab/sums", "--yes")[0] == 0
    assert len(hub.repository("lab/sums").commits) == commits  # nothing has changed


def test_an_upload_that_breaks_is_tried_again(hub: Hub, tenfold: Cli, run: Path) -> None:
    hub.faults["PUT"] = ["break", 500]
    assert tenfold("push", str(run / "sft"), "lab/sums", "--yes")[0] == 0
    assert "model.safetensors" in hub.repository("lab/sums").tree


@pytest.mark.parametrize(("status", "words"), [(401, "HF_TOKEN"), (403, "may not write"), (409, "somebody else")])
def test_refusals_of_the_hub_are_one_line_without_the_token(status: int, words: str, hub: Hub, tenfold: Cli, run: Path) -> None:
    hub.faults["POST .*preupload"] = [status]
    code, said = tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    assert code == 2
    error = said[said.index("error:") :]
    assert words in error
    assert error.count("\n") == 1
    assert TOKEN not in said


def test_a_push_replaces_only_when_asked(hub: Hub, tenfold: Cli, run: Path) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    hub.repository("lab/sums").tree["pytorch_model.bin"] = b"stale"
    status, said = tenfold("push", str(run / "sft"), "lab/sums", "--yes", "--license", "mit")
    assert status == 2
    assert "--replace" in said
    assert tenfold("push", str(run / "sft"), "lab/sums", "--yes", "--license", "mit", "--replace")[0] == 0
    assert "pytorch_model.bin" not in hub.repository("lab/sums").tree


def test_a_public_repository_needs_public(hub: Hub, tenfold: Cli, run: Path) -> None:
    assert tenfold("push", str(run / "sft"), "lab/sums", "--yes", "--public")[0] == 0
    assert not hub.repository("lab/sums").private
    status, said = tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    assert status == 2
    assert "add --public" in said


def test_an_interrupted_pull_goes_on_within_a_file(hub: Hub, tenfold: Cli, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1024)  # what the client keeps of a connection that breaks
    hub.faults["GET .*resolve.*safetensors"] = ["break", 503]
    status, said = tenfold("pull", "lab/sums")
    assert status == 2
    assert "run the same command again" in said
    assert not Path("sums").exists()
    assert Path("sums.partial").is_dir()
    hub.ranges.clear()
    assert tenfold("pull", "lab/sums")[0] == 0
    assert any(asked.startswith("model.safetensors bytes=") for asked in hub.ranges)
    assert not Path("sums.partial").exists()
    assert sorted(path.name for path in Path("sums").iterdir()) == sorted(
        hub.repository("lab/sums").tree.keys() - {".gitattributes"}
    )


def test_a_pull_overwrites_nothing(hub: Hub, tenfold: Cli, run: Path) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    Path("sums").mkdir()
    Path("sums", "notes.txt").write_text("mine")
    status, said = tenfold("pull", "lab/sums")
    assert status == 2
    assert "nothing is overwritten" in said
    assert Path("sums", "notes.txt").read_text() == "mine"
    assert tenfold("pull", "lab/sums", "other")[0] == 0
    assert "has all files" in tenfold("pull", "lab/sums", "other")[1]


def test_a_file_that_differs_from_the_cards_list_is_refused(hub: Hub, tenfold: Cli, run: Path) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    tree = hub.repository("lab/sums").tree
    tree["config.json"] = tree["config.json"].replace(b"16", b"17")
    status, said = tenfold("pull", "lab/sums")
    assert status == 2
    assert "config.json does not have the SHA-256" in said
    assert not Path("sums").exists()


@pytest.mark.parametrize("path", ["model.bin", "../out.json", ".env", "modeling.py", "/etc/x.json", "a/config.json"])
def test_a_card_that_lists_a_file_of_another_kind_is_refused(path: str, hub: Hub, tenfold: Cli, run: Path) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    tree = hub.repository("lab/sums").tree
    tree["README.md"] = tree["README.md"].replace(b"  config.json\n", f"  {path}\n".encode())
    tree[path] = tree["config.json"]
    status, said = tenfold("pull", "lab/sums")
    assert status == 2
    assert "is refused" in said
    assert not Path("sums").exists()


def test_files_that_the_card_does_not_list_are_not_fetched(hub: Hub, tenfold: Cli, run: Path) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    hub.repository("lab/sums").tree["evil.py"] = b"raise SystemExit"
    status, said = tenfold("pull", "lab/sums")
    assert status == 0
    assert "not fetched: evil.py" in said
    assert not Path("sums", "evil.py").exists()


def test_a_pull_of_a_commit(hub: Hub, tenfold: Cli, run: Path) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    first = hub.repository("lab/sums").commits[-1][0]
    tenfold("push", str(run / "sft"), "lab/sums", "--yes", "--license", "mit", "--replace")
    assert tenfold("pull", f"lab/sums@{first}")[0] == 0
    assert "license: unknown" in Path("sums", "README.md").read_text()
    assert "no such revision" in tenfold("pull", "lab/sums@nowhere", "x")[1]


def test_a_repository_that_tenfold_has_not_pushed(hub: Hub, tenfold: Cli, run: Path) -> None:
    tenfold("push", str(run / "sft"), "lab/sums", "--yes")
    hub.repository("lab/sums").tree["README.md"] = b"# A model\n"
    assert "use the policy hf:lab/sums" in tenfold("pull", "lab/sums")[1]
    assert "there is no such repository" in tenfold("pull", "lab/nothing")[1]


def test_an_adapter_goes_with_the_tokenizer_and_without_local_paths(hub: Hub, tenfold: Cli, run: Path) -> None:
    folder = run / "sft" / "adapter"
    folder.mkdir()
    save_file({"a": torch.ones(2)}, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(run)}))
    assert tenfold("push", str(folder), "lab/sums", "--yes")[0] == 0
    tree = hub.repository("lab/sums").tree
    assert {"adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"} <= tree.keys()
    assert "model.safetensors" not in tree
    assert json.loads(tree["adapter_config.json"])["base_model_name_or_path"] == "lab/base"
    card = ModelCard(card_of(hub))
    assert (card.data.library_name, card.data.base_model) == ("peft", "lab/base")
    assert len(card.data.eval_results or []) == 1


def test_the_pages_of_a_run_have_no_episodes_unless_asked(hub: Hub, tenfold: Cli, run: Path) -> None:
    (run / "after" / "chain_sum.samples.jsonl").write_text('{"text": "a response"}\n')
    (run / "verl.log").write_text("a log")
    status, said = tenfold("push", str(run), "lab/sums", "--pages", "--yes")
    assert status == 0, said
    tree = hub.repository("lab/sums", "dataset").tree
    assert tree.keys() == {
        *(".gitattributes", "README.md", "recipe.yaml", "report.html", "viewer.html"),
        *("sft/stage.json", "after/stage.json"),
    }
    status, said = tenfold("pull", "lab/sums", "pages")
    assert status == 0
    assert "viewer.html" in said
    assert tenfold("push", str(run), "lab/more", "--pages", "--episodes", "--yes")[0] == 0
    assert "after/chain_sum.samples.jsonl" in hub.repository("lab/more", "dataset").tree


def test_the_folder_of_a_run_needs_pages_or_a_stage(tenfold: Cli, run: Path) -> None:
    said = tenfold("push", str(run), "lab/sums", "--dry-run")[1]
    assert "--pages" in said
    assert str(run / "sft") in said


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "my-sums"
    (folder / "my_sums" / "__pycache__").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "my-sums"\nversion = "0.1"\nlicense = "MIT"\n'
        '[project.entry-points."gymnasium.envs"]\n__root__ = "my_sums:register_all"\n'
    )
    (folder / "README.md").write_text("# My sums\n")
    source = 'raise SystemExit("imported")\nimport tenfold\ntenfold.register("lab/Sums-v0", problems="jsonl:p")\n'
    (folder / "my_sums" / "__init__.py").write_text(source)
    (folder / "my_sums" / "__pycache__" / "x.pyc").write_text("x")
    (folder / "my_sums" / "data.pkl").write_text("x")
    return folder


def test_a_package_of_environments_is_neither_imported_nor_installed(hub: Hub, tenfold: Cli, package: Path) -> None:
    assert tenfold("push", str(package), "lab/my-sums", "--environment", "--yes")[0] == 0
    tree = hub.repository("lab/my-sums", "dataset").tree
    assert tree.keys() - {".gitattributes"} == {"README.md", "README.package.md", "my_sums/__init__.py", "pyproject.toml"}
    assert "lab/Sums-v0" in card_of(hub, "lab/my-sums", "dataset")
    assert "license: mit" in card_of(hub, "lab/my-sums", "dataset")
    status, said = tenfold("pull", "datasets/lab/my-sums", "mine")
    assert status == 0
    assert "pip install mine" in said
    assert "my_sums" not in sys.modules
    assert Path("mine", "README.package.md").read_text() == "# My sums\n"
    tenfold("push", "mine", "lab/again", "--environment", "--yes")
    again = hub.repository("lab/again", "dataset").tree
    assert {path: again[path] for path in tree if path != "README.md"} == {
        path: content for path, content in tree.items() if path != "README.md"
    }


@pytest.mark.parametrize("name", ["sums", "a/b/c", "lab/..", "lab/sums@", "https://lab/sums"])
def test_wrong_names_are_one_line(name: str, tenfold: Cli) -> None:
    status, said = tenfold("pull", name)
    assert status == 2
    assert "expected ORG/NAME" in said


def test_the_address_of_the_hub_comes_from_the_environment(hub: Hub, run: Path) -> None:
    variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1"}
    for command in (["push", str(run / "sft"), "lab/sums", "--yes"], ["pull", "lab/sums", str(run / "pulled")]):
        call = [sys.executable, "-m", "tenfold.cli", *command]
        done = subprocess.run(call, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert TOKEN not in done.stdout + done.stderr
    assert (run / "pulled" / "model.safetensors").is_file()
