"""A benchmark task of your own in one YAML file.

    problems: "jsonl:units.jsonl"
    verifier: math
    template: "{prompt}\\n\\nPut the final answer in \\\\boxed{}."
    samples: 4
    max_tokens: 1024

`tenfold bench --task FILE` runs it, `tenfold task check FILE` checks it. The settings have the names of the `metadata` of the
tasks in `tasks/`, and of the options of the command line.
"""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field, field_validator

from .. import disk
from ..core import UserError
from ..envs.text import template_defect

SUFFIXES = (".yaml", ".yml")
"""Ends of the names of task files."""


class Example(BaseModel):
    """A few-shot example."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: str = Field(description="text of the example's problem; the template applies to it")
    response: str = Field(description="the response that the policy should imitate")


class TaskFile(BaseModel):
    """The content of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$|^$", description="name of the task; default: the file's name")
    version: str = Field("1", description="version of the task, recorded in its results")
    problems: str = Field(description="URI of the problems")
    verifier: str | dict[str, Any] | list[Any] = Field(
        "math", description="name of a verifier, module:function, {name: NAME, OPTION: VALUE}, or a list of weighted verifiers"
    )
    template: str = Field("{prompt}", description="text of the last user turn; {prompt} stands for the problem's text")
    system: str | None = Field(None, description="text of a system turn before the prompt; default: none")
    examples: str | list[Example] = Field([], description="few-shot examples, or the URI of problems with solutions")
    fewshot: int | None = Field(
        None,
        ge=0,
        description="number of examples before each problem; default: all if they are listed, none if a URI names them",
    )
    samples: int = Field(8, ge=1, description="samples per problem (k)")
    temperature: float = Field(
        0.6, ge=0, allow_inf_nan=False, description="softmax temperature of the samples; 0 is greedy decoding"
    )
    top_p: float = Field(0.95, gt=0, le=1, description="total probability of the most likely tokens to sample from")
    top_k: int | None = Field(None, ge=1, description="number of the most likely tokens to sample from; default: all")
    max_tokens: int = Field(65536, ge=1, description="longest sample, in tokens")
    stop: list[Annotated[str, Field(min_length=1)]] = Field([], description="texts that end a sample")

    @field_validator("version", mode="before")
    @classmethod
    def _text(cls, version: object) -> object:
        return str(version) if isinstance(version, int | float) and not isinstance(version, bool) else version

    @field_validator("template")
    @classmethod
    def _has_prompt(cls, template: str) -> str:
        if wrong := template_defect(template):
            raise ValueError(wrong)
        return template

    def lm_eval_settings(self) -> dict[str, Any]:
        """Returns the settings in the form of the files in `tasks/`."""
        listed = [] if isinstance(self.examples, str) else [example.model_dump() for example in self.examples]
        metadata: dict[str, object] = {
            "version": self.version,
            "problems": self.problems,
            "verifier": self.verifier,
            "template": self.template,
            "system": self.system,
            "examples": listed or self.examples or None,
            "fewshot": len(listed) if self.fewshot is None else self.fewshot,
        }
        generation = {
            "until": self.stop,
            "do_sample": self.temperature > 0,
            "temperature": self.temperature,
            "top_p": self.top_p,
            **({"top_k": self.top_k} if self.top_k else {}),
            "max_gen_toks": self.max_tokens,
        }
        return {"task": self.name, "repeats": self.samples, "generation_kwargs": generation, "metadata": metadata}


def is_file_name(task: str) -> bool:
    """True if the name of a task is the path of a task file."""
    return task.endswith(SUFFIXES)


def load(path: str | Path, reserved: Collection[str] = ()) -> TaskFile:
    """Reads a task file.

    Args:
        path: the YAML file.
        reserved: names that the task may not have.

    Raises:
        UserError: the file is missing or invalid. For an unknown setting the message lists the valid ones.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no task file {path}")
    content = disk.read_yaml(path)
    try:
        read = TaskFile.model_validate(content)
    except pydantic.ValidationError as error:
        raise UserError(f"{path}: {_first_error(error)}") from None
    name = read.name or re.sub(r"[^A-Za-z0-9.-]+", "_", path.stem).strip("_.-")
    if not name or name in reserved or re.search(r"_avg\d+$", name):
        raise UserError(f"{path}: {name!r} cannot be the name of a task of your own; set name: to another word")
    return read.model_copy(update={"name": name})


def _first_error(error: pydantic.ValidationError) -> str:
    """Returns the first error as one line: the setting's name, what is wrong, and the valid settings."""
    errors = error.errors()
    # A list of examples that is wrong gives an error for each form of `examples`; the innermost names the setting.
    first = max(errors, key=lambda found: len(found["loc"])) if errors[0]["loc"][:1] == ("examples",) else errors[0]
    name = ".".join(str(part) for part in first["loc"] if part not in ("str", "list[Example]"))
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] = Example if len(first["loc"]) > 1 else TaskFile
        return f"{name}: unknown setting; use one of {', '.join(model.model_fields)}"
    if first["type"] == "model_type":
        return f"expected settings such as `problems: jsonl:FILE`, got {first['input']!r:.60}"
    return f"{name}: {first['msg'].removeprefix('Value error, ')}"
