"""Embedding models: a URI becomes a function from texts to vectors of norm 1.

    hash:?dim=256          words, pairs of words and triples of bytes, hashed and randomly projected; no training, no download
    smollm2:  micro:  hf:ORG/NAME  path:FOLDER  stage:FOLDER
                           mean of a model's last hidden states (`policies/checkpoints.py` defines these names)

`hash:` represents the words and the spelling of a text, not its meaning. It suits near duplicates, texts on the same subject in
the same words, and properties of the spelling (code, markup, language, noise). One core embeds hundreds of texts per second.
More dimensions separate texts better.

A model represents more of meaning and style. On a CPU it is a thousand times slower: SmolLM2-135M takes two seconds per
text of 512 tokens on one core. Labels that depend on words and spelling can be learned from `hash:` equally well. The hidden
states of a causal model have a large common component, so their cosines are close to 1. This does not affect a linear head. For
a search by cosine use `hash:` or a model trained for search. `micro:` is untrained and only useful in tests.
"""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import numpy as np

from ....core import UserError
from ....policies import checkpoints
from ....policies import identity as policy_identity

if TYPE_CHECKING:
    from scipy import sparse

Embed = Callable[[Sequence[str]], np.ndarray]
"""A function from texts to vectors of norm 1, float32, shape (texts, dim)."""

MAX_CHARACTERS = 8_192
"""Characters of a text, from its beginning, that `hash:` uses. Our choice: about 2,000 tokens."""
MAX_TOKENS = 512
"""Tokens of a text, from its beginning, that a model uses. Our choice."""
WORD_FEATURES, BYTE_FEATURES = 2**18, 2**16
"""Numbers of hash buckets for words and pairs, and for triples of bytes. Our choice: a long text has a few thousand
features."""
MAX_DIM = 32_768
"""Maximum number of dimensions of `hash:`. Source: Milvus' limit of a vector field."""
COORDINATES = 4
"""Coordinates that each feature adds to, with random signs. Source: Kane and Nelson (2014), sparse projection. The value is
ours."""
GOLDEN = 2_654_435_769
"""2**32 over the golden ratio, for multiplicative hashing. Source: Knuth, The Art of Computer Programming, section 6.4."""


def load(uri: str = "hash:", batch_size: int = 16, tokens: int = MAX_TOKENS) -> Embed:
    """Returns the embedding function that a URI names.

    The vector of a text does not depend on the other texts in its batch; for a model this holds up to rounding.

    Args:
        uri: see the module's documentation.
        batch_size: texts per forward pass of a model.
        tokens: tokens of each text, from its beginning, that a model uses.

    Raises:
        UserError: the URI is invalid or names no model.
    """
    return _hash(_dim(uri)) if _is_hash(uri) else _model(uri, batch_size, tokens)


def check(uri: str) -> None:
    """Checks the URI of an embedding model without loading the model.

    Raises:
        UserError: the URI is invalid or names no model.
    """
    if _is_hash(uri):
        _dim(uri)
    else:
        checkpoints.checkpoint(uri)


def files(uri: str) -> dict[str, str]:
    """Returns the digests of the model's files by name; empty for `hash:`, because its URI defines it completely.

    Raises:
        UserError: the URI names no model.
    """
    return {} if _is_hash(uri) else policy_identity.files(uri)


def unknown(uri: str) -> str:
    """Returns why the cost of embedding documents is not known before a run; empty for `hash:`, which needs no model."""
    return "" if _is_hash(uri) else f"the vectors of {uri}, whose number depends on the documents"


def _is_hash(uri: str) -> bool:
    """True if an embedding function is no model."""
    return uri.partition(":")[0] == "hash"


def _dim(uri: str) -> int:
    """Returns the number of dimensions of a `hash:` URI."""
    options = dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))
    dim = options.pop("dim", "256")
    valid = dim.isascii() and dim.isdigit() and len(dim) < 9 and COORDINATES <= int(dim) <= MAX_DIM
    if options or uri.partition("?")[0] != "hash:" or not valid:
        raise UserError(f"{uri}: expected hash:?dim=N with N from {COORDINATES} to {MAX_DIM}, such as hash:?dim=256")
    return int(dim)


def _hash(dim: int) -> Embed:
    from scipy import sparse
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.preprocessing import normalize

    words = HashingVectorizer(
        n_features=WORD_FEATURES, ngram_range=(1, 2), token_pattern=r"\w+", alternate_sign=False, norm=None, dtype=np.float32
    )
    projection = _projection(dim)

    def embed(texts: Sequence[str]) -> np.ndarray:
        if not len(texts):
            return np.zeros((0, dim), np.float32)
        heads = [text[:MAX_CHARACTERS] for text in texts]
        blocks = [words.transform(heads), _triples(heads)]
        for block in blocks:
            np.log1p(block.data, out=block.data)  # because repetitions of a word carry little information
        rows = sparse.hstack([normalize(block, copy=False) for block in blocks], format="csr") @ projection
        return _unit(rows.toarray())

    return embed


def _triples(texts: Sequence[str]) -> "sparse.csr_matrix":
    """Returns the counts of hashed byte triples, shape (texts, BYTE_FEATURES). Numpy is ten times faster than a loop here."""
    from scipy import sparse

    hashes, counts = [], []
    for text in texts:
        octets = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.uint32)
        triples = (octets[:-2] << 16) | (octets[1:-1] << 8) | octets[2:]
        hashed = (triples * np.uint32(GOLDEN)) >> np.uint32(16)
        columns, times = np.unique(hashed, return_counts=True)
        hashes.append(columns)
        counts.append(times)
    ends = np.concatenate([[0], np.cumsum([len(columns) for columns in hashes])])
    data, columns = np.concatenate(counts).astype(np.float32), np.concatenate(hashes).astype(np.int32)
    return sparse.csr_matrix((data, columns, ends), shape=(len(texts), BYTE_FEATURES))


@functools.lru_cache(maxsize=2)
def _projection(dim: int) -> "sparse.csr_matrix":
    """Returns the random sparse projection, shape (features, dim)."""
    from scipy import sparse

    features, random = WORD_FEATURES + BYTE_FEATURES, np.random.default_rng(0)
    columns = random.integers(0, dim, (features, COORDINATES), dtype=np.int32)
    signs = random.integers(0, 2, (features, COORDINATES), dtype=np.int8).astype(np.float32) * 2 - 1
    starts = np.arange(0, features * COORDINATES + 1, COORDINATES)
    return sparse.csr_matrix((signs.ravel(), columns.ravel(), starts), shape=(features, dim))


def _model(uri: str, batch_size: int, tokens: int) -> Embed:
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = checkpoints.load(checkpoints.checkpoint(uri), torch.float32, output_layer=False)
    tokenizer.truncation_side = "right"  # a checkpoint may keep the end of a text
    body = model.base_model.to(device).eval()
    longest = min(tokens, getattr(model.config, "max_position_embeddings", None) or tokens)

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray:
        # A token seldom has more than 16 characters, so the rest of the text need not be tokenized.
        heads = [text[: 16 * longest] for text in texts]
        rows = [tokenizer(head, truncation=True, max_length=longest)["input_ids"] or [tokenizer.pad_token_id] for head in heads]
        vectors = np.zeros((len(rows), model.config.hidden_size), np.float32)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            width = max(len(rows[row]) for row in batch)
            # Right padding, because a causal model's states do not depend on later tokens.
            ids = torch.tensor([rows[row] + [tokenizer.pad_token_id] * (width - len(rows[row])) for row in batch])
            mask = torch.arange(width)[None, :] < torch.tensor([len(rows[row]) for row in batch])[:, None]
            states = body(ids.to(device), attention_mask=mask.long().to(device)).last_hidden_state.float().cpu()
            vectors[batch] = ((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
        return _unit(vectors)

    return embed


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Returns the rows divided by their norms. A row of zeros (an empty text) becomes the first unit vector."""
    vectors = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[norms[:, 0] == 0, 0] = 1.0
    norms[norms == 0] = 1.0
    return vectors / norms
