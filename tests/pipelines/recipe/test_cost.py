"""The cost plan of a dry run: hours on GPUs, memory and disk space, from a model of throughput."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tenfold import cli
from tenfold.pipelines import gpus
from tenfold.pipelines.cluster import Cluster
from tenfold.pipelines.recipe import architectures, cost, preparation, throughput, trust
from tenfold.pipelines.recipe.recipe import Recipe
from tenfold.pipelines.trainer.empty_model import sizes

LLAMA = {"model_type": "llama", "tie_word_embeddings": False, "rms_norm_eps": 1e-5}
MODELS = {
    "llama-3-8b": LLAMA
    | {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8}
    | {"intermediate_size": 14336, "vocab_size": 128256},
    "llama-3-70b": LLAMA
    | {"hidden_size": 8192, "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8}
    | {"intermediate_size": 28672, "vocab_size": 128256},
    "tinyllama": LLAMA
    | {"hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4}
    | {"intermediate_size": 5632, "vocab_size": 32000},
    "smollm3": {"model_type": "smollm3", "hidden_size": 2048, "num_hidden_layers": 36, "num_attention_heads": 16}
    | {"num_key_value_heads": 4, "intermediate_size": 11008, "vocab_size": 128256, "tie_word_embeddings": True},
    "qwen2.5-1.5b": {"model_type": "qwen2", "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12}
    | {"num_key_value_heads": 2, "intermediate_size": 8960, "vocab_size": 151936, "tie_word_embeddings": False},
}
"""Configurations of published models."""
ONE = {"device": "cuda", "gpu_type": "h100"}
SFT = {"kind": "sft", "name": "sft", "problems": "jsonl:rows.jsonl", "steps": 100, "batch_size": 64, "max_tokens": 1024}
GRPO = {"kind": "grpo", "name": "grpo", "environment": "lab/Rows-v0", "steps": 10, "batch_size": 16, "samples": 16}
FILTER = {"kind": "filter", "name": "filter", "environment": "lab/Rows-v0", "max_tokens": 1024, "samples": 16}


@pytest.fixture(autouse=True)
def no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hides the models that this machine has downloaded."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def files(lab: Path) -> Path:
    rows = [{"question": f"{number} + 1 =", "answer": number + 1} for number in range(100)]
    (lab / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lab


def recipe(*stages: dict[str, Any], cluster: dict[str, Any] = ONE, policy: str = "micro:") -> dict[str, Any]:
    environments = {"lab/Rows-v0": {"problems": "jsonl:rows.jsonl"}}
    return {"name": "r", "policy": policy, "environments": environments, "cluster": cluster, "stages": [*stages]}


def planned(*stages: dict[str, Any], cluster: dict[str, Any] = ONE, policy: str = "micro:") -> list[cost.StageCost]:
    """Returns the plan of the stages of a recipe."""
    read = Recipe.model_validate(recipe(*stages, cluster=cluster, policy=policy))
    with trust.limited(read, Path("out"), trusted=False, dry=True):
        return cost.stage_costs(preparation.prepare(read, Path("out"), []), Path("out"), cost.hardware(read.cluster))


def seconds(stage: dict[str, Any], cluster: dict[str, Any] = ONE) -> float:
    """Returns the planned time of a stage."""
    (found,) = planned(stage, cluster=cluster)
    assert found.seconds
    return found.seconds


def rows(output: str) -> dict[str, dict[str, str]]:
    """Returns the cells of the second table by stage and column."""
    lines = [line for line in output.partition("GPU hours")[2].splitlines() if line.startswith("│")]
    names = ("hours", "wall", "state", "activations", "kept", "temporary")
    cells = ([cell.strip() for cell in line.split("│")[1:-1]] for line in lines)
    return {name: dict(zip(names, values, strict=True)) for name, *values in cells}


def test_gpus_that_sample_and_gpus_that_train_work_at_once(files: Path) -> None:
    steps = GRPO | {"steps": 100}
    in_turn = seconds(steps, ONE | {"gpus": 4})
    at_once = seconds(steps | {"max_staleness": 1}, ONE | {"gpus": 8, "rollout_gpus": 4})
    assert in_turn / 2 <= at_once <= 1.01 * in_turn  # 101 batches are sampled


@pytest.mark.parametrize(
    ("model", "parameters", "tokens", "context", "gpu", "hours"),
    [
        ("llama-3-8b", 8_030_261_248, 15e12, 8192, "h100", 1.3e6),
        ("llama-3-70b", 70_553_706_496, 15e12, 8192, "h100", 6.4e6),
        ("smollm3", 3_075_098_624, 11.2e12, 4096, "h100", 384 * 24 * 24),
        ("tinyllama", 1_100_048_384, 3e12, 2048, "a100-40gb", 16 * 90 * 24),
    ],
)
def test_hours_of_pretraining_are_within_a_factor_of_two_of_published_runs(
    tmp_path: Path, model: str, parameters: int, tokens: float, context: int, gpu: str, hours: float
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MODELS[model]))
    found = sizes(tmp_path)
    assert found.parameters == parameters
    flops = throughput.training_flops(found, tokens, context)
    estimate = throughput.training_seconds(flops, gpus.GPUS[gpu], Cluster(device="cuda")) / 3600
    assert hours / 2 < estimate < 2 * hours


def test_hours_of_grpo_at_the_largest_lengths_are_within_a_factor_of_two_of_a_published_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MODELS["qwen2.5-1.5b"]))
    model, gpu, total = sizes(tmp_path), gpus.GPUS["a100"], 0.0
    # DeepScaleR-1.5B: steps, samples per step, longest response, nodes of 8 GPUs. The steps of the last phase are approximate.
    for steps, samples, response, nodes in ((1040, 1024, 8192, 1), (480, 2048, 16384, 4), (230, 2048, 24576, 4)):
        cluster = Cluster(device="cuda", nodes=nodes, gpus=8, gpu_memory_utilization=0.85)
        count, length = steps * samples, 1024 + response
        flops = throughput.training_flops(model, count * length, length, recomputed=True)
        flops += 2 * throughput.forward_flops(model, count * length, length)
        sampling = throughput.sampling_seconds(
            model, gpu, cluster, count, count * response, prompt=1024, together=samples / cluster.copies
        )
        total += cluster.world * (throughput.training_seconds(flops, gpu, cluster) + sampling) / 3600
    assert 3800 / 2 < total < 2 * 3800


def test_a_forward_pass_takes_two_flops_per_parameter_and_the_attention(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MODELS["smollm3"] | {"tie_word_embeddings": True}))
    tied = sizes(tmp_path)
    assert tied.active == tied.parameters, "the embeddings are also the output layer"
    (tmp_path / "config.json").write_text(json.dumps(MODELS["llama-3-8b"]))
    model = sizes(tmp_path)
    assert model.active == model.parameters - 128256 * 4096, "embeddings are looked up, not multiplied"
    assert throughput.forward_flops(model, 10, 0) == 20 * model.active
    attention = throughput.forward_flops(model, 10, 1000) - throughput.forward_flops(model, 10, 0)
    assert attention == 10 * 4 * 32 * 4096 * 500, "4 per layer, position and unit of width; half of the positions"
    full = throughput.training_flops(model, 10, 1000)
    assert full == 3 * throughput.forward_flops(model, 10, 1000)
    assert throughput.training_flops(model, 10, 1000, recomputed=True) == pytest.approx(full * 4 / 3)
    assert throughput.training_flops(model, 10, 1000, adapter=True) == pytest.approx(full * 2 / 3)


def test_only_the_experts_that_a_token_uses_are_active(tmp_path: Path) -> None:
    mixture = {"model_type": "mixtral", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100}
    for used in (2, 4):
        written = mixture | {
            "num_key_value_heads": 2,
            "intermediate_size": 128,
            "num_local_experts": 8,
            "num_experts_per_tok": used,
        }
        (tmp_path / "config.json").write_text(json.dumps(written))
        found = sizes(tmp_path)
        expert = 3 * 64 * 128 * 2  # three matrices in each of two layers
        assert found.parameters - found.active == 100 * 64 + (8 - used) * expert


def test_sampling_reads_the_weights_and_the_cache_once_per_token_of_a_batch(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(MODELS["llama-3-8b"]))
    model, gpu, cluster = sizes(tmp_path), gpus.GPUS["h100"], Cluster(device="cuda", gpu_memory_utilization=0.6)

    def time(samples: int, tokens: int, **changes: Any) -> float:
        settings: dict[str, Any] = {"prompt": 0, "together": 256, **changes}
        return throughput.sampling_seconds(model, gpu, cluster, samples, samples * tokens, **settings)

    alone = 2 * model.parameters / (throughput.BANDWIDTH_USE * gpu.bandwidth) + throughput.STEP_SECONDS
    assert time(1, 10) == pytest.approx(10 * alone, rel=1e-3), "one short sample: bound by the weights"
    assert time(100, 10) < 2 * time(1, 10), "samples of a batch share the weights"
    assert time(100, 10, together=1) == pytest.approx(100 * time(1, 10))
    less = Cluster(device="cuda", gpu_memory_utilization=0.3)
    in_less = throughput.sampling_seconds(model, gpu, less, 1000, 1000 * 20_000, prompt=0, together=256)
    # Beside 16 GB of weights, 0.6 of 80 GB has room for 32 GB of keys and values, and 0.3 of it for 8 GB.
    steps = [throughput.STEP_SECONDS + (16 + room) * 1e9 / (throughput.BANDWIDTH_USE * gpu.bandwidth) for room in (8, 32)]
    assert in_less / time(1000, 20_000) == pytest.approx(32 / 8 * steps[0] / steps[1], rel=0.05)
    assert time(1000, 100, prompt=2000) > time(1000, 100)
    assert throughput.sampling_seconds(
        model, gpu, Cluster(device="cuda", gpu_memory_utilization=0.1), 1, 10, prompt=0, together=1
    ) == float("inf"), "16 GB of weights in 8 GB"


@pytest.mark.parametrize("stage", [SFT, GRPO], ids=lambda stage: stage["kind"])
def test_twice_the_steps_take_twice_the_hours(files: Path, stage: dict[str, Any]) -> None:
    assert seconds(stage | {"steps": 2 * stage["steps"]}) == pytest.approx(2 * seconds(stage))


def test_more_nodes_take_the_same_gpu_hours_in_less_time(files: Path) -> None:
    nodes = {"device": "cuda", "gpu_type": "h100", "gpus": 8, "ray_address": "auto"}
    one, four = seconds(SFT, nodes | {"nodes": 1}), seconds(SFT, nodes | {"nodes": 4})
    assert four == pytest.approx(one / 4)
    full = {"samples": 256, "batch_size": 256, "max_tokens": 64}  # so many samples that each copy has enough of them
    one, four = (seconds(FILTER | full, nodes | {"nodes": number}) for number in (1, 4))
    assert four == pytest.approx(one / 4)


def test_what_costs_less_takes_less_time(files: Path) -> None:
    assert seconds(SFT | {"lora": {}}) == pytest.approx(seconds(SFT) * 2 / 3)
    assert seconds(SFT | {"gradient_checkpointing": True}) == pytest.approx(seconds(SFT) * 4 / 3)
    assert seconds(GRPO | {"track_kl": False}) < seconds(GRPO)
    assert seconds(GRPO | {"track_kl": False, "kl": 0.1}) == seconds(GRPO)
    assert seconds(SFT, ONE | {"gpu_type": "b200"}) < seconds(SFT) < seconds(SFT, ONE | {"gpu_type": "rtx4090"})
    assert seconds(FILTER, ONE | {"gpu_type": "h200"}) < seconds(FILTER), "the same peak, more bandwidth and memory"


def test_a_teacher_and_a_reference_take_forward_passes(files: Path) -> None:
    distill = {"kind": "distill", "name": "dpd", "pairs": "pairs", "teacher": "micro:", "steps": 4, "batch_size": 4}
    (files / "pairs").mkdir()
    (files / "pairs" / "pairs.jsonl").write_text(
        "".join(json.dumps({"problem": n, "prompt": [1], "chosen": [2], "rejected": [3]}) + "\n" for n in range(4))
    )
    found = Recipe.model_validate(recipe(distill)).stages[0].cost()
    assert found.forward_tokens == found.trained_tokens == 2 * 4 * 4 * 4096
    assert [(other.policy, other.forward_tokens) for other in found.others] == [("micro:", found.trained_tokens)]
    without = Recipe.model_validate(recipe(distill | {"kd_positive": 0, "kd_negative": 0})).stages[0].cost()
    assert not without.others
    cached = Recipe.model_validate(recipe(distill | {"cache_teacher": True, "top_k": 64})).stages[0].cost()
    assert cached.written_bytes == found.trained_tokens * 64 * 8


def test_each_policy_of_refine_has_its_samples(files: Path) -> None:
    stage = {"kind": "refine", "name": "refined", "problems": "jsonl:rows.jsonl", "limit": 10, "max_rounds": 3, "candidates": 2}
    policies = {"writers": ["micro:", "openai:w"], "judge": "openai:j", "reviser": "openai:w", "chain_writer": "openai:w"}
    (found,) = planned(stage | policies | {"max_chains": 2})
    assert found.estimate
    assert {other.policy: other.samples for other in found.estimate.others} == {
        "micro:": 10 * 2,
        "openai:w": 10 * (2 + 3 + 1 + 2),  # candidates, revisions, summary and chains
        "openai:j": 10 * (1 + 2 * (4 + 3) + 3),  # checklist, two attempts of each score, critiques
    }
    assert sum(other.samples for other in found.estimate.others) == found.estimate.samples
    servers = dict.fromkeys(("judge", "reviser", "chain_writer"), "openai:j") | {"writers": ["openai:w"]}
    assert found.seconds
    assert [each.seconds for each in planned(stage | servers)] == [0], "servers are not of the cluster"
    assert "180 samples are of openai:j, whose hours are not counted" in found.notes
    (alone,) = planned(stage)
    assert alone.estimate
    assert not alone.estimate.others


def test_the_plan_of_a_stage_is_printed_with_totals(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    cluster = {"device": "cuda", "gpu_type": "h200", "gpus": 8, "gpu_memory_utilization": 0.5}
    (files / "r.yaml").write_text(yaml.safe_dump(recipe(SFT | {"steps": 10**9}, FILTER, cluster=cluster)))
    assert cli.main(["run", "r.yaml", "--dry-run", "--out", "out"]) == 0
    output = capsys.readouterr().out
    assert "on 1 x 8 GPUs (h200, set by cluster.gpu_type)" in output
    table = rows(output)
    assert [*table] == ["sft", "filter", "total"]
    sft, total = table["sft"], table["total"]
    assert float(sft["hours"].replace(",", "")) == pytest.approx(8 * float(sft["wall"].replace(",", "")), rel=0.06)
    assert table["filter"]["kept"] == "6.2 MiB", "4 bytes for each of 100 x 16 x 1024 tokens"
    assert table["filter"]["activations"] == "65.7 GiB", "half of 141 GB, less the weights"
    assert total["hours"] == sft["hours"]
    assert (files / "out").exists() is False


def test_what_is_unknown_has_a_reason(files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    written = recipe({"kind": "synthesize", "name": "tests", "problems": "jsonl:rows.jsonl"}, FILTER | {"name": "later"})
    written["environments"] = {"lab/Rows-v0": {"problems": "jsonl:{stage:tests}/problems.jsonl"}}
    (files / "rows.jsonl").write_text('{"question": "f", "solution": "def f(x): return x", "function": "f"}\n')
    (files / "r.yaml").write_text(yaml.safe_dump(written))
    assert cli.main(["run", "r.yaml", "--dry-run", "--out", "out", "--only", "tests,later"]) == 0
    output = capsys.readouterr().out
    table = rows(output)
    assert {*table["later"].values()} == {"?", "-"}
    assert table["tests"]["hours"] == "-"
    assert table["total"]["hours"] == "?", "and not 0"
    (line,) = [line for line in output.splitlines() if line.startswith("later: unknown before the run: ")]
    assert "out/tests/problems.jsonl" in line


@pytest.mark.parametrize(
    ("name", "timed", "untimed"),
    [
        ("nanbeige4-3b", ["filter_stem", "stem", "code", "reward_model", "filter_preference", "preference"], ["tests"]),
        ("nanbeige4-3b-sft", ["cold_start", "refined", "overall", "pairs", "dpd"], []),
        ("nanbeige4-3b-base", ["pretrain"], ["documents", "clean", "tag", "retrieve", "select", "tokenizer", "mix"]),
    ],
)
def test_the_recipes_of_the_report_have_a_plan_without_a_connection(
    lab: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    timed: list[str],
    untimed: list[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(gpus, "here", lambda: None)
    assert cli.main(["run", name, "--dry-run", "--cluster", "several_nodes"]) == 0
    output = capsys.readouterr().out
    assert "on 2 x 8 GPUs (h100, assumed; cluster.gpu_type names another)" in output
    table = rows(output)
    for stage in timed:
        assert float(table[stage]["hours"].replace(",", "")) > 1
        assert table[stage]["kept"].endswith("GiB")
    assert all(table[stage]["hours"] == "-" for stage in untimed)
    for stage in table.keys() - {*timed, *untimed, "total"}:
        assert table[stage]["hours"] == "?"
        assert any(stage in line.partition(":")[0] and "unknown" in line for line in output.splitlines())
    assert table["total"]["hours"].endswith("+ ?")
    assert "is not checked: hf:" in output
    assert "HF_HUB_OFFLINE is set" in output
    assert "caution: up to" not in output, "each stage fits into 80 GB"
    # A run needs what a plan does not.
    assert cli.main(["run", name, "--cluster", "several_nodes", "--out", "out", "--quiet", "--trust"]) == 2
    assert not (lab / "out").exists() or not [*(lab / "out").rglob("stage.json")]


def test_the_configuration_alone_is_enough(tmp_path: Path) -> None:
    folder = tmp_path / "hub" / "models--lab--model"
    (folder / "snapshots/1234").mkdir(parents=True)
    (folder / "snapshots/1234/config.json").write_text(json.dumps(MODELS["tinyllama"]))
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("1234")
    starts = {"stage:out/sft": "vllm+hf:lab/model"}
    on_engine = ("vllm+stage:out/sft", f"vllm+path:{folder / 'snapshots/1234'}?max_model_len=512", "transformers+hf:lab/model")
    for uri in ("hf:lab/model", "vllm+hf:lab/model", "stage:out/sft", "stage:out/sft@step=3", *on_engine):
        found = architectures.configuration(uri, starts)
        assert found
        assert sizes(found).parameters == 1_100_048_384
    assert architectures.configuration("hf:lab/other", starts) is None
    assert architectures.configuration("openai:model", starts) is None


def test_an_unknown_teacher_counts_like_the_policy(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "nanbeige4-3b-sft", "--dry-run", "--cluster", "one_node"]) == 0
    assert (
        "pairs, dpd: assumed: path:/shared/teacher, which is not here, has as many parameters as the stage's policy"
        in capsys.readouterr().out
    )


def test_more_memory_than_the_gpu_has_is_a_caution(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    large = SFT | {"batch_size": 4096, "max_tokens": 65536}
    for gpu, words in (("l4", "more than the 22.4 GiB of l4"), ("b200", "more than the 167.6 GiB of b200")):
        (files / "r.yaml").write_text(yaml.safe_dump(recipe(large, cluster=ONE | {"gpu_type": gpu})))
        assert cli.main(["run", "r.yaml", "--dry-run", "--out", "out"]) == 0
        assert words in capsys.readouterr().out
    (files / "r.yaml").write_text(yaml.safe_dump(recipe(SFT)))
    assert cli.main(["run", "r.yaml", "--dry-run", "--out", "out"]) == 0
    assert "sft: caution: up to" not in capsys.readouterr().out


def test_a_cpu_has_no_gpu_hours(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "r.yaml").write_text(yaml.safe_dump(recipe(SFT, FILTER, cluster={"device": "cpu"})))
    assert cli.main(["run", "r.yaml", "--dry-run", "--out", "out"]) == 0
    output = capsys.readouterr().out
    assert "GPU" not in output
    assert "on the CPU, with " in output
    assert [found.seconds for found in planned(SFT, FILTER, cluster={"device": "cpu"})] == [0, 0]


def test_an_unknown_gpu_is_refused(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "r.yaml").write_text(yaml.safe_dump(recipe(SFT, cluster=ONE | {"gpu_type": "h1000"})))
    assert cli.main(["run", "r.yaml", "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "got 'h1000'; use the one with the most similar data sheet" in error
    assert error.count("h1000'") == 1


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("Tesla T4", None),
    ],
)
def test_a_gpu_is_known_by_the_name_that_torch_gives_it(name: str, key: str | None) -> None:
    assert gpus.named(name) == key


def test_the_settings_of_verl_are_printed_on_request(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "r.yaml").write_text(yaml.safe_dump(recipe(GRPO, cluster={"device": "cpu"})))
    assert cli.main(["run", "r.yaml", "--dry-run", "--out", "out"]) == 0
    output = capsys.readouterr().out
    assert "grpo: --show-verl prints the settings of verl" in output
    assert "data.train_batch_size" not in output
    assert cli.main(["run", "r.yaml", "--dry-run", "--out", "out", "--show-verl"]) == 0
    assert "  data.train_batch_size=16" in capsys.readouterr().out.splitlines()
    assert cli.main(["run", "r.yaml", "--show-verl"]) == 2
    assert "--show-verl: expected with --dry-run" in capsys.readouterr().err
