"""Documents that a corpus should be rid of, made on purpose: what a cleaning stage finds of them tells what it is worth.

    generate:tenfold.pipelines.corpus.planted.documents:bad?size=200&seed=1
    generate:tenfold.pipelines.corpus.planted.documents:duplicates?of=python%3Acode%3Flimit%3D500&size=100&seed=1
    generate:tenfold.pipelines.corpus.planted.documents:contaminated?of=python%3Acode%3Flimit%3D500&problems=human_eval%3A&size=50&seed=1

The source of each says what it is: planted:bad/KIND/N; of a copy planted:exact/HOW/N/of/SOURCE or planted:near/HOW/N/of/SOURCE;
planted:contaminated/N/with/PROBLEM. N holds the seed: two sets of different seeds share no source.
"""

import random
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ....core import UserError
from ....envs.problems import sources as problem_sources
from .. import documents
from ..cleaning import contamination, ngrams

PLANTED = "planted:"
"""What the source of every planted document starts with."""
LEAST = 100
"""Words in a document that is copied: in a shorter one a changed word or two make less than 0.8 of it alike."""

Of = str | Iterable[Mapping[str, Any]]
"""Documents: a URI, or rows with text, source and domain."""
Planted = dict[str, str]

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
"""Sentences of ours."""


def bad(size: int, seed: int = 0) -> Iterator[Planted]:
    """Text that nobody should train on, as many of each kind in BAD."""
    for number in range(size):
        kind = list(BAD)[number % len(BAD)]
        make, domain = BAD[kind]
        yield {
            "text": make(random.Random(f"{seed} {number}")),
            "source": f"{PLANTED}bad/{kind}/{seed}.{number}",
            "domain": domain,
        }


def duplicates(of: Of, size: int, seed: int = 0) -> Iterator[Planted]:
    """Copies of documents, no two of one: by turns exact, but for case and white space, and near, as COPIES has them.

    Raises:
        UserError: there are too few documents of LEAST words.
    """
    for number, (document, draw) in enumerate(_drawn(of, size, f"{seed} duplicates")):
        kind = list(COPIES)[number % len(COPIES)]
        source = f"{PLANTED}{kind}/{seed}.{number}/of/{document['source']}"
        yield {"text": COPIES[kind](document["text"], draw), "source": source, "domain": document["domain"]}


def contaminated(of: Of, problems: str, size: int, seed: int = 0) -> Iterator[Planted]:
    """Documents with a problem in the middle, between two lines.

    Args:
        of: documents.
        problems: their URI; those of fewer words than can be looked for are left out.
        size: how many.
        seed: of all draws.

    Raises:
        UserError: there are too few documents.
    """
    posed = [(problem.id, contamination.prompt(problem)) for problem in problem_sources.load(problems)]
    posed = [(id, text) for id, text in posed if len(ngrams.words(text)) >= contamination.LEAST]
    if not posed:
        raise UserError(f"{problems} has no problem of {contamination.LEAST} words")
    for number, (document, draw) in enumerate(_drawn(of, size, f"{seed} contaminated")):
        id, text = draw.choice(posed)
        lines = document["text"].splitlines()
        lines[len(lines) // 2 : len(lines) // 2] = ["", text, ""]
        source = f"{PLANTED}contaminated/{seed}.{number}/with/{id}"
        yield {"text": "\n".join(lines), "source": source, "domain": document["domain"]}


def _drawn(of: Of, size: int, seed: str) -> Iterator[tuple[Planted, random.Random]]:
    """A sample of documents, of which only as many are ever in memory (Vitter, 1985, algorithm R)."""
    draw = random.Random(seed)
    sample: list[Planted] = []
    seen = 0
    for row in _rows(of):
        if len(ngrams.words(row["text"])) < LEAST:
            continue
        seen += 1
        if len(sample) < size:
            sample.append(row)
        elif (place := draw.randrange(seen)) < size:
            sample[place] = row
    if len(sample) < size:
        raise UserError(f"planted: {size} documents of {LEAST} words are wanted, and there are {seen}")
    return ((row, random.Random(f"{seed} {number}")) for number, row in enumerate(sample))


def _rows(of: Of) -> Iterator[Planted]:
    if not isinstance(of, str):
        yield from ({name: str(row[name]) for name in ("text", "source", "domain")} for row in of)
        return
    for source, text, domain in documents.read(of):
        said = text.decode("utf-8", "ignore") if isinstance(text, bytes) else text or ""
        yield {"text": said, "source": source, "domain": domain}


def _respaced(text: str, draw: random.Random) -> str:
    return "\r\n\r\n".join("  " + line.replace(" ", "   ") for line in text.splitlines())


def _changed(text: str, draw: random.Random) -> str:
    """One word in 100 is another one; no number is changed, as that would make another problem."""
    words = text.split(" ")
    places = [place for place, word in enumerate(words) if word.isalpha()]
    for place in draw.sample(places, min(len(places), max(1, len(ngrams.words(text)) // 100))):
        words[place] = draw.choice(WORDS)
    return " ".join(words)


def _headed(text: str, draw: random.Random) -> str:
    return f"Mirrored from the {draw.choice(WORDS)} archive\nSubmitted by {draw.choice(WORDS)}\n\n{text}"


def _shortened(text: str, draw: random.Random) -> str:
    return text[: -len(text) // 20]


COPIES: dict[str, Callable[[str, random.Random], str]] = {
    "exact/same": lambda text, draw: text,
    "near/changed": _changed,
    "exact/respaced": _respaced,
    "near/headed": _headed,
    "exact/capitals": lambda text, draw: text.upper(),
    "near/shortened": _shortened,
}
"""Ways of copying."""


def _sentence(draw: random.Random, words: Iterable[str], least: int = 8, most: int = 16) -> str:
    words = list(words)
    return " ".join(draw.choice(words) for _ in range(draw.randint(least, most))).capitalize() + "."


def _lines(draw: random.Random, line: Callable[[], str], least: int = 12, most: int = 24) -> str:
    return "\n".join(line() for _ in range(draw.randint(least, most)))


def _plain(draw: random.Random) -> str:
    """A sentence of common words, that makes no sense but looks like one."""
    return _sentence(draw, [word for pair in zip(STOP, draw.sample(WORDS, len(STOP)), strict=True) for word in pair])


def _letters(draw: random.Random, of: str, least: int = 3, most: int = 10) -> str:
    return "".join(draw.choice(of) for _ in range(draw.randint(least, most)))


def _gibberish(draw: random.Random) -> str:
    return _lines(draw, lambda: _sentence(draw, [_letters(draw, string.ascii_lowercase) for _ in range(16)]))


def _stuffed(draw: random.Random) -> str:
    """Gibberish with stop words, that a test of stop words alone passes."""
    return _lines(draw, lambda: _sentence(draw, [*STOP[:8], *(_letters(draw, string.ascii_lowercase, 5) for _ in range(16))]))


def _mash(draw: random.Random) -> str:
    rows = ("asdfghjkl;", "qwertyuiop", "zxcvbnm,.")
    return _lines(draw, lambda: " ".join(_letters(draw, draw.choice(rows), 4, 14) for _ in range(10)))


def _navigation(draw: random.Random) -> str:
    items = "Home|About us|Contact|Sign in|Register|Next page|Previous page|Share|Follow us|Privacy policy|Terms of use|Search"
    return _lines(draw, lambda: draw.choice([*items.split("|"), *map(str.title, WORDS)]), 40, 80)


def _cookies(draw: random.Random) -> str:
    notices = (
        "This site uses cookies to give you the best experience.",
        "Please enable JavaScript to view the comments on this page.",
        "By going on you agree to our terms of use and our privacy policy.",
    )
    return _lines(draw, lambda: draw.choice([*notices, _plain(draw)]))


def _tags(draw: random.Random) -> str:
    def line() -> str:
        name = draw.choice(WORDS)
        return f'<div class="{name}"><span style="margin:0"><a href="/{name}">{_plain(draw)}</a></span>&nbsp;&amp;</div>'

    return _lines(draw, line)


def _cut(draw: random.Random) -> str:
    """Spaces within words, as poor extraction from a page's layout leaves them."""
    text = _lines(draw, lambda: _plain(draw))
    return "".join(letter + " " * (letter.isalpha() and draw.random() < 0.4) for letter in text)


def _spam(draw: random.Random) -> str:
    phrase = f"buy cheap {draw.choice(WORDS)} online for the best price in the {draw.choice(WORDS)}"
    return _lines(draw, lambda: f"{_plain(draw)} You can {phrase}.")


def _foreign(draw: random.Random) -> str:
    text = FOREIGN[draw.choice(list(FOREIGN))]
    mark = ". " if ". " in text else "。"
    sentences = [part for part in text.split(mark) if part]
    return mark.join(draw.sample(sentences, len(sentences)))


def _minified(draw: random.Random) -> str:
    return ";".join(f"var {_letters(draw, 'abcdef', 1, 2)}=function(){{return {draw.random()}}}" for _ in range(200))


def _dump(draw: random.Random) -> str:
    rows = ("".join(f"'\\x{draw.randrange(256):02x}', " for _ in range(60)) for _ in range(60))
    return "data = [\n" + "\n".join(rows) + "\n]"


def _repeated(draw: random.Random) -> str:
    return f"{_plain(draw)}\n" * draw.randint(10, 30) + _lines(draw, lambda: _plain(draw), 3, 6)


def _wrongly_decoded(draw: random.Random) -> str:
    return FOREIGN["fr"].encode().decode("latin-1") + "\n" + _lines(draw, lambda: _plain(draw))


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
"""Kinds of bad text, with the domain that they pass for."""
