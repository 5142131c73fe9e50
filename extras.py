"""Packages that only some uses want: which extra brings each, and the one line that says so where one is missing.

pyproject.toml declares the extras. The core (environments, verifiers, sandbox, rollouts by a server's policy) wants none.
"""

import contextlib
import importlib.util
from collections.abc import Iterator

from .core import UserError

MODULES = {
    "hf": "accelerate gguf huggingface_hub safetensors tokenizers torch transformers",
    "problems": "champ_dataset datasets pyarrow reasoning_gym",
    "bench": "immutabledict langdetect lm_eval matplotlib scipy",
    "train": "fastapi hydra msgspec omegaconf pandas ray tensordict transfer_queue uvicorn verl zmq",
    "corpus": "datasketch grpc milvus_lite pymilvus sklearn xxhash",
    "java": "tree_sitter tree_sitter_java tree_sitter_javascript",
    "synthesis": "cosmic_ray hypothesis",
    "e2b": "e2b e2b_code_interpreter",
    "gpu": "vllm",
}
"""The modules of each extra's own packages."""
INCLUDED = {
    "bench": ("problems",),
    "train": ("hf", "problems", "bench"),
    "corpus": ("hf", "problems", "bench", "train"),
    "gpu": ("hf", "problems", "bench", "train"),
}
"""The extras whose packages another extra brings, too."""
PACKAGES = {
    "e2b": "e2b-code-interpreter",
    "grpc": "grpcio",
    "hydra": "hydra-core",
    "sklearn": "scikit-learn",
    "transfer_queue": "TransferQueue",
    "zmq": "pyzmq",
}
"""Names on the package index, where they are not the module's with hyphens."""
_EXTRA = {module: extra for extra, modules in MODULES.items() for module in modules.split()}


def package_of(module: str) -> str:
    """What a module's package is called on the package index."""
    return PACKAGES.get(module, module.replace("_", "-"))


def line(error: BaseException, what: str, extra: str = "") -> str | None:
    """One line on a package that is not installed; None for any other error.

    Args:
        error: as it was raised.
        what: what wants the package.
        extra: is named instead of the package's own extra where it brings the package, too.
    """
    module = error.name if isinstance(error, ModuleNotFoundError) else None
    if module not in _EXTRA:
        return None
    own = _EXTRA[module]
    named = extra if own in INCLUDED.get(extra, ()) else own
    return f"{what} wants the package {package_of(module)}: pip install 'tenfold[{named}]'"


@contextlib.contextmanager
def wanted_by(what: str, extra: str = "") -> Iterator[None]:
    """Turns the error of a package that is not installed into a UserError that names its extra; see `line`.

    Raises:
        UserError: see above.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if said := line(error, what, extra):
            raise UserError(said) from error
        raise


def need(what: str, *modules: str) -> None:
    """Makes sure that modules are installed, without importing them: where another process will, say.

    Raises:
        UserError: one is not.
    """
    with wanted_by(what):
        for module in modules:
            if importlib.util.find_spec(module) is None:
                raise ModuleNotFoundError(f"No module named {module!r}", name=module)
