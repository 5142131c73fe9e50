import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tenfold.core import Conversation, UserError
from tenfold.pipelines.corpus import shards, tag
from tenfold.pipelines.corpus.tagging import annotate, dimensions, rule_labels, tagger
from tenfold.pipelines.stage import Context
from tenfold.policies.scripted import ScriptedPolicy

NAMES = [dimension.name for dimension in dimensions.dimensions()]
PROSE = "Let the number {n} be given. Because it is {kind}, it follows that {n} + {n} = {double}. For example, 2 + 2 = 4.\n\n"
CODE = 'def double_{n}(value):\n    """Returns {n} times the value."""\n    return value * {n}\n\n\n'
PAGE = "<div>Home | Log in | Subscribe</div>\nCopyright {n}. All rights reserved. Click here!!!\n"


def text(number: int) -> str:
    kind = "even" if number % 2 == 0 else "odd"
    return (PROSE, CODE, PAGE)[number % 3].format(n=number, double=2 * number, kind=kind) * (1 + number % 7)


def documents(folder: Path, shares: list[range]) -> Path:
    (folder / "documents").mkdir(parents=True)
    for number, share in enumerate(shares):
        rows = [{"id": f"d{n:03}", "text": text(n), "source": "made", "domain": "text"} for n in share]
        shards.write(folder / "documents" / f"{number:05}.parquet", pyarrow.Table.from_pylist(rows, schema=shards.SCHEMA))
    return folder


def settings(folder: Path, **changes: Any) -> tag.Tag:
    given = {"name": "tag", "kind": "tag", "documents": str(folder), "sample": 120, "embedder": "hash:", "workers": 1}
    return tag.Tag.model_validate(given | changes)


def context(folder: Path, seed: int = 0) -> Context:
    folder.mkdir(exist_ok=True)
    return Context(folder, "micro:", seed, {}, lambda *a, **k: None)


def tags(folder: Path) -> dict[str, list[float]]:
    rows = shards.rows(sorted((folder / "tags").glob("*.parquet")))
    return {row.pop("id"): list(row.values()) for row in rows}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return documents(tmp_path_factory.mktemp("corpus"), [range(100), range(100, 200)])


@pytest.fixture(scope="module")
def tagged(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tag")
    chosen = settings(corpus)
    chosen.check()
    return folder, chosen.run(context(folder))


def test_every_document_has_every_tag_in_the_order_of_its_shard(corpus: Path, tagged: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = tagged
    assert metrics["documents"] == 200
    for shard in shards.list_shards(corpus):
        table = pyarrow.parquet.read_table(folder / "tags" / shard.name)
        assert table.column_names == ["id", *NAMES]
        assert table.column("id").to_pylist() == pyarrow.parquet.read_table(shard).column("id").to_pylist()
        assert all(0 <= value <= 9 for name in NAMES for value in table.column(name).to_pylist())


def test_the_tags_distinguish_code_from_a_page_of_links(tagged: tuple[Path, dict[str, Any]]) -> None:
    found, code, clean = tags(tagged[0]), NAMES.index("code_content"), NAMES.index("boilerplate_free")
    assert found["d001"][code] > found["d002"][code]
    assert found["d001"][clean] > found["d002"][clean]


def test_the_report_has_the_predictability_of_each_dimension(tagged: tuple[Path, dict[str, Any]]) -> None:
    folder, metrics = tagged
    assert metrics["annotator"] == "rules:"
    assert metrics["labels_by_rules"]
    assert (metrics["labelled"], metrics["held_out"]) == (120, 30)
    assert metrics["dimensions"]["code_content"] > 0.6
    assert metrics["dimensions"]["safety"] is None
    assert "safety" in metrics["constant"]
    assert "NaN" not in json.dumps(metrics)
    assert {row["name"] for row in json.loads((folder / "report.json").read_text())["dimensions"]} == set(NAMES)
    assert "code_content" in (folder / "report.html").read_text()


def test_a_killed_stage_resumes_without_asking_for_stored_labels(
    corpus: Path, tagged: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "tag"
    labelled, annotator = 0, annotate.load("rules:")

    def dies(texts: Any) -> Any:
        nonlocal labelled
        for part in annotator(texts):
            labelled += len(part)
            if labelled == 96:
                raise KeyboardInterrupt
            yield part

    with monkeypatch.context() as patched:
        patched.setattr(annotate, "load", lambda *_: dies)
        with pytest.raises(KeyboardInterrupt):
            settings(corpus, annotator_batch_size=32).run(context(folder))
        labelled = 1_000
        settings(corpus, annotator_batch_size=32).run(context(folder))
    assert labelled == 1_000 + 120 - 64
    assert tags(folder) == tags(tagged[0])

    (folder / "tags" / "00001.parquet").unlink()
    monkeypatch.setattr(tagger, "train", None)  # the tagger is not trained again
    assert settings(corpus).run(context(folder))["documents"] == 200
    assert tags(folder) == tags(tagged[0])


def test_tags_do_not_depend_on_shards_or_batches(tagged: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    otherwise = documents(tmp_path / "corpus", [range(150, 200), range(10), range(10, 150)])
    settings(otherwise, batch_size=11, annotator_batch_size=7).run(context(tmp_path / "tag"))
    assert tags(tmp_path / "tag") == tags(tagged[0])


def test_the_sample_depends_on_the_seed_only(corpus: Path) -> None:
    paths = shards.list_shards(corpus)
    assert tag.sample_ids(paths, 50, 0) == tag.sample_ids(paths[::-1], 50, 0)
    assert set(tag.sample_ids(paths, 50, 0)) != set(tag.sample_ids(paths, 50, 1))
    assert set(tag.sample_ids(paths, 20, 0)) < set(tag.sample_ids(paths, 50, 0))


def test_an_annotator_without_valid_answers_raises_a_one_line_error(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="labelled 0 of 120 documents"):
        settings(corpus, annotator="scripted:As a model I cannot say.").run(context(tmp_path / "tag"))


def test_equal_labels_make_every_dimension_constant(corpus: Path, tmp_path: Path) -> None:
    metrics = settings(corpus, annotator="scripted:" + json.dumps(dict.fromkeys(NAMES, 6))).run(context(tmp_path / "tag"))
    assert metrics["constant"] == NAMES
    assert not metrics["labels_by_rules"]
    assert metrics["rank_correlation"] == {"all": None, "content": None, "format": None}
    assert set(tags(tmp_path / "tag")["d000"]) == {6.0}


def answer(conversation: Conversation, seed: int) -> str:
    """Answers with the labels of the rules for the document in the prompt, and forgets one score of documents in code."""
    shown = conversation[0]["content"].split("\n\nThe document stands between")[1].split("\n", 2)[2].rsplit("\n", 4)[0]
    labels = rule_labels.annotate(shown)
    return json.dumps({name: label for name, label in labels.items() if name != "clarity" or "def " not in shown})


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(annotate, "load_policy", lambda *_, **__: ScriptedPolicy(answer))
    return "micro:"


def test_answers_without_a_valid_score_are_counted_by_dimension(corpus: Path, tmp_path: Path, policy: str) -> None:
    chosen = settings(corpus, annotator=policy)
    metrics = chosen.run(context(tmp_path / "tag"))
    unlabelled = metrics["unlabelled"]
    assert 20 < unlabelled < 60
    assert metrics["labelled"] == 120 - unlabelled
    assert metrics["answers"] == 120 + unlabelled * (annotate.ATTEMPTS - 1)
    assert metrics["without_valid_score"]["clarity"] == unlabelled * annotate.ATTEMPTS / metrics["answers"]
    assert metrics["without_valid_score"]["safety"] == 0
    assert f"clarity {metrics['without_valid_score']['clarity']:.1%}" in (tmp_path / "tag" / "report.html").read_text()
    assert "without a valid score: " in chosen.summary(metrics)


def test_stages_on_the_same_documents_are_compared(
    corpus: Path, tagged: tuple[Path, dict[str, Any]], tmp_path: Path, policy: str
) -> None:
    rules = tmp_path / "by_rules"
    shutil.copytree(tagged[0], rules)
    chosen = settings(corpus, annotator=policy, compare=[str(rules)])
    chosen.check()
    metrics = chosen.run(context(tmp_path / "tag"))
    found = metrics["agreement"]["by_rules"]
    rows = {row["name"]: row for row in found["dimensions"]}
    assert found["documents"] == metrics["labelled"]
    assert 0 < found["held_out"] <= metrics["held_out"]
    assert rows["boilerplate_free"]["labels"] == pytest.approx(1)  # the policy copies the rules
    assert rows["safety"]["labels"] is None  # all labels are equal
    assert 0 < rows["boilerplate_free"]["own_tagger_other_labels"] <= 1
    assert found["means"]["labels"]["all"] == pytest.approx(1)
    head, table = chosen.by_dimension(metrics)
    assert head[4:] == ["labels, labels of by_rules", "tagger, labels of by_rules", "tagger of by_rules, labels"]
    assert [row[0] for row in table] == [*NAMES, "mean of all", "mean of content", "mean of format"]
    assert table[-3][4] == "1.00"
    assert "labels with by_rules: all 1.00" in chosen.summary(metrics)
    assert "Mean rank correlation with the labels of by_rules" in (tmp_path / "tag" / "report.html").read_text()


def test_equal_annotators_have_equal_taggers(corpus: Path, tagged: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    metrics = settings(corpus, compare=[str(tagged[0])]).run(context(tmp_path / "again"))
    (found,) = metrics["agreement"].values()
    assert found["held_out"] == metrics["held_out"]
    for row in found["dimensions"]:
        taggers = {value for key, value in row.items() if "_tagger_" in key}
        assert taggers == {metrics["dimensions"][row["name"]]}


def test_binary_labels_are_a_scale_of_their_own(corpus: Path, tagged: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    metrics = settings(corpus, scale="binary", compare=[str(tagged[0])]).run(context(tmp_path / "binary"))
    rows = [json.loads(line) for line in (tmp_path / "binary" / "labels.jsonl").read_text().splitlines()]
    assert rows[0]["settings"]["scale"] == "binary"
    assert {label for row in rows[1:] for label in row["labels"].values()} == {0, 9}
    (found,) = metrics["agreement"].values()
    defined = [row for row in found["dimensions"] if None not in row.values()]
    assert found["defined"] == len(defined) < 20  # more dimensions are constant than with graded labels
    assert found["means"]["labels"]["all"] == pytest.approx(sum(row["labels"] for row in defined) / len(defined))
    assert 0.4 < found["means"]["labels"]["all"] < 1
    assert 0 <= min(tags(tmp_path / "binary")["d001"]) <= max(tags(tmp_path / "binary")["d001"]) <= 9


def test_a_stage_without_labels_cannot_be_compared(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no labels\.jsonl: use the folder of a finished tag stage"):
        settings(corpus, compare=[str(tmp_path)]).check()


def test_a_stage_on_other_documents_cannot_be_compared(tagged: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    other = documents(tmp_path / "other", [range(300, 400)])
    with pytest.raises(UserError, match="no document in common"):
        settings(other, sample=60, compare=[str(tagged[0])]).run(context(tmp_path / "tag"))


def test_a_stage_on_other_texts_with_the_same_ids_cannot_be_compared(
    tagged: tuple[Path, dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "other" / "documents").mkdir(parents=True)
    rows = [{"id": f"d{n:03}", "text": text(n + 1), "source": "made", "domain": "text"} for n in range(200)]
    table = pyarrow.Table.from_pylist(rows, schema=shards.SCHEMA)
    shards.write(tmp_path / "other" / "documents" / "00000.parquet", table)
    with pytest.raises(UserError, match=r"120 documents of tag\d* have the same ids but other texts, such as d\d+; compare"):
        settings(tmp_path / "other", compare=[str(tagged[0])]).run(context(tmp_path / "tag"))
    assert not (tmp_path / "tag" / "labels.jsonl").exists()

    shutil.copytree(tagged[0], tmp_path / "earlier")
    report = json.loads((tmp_path / "earlier" / "report.json").read_text())
    del report["document_digests"]
    (tmp_path / "earlier" / "report.json").write_text(json.dumps(report))
    settings(tmp_path / "other", compare=[str(tmp_path / "earlier")]).run(context(tmp_path / "tag"))
    assert "earlier is of an earlier version: make sure" in caplog.text


def test_compared_stages_need_different_names(corpus: Path, tagged: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    for run in ("first", "second"):
        shutil.copytree(tagged[0], tmp_path / run / "rules")
    chosen = settings(corpus, compare=[str(tmp_path / run / "rules") for run in ("first", "second")])
    with pytest.raises(UserError, match=r"tag: compare has several folders with the name rules, .*; rename one of them"):
        chosen.check()


def test_settings_that_are_new_do_not_change_the_labels_file_of_earlier_versions(
    corpus: Path, tagged: tuple[Path, dict[str, Any]]
) -> None:
    assert not {"excerpt", "scale", "answer", "compare"} & settings(corpus).model_dump().keys()
    stored = json.loads((tagged[0] / "labels.jsonl").read_text().splitlines()[0])["settings"]
    assert stored.keys() == {"annotator", "max_tokens", "seed", "rubrics"}


def test_a_tagger_that_is_trained_again_in_the_same_folder_replaces_the_first(corpus: Path, tmp_path: Path) -> None:
    for label in (6, 3):
        annotator = "scripted:" + json.dumps(dict.fromkeys(NAMES, label))
        settings(corpus, annotator=annotator).run(context(tmp_path / "tag"))
        assert set(tags(tmp_path / "tag")["d000"]) == {float(label)}
        shutil.rmtree(tmp_path / "tag")


def test_two_held_out_documents_are_enough_for_a_report(corpus: Path, tmp_path: Path) -> None:
    metrics = settings(corpus, sample=40, held_out=0.05).run(context(tmp_path / "tag"))
    assert metrics["held_out"] == 2
    assert metrics["thresholded"]["low"] <= metrics["thresholded"]["difference"] <= metrics["thresholded"]["high"]


def test_check_accepts_every_uri_of_a_policy(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "c++").mkdir()
    for annotator in (f"path:{tmp_path}/c++", f"vllm+path:{tmp_path}/c++?max_model_len=64", "call:json:dumps"):
        settings(corpus, annotator=annotator).check()


def test_the_identity_has_the_files_of_an_embedding_model(corpus: Path) -> None:
    assert settings(corpus).identity() == {}
    first, second = (settings(corpus, embedder=f"micro:?seed={seed}").identity() for seed in (1, 2))
    assert first["embedder model.safetensors"] != second["embedder model.safetensors"]


def test_check_refuses_missing_documents_embedders_and_annotators(corpus: Path, tmp_path: Path) -> None:
    for changes in ({"documents": str(tmp_path)}, {"embedder": "hash:?dim=x"}, {"annotator": "nobody:"}):
        with pytest.raises(UserError):
            settings(corpus, **changes).check()


def test_a_policy_without_probabilities_cannot_answer_by_choice(corpus: Path) -> None:
    with pytest.raises(ValueError, match="use a checkpoint, or answer: json"):
        settings(corpus, annotator="openai:m", answer="choice")


def test_the_cost_includes_the_labels_of_a_policy(corpus: Path) -> None:
    assert settings(corpus).cost().samples == 0
    assert settings(corpus, annotator="openai:m", max_tokens=100).cost().generated_tokens == 120 * annotate.ATTEMPTS * 100
    chosen = settings(corpus, annotator="micro:", answer="choice").cost()
    assert chosen.samples == chosen.generated_tokens == 120 * 20
