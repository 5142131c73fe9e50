"""Generates documents that the `clean` stage should remove: bad text, duplicates and contaminated documents.

    generate:tenfold.pipelines.corpus.planted.documents:bad?size=200&seed=1
    generate:tenfold.pipelines.corpus.planted.documents:duplicates?of=python%3Acode%3Flimit%3D500&size=100&seed=1
    generate:tenfold.pipelines.corpus.planted.documents:contaminated?of=python%3Acode%3Flimit%3D500&problems=human_eval%3A&size=50&seed=1

The source of a document states what it is: planted:bad/KIND/N for bad text; planted:exact/HOW/N/of/SOURCE and
planted:near/HOW/N/of/SOURCE for copies; planted:contaminated/N/with/PROBLEM. N contains the seed, so documents of different
seeds have different sources.
"""

import random
import string
from collections.abc import Callable, Iterable, Iterator, Mapping

from ....core import UserError
from ....envs.problems import sources as problem_sources
from .. import documents
from ..cleaning import contamination, ngrams

PLANTED = "planted:"
"""Prefix of the source of every planted document."""
MIN_WORDS = 100
"""Least number of words of a document to copy. In a shorter document, one or two changed words reduce the similarity
below 0.8."""

DocumentsToCopy = str | Iterable[Mapping[str, object]]
"""Documents: a URI, or rows with text, source and domain."""
Planted = dict[str, str]
"""A row with text, source and domain."""

STOP = "the of and to in is that it was for on are as with his they at be this from have or by one had not but".split()
WORDS = """time people water house school country system problem question result number morning evening river mountain teacher
student letter window garden market travel season winter summer answer reason history science music theory method language
government company machine engine energy forest animal village captain doctor kitchen paper picture island valley village
quiet simple early bright heavy narrow distant careful sudden common public modern ancient""".split()
FOREIGN = {
    "de": (
        "Der alte Mann ging langsam durch die Straßen der Stadt. Niemand wusste, woher er kam und was er hier "
        "wollte. Am Abend saßen die Kinder auf der Treppe und hörten den Erzählungen zu. Das Wetter war in diesem "
        "Jahr besonders kalt und nass. Wir haben uns entschieden, nicht mehr auf den Zug zu warten. Die Regierung "
        "hat gestern ein neues Gesetz beschlossen. Viele Menschen arbeiten heute von zu Hause aus. Es ist nicht "
        "leicht, eine gute Antwort auf diese Frage zu finden."
    ),
    "fr": (
        "Le vieil homme marchait lentement dans les rues de la ville. Personne ne savait d'où il venait ni ce "
        "qu'il voulait. Le soir, les enfants étaient assis sur les marches et écoutaient ses histoires. Le temps "
        "était particulièrement froid cette année. Nous avons décidé de ne plus attendre le train. Le "
        "gouvernement a adopté hier une nouvelle loi. Beaucoup de gens travaillent aujourd'hui à la maison. Il "
        "n'est pas facile de trouver une bonne réponse à cette question."
    ),
    "es": (
        "El anciano caminaba despacio por las calles de la ciudad. Nadie sabía de dónde venía ni qué quería. Por "
        "la noche los niños se sentaban en la escalera y escuchaban sus historias. El tiempo fue este año "
        "especialmente frío y húmedo. Hemos decidido no esperar más el tren. El gobierno aprobó ayer una nueva "
        "ley. Mucha gente trabaja hoy desde su casa. No es fácil encontrar una buena respuesta a esta pregunta."
    ),
    "ru": (
        "Старик медленно шёл по улицам города. Никто не знал, откуда он пришёл и чего хотел. Вечером дети сидели "
        "на лестнице и слушали его рассказы. Погода в этом году была особенно холодной и сырой. Мы решили больше "
        "не ждать поезда. Правительство вчера приняло новый закон. Многие люди сегодня работают из дома. Нелегко "
        "найти хороший ответ на этот вопрос. Каждое утро он покупал газету и пил кофе у окна. Книга лежала на "
        "столе рядом с лампой."
    ),
    "zh": (
        "老人慢慢地走过城市的街道。没有人知道他从哪里来，想要什么。晚上孩子们坐在台阶上听他讲故事。今年的天气特别寒冷潮"
        "湿。我们决定不再等火车。政府昨天通过了一项新法律。现在很多人在家工作。要找到这个问题的好答案并不容易。他每天早"
        "上买一份报纸，在窗边喝咖啡。书放在桌子上的灯旁边。"
    ),
}
"""Sentences in other languages, written for this file."""


def bad(size: int, seed: int = 0) -> Iterator[Planted]:
    """Yields bad text, cycling through the kinds in BAD."""
    for number in range(size):
        kind = list(BAD)[number % len(BAD)]
        make, domain = BAD[kind]
        yield {
            "text": make(random.Random(f"{seed} {number}")),
            "source": f"{PLANTED}bad/{kind}/{seed}.{number}",
            "domain": domain,
        }


def duplicates(of: DocumentsToCopy, size: int, seed: int = 0) -> Iterator[Planted]:
    """Yields copies of different documents, cycling through the kinds in COPIES.

    Exact copies may differ in case and white space; near copies have 1% of the words changed, two lines added, or the last
    5% removed.

    Args:
        of: the documents to copy.
        size: number of copies.
        seed: base seed.

    Raises:
        UserError: fewer than `size` documents have MIN_WORDS words.
    """
    for number, (document, rng) in enumerate(_sampled(of, size, f"{seed} duplicates")):
        kind = list(COPIES)[number % len(COPIES)]
        source = f"{PLANTED}{kind}/{seed}.{number}/of/{document['source']}"
        yield {"text": COPIES[kind](document["text"], rng), "source": source, "domain": document["domain"]}


def contaminated(of: DocumentsToCopy, problems: str, size: int, seed: int = 0) -> Iterator[Planted]:
    """Yields documents with a benchmark's problem inserted in the middle, between two empty lines.

    Args:
        of: the documents.
        problems: URI of problems. Problems that are too short to be searched are skipped.
        size: number of documents.
        seed: base seed.

    Raises:
        UserError: there are too few documents, or no problem is long enough.
    """
    prompts = [(problem.id, contamination.prompt(problem)) for problem in problem_sources.load(problems)]
    prompts = [(id, text) for id, text in prompts if len(ngrams.words(text)) >= contamination.MIN_WORDS]
    if not prompts:
        raise UserError(f"{problems} has no problem of at least {contamination.MIN_WORDS} words; use other problems")
    for number, (document, rng) in enumerate(_sampled(of, size, f"{seed} contaminated")):
        id, text = rng.choice(prompts)
        lines = document["text"].splitlines()
        lines[len(lines) // 2 : len(lines) // 2] = ["", text, ""]
        source = f"{PLANTED}contaminated/{seed}.{number}/with/{id}"
        yield {"text": "\n".join(lines), "source": source, "domain": document["domain"]}


def _sampled(of: DocumentsToCopy, size: int, seed: str) -> Iterator[tuple[Planted, random.Random]]:
    """Yields a random sample of documents, each with a random generator, by reservoir sampling (Vitter, 1985, algorithm R).

    At most `size` documents are in memory.
    """
    rng = random.Random(seed)
    sample: list[Planted] = []
    seen = 0
    for row in _rows(of):
        if len(ngrams.words(row["text"])) < MIN_WORDS:
            continue
        seen += 1
        if len(sample) < size:
            sample.append(row)
        elif (position := rng.randrange(seen)) < size:
            sample[position] = row
    if len(sample) < size:
        raise UserError(f"planted: expected {size} documents of at least {MIN_WORDS} words, got {seen}; lower size")
    return ((row, random.Random(f"{seed} {number}")) for number, row in enumerate(sample))


def _rows(of: DocumentsToCopy) -> Iterator[Planted]:
    if not isinstance(of, str):
        yield from ({name: str(row[name]) for name in ("text", "source", "domain")} for row in of)
        return
    for source, text, domain in documents.read(of):
        decoded = text.decode("utf-8", "ignore") if isinstance(text, bytes) else text or ""
        yield {"text": decoded, "source": source, "domain": domain}


def _respaced(text: str, rng: random.Random) -> str:
    return "\r\n\r\n".join("  " + line.replace(" ", "   ") for line in text.splitlines())


def _changed(text: str, rng: random.Random) -> str:
    """Replaces 1% of the words. Numbers stay, because another number makes another problem."""
    words = text.split(" ")
    positions = [position for position, word in enumerate(words) if word.isalpha()]
    for position in rng.sample(positions, min(len(positions), max(1, len(ngrams.words(text)) // 100))):
        words[position] = rng.choice(WORDS)
    return " ".join(words)


def _headed(text: str, rng: random.Random) -> str:
    return f"Mirrored from the {rng.choice(WORDS)} archive\nSubmitted by {rng.choice(WORDS)}\n\n{text}"


def _shortened(text: str, rng: random.Random) -> str:
    return text[: -len(text) // 20]


COPIES: dict[str, Callable[[str, random.Random], str]] = {
    "exact/same": lambda text, rng: text,
    "near/changed": _changed,
    "exact/respaced": _respaced,
    "near/headed": _headed,
    "exact/capitals": lambda text, rng: text.upper(),
    "near/shortened": _shortened,
}
"""Functions that copy a text, by kind of copy."""


def _sentence(rng: random.Random, words: Iterable[str], minimum: int = 8, maximum: int = 16) -> str:
    words = list(words)
    return " ".join(rng.choice(words) for _ in range(rng.randint(minimum, maximum))).capitalize() + "."


def _lines(rng: random.Random, line: Callable[[], str], minimum: int = 12, maximum: int = 24) -> str:
    return "\n".join(line() for _ in range(rng.randint(minimum, maximum)))


def _plain(rng: random.Random) -> str:
    """Returns a sentence of common words without meaning."""
    return _sentence(rng, [word for pair in zip(STOP, rng.sample(WORDS, len(STOP)), strict=True) for word in pair])


def _letters(rng: random.Random, of: str, minimum: int = 3, maximum: int = 10) -> str:
    return "".join(rng.choice(of) for _ in range(rng.randint(minimum, maximum)))


def _gibberish(rng: random.Random) -> str:
    return _lines(rng, lambda: _sentence(rng, [_letters(rng, string.ascii_lowercase) for _ in range(16)]))


def _stuffed(rng: random.Random) -> str:
    """Returns gibberish with stop words, which passes a test of stop words alone."""
    return _lines(rng, lambda: _sentence(rng, [*STOP[:8], *(_letters(rng, string.ascii_lowercase, 5) for _ in range(16))]))


def _mash(rng: random.Random) -> str:
    rows = ("asdfghjkl;", "qwertyuiop", "zxcvbnm,.")
    return _lines(rng, lambda: " ".join(_letters(rng, rng.choice(rows), 4, 14) for _ in range(10)))


def _navigation(rng: random.Random) -> str:
    items = "Home|About us|Contact|Sign in|Register|Next page|Previous page|Share|Follow us|Privacy policy|Terms of use|Search"
    return _lines(rng, lambda: rng.choice([*items.split("|"), *map(str.title, WORDS)]), 40, 80)


def _cookies(rng: random.Random) -> str:
    notices = (
        "This site uses cookies to give you the best experience.",
        "Please enable JavaScript to view the comments on this page.",
        "By going on you agree to our terms of use and our privacy policy.",
    )
    return _lines(rng, lambda: rng.choice([*notices, _plain(rng)]))


def _tags(rng: random.Random) -> str:
    def line() -> str:
        name = rng.choice(WORDS)
        return f'<div class="{name}"><span style="margin:0"><a href="/{name}">{_plain(rng)}</a></span>&nbsp;&amp;</div>'

    return _lines(rng, line)


def _cut(rng: random.Random) -> str:
    """Returns text with spaces within words, as poor extraction from a page's layout produces."""
    text = _lines(rng, lambda: _plain(rng))
    return "".join(letter + " " * (letter.isalpha() and rng.random() < 0.4) for letter in text)


def _spam(rng: random.Random) -> str:
    phrase = f"buy cheap {rng.choice(WORDS)} online for the best price in the {rng.choice(WORDS)}"
    return _lines(rng, lambda: f"{_plain(rng)} You can {phrase}.")


def _foreign(rng: random.Random) -> str:
    text = FOREIGN[rng.choice(list(FOREIGN))]
    mark = ". " if ". " in text else "。"
    sentences = [part for part in text.split(mark) if part]
    return mark.join(rng.sample(sentences, len(sentences)))


def _minified(rng: random.Random) -> str:
    return ";".join(f"var {_letters(rng, 'abcdef', 1, 2)}=function(){{return {rng.random()}}}" for _ in range(200))


def _dump(rng: random.Random) -> str:
    rows = ("".join(f"'\\x{rng.randrange(256):02x}', " for _ in range(60)) for _ in range(60))
    return "data = [\n" + "\n".join(rows) + "\n]"


def _repeated(rng: random.Random) -> str:
    return f"{_plain(rng)}\n" * rng.randint(10, 30) + _lines(rng, lambda: _plain(rng), 3, 6)


def _wrongly_decoded(rng: random.Random) -> str:
    return FOREIGN["fr"].encode().decode("latin-1") + "\n" + _lines(rng, lambda: _plain(rng))


BAD: dict[str, tuple[Callable[[random.Random], str], str]] = {
    "gibberish": (_gibberish, "text"),
    "gibberish_with_stop_words": (_stuffed, "text"),
    "keyboard_mash": (_mash, "text"),
    "repeated_line": (_repeated, "text"),
    "repeated_phrase": (_spam, "text"),
    "navigation": (_navigation, "text"),
    "cookie_notices": (_cookies, "text"),
    "tags": (_tags, "text"),
    "cut_words": (_cut, "text"),
    "foreign": (_foreign, "text"),
    "wrongly_decoded": (_wrongly_decoded, "text"),
    "minified": (_minified, "code"),
    "data_dump": (_dump, "code"),
}
"""Functions that generate bad text, and the domain of the text, by kind."""
