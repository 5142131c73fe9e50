"""Program in the sandbox: what the service with vectors needs of the packages sentence-transformers and faiss.

The texts are encoded outside of the sandbox. The index compares all vectors, as the index of faiss that the service uses.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

outside: dict[str, Callable[..., Any]] = {}
"""Has the function `ask`, which calls a function outside of the sandbox; `program.py` puts it here."""


class SentenceTransformer:
    """An encoder."""

    def __init__(self, name: str, device: str = ""):
        """Takes the arguments of the class of sentence-transformers. The encoder's name is fixed."""

    def get_sentence_embedding_dimension(self) -> int:
        """Returns the number of dimensions."""
        return int(outside["ask"]("dimension"))

    def encode(self, texts: Sequence[str], normalize_embeddings: bool = True) -> np.ndarray:
        """Returns a vector for each text."""
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("expected texts")
        return np.array(outside["ask"]("encode", texts), dtype=np.float32)


class IndexFlatIP:
    """Holds the number of dimensions."""

    def __init__(self, dimension: int):
        """Takes the number of dimensions."""
        self.dimension = dimension


class IndexIDMap:
    """Vectors with ids."""

    def __init__(self, index: IndexFlatIP):
        """Starts without vectors."""
        self.dimension = index.dimension
        self.reset()

    def reset(self) -> None:
        """Removes all vectors."""
        self.ids = np.zeros(0, dtype=np.int64)
        self.vectors = np.zeros((0, self.dimension), dtype=np.float32)

    def add_with_ids(self, vectors: np.ndarray, ids: np.ndarray) -> None:
        """Adds vectors."""
        if len(vectors) != len(ids):
            raise ValueError("the numbers of vectors and ids differ")
        self.ids, self.vectors = np.concatenate((self.ids, ids)), np.concatenate((self.vectors, vectors))

    def remove_ids(self, ids: np.ndarray) -> None:
        """Removes the vectors with these ids."""
        kept = ~np.isin(self.ids, ids)
        self.ids, self.vectors = self.ids[kept], self.vectors[kept]

    def search(self, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the largest inner products of each query, in falling order, and the ids."""
        if count < 1:
            raise AssertionError
        products = queries @ self.vectors.T
        order = np.array([_best(row.tolist(), count) for row in products], dtype=np.int64)
        return np.take_along_axis(products, order, axis=1), self.ids[order]


def _best(products: Sequence[float], count: int) -> list[int]:
    """Returns the places of the largest values. Equal values have the order that they have in faiss."""
    kept: list[int] = []
    for place, value in enumerate(products):
        if len(kept) < count:
            kept.append(place)
            continue
        smallest = min(kept, key=lambda other: (products[other], other))
        if value > products[smallest]:
            kept.remove(smallest)
            kept.append(place)
    return sorted(kept, key=lambda other: (-products[other], -other))
