"""Invisible characters and look-alikes: one rule for all verifiers.

invisible     Format and filler characters are not text: `visible` removes them. Joiners stay between letters of scripts that
              need them for spelling (Arabic, the scripts of India) and in emoji.
look-alikes   When words or marks are searched for, a letter of another script, or a wide or ornamented form, counts as the
              letter that it looks like. `plain` replaces letters of other scripts only in disguised words. `folded` replaces
              them everywhere, to find calls of functions and answers that address a judge. Look-alikes in answers are kept: a
              Cyrillic В may be an option.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping

_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff\U0001d159"
_FORMAT = (
    "\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
)
_CONTROL = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
_JOINED = "\u0590-\u08ff\u0900-\u0dff\u0e00-\u109f\u1780-\u18af\u2190-\u2bff\ufb50-\ufdff\ufe70-\ufefc\U0001f000-\U0001faff"
_INVISIBLE = re.compile(f"[{_FILLERS}{_FORMAT}{_CONTROL}]+")
_JOINERS = re.compile(f"[\u200c\u200d](?<![{_JOINED}].)[\u200c\u200d]*")

_LETTERS = {
    "a": "аαɑ", "b": "Ьƅ", "c": "сϲⅽ", "d": "ԁⅾ", "e": "еєҽ", "f": "ƒϝ", "g": "ɡց", "h": "һհ", "i": "іιıⅰӏ", "j": "јϳ",
    "k": "κк", "l": "ⅼǀ", "m": "мⅿ", "n": "ոп", "o": "оοσօ", "p": "рρ", "q": "ԛզ", "r": "гᴦ", "s": "ѕꜱ", "t": "тτ", "u": "υսц",
    "v": "νѵⅴ", "w": "ԝωա", "x": "хχⅹ", "y": "уүγ", "z": "ᴢʐ",
    "A": "АΑᎪ", "B": "ВΒᏴ", "C": "СϹᏟⅭ", "D": "ᎠⅮ", "E": "ЕΕᎬ", "F": "ϜᖴҒ", "G": "ԌᏀ", "H": "НΗᎻ", "I": "ІΙӀⅠ", "J": "ЈᎫͿ",
    "K": "КΚᏦK", "L": "ᏞⅬ", "M": "МΜᎷⅯ", "N": "ΝՆ", "O": "ОΟՕ", "P": "РΡᏢ", "Q": "ԚႳ", "R": "ᏒᎡ", "S": "ЅᏚՏ", "T": "ТΤᎢ",
    "U": "Սᑌ", "V": "ѴᏙⅤ", "W": "ԜᎳ", "X": "ХΧⅩ", "Y": "ҮΥУ", "Z": "ΖᏃ",
}  # fmt: skip
_MARKS = {
    "<": "‹⟨〈〈《❮❬˂ᐸ≪«⧼≺﹤", ">": "›⟩〉〉》❯❭˃ᐳ≫»⧽≻﹥", "|": "¦│┃∣❘ǀ▏︱⏐︳‖∥⎸⎹", "/": "⁄∕⧸╱",
    "[": "【〔⟦〖［❲", "]": "】〕⟧〗］❳",
    "_": "‗﹍﹎﹏", "=": "═꞊⹀", ":": "∶ː꞉", "!": "ǃ", "#": "♯", "-": "‐‑‒–—−",
}  # fmt: skip
_WORD = re.compile(r"[^\W\d_]{2,}")
_COMBINING = re.compile(r"(?<=[A-Za-z])[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+")


def visible(text: str) -> str:
    """Returns the text without invisible characters."""
    return text if text.isascii() and text.isprintable() else _JOINERS.sub("", _INVISIBLE.sub("", text))


def folded(text: str) -> str:
    """Returns a text of the same length, with each look-alike replaced by its ASCII character. It is for searches only."""
    return text if text.isascii() else text.translate(_table())


def plain(text: str) -> str:
    """Returns the visible text, with disguised words written in the letters that they look like.

    A word is disguised if it mixes scripts, or if it consists of look-alikes of Latin letters in a text that is mostly in Latin
    script. Wide and ornamented letters become the letters that they are forms of. Marks above and below a letter are removed if
    they do not form a letter of any language.
    """
    text = visible(text)
    if text.isascii():
        return text
    text = _COMBINING.sub("", unicodedata.normalize("NFC", text.translate(_forms())))
    latin = sum(character.isascii() and character.isalpha() for character in text)
    other = sum(not character.isascii() and character.isalpha() for character in text)
    return _WORD.sub(lambda word: _undisguised(word[0], latin >= other), text)


def _undisguised(word: str, in_latin: bool) -> str:
    if word.isascii():
        return word
    back = [_script(character) for character in word if character.isalpha()]
    foreign = {script for script in back if script}
    if not foreign or (len(foreign) == 1 and "" not in back and not in_latin):
        return word  # one script
    latin = word.translate(_look_alikes())
    if latin.isascii() or not any(character.isascii() for character in word):
        return latin if latin.isascii() and (in_latin or "" in back) else word
    native = _natives().get(max(foreign, key=back.count), {})
    turned = word.translate(native)
    return turned if not any(character.isascii() and character.isalpha() for character in turned) else latin


def _script(character: str) -> str:
    """Returns the name of a letter's script, or an empty text for Latin."""
    if character.isascii():
        return ""
    name = unicodedata.name(character, "").split(" ")[0]
    return "" if name in ("LATIN", "MODIFIER") else name


@functools.cache
def _look_alikes() -> Mapping[int, str]:
    return {ord(other): letter for letter, others in _LETTERS.items() for other in others}


@functools.cache
def _natives() -> Mapping[str, Mapping[int, str]]:
    """Returns for each script its letters that look like Latin ones, by the Latin letter."""
    found: dict[str, dict[int, str]] = {}
    for letter, others in _LETTERS.items():
        for other in others:
            found.setdefault(_script(other), {}).setdefault(ord(letter), other)
    return found


@functools.cache
def _forms() -> Mapping[int, str]:
    """Returns the ASCII letter or digit of each wide, ornamented or enclosed form."""
    found = {}
    for code in (*range(0x2100, 0x2150), *range(0x2460, 0x2500), *range(0xFF01, 0xFF5F), *range(0x1D400, 0x1D800)):
        form = unicodedata.normalize("NFKC", chr(code))
        if len(form) == 1 and form.isascii() and form.isalnum():
            found[code] = form
    found.update({first + number: chr(65 + number) for first in (0x1F130, 0x1F150, 0x1F170) for number in range(26)})
    return found


@functools.cache
def _table() -> Mapping[int, str]:
    """Returns one ASCII character for each look-alike: letters, forms, brackets and other marks."""
    marks = {ord(other): mark for mark, others in _MARKS.items() for other in others}
    wide = {code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}
    return {**wide, **_forms(), **_look_alikes(), **marks}


@functools.cache
def _commas() -> Mapping[int, str]:
    marks = (chr(code) for code in range(0x80, 0x20000) if unicodedata.category(chr(code)).startswith("P"))
    commas = {ord(mark): "," for mark in marks if re.search(r"\bCOMMA\b(?! QUOTATION)", unicodedata.name(mark, ""))}
    return {**commas, ord("‚"): ","}


def with_plain_commas(text: str) -> str:
    """Returns the text with the commas of all scripts, and wide and small ones, as ASCII commas."""
    return text if text.isascii() else text.translate(_commas())
