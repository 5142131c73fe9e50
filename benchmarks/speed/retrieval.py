"""How many hybrid queries a second an embedded Milvus answers, against brute force with numpy and scikit-learn.

    python -m tenfold.benchmarks.speed.retrieval [--sizes 10000 100000] [--words 100] [--rounds 3]

Documents are so many words drawn by Zipf's law, with a random unit vector of 256 numbers each; a query is the most telling
third of the words (32 at most) and the vector, disturbed, of one of them. Both ways give the best 100 by words and by vector,
fused by reciprocal rank. The rival has all vectors in one matrix and all words in a sparse one (TF-IDF), and nothing on the
disk. Each way and size has a process of its own; memory is what it took at most beyond the documents themselves.
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
from typing import Any

import numpy as np

from ...pipelines.corpus.retrieval import milvus, seeds

VOCABULARY, EXPONENT = 50_000, 1.0
DIM, LIMIT, TOGETHER = 256, 100, 32
QUERIES = 64
Answer = Callable[[Sequence[str], np.ndarray], list[list[int]]]
"""Words and vectors of queries to documents, best first."""


def corpus(size: int, words: int) -> tuple[list[str], np.ndarray]:
    """Texts and their vectors."""
    draw = np.random.default_rng(0)
    shares = 1 / np.arange(1, VOCABULARY + 1) ** EXPONENT
    places = np.searchsorted(np.cumsum(shares) / shares.sum(), draw.random((size, words), np.float32))
    names = np.array([f"w{number}" for number in range(VOCABULARY + 1)])
    vectors = draw.standard_normal((size, DIM), np.float32)
    return [" ".join(names[row]) for row in places], vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def queries(texts: Sequence[str], vectors: np.ndarray) -> tuple[list[int], list[str], np.ndarray]:
    """The documents that are asked for, the words and the vectors that ask for them."""
    chosen = [number * len(texts) // QUERIES for number in range(QUERIES)]
    sample = texts[:: max(1, len(texts) // seeds.SAMPLE)]
    counts = Counter(word for text in sample for word in set(seeds.words(text)))
    noise = np.random.default_rng(1).standard_normal((QUERIES, DIM)).astype(np.float32) / DIM**0.5 / 2
    asked = vectors[chosen] + noise
    most = min(32, len(texts[0].split()) // 3)
    telling = [seeds.distinctive_words(texts[number], counts, len(sample), most) for number in chosen]
    return chosen, telling, asked / np.linalg.norm(asked, axis=1, keepdims=True)


def best(lists: Sequence[list[int]]) -> list[int]:
    """Two lists fused."""
    scores = milvus.fuse(lists)
    return sorted(scores, key=lambda row: (-scores[row], row))[:LIMIT]


def with_milvus(client: Any, texts: Sequence[str], vectors: np.ndarray) -> Answer:
    """Fills an embedded database; its index of words is made when it is first asked."""
    milvus.create(client, "speed", DIM, "FLAT", {})
    names = {"id": "", "source": "", "domain": ""}
    rows = ({"row": n, "text": text, "vector": vectors[n], **names} for n, text in enumerate(texts))
    milvus.insert(client, "speed", rows, 0, True, lambda done: None)
    milvus.search_words(client, "speed", ["w1"], 1)

    def answer(words: Sequence[str], asked: np.ndarray) -> list[list[int]]:
        lists = zip(
            milvus.search_words(client, "speed", words, LIMIT),
            milvus.search_vectors(client, "speed", asked, LIMIT),
            strict=True,
        )
        return [best(both) for both in lists]

    return answer


def by_brute_force(texts: Sequence[str], vectors: np.ndarray) -> Answer:
    """The rival: two products of matrices."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"\w+", dtype=np.float32)
    known = vectorizer.fit_transform(texts)

    def top(scores: np.ndarray) -> list[list[int]]:
        few = np.argpartition(-scores, LIMIT, axis=1)[:, :LIMIT]
        order = np.argsort(-np.take_along_axis(scores, few, axis=1), axis=1)
        return np.take_along_axis(few, order, axis=1).tolist()

    def answer(words: Sequence[str], asked: np.ndarray) -> list[list[int]]:
        by_words = (vectorizer.transform(words) @ known.T).toarray()
        return [best(both) for both in zip(top(by_words), top(asked @ vectors.T), strict=True)]

    return answer


def measure(way: str, size: int, words: int, rounds: int) -> dict[str, float]:
    """Seconds to index, queries a second, milliseconds for one, memory, and how many queries found what they were made of."""
    texts, vectors = corpus(size, words)
    chosen, telling, asked = queries(texts, vectors)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder, milvus.connect(f"{folder}/speed.db") as client:
        started = time.perf_counter()
        answer = with_milvus(client, texts, vectors) if way == "milvus" else by_brute_force(texts, vectors)
        index = time.perf_counter() - started
        rates, alone, found = [], [], 0
        for _ in range(rounds):
            started = time.perf_counter()
            answers = [
                documents
                for start in range(0, QUERIES, TOGETHER)
                for documents in answer(telling[start : start + TOGETHER], asked[start : start + TOGETHER])
            ]
            rates.append(QUERIES / (time.perf_counter() - started))
            for number in range(8):
                started = time.perf_counter()
                answer(telling[number : number + 1], asked[number : number + 1])
                alone.append(time.perf_counter() - started)
            found = sum(given[0] == wanted for given, wanted in zip(answers, chosen, strict=True))
        disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) if way == "milvus" else 0
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
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000], help="documents")
    parser.add_argument("--words", type=int, default=100, help="of a document")
    parser.add_argument("--rounds", type=int, default=3, help="of all queries; the median counts")
    parser.add_argument("--measure", choices=("milvus", "brute force"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure, given.sizes[0], given.words, given.rounds)))
        return
    same = ["--words", str(given.words), "--rounds", str(given.rounds)]
    command = [sys.executable, "-m", "tenfold.benchmarks.speed.retrieval", *same]
    for size in given.sizes:
        figures: dict[str, dict[str, float]] = {}
        for way in ("milvus", "brute force"):
            said = subprocess.run(
                [*command, "--measure", way, "--sizes", str(size)], stdout=subprocess.PIPE, text=True, check=True
            ).stdout
            figures[way] = json.loads(said.splitlines()[-1])
        print(f"{f'{size:,} of {given.words} words':24}" + "".join(f"{name:>12}" for name in figures["milvus"]), flush=True)
        for way, row in figures.items():
            print(f"  {way:22}" + "".join(f"{value:12,.1f}" for value in row.values()), flush=True)
        ratio = figures["milvus"]["queries/s"] / figures["brute force"]["queries/s"]
        print(f"  queries a second, Milvus to brute force: {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
