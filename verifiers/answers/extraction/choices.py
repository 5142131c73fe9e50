"""The option whose letter a text asserts outside of a box: "C is correct", "The answer is not A. It is C", "I pick B".

A text is read sentence by sentence. Each sentence makes claims about letters, or none:

    ANSWERS   "The answer is C", "Answer: C", "**C**" alone on the first line: replaces the asserted letters
    ASSERTS   "C is correct", "I choose C", "It must be C", "C) the option's words": adds to the asserted letters
    DENIES    "Option C is wrong", "We can rule out C", "C fails": removes the letter
    DOUBTS    "C?", "The answer is not C": the next assertion replaces the asserted letters

The choice is the letter that remains at the end, if it is exactly one. Articles ("a heavy lid", "A car moves"), the pronoun I,
conditions ("if C were right") and questions assert nothing.
"""

import re
from collections.abc import Iterator, Sequence
from string import ascii_uppercase

from ...budget import check_time
from .assertions import Asserted, Claim, Kind, LeadingLetters
from .denials import WRONG, is_denied, plain
from .letters import AFTER, BEFORE
from .markers import DENIAL, markers
from .second_answers import letters_added_after_choice, letters_added_by_sentence
from .statements import NEGATION, SENTENCE_END

MAX_LINES = 400
"""Maximum number of lines of a text that are read, from its end."""
MAX_SENTENCE = 600
"""Maximum number of characters of a sentence that are read."""
MAX_ADDED = 60
"""Maximum length of a sentence that names no letter but may choose all options, in characters."""
MAX_LETTERS = 40
"""Maximum number of letters of a sentence that are read."""

_LETTER = re.compile(rf"[(\[（]?{BEFORE}(?P<letter>[A-Z]){AFTER}[)\]）]?")
_MENTION = re.compile(rf"{BEFORE}(?:[A-Z]|[a-z](?=\W*$|[)\].,])){AFTER}")
"""A letter that stands alone. Most sentences of a solution contain none and make no claim."""
_ARTICLE = re.compile(
    r"A(?=[ \t]+[a-z])(?!\s+(?:is|was|and|or|because|since|as|fails?|contradicts|violates|can|cannot|must|seems|but|to be"
    r"|over|if)\b)"
)
_PRONOUN = re.compile(r"I(?=\s+[a-z]|['’])(?!\s+(?:is|was|and|or|because|since|fails?|seems)\b)")
_NOUN = r"(?i:options?|choices?|letters?|answers?|statements?|alternatives?|选项|答案|项)"
_NAMED = re.compile(
    rf"[\s(\[（\"'“‘:：]*(?:(?i:the|either|both"
    rf"|only)\s+)*(?:{_NOUN}\s*+(?:is\s+)?[:：]?\s*+)*+[(\[（\"'“‘{{<]*(?P<letter>[A-Za-z]){AFTER}"
)
_JOINED = re.compile(
    r"[)\]）\"'”’]*\s*(?P<join>[,/&+;、，和或]|\b(?:and/or|and|or)\b|及|以及|或者)\s*(?:(?:and|or)\s+)?"
    r"(?:(?:maybe|possibly|perhaps|also|even|both|either)\s+)?(?:(?:the\s+)?(?i:option|choice)\s+)?[(\[（]?"
    rf"(?P<letter>[A-Z]){AFTER}(?!\s*(?:is|was|fails)\b)"
)
_QUESTION_MARK = re.compile(r"[)\]）\"'”’.]*\s*[?？]")
_VERBS = (
    r"choos(?:e|ing)|chose|pick(?:ing)?|select(?:ing)?|tak(?:e|ing)|go(?:ing)? (?:with|for)|opt(?:ing)? for|guess|say"
    r"|settle (?:on|for)|answer|mark|vote for|prefer|conclude|arrive at|(?:it|that) (?:is|must be|should be)|it['’]s|must be"
)
_CHOOSES = re.compile(
    r"(?:^\W*|\b(?:i|we|i['’](?:d|ll|m)|we['’](?:d|ll|re)|let['’]s|let us|so|thus|therefore|hence|then)\b,?\s+)"
    r"(?:(?:will|would|should|must|can|am|are|shall|therefore|thus|have to|going to|just|simply|had to|to|think|believe"
    rf"|it is|it['’]s|that)\s+){{0,4}}(?:{_VERBS})\s+(?:that\s+)?(?:it(?:['’]s| is| must be)\s+)?"
    r"|(?:故|应|应当|因此|所以|本题|我|我们)?(?:选择?|應選)(?!项)(?:的是)?[:：]?\s*"
    r"|\b(?:it|this|that|which)(?:['’]s|\s+(?:is|must be|has to be|should be|can only be))\s+"
    r"(?:(?:therefore|thus|clearly|definitely|option|choice|answer|letter)\s+)*"
    r"|(?:^\W*|\b(?:so|thus|therefore|hence|then)\b,?\s+)only\s+"
    r"(?=(?:option |choice |statement )?[(\[]?[A-Z][)\]]?\s+"
    r"(?:is|holds?|works?|fits?|satisfies|remains?|can|match(?:es)?|gives?)\b)"
    r"|\b(?:leaves?|leaving|leads? (?:us )?to|points? to|corresponds? to|matche?s|supports?"
    r"|favou?rs)\s+(?:us\s+with\s+)?(?:only\s+)?"
    r"|(?:^\W*|[,;，；]\s*)(?:so|thus|therefore|hence|clearly|obviously|definitely|certainly|因此|所以|故),?\s*(?=(?:option "
    r"|choice )?[(\[]?[A-Z][)\]]?\W*$)"
    r"|(?:\bnot\b|n['’]t\b)[^.]{1,80}?[,;]?\s*\bbut\s+(?:rather\s+)?(?=(?:option |choice )?[(\[]?[A-Z][)\]]?\W*$)",
    re.IGNORECASE,
)
"""The words before the letter that the writer chooses."""
_UNCERTAIN = re.compile(
    r"\b(?:if|whether|suppose|would not|wouldn['’]t|will not|won['’]t|do not|don['’]t|did not|didn['’]t|cannot|can['’]t"
    r"|could|might|may|never|not|unless|no|while|although|though|(?:false|incorrect|wrong|untrue|mistaken?) (?:that|to))"
    r"\b[^,;]{0,40}$|不(?:应该?|能|可以?)?$",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    r"\W{0,4}(?:选?项)?\s*(?:['’]s|is|are|was|would be|must be|should be|seems?|appears?|has to be|being|looks)?\s*"
    r"(?:(?:clearly|indeed|therefore|thus|the|my|our|final|chosen|only|most|likely|probably|definitely|also|both|all|equally|a|one|an"
    r"|option|choice|answer|that is|which is|to be)\s+)*"
    r"(?:\b(?:correct|right|best|answer|the one|it|the only (?:one|option|choice|answer)(?: (?:that|which) (?:fits|works"
    r"|holds|remains|matches|satisfies))?)\b|(?:是|为)?(?:正确|对))"
    r"(?:\s+(?:answer|choice|option|one|statement|selection|letter))?"
    r"(?:的?(?:选项|答案)?)(?P<after>[^\w].*|)$",
    re.IGNORECASE | re.DOTALL,
)
_RULED_OUT = re.compile(
    r"(?:\brul(?:e[sd]?|ing) out|\b(?:eliminat|exclud)(?:e[sd]?|ing)|\b(?:reject|discard)(?:s|ed|ing)?|\bdismiss(?:es|ed|ing)?"
    r"|\bcross(?:ed|ing)? out|\bnot|\bnever|n['’]t\s+(?:be|pick|choose|select|answer)|\bcannot be|\b(?:anything|everything"
    r"|all|any) but|\bexcept(?: for)?|\bavoid"
    r"|\bother than|\brather than|\binstead of|\bneither|\bnor|\bwithout|\bunlike|\bagainst|排除|不选|不是|而非)\s*"
    rf"(?:(?:both|either|the|all|out|for|as|being|be)\s+)*(?:{_NOUN}\s*)?[(\[]?$",
    re.IGNORECASE,
)
_REVERSES = re.compile(
    r"^\W*(?:no|wait|actually|correction|rather|instead|sorry|oops|scratch that|on second thought|hmm)\b|^\W*不[,，对]",
    re.IGNORECASE,
)
_CONCLUDES = re.compile(
    r"^\W*(?:(?:so|therefore|thus|hence|finally|in conclusion|overall|in summary|to conclude|consequently)\b"
    r"|因此|所以|综上|故)",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"[,，;；]?\s*(?:\b(?:because|since|as|given|due|although|though|while|whereas|where|which|for)\b|因为|由于)", re.IGNORECASE
)
_INSTEAD = re.compile(
    r"(?:\b(?:but|rather|(?:it|that)(?:['’]s| is| must be))\s+|[，,]\s*而?(?:应该?)?是)(?P<correction>.*)$", re.IGNORECASE
)
_SHORT = re.compile(r"\W*A\s?:\s*[(\[]?(?P<letter>[A-Z])[)\].]*\W*")
"""Matches "A: C", the answer to "Q: ..."."""
_OPENS = re.compile(
    r"^[\s>#\-\"'“‘]*(?:(?i:(?:the\s+)?(?:option|choice|letter|answer|statement))\s+)?(?P<open>[(\[（{]?)(?P<letter>[A-Z])"
    r"(?P<sign>[)\]）}.:：,，、—–\"'”’-]*)(?P<rest>.*)$",
    re.DOTALL,
)
_LOWER = re.compile(r"\W*(?:(?i:option|choice|letter|answer)\s+)?[(\[]?([a-z])[)\].]*\W*")
_LETTER_ALONE = re.compile(r"\W*(?:(?i:it(?:['’]s| is)|option|choice)\s+)?[(\[]?([A-Z])[)\]]?\W*")
_CLOSING = re.compile(r"\s\((?P<letter>[A-Z])\)\W*$")
_CONDITION = re.compile(r"(?:only )?(?:if|about|in that|that|in saying|when|to)\b")


def asserted_letters(text: str, options: Sequence[str]) -> Asserted:
    """Returns the letters that a text asserts, and the words after the chosen one.

    Args:
        text: A response without its reasoning.
        options: The text of each option, in order.
    """
    by_letter = dict(zip(ascii_uppercase, options, strict=False))
    valid = frozenset(by_letter)
    letters: frozenset[str] = frozenset()
    words, has_answer, has_doubt = "", False, False
    for claim in _claims(plain(text, by_letter), valid):
        if claim.kind in (Kind.ANSWERS, Kind.ASSERTS) and len(claim.letters) == 1 and claim.words:
            more = letters_added_after_choice(claim.words, valid, by_letter[min(claim.letters)])
            claim = claim._replace(letters=claim.letters | more)
        elif claim.letters == valid and any(_same_words(claim.words, option) for option in options):
            continue  # the chosen option itself is "All of the above"
        if claim.kind == Kind.DOUBTS:
            has_doubt = True
        elif claim.kind == Kind.DENIES:
            letters -= claim.letters
        elif (
            Kind.ANSWERS in (claim.kind, claim.replaces)
            or not letters
            or has_doubt
            or (claim.replaces == Kind.ASSERTS and not has_answer)
        ):
            letters, words, has_doubt = claim.letters, claim.words, False
            has_answer = has_answer or claim.kind == Kind.ANSWERS
        else:
            letters |= claim.letters
    return Asserted(letters, words if len(letters) == 1 else "")


def apposition(words: str) -> str:
    """Returns the words after a letter as an option's text, without a reason that follows them."""
    reason = _REASON.search(words)
    return (words[: reason.start()] if reason else words).strip(" \t.,:;()[]（）—–-\"'")


def _same_words(first: str, second: str) -> bool:
    return re.findall(r"\w+", first.casefold()) == re.findall(r"\w+", second.casefold())


def _claims(text: str, valid: frozenset[str]) -> Iterator[Claim]:
    """Yields the claims of a plain text's sentences, in order."""
    lines = [line for line in text.split("\n") if line.strip()]
    labelled = False  # True after a sentence that ends in "Answer:"
    for number, line in enumerate(lines):
        if number < len(lines) - MAX_LINES:
            continue
        for position, part in enumerate(part for part in SENTENCE_END.split(line) if part.strip()):
            check_time()
            sentence = " ".join(part[:MAX_SENTENCE].split())
            leading = _leading_letters(sentence, valid) if labelled else None
            if leading and leading.letters and not is_denied(leading.rest):
                yield Claim(Kind.ANSWERS, leading.letters, leading.rest)
                labelled = False
            elif _MENTION.search(sentence):
                first, last = position == 0 and number == 0, position == 0 and number == len(lines) - 1
                yield from _claims_of_sentence(sentence, first, last, valid)
                labelled = False
            elif len(sentence) <= MAX_ADDED and (more := letters_added_by_sentence(sentence, valid)):
                yield Claim(Kind.ASSERTS, more, sentence)
            elif re.search(r"[A-Za-z]", sentence):
                if sentence.endswith(("?", "？")) or _REVERSES.match(sentence):
                    yield Claim(Kind.DOUBTS)
                marker = next(markers(sentence), None)
                labelled = marker is not None and marker.end == len(sentence) and not marker.denied


def _claims_of_sentence(sentence: str, first: bool, last: bool, valid: frozenset[str]) -> Iterator[Claim]:
    """Yields the claims of a sentence. It opens the text's first line if `first`, and its last line if `last`."""
    if more := letters_added_by_sentence(sentence, valid):
        yield Claim(Kind.ASSERTS, more, sentence)
        return
    reversal = _REVERSES.match(sentence)
    if reversal and (short := _LETTER_ALONE.fullmatch(sentence[reversal.end() :])) and short[1] in valid:
        yield Claim(Kind.ASSERTS, frozenset(short[1]), "", Kind.ANSWERS)
        return
    claims = (
        _answer_line(sentence, valid)
        or _opening(sentence, first, last, valid)
        or _picks(sentence, valid)
        or _predicates(sentence, valid)
    )
    asks = sentence.endswith(("?", "？"))
    yield from [claim for claim in claims if not asks or claim.kind in (Kind.DENIES, Kind.DOUBTS)]
    if last and not claims:
        yield from _closing(sentence, valid)
    if asks or (reversal and not claims):
        yield Claim(Kind.DOUBTS)


def _closing(sentence: str, valid: frozenset[str]) -> list[Claim]:
    """Returns the claims of a last sentence that ends with a letter in brackets: "The integral diverges (C)"."""
    found = _CLOSING.search(sentence)
    is_only_letter = found and found["letter"] in valid and len(_LETTER.findall(sentence)) == 1
    if not found or not is_only_letter or NEGATION.search(sentence):
        return []
    return [Claim(Kind.ASSERTS, frozenset(found["letter"]))]


def _answer_line(sentence: str, valid: frozenset[str]) -> list[Claim]:
    """Returns the claims of a sentence with letters after "the answer is"."""
    for marker in markers(sentence):
        if marker.short:  # "A:" may be the letter of an option
            continue
        following = sentence[marker.end :]
        denial = DENIAL.match(following)
        leading = _leading_letters(following[denial.end() :] if denial else following, valid)
        if not leading.letters:
            continue
        if denial or marker.denied:
            replacement = _INSTEAD.search(leading.rest)
            correction = _leading_letters(replacement["correction"], valid) if replacement else None
            claims = [Claim(Kind.DENIES, leading.letters)]
            if correction and correction.letters:
                return [*claims, Claim(Kind.ANSWERS, correction.letters)]
            return [*claims, Claim(Kind.DOUBTS)] if denial else claims
        if leading.asks:
            return [Claim(Kind.DOUBTS), *(_picks(leading.rest, valid) if _REVERSES.match(leading.rest) else [])]
        head, _, tail = following.partition(";")
        others = _leading_letters(tail, valid)
        if frozenset() < others.letters < leading.letters and others.rest[:1] == " " and is_denied(others.rest):
            leading = _leading_letters(head, valid)  # "C; A and B are wrong"
        if is_denied(leading.rest):
            return [Claim(Kind.DENIES, leading.letters)]
        return [Claim(Kind.ANSWERS, leading.letters, leading.rest), *_predicates(leading.rest, valid, after_answer=True)]
    return []


def _opening(sentence: str, first: bool, last: bool, valid: frozenset[str]) -> list[Claim]:
    """Returns the claims of a sentence that starts with a letter: "C", "(C)", "C) the option's text", "D, it can't be A".

    Args:
        sentence: The sentence.
        first: True if it opens the first line of the text.
        last: True if it opens the last line of the text.
        valid: The letters of the options.
    """
    edge = first or last
    if short := _SHORT.fullmatch(sentence):
        return [Claim(Kind.ANSWERS, frozenset(short["letter"]) & valid)]
    if edge and (lower := _LOWER.fullmatch(sentence)) and lower[1].upper() in valid:
        return [Claim(Kind.ANSWERS, frozenset(lower[1].upper()))]
    if (led := _CONCLUDES.match(sentence)) and (following := sentence[led.end() :].lstrip(" ,:")).startswith("("):
        sentence = following
    found = _OPENS.match(sentence)
    if not found or found["letter"] not in valid:
        return []
    letter, sign, rest = frozenset(found["letter"]), found["sign"], found["rest"]
    if not rest.strip(' .!)]"”'):
        return [Claim(Kind.ANSWERS if first else Kind.ASSERTS, letter, replaces=Kind.ASSERTS if last else None)]
    if rest[:1] not in (" ", "\t") and not sign:
        return []
    leading = _leading_letters(sentence, valid)
    if leading.asks:
        return [Claim(Kind.DOUBTS), *(_picks(leading.rest, valid) if _REVERSES.match(leading.rest) else [])]
    if len(leading.letters) > 1:
        return [Claim(Kind.ANSWERS, leading.letters)] if edge and not re.search(r"[A-Za-z]{3}", leading.rest) else []
    if is_denied(rest):
        return []
    listed = bool(sign.strip(",，\"'”’") or found["open"])
    dash = re.match(r"\s*(?:[—–]|-{1,3}\s)", rest)
    if listed and not _RIGHT.match(rest):
        return [Claim(Kind.ASSERTS, letter, rest)]
    if edge and (dash or sign[:1] in (",", "，") or re.match(r"\s*(?:because|since|as|not|rather)\b", rest)):
        if found["letter"] in "AI" and not dash and not sign:
            return []
        return [Claim(Kind.ASSERTS, letter, rest)]
    return []


def _picks(sentence: str, valid: frozenset[str]) -> list[Claim]:
    """Returns the claims of a sentence that states a choice: "I choose C", "It must be C"."""
    claims = []
    replaces = Kind.ANSWERS if _REVERSES.match(sentence) else Kind.ASSERTS if _CONCLUDES.match(sentence) else None
    for found in list(_CHOOSES.finditer(sentence))[:MAX_LETTERS]:
        denial = DENIAL.match(sentence, found.end())
        leading = _leading_letters(sentence[denial.end() if denial else found.end() :], valid)
        if not leading.letters or leading.asks:
            continue
        if denial or (found[0][0] not in ",;，；" and _UNCERTAIN.search(sentence[: found.start()])):
            claims.append(Claim(Kind.DENIES, leading.letters))
        elif not is_denied(leading.rest):
            claims.append(Claim(Kind.ASSERTS, leading.letters, leading.rest, replaces))
    return claims if any(claim.kind == Kind.ASSERTS for claim in claims) else []


def _predicates(sentence: str, valid: frozenset[str], after_answer: bool = False) -> list[Claim]:
    """Returns the claims of a sentence that calls letters correct, incorrect or ruled out.

    Args:
        sentence: The sentence, or the part after its answer.
        valid: The letters of the options.
        after_answer: True after an answer in the same sentence. Then a letter that is called correct counts only as an
            additional answer ("and D is correct, too"). Letters that are called incorrect or ruled out always count.
    """
    claims, correct = [], []
    reason = _REASON.search(sentence)
    for found in list(_LETTER.finditer(sentence))[:MAX_LETTERS]:
        letter = found["letter"]
        if letter not in valid or _is_word(sentence, found.start("letter")):
            continue
        following, before = sentence[found.end() :], sentence[: found.start()]
        while joined := _JOINED.match(following):
            following = following[joined.end() :].lstrip(")]）")
        clause = re.split(r"[,;，；]\s", following, maxsplit=1)[0]
        predicate = _RIGHT.match(clause)
        if _RULED_OUT.search(before) or WRONG.match(following) or re.search(r"\bneither\b[^,;]*$", before, re.IGNORECASE):
            claims.append(Claim(Kind.DENIES, frozenset(letter)))
        elif predicate and not (after_answer and reason and reason.start() < found.start()) and not _UNCERTAIN.search(before):
            after = predicate["after"].strip(" .!")
            if not (after_answer and after not in ("", "too", "also", "as well")) and not _CONDITION.match(after):
                correct.append((found.start(), letter))
    if correct:
        # "C looks right, but D is correct" asserts D.
        but = max((found.end() for found in re.finditer(r"\b(?:but|however|yet)\b", sentence)), default=0)
        final_letters = frozenset(letter for at, letter in correct if at >= but) or frozenset(letter for _, letter in correct)
        concludes = not after_answer and _CONCLUDES.match(sentence)
        claims.append(Claim(Kind.ASSERTS, final_letters, "", Kind.ASSERTS if concludes else None))
    return claims


def _leading_letters(text: str, valid: frozenset[str]) -> LeadingLetters:
    """Returns the letters at the beginning of a text, whether a question mark follows, and the rest of the text."""
    nothing = LeadingLetters(frozenset(), False, text)
    found = _NAMED.match(text)
    if not found:
        return nothing
    letter, rest = found["letter"], text[found.end() :]
    if letter.islower():
        if (rest[:1] not in ("", ")", "]", ".", ",") and rest.strip(" .")) or re.match(r"\.[A-Za-z]", rest):
            return nothing
    elif _is_word(text, found.start("letter")):
        return nothing
    letters = {letter.upper()}
    while (joined := _JOINED.match(rest)) and not _is_word(rest, joined.start("letter")):
        letters.add(joined["letter"])
        rest = rest[joined.end() :]
    if spaced := re.fullmatch(r"(?:\W+[A-Z])+\W*", rest):
        letters |= set(re.findall(r"[A-Z]", spaced[0]))
    asks = _QUESTION_MARK.match(rest)
    if not letters <= valid:
        return nothing
    return LeadingLetters(frozenset(letters), bool(asks), rest[asks.end() :] if asks else rest)


def _is_word(text: str, at: int) -> bool:
    """True if the capital letter at position `at` is an article or a pronoun."""
    return _ARTICLE.match(text, at) is not None or _PRONOUN.match(text, at) is not None
