"""Checkpoints: a model or an adapter with its tokenizer, and the model card."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from ... import disk
from ...core import UserError
from ...policies import checkpoints
from ...policies.models import adapter, sharded
from ...terminal import plain
from ...texts import without_secrets
from ..stage import RECORD
from ..trainer import lora
from . import card, contents, origin, parcel, search
from .address import Address
from .contents import CHECKPOINT, File, LeftOut
from .origin import Base, Run

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

MERGED = "policy"
"""Folder of a stage with its checkpoint."""
_FORMS = "the folder of a stage (runs/NAME/STAGE), of its adapter (runs/NAME/STAGE/adapter), or a checkpoint"


def pack(location: str, address: Address, licence: str | None, patterns: list[str]) -> parcel.Parcel:
    """Returns what a push of a checkpoint sends.

    Args:
        location: folder of a stage, of its adapter, or of a checkpoint; also STAGE@step=N.
        address: where it goes.
        licence: the licence that the user names; None: that of the base model.
        patterns: files to leave out.

    Raises:
        UserError: the folder is no checkpoint, or a file is damaged.
    """
    folder, stage = _places(location)
    is_adapter = adapter.is_adapter(folder)
    found, left_out = contents.walk(folder, CHECKPOINT)
    files = [contents.of_path(name, path) for name, path in found.items() if name != contents.RECIPE]
    run = origin.run_of(stage.parent) if stage and (stage.parent / contents.RECIPE).is_file() else None
    merged = stage / MERGED if stage else folder
    base = _base(run, stage, folder, is_adapter)
    notes = []
    if is_adapter:
        files = [_configuration(folder, base) if file.path == adapter.CONFIG else file for file in files]
        if stage and merged.is_dir() and not _has_tokenizer(files):
            names, _ = contents.walk(merged, CHECKPOINT)
            files += [contents.of_path(name, path) for name, path in names.items() if _is_tokenizers(name)]
    if run:
        files.append(contents.of_bytes(contents.RECIPE, run.recipe_text.encode()))
    elif contents.RECIPE in found:
        files.append(contents.of_path(contents.RECIPE, found[contents.RECIPE]))
    files, named = parcel.without(files, patterns)
    _check(folder, files, is_adapter, [*left_out, *named])
    own = {"license": licence} if licence else dict(base.licence)
    if not own:
        own = {"license": "unknown"}
        notes.append("the licence is not known: name it by --license, such as --license apache-2.0")
    text = _card(address, files, run, stage, merged, base, own, is_adapter)
    return parcel.Parcel(CHECKPOINT, "model", tuple(files), (*left_out, *named), tuple(notes), text)


def _places(location: str) -> tuple[Path, Path | None]:
    """Returns the folder of the checkpoint, and that of the stage which has trained it; None if it is not known."""
    name, step = checkpoints.stage_and_step(location.removeprefix("stage:").removeprefix("path:"))
    folder = disk.expanded(name)
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}: name {_FORMS}")
    if step is not None or (folder / RECORD).is_file():
        return checkpoints.checkpoint(f"stage:{name if step is None else f'{name}@step={step}'}"), folder
    if folder.name in (MERGED, lora.FOLDER) and (folder.parent / RECORD).is_file():
        return folder, folder.parent
    if (folder / contents.RECIPE).is_file() and not (folder / "config.json").is_file() and not adapter.is_adapter(folder):
        able = sorted(path.parent for path in folder.glob(f"*/{MERGED}") if (path.parent / RECORD).is_file())
        stages = f", or a stage for its policy: {' or '.join(map(str, able))}" if able else ""
        raise UserError(f"{folder} is the folder of a run: add --pages for its pages{stages}")
    if sharded.is_sharded(folder):
        return sharded.whole(folder), None
    if not (folder / "config.json").is_file() and not adapter.is_adapter(folder):
        raise UserError(f"{folder} is not a checkpoint: name {_FORMS}; --pages and --environment send other things")
    return folder, None


def _base(run: Run | None, stage: Path | None, folder: Path, is_adapter: bool) -> Base:
    if stage:
        if (
            is_adapter and folder.name == lora.FOLDER
        ):  # the adapter is of the policy at the stage's start, which may be a stage's
            start = str(disk.read_object(stage / RECORD, "run the stage again")["policy"])
            known = origin.base_of_stage(run, stage)
            return Base(start, known.name if start == known.uri else "", known.licence, known.adapted)
        return origin.base_of_stage(run, stage)
    if is_adapter:
        return origin.base_of_adapter(folder)
    return origin.base(f"path:{folder}")


def _configuration(folder: Path, base: Base) -> File:
    """Returns an adapter's configuration without the path of a local base model, which means nothing elsewhere."""
    values = disk.read_object(folder / adapter.CONFIG, "save the adapter again")
    named = values.get("base_model_name_or_path")
    if isinstance(named, str) and (named.startswith((".", "/", "~")) or named.count("/") != 1 or Path(named).exists()):
        values["base_model_name_or_path"] = base.name if base.name and not base.adapted else None
        return contents.of_bytes(adapter.CONFIG, json.dumps(values, indent=2).encode())
    return contents.of_path(adapter.CONFIG, folder / adapter.CONFIG)


def _is_tokenizers(name: str) -> bool:
    return any(Path(name).match(pattern) for pattern in checkpoints.TOKENIZER_PATTERNS) or name.startswith("additional_")


def _has_tokenizer(files: list[File]) -> bool:
    return any(file.path in checkpoints.TOKENIZER_FILES for file in files)


def _check(folder: Path, files: list[File], is_adapter: bool, left_out: list[LeftOut]) -> None:
    """Checks that the files are a whole checkpoint, and that the weights are safetensors."""
    names = {file.path for file in files}
    needed = {adapter.CONFIG, adapter.WEIGHTS} if is_adapter else {"config.json"}
    reasons = {each.path: each.reason for each in left_out}
    if missing := sorted(needed - names):
        reason = reasons.get(missing[0], "is missing")
        raise UserError(f"{folder} is not a whole checkpoint: {missing[0]} {_verb(reason)}")
    weights = [file for file in files if file.path.endswith(".safetensors")]
    if not weights:
        others = [path for path, reason in reasons.items() if path.endswith((".bin", ".pt", ".safetensors"))]
        found = f" ({others[0]} {_verb(reasons[others[0]])})" if others else ""
        raise UserError(f"{folder} has no weights that may go{found}: save them as safetensors with model.save_pretrained")
    for file in weights:
        if isinstance(file.source, Path):
            search.header(file.source)
    for index in (file for file in files if file.path.endswith(".safetensors.index.json") and isinstance(file.source, Path)):
        content = disk.read_object(folder / index.path, "save the weights again")
        with disk.reading(folder / index.path, "save the weights again"):
            absent = sorted({*content["weight_map"].values()} - names)
        if absent:
            raise UserError(f"{folder} is not a whole checkpoint: {absent[0]} {_verb(reasons.get(absent[0], 'is missing'))}")
    if not is_adapter and not _has_tokenizer(files):
        raise UserError(f"{folder} has no tokenizer: save one there with tokenizer.save_pretrained")


def _verb(reason: str) -> str:
    return reason if reason.startswith(("is ", "may ")) else f"does not go ({reason})"


def _card(
    address: Address,
    files: list[File],
    run: Run | None,
    stage: Path | None,
    merged: Path,
    base: Base,
    licence: dict[str, str],
    is_adapter: bool,
) -> str:
    """Returns the model card."""
    from huggingface_hub import ModelCardData

    title = address.name.rpartition("/")[2]
    record = run.records.get(stage.name) if run and stage else None
    weights = origin.weights_of(merged) if merged.is_dir() else {}
    sent = {file.path: file.sha256 for file in files if file.path.endswith(".safetensors")}
    measured = weights if is_adapter else sent
    results = card.results(run, measured) if run else []
    kind = str(record["stage"]["kind"]) if record else ""
    tags = ["tenfold", *([kind] if kind else []), *(["lora"] if is_adapter else [])]
    data = ModelCardData(
        license=licence.get("license"),
        license_name=licence.get("license_name"),
        license_link=licence.get("license_link"),
        base_model=base.name or None,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        tags=tags,
        model_name=title if results else None,
        eval_results=results or None,
    )
    data[parcel.KIND_KEY] = CHECKPOINT
    if base.name:
        data["base_model_relation"] = "adapter" if is_adapter else "finetune"
    what = "A LoRA adapter" if is_adapter else "A checkpoint"
    by = f" of the stage `{card.cell(stage.name)}` ({kind}) of the recipe `{card.cell(run.name)}`" if run and stage else ""
    intro = f"{what}{by}, trained and measured with tenfold. Base model: {without_secrets(str(base))}.\n\n"
    described = str(run.recipe.get("description") or "") if run else ""
    parts = [
        f"---\n{data.to_yaml()}\n---\n\n# {title}\n\n{intro}",
        f"{card.cell(described)}\n\n" if described else "",
        card.section("Use", _use(address, base, is_adapter)),
        card.section("Scores", card.scores(run, measured) + _adapter_note(is_adapter) if run else ""),
        card.section("Cautions", card.bullets(_cautions(run, base, licence, results, is_adapter))),
        card.section("Stages", card.stages(run, stage.name) if run and stage else ""),
        card.section("Repeat the run", _repeat(address, run, record, measured) if run and record else ""),
        card.section("Recipe", card.folded(contents.RECIPE, card.block("yaml", run.recipe_text)) if run else ""),
        parcel.listing(files),
    ]
    return card.checked("".join(parts), model=True)


def _adapter_note(is_adapter: bool) -> str:
    return "\nThe scores are those of the base model with the adapter merged.\n" if is_adapter else ""


def _use(address: Address, base: Base, is_adapter: bool) -> str:
    title = address.name.rpartition("/")[2]
    with_base = (
        f"?base={quote(without_secrets(base.uri), safe=':/?=@')}" if is_adapter and (not base.name or base.adapted) else ""
    )
    lines = [f"tenfold pull {address.name}", f"tenfold rollout tenfold/ChainSum-v0 --policy 'path:{title}{with_base}'"]
    return card.block("bash", "\n".join(lines)) + f"\n`hf:{address.name}{with_base}` is the same policy without a pull.\n"


def _cautions(run: Run | None, base: Base, licence: dict[str, str], results: "list[EvalResult]", is_adapter: bool) -> list[str]:
    found = card.cautions(run) if run else ["the run that trained it is not known: there are no figures"]
    if run and not results:
        found.append("the run has no benchmark of these weights")
    if licence.get("license") == "unknown":
        found.append("the licence is not known")
    if is_adapter and not base.name:
        found.append(f"the base model `{card.cell(base.uri)}` is not on the hub: the option base= of the policy names it")
    return found


def _repeat(address: Address, run: Run, record: disk.Row, weights: dict[str, str]) -> str:
    trust = " --trust" if run.recipe.get("modules") else ""
    own = [task for each in run.records.values() if card.is_of(each, weights) for task in card.scores_of(each)]
    own = [task for task in own if "-own-" not in task]  # tasks of the user's files are in the recipe only
    lines = [
        f"tenfold run {contents.RECIPE} --dry-run",
        f"tenfold run {contents.RECIPE}{trust}",
        *(f"tenfold bench {shlex.quote(plain(task))} --policy hf:{address.name}" for task in dict.fromkeys(own)),
    ]
    return card.block("bash", "\n".join(lines)) + "\n" + card.provenance(run, record)
