"""Hybrid queries per second of an embedded Milvus, compared with brute force by numpy and scikit-learn.

    python -m tenfold.benchmarks.speed.retrieval [--sizes 10000 100000] [--words 100] [--rounds 3]

A document is `--words` words sampled by Zipf's law, and a random unit vector of 256 numbers. A query is made from a document:
the most characteristic third of its words (at most 32 words), and its vector with noise. Both methods return the best 100
documents by words and by vector, fused by reciprocal rank. The baseline keeps all vectors in one matrix and all words in a
sparse one (TF-IDF), with nothing on disk. Each method and size runs in a process of its own. Memory is its peak beyond the
documents.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...pipelines.corpus.retrieval import milvus, seeds

if TYPE_CHECKING:
    from pymilvus import MilvusClient

VOCABULARY, EXPONENT = 50_000, 1.0
DIM, LIMIT, TOGETHER = 256, 100, 32
QUERIES = 64
Answer = Callable[[Sequence[str], np.ndarray], list[list[int]]]
"""A function that takes the words (queries,) and vectors (queries, 256) of queries and returns each query's documents, best
first."""
METHODS = ("milvus", "brute force")


def corpus(size: int, words: int) -> tuple[list[str], np.ndarray]:
    """Returns the texts and vectors (size, 256) of the documents."""
    generator = np.random.default_rng(0)
    shares = 1 / np.arange(1, VOCABULARY + 1) ** EXPONENT
    indices = np.searchsorted(np.cumsum(shares) / shares.sum(), generator.random((size, words), np.float32))
    names = np.array([f"w{number}" for number in range(VOCABULARY + 1)])
    vectors = generator.standard_normal((size, DIM), np.float32)
    return [" ".join(names[row]) for row in indices], vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def queries(texts: Sequence[str], vectors: np.ndarray) -> tuple[list[int], list[str], np.ndarray]:
    """Returns the queries: the documents they were made from, their words and their vectors."""
    chosen = [number * len(texts) // QUERIES for number in range(QUERIES)]
    sample = texts[:: max(1, len(texts) // seeds.SAMPLE)]
    counts = Counter(word for text in sample for word in set(seeds.words(text)))
    noise = np.random.default_rng(1).standard_normal((QUERIES, DIM)).astype(np.float32) / DIM**0.5 / 2
    noisy = vectors[chosen] + noise
    word_count = min(32, len(texts[0].split()) // 3)
    words = [seeds.distinctive_words(texts[number], counts, len(sample), word_count) for number in chosen]
    return chosen, words, noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


def best(lists: Sequence[list[int]]) -> list[int]:
    """Returns the best documents of several ranked lists, by reciprocal rank fusion."""
    scores = milvus.fuse(lists)
    return sorted(scores, key=lambda row: (-scores[row], row))[:LIMIT]


def with_milvus(client: "MilvusClient", texts: Sequence[str], vectors: np.ndarray) -> Answer:
    """Fills an embedded database and returns its search. The first query builds the index of words.

    Args:
        client: the open database.
        texts: documents.
        vectors: (documents, 256).
    """
    milvus.create(client, "speed", DIM, "FLAT", {})
    names = {"id": "", "source": "", "domain": ""}
    rows = ({"row": n, "text": text, "vector": vectors[n], **names} for n, text in enumerate(texts))
    milvus.insert(client, "speed", rows, 0, True, lambda done: None)
    milvus.search_words(client, "speed", ["w1"], 1)

    def answer(words: Sequence[str], query_vectors: np.ndarray) -> list[list[int]]:
        lists = zip(
            milvus.search_words(client, "speed", words, LIMIT),
            milvus.search_vectors(client, "speed", query_vectors, LIMIT),
            strict=True,
        )
        return [best(both) for both in lists]

    return answer


def by_brute_force(texts: Sequence[str], vectors: np.ndarray) -> Answer:
    """Returns the baseline's search: two matrix products."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"\w+", dtype=np.float32)
    table = vectorizer.fit_transform(texts)

    def top(scores: np.ndarray) -> list[list[int]]:
        candidates = np.argpartition(-scores, min(LIMIT, len(texts)) - 1, axis=1)[:, :LIMIT]
        order = np.argsort(-np.take_along_axis(scores, candidates, axis=1), axis=1)
        return np.take_along_axis(candidates, order, axis=1).tolist()

    def answer(words: Sequence[str], query_vectors: np.ndarray) -> list[list[int]]:
        by_words = (vectorizer.transform(words) @ table.T).toarray()
        return [best(both) for both in zip(top(by_words), top(query_vectors @ vectors.T), strict=True)]

    return answer


def measure(method: str, size: int, words: int, rounds: int) -> dict[str, float]:
    """Returns the measurements of one method: times, memory, disk space, and the share of queries that find their document.

    Args:
        method: one of `METHODS`.
        size: number of documents.
        words: words per document.
        rounds: number of times that all queries are asked; medians count.
    """
    texts, vectors = corpus(size, words)
    chosen, query_words, query_vectors = queries(texts, vectors)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder, milvus.connect(f"{folder}/speed.db") as client:
        started = time.perf_counter()
        answer = with_milvus(client, texts, vectors) if method == "milvus" else by_brute_force(texts, vectors)
        index = time.perf_counter() - started
        rates, alone, found = [], [], 0
        for _ in range(rounds):
            started = time.perf_counter()
            answers = [
                documents
                for start in range(0, QUERIES, TOGETHER)
                for documents in answer(query_words[start : start + TOGETHER], query_vectors[start : start + TOGETHER])
            ]
            rates.append(QUERIES / (time.perf_counter() - started))
            for number in range(8):
                started = time.perf_counter()
                answer(query_words[number : number + 1], query_vectors[number : number + 1])
                alone.append(time.perf_counter() - started)
            found = sum(documents[0] == document for documents, document in zip(answers, chosen, strict=True))
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) if method == "milvus" else 0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "index s": index,
        "queries/s": statistics.median(rates),
        "one, ms": 1000 * statistics.median(alone),
        "memory MB": memory / 1000,
        "disk MB": disk / 1e6,
        "found %": 100 * found / QUERIES,
    }


def main() -> None:
    """Prints the measurements of both methods for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[10_000, 100_000], help="numbers of documents (default: 10000 100000)"
    )
    parser.add_argument("--words", type=int, default=100, help="words per document (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="number of times that all queries are asked; medians count (default: %(default)s)"
    )
    parser.add_argument("--measure", choices=METHODS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.sizes[0], arguments.words, arguments.rounds)))
        return
    same = ["--words", str(arguments.words), "--rounds", str(arguments.rounds)]
    command = [sys.executable, "-m", "tenfold.benchmarks.speed.retrieval", *same]
    for size in arguments.sizes:
        measured: dict[str, dict[str, float]] = {}
        for method in METHODS:
            output = subprocess.run(
                [*command, "--measure", method, "--sizes", str(size)], stdout=subprocess.PIPE, text=True, check=True
            ).stdout
            measured[method] = json.loads(output.splitlines()[-1])
        print(f"{f'{size:,} x {arguments.words} words':24}" + "".join(f"{name:>12}" for name in measured["milvus"]), flush=True)
        for method, row in measured.items():
            print(f"  {method:22}" + "".join(f"{value:12,.1f}" for value in row.values()), flush=True)
        ratio = measured["milvus"]["queries/s"] / measured["brute force"]["queries/s"]
        print(f"  queries/s, Milvus / brute force: {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
