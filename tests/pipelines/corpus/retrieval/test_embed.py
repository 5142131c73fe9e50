import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tenfold.core import UserError
from tenfold.pipelines.corpus.retrieval import embed
from tenfold.policies import checkpoints

TEXTS = [
    "The derivative of a sum is the sum of the derivatives.",
    "The derivative of a product is not the product of the derivatives.",
    "def load(path):\n    return json.loads(path.read_text())\n",
    "",
    "Überall gibt es Käse. " * 2_000,
]


@pytest.mark.parametrize("uri", ["hash:", "hash:?dim=64", "micro:"])
def test_all_vectors_have_norm_one(uri: str) -> None:
    vectors = embed.load(uri)(TEXTS)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(TEXTS)), abs=1e-5)


@pytest.mark.parametrize("uri", ["hash:", "micro:"])
def test_a_vector_does_not_depend_on_the_batch(uri: str) -> None:
    together = embed.load(uri, batch_size=3)(TEXTS)
    alone = np.concatenate([embed.load(uri, batch_size=1)([text]) for text in TEXTS])
    assert together == pytest.approx(alone, abs=1e-5)


def test_texts_with_the_same_words_are_more_similar() -> None:
    vectors = embed.load()(TEXTS)
    assert vectors[0] @ vectors[1] > 0.5 > vectors[0] @ vectors[2]


def test_hash_vectors_are_the_same_on_every_machine() -> None:
    [vector] = embed.load("hash:?dim=8")(["two words"])
    recorded = [0.21313, -0.21916, -0.38654, 0.22519, 0.05781, 0.77912, -0.21916, -0.21916]
    assert vector == pytest.approx(recorded, abs=1e-4)


def test_the_option_dim_sets_the_dimensions() -> None:
    assert embed.load("hash:?dim=100")(TEXTS).shape == (5, 100)
    assert embed.load("hash:?dim=100")([]).shape == (0, 100)


def test_only_the_beginning_of_a_long_text_is_used() -> None:
    hashed, model = embed.load("hash:"), embed.load("micro:", tokens=16)
    assert (hashed(["a b " * 10_000]) == hashed(["a b " * 20_000])).all()
    assert model(["some words " * 50]) == pytest.approx(model(["some words " * 50 + "and others"]))


def test_the_beginning_is_used_also_if_the_checkpoint_truncates_on_the_left(tmp_path: Path) -> None:
    folder = tmp_path / "left"
    shutil.copytree(checkpoints.checkpoint("micro:"), folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"truncation_side": "left"}))
    text = ["a text that is longer than sixteen tokens"]
    assert embed.load(f"path:{folder}", tokens=16)(text) == pytest.approx(embed.load("micro:", tokens=16)(text))


@pytest.mark.parametrize(
    "uri",
    [
        "hash:?dim=none", "hash:?dim=2", "hash:?dim=32769", "hash:?dim=3000000000", f"hash:?dim={'9' * 5000}", "hash:?size=4",
        "hash:words", "nowhere:",
    ],
)  # fmt: skip
def test_an_invalid_uri_raises_a_one_line_error(uri: str) -> None:
    for function in (embed.check, embed.load):
        with pytest.raises(UserError) as error:
            function(uri)
        assert "\n" not in str(error.value)


def test_the_files_of_a_model_are_part_of_the_identity_and_hash_has_none() -> None:
    assert embed.files("hash:?dim=64") == {}
    assert embed.files("micro:?seed=1")["model.safetensors"] != embed.files("micro:?seed=2")["model.safetensors"]
