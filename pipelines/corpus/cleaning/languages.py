"""Which language a text is in: by its script, by its commonest words, and only where those do not tell by langdetect.

Script and words take microseconds and langdetect milliseconds; of English prose one document in some hundreds needs it.
"""

import re
from collections.abc import Sequence

STOP_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the be to of and that have with in is it for this are as on not by or an from was",
        "de": "der die das und ist nicht ein eine mit von zu den auf für im dem sich auch werden wird als",
        "fr": "le la les des et est une que dans pour du qui pas sur au par avec ce sont il plus",
        "es": "el la los las que de en una por con del para es se un no su al lo como",
        "it": "il di che la per una sono con del non gli della un le si è da nel alla dei come",
        "pt": "que não uma para com os do da em são por mais um se dos as no na ao é como",
        "nl": "het een van en de is dat niet op te voor zijn met aan ook er maar om bij als",
        "sv": "och att det som en är på av för med den till inte om ett har de vi kan från",
        "pl": "nie się na jest że do to jak ale po co za od tym przez dla są był oraz lub",
    }.items()
}
"""Ours: words that are among the commonest of their language, Gopher's eight English ones with them. None has one letter: those
stand in formulas."""
_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "zh": re.compile("[\u3400-\u9fff]"),
    "ko": re.compile("[\uac00-\ud7af\u1100-\u11ff]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
}
"""Scripts that are written for one language, in the order in which they are looked for: Japanese has Chinese characters too."""
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_LETTER = re.compile(r"[^\W\d_]")
LOOKED_AT = 2_000
"""Characters that script and langdetect go by, and words that stop words are counted in."""


def language(text: str, words: Sequence[str], thorough: bool = True) -> str | None:
    """The code of a text's language, say "en"; None where there is too little to say, or too much of several.

    Args:
        text: as it stands.
        words: of the text, in lower case.
        thorough: whether langdetect is asked where script and words do not tell. It takes formulas for words of many languages.
    """
    if latin(text):
        first = words[:LOOKED_AT]
        shares = sorted(((_share(first, stop_words), code) for code, stop_words in STOP_WORDS.items()), reverse=True)
        (best, code), (second, _) = shares[:2]
        if best >= 0.1 and best >= 1.5 * second:
            return code
    else:
        sample = text[:LOOKED_AT]
        letters = len(_LETTER.findall(sample))
        for code, script in _SCRIPTS.items():
            if len(script.findall(sample)) > (0.1 if code == "ja" else 0.3) * letters:
                return code
    return _detected(text[:LOOKED_AT]) if thorough and len(words) >= 20 else None


def latin(text: str) -> bool:
    """Whether at least half of the letters are Latin; a text without letters counts."""
    if text.isascii():
        return True
    sample = text[:LOOKED_AT]
    return 2 * len(_LATIN.findall(sample)) >= len(_LETTER.findall(sample))


def _share(words: Sequence[str], stop_words: frozenset[str]) -> float:
    return sum(map(stop_words.__contains__, words)) / len(words) if words else 0.0


def _detected(text: str) -> str | None:
    """What langdetect says, where it is sure."""
    import langdetect

    langdetect.DetectorFactory.seed = 0  # it draws at random otherwise
    try:
        best = langdetect.detect_langs(text)[0]
    except langdetect.LangDetectException:  # no letter that it knows
        return None
    return best.lang.partition("-")[0] if best.prob >= 0.9 else None
