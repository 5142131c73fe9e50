"""Texts as vectors: a URI to a function that gives a row of unit norm for each text.

    hash:?dim=256          words, pairs of words and triples of bytes, hashed and projected at random; nothing to fit or fetch
    smollm2:  micro:  hf:ORG/NAME  path:FOLDER  stage:FOLDER
                           the mean of a model's last hidden states (`policies/checkpoints.py` says what each names)

`hash:` knows which words and which letters stand in a text, not what they mean: good for near copies, for the same subject in
the same words, and for what shows in the spelling (code, markup, language, noise); it runs on any machine, at hundreds of
texts a second on one core. More dimensions tell texts better apart, which a search needs more than a tagger.

A model knows more of meaning and style, at a price: on a processor it is a thousand times slower (SmolLM2-135M reads a text of
512 tokens in two seconds a core), and labels that words and spelling decide are learned from `hash:` as well. The states of a
causal model share a large common part, so that their cosines lie close to 1: that does not matter to a linear head, but for a
search by cosine `hash:` or a model trained for search is the better choice. `micro:` is untrained and only of use in tests.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from ....core import UserError

Embed = Callable[[Sequence[str]], np.ndarray]

CHARACTERS = 8_192
"""Of a text that `hash:` looks at, from its beginning. Ours: about what 2,000 tokens hold."""
TOKENS = 512
"""Of a text that a model reads, from its beginning. Ours."""
WORD_FEATURES, BYTE_FEATURES = 2**18, 2**16
"""Places that words with their pairs, and triples of bytes, are hashed to. Ours: a long text has a few thousand of them."""
PLACES = 4
"""Coordinates that a feature is spread over, with random signs: the sparse projection of Kane and Nelson (2014). Ours."""
GOLDEN = 2_654_435_769
"""2**32 over the golden ratio, for multiplicative hashing (Knuth, The Art of Computer Programming, 6.4)."""


def load(uri: str = "hash:", batch_size: int = 16, tokens: int = TOKENS) -> Embed:
    """The function that turns texts into vectors: float32, shape (texts, dim), every row of norm 1.

    Equal texts give equal rows whatever else is in the batch, a model's up to rounding.

    Args:
        uri: see above.
        batch_size: texts that a model reads together.
        tokens: of each text that a model reads, from its beginning.

    Raises:
        UserError: the URI leads nowhere.
    """
    if uri.partition(":")[0] != "hash":
        return _model(uri, batch_size, tokens)
    given = dict(parse_qsl(uri.partition("?")[2], keep_blank_values=True))
    dim = given.pop("dim", "256")
    if given or uri.partition("?")[0] != "hash:" or not (dim.isascii() and dim.isdigit() and int(dim) >= PLACES):
        raise UserError(f"{uri}: hash: takes one number of at least {PLACES}, as in hash:?dim=256")
    return _hash(int(dim))


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
        heads = [text[:CHARACTERS] for text in texts]
        blocks = [words.transform(heads), _triples(heads)]
        for block in blocks:
            np.log1p(block.data, out=block.data)  # ten times the same word says little more than five times
        rows = sparse.hstack([normalize(block, copy=False) for block in blocks], format="csr") @ projection
        return _unit(rows.toarray())

    return embed


def _triples(texts: Sequence[str]) -> Any:
    """How often each triple of bytes stands in each text, hashed; a sparse matrix. Numpy does it tenfold faster than a loop."""
    from scipy import sparse

    found, counts = [], []
    for text in texts:
        octets = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.uint32)
        triples = (octets[:-2] << 16) | (octets[1:-1] << 8) | octets[2:]
        hashed = (triples * np.uint32(GOLDEN)) >> np.uint32(16)
        columns, times = np.unique(hashed, return_counts=True)
        found.append(columns)
        counts.append(times)
    ends = np.concatenate([[0], np.cumsum([len(columns) for columns in found])])
    data, columns = np.concatenate(counts).astype(np.float32), np.concatenate(found).astype(np.int32)
    return sparse.csr_matrix((data, columns, ends), shape=(len(texts), BYTE_FEATURES))


@functools.lru_cache(maxsize=2)
def _projection(dim: int) -> Any:
    from scipy import sparse

    features, draw = WORD_FEATURES + BYTE_FEATURES, np.random.default_rng(0)
    columns = draw.integers(0, dim, (features, PLACES), dtype=np.int32)
    signs = draw.integers(0, 2, (features, PLACES), dtype=np.int8).astype(np.float32) * 2 - 1
    starts = np.arange(0, features * PLACES + 1, PLACES)
    return sparse.csr_matrix((signs.ravel(), columns.ravel(), starts), shape=(features, dim))


def _model(uri: str, batch_size: int, tokens: int) -> Embed:
    import torch

    from ....policies import checkpoints

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = checkpoints.load(checkpoints.checkpoint(uri), torch.float32)
    body = model.base_model.to(device).eval()
    longest = min(tokens, getattr(model.config, "max_position_embeddings", None) or tokens)

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray:
        # A token is seldom of more than 16 characters: what stands behind them need not be cut into tokens.
        heads = [text[: 16 * longest] for text in texts]
        rows = [tokenizer(head, truncation=True, max_length=longest)["input_ids"] or [tokenizer.pad_token_id] for head in heads]
        vectors = np.zeros((len(rows), model.config.hidden_size), np.float32)
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            width = max(len(rows[row]) for row in batch)
            # Padded on the right: a causal model's states do not see what comes behind them.
            ids = torch.tensor([rows[row] + [tokenizer.pad_token_id] * (width - len(rows[row])) for row in batch])
            mask = torch.arange(width)[None, :] < torch.tensor([len(rows[row]) for row in batch])[:, None]
            states = body(ids.to(device), attention_mask=mask.long().to(device)).last_hidden_state.float().cpu()
            vectors[batch] = ((states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)).numpy()
        return _unit(vectors)

    return embed


def _unit(vectors: np.ndarray) -> np.ndarray:
    """The rows divided by their norms; one of zeros, as of an empty text, becomes the first axis."""
    vectors = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[norms[:, 0] == 0, 0] = 1.0
    norms[norms == 0] = 1.0
    return vectors / norms
