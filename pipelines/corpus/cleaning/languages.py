"""Detects the language of a text: by script or by frequent words, and by langdetect if these do not decide.

Script and words take microseconds and langdetect takes milliseconds. Of several hundred documents of English prose, about one
needs langdetect.
"""

import re
from collections.abc import Sequence
from pathlib import Path

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
"""Frequent words by language. Our choice; English includes Gopher's eight stop words. No ASCII letter is one of them, because
formulas contain single letters."""
_SCRIPTS = {
    "ja": re.compile("[\u3040-\u30ff]"),
    "zh": re.compile("[\u3400-\u9fff]"),
    "ko": re.compile("[\uac00-\ud7af\u1100-\u11ff]"),
    "el": re.compile("[\u0370-\u03ff]"),
    "he": re.compile("[\u0590-\u05ff]"),
    "th": re.compile("[\u0e00-\u0e7f]"),
}
"""Scripts used by one language, in the order in which they are checked: Japanese first, because it also has Chinese
characters."""
_LATIN = re.compile("[A-Za-z\u00c0-\u024f]")
_LETTER = re.compile(r"[^\W\d_]")
MAX_READ = 2_000
"""Characters from the beginning for script and langdetect, and words for the stop words. Our choice."""


def language(text: str, words: Sequence[str], thorough: bool = True) -> str | None:
    """Returns the code of a text's language, such as "en"; None if the text is too short or mixes languages.

    Args:
        text: the text.
        words: its words in lower case.
        thorough: if true, langdetect is used when script and words do not decide. False for formulas, which langdetect
            misclassifies.
    """
    if latin(text):
        first = words[:MAX_READ]
        shares = sorted(((_share(first, stop_words), code) for code, stop_words in STOP_WORDS.items()), reverse=True)
        (best, code), (second, _) = shares[:2]
        if best >= 0.1 and best >= 1.5 * second:
            return code
    else:
        sample = text[:MAX_READ]
        letters = len(_LETTER.findall(sample))
        for code, script in _SCRIPTS.items():
            if len(script.findall(sample)) > (0.1 if code == "ja" else 0.3) * letters:
                return code
    return _detected(text[:MAX_READ]) if thorough and len(words) >= 20 else None


def codes() -> frozenset[str]:
    """Returns all codes that `language` can return."""
    import langdetect

    detected = {path.name.partition("-")[0] for path in Path(langdetect.PROFILES_DIRECTORY).iterdir()}
    return frozenset({*STOP_WORDS, *_SCRIPTS, *detected})


def latin(text: str) -> bool:
    """True if at least half of the letters are Latin, or if the text has no letters."""
    if text.isascii():
        return True
    sample = text[:MAX_READ]
    return 2 * len(_LATIN.findall(sample)) >= len(_LETTER.findall(sample))


def _share(words: Sequence[str], stop_words: frozenset[str]) -> float:
    return sum(map(stop_words.__contains__, words)) / len(words) if words else 0.0


def _detected(text: str) -> str | None:
    """Returns langdetect's language if its probability is at least 0.9, else None."""
    import langdetect

    langdetect.DetectorFactory.seed = 0  # because langdetect is random without a seed
    try:
        best = langdetect.detect_langs(text)[0]
    except langdetect.LangDetectException:  # no letter that langdetect can use
        return None
    return best.lang.partition("-")[0] if best.prob >= 0.9 else None
