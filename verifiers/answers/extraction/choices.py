"""Which option a text asserts, by its letter, outside of a box: "C is correct", "The answer is not A. It is C", "I pick B".

A text is read sentence by sentence. A sentence claims something of letters, or nothing:

    ANSWERS   "The answer is C", "Answer: C", "**C**" alone on a line: replaces what was asserted before
    ASSERTS   "C is correct", "I choose C", "It must be C", "C) the option's words": adds to what is asserted
    DENIES    "Option C is wrong", "We can rule out C", "C fails": takes the letter away
    DOUBTS    "C?", "The answer is not C": what is asserted next stands in its place

What is left in the end is chosen, if it is one letter. Articles ("a heavy lid", "A car moves"), the pronoun I, conditions
("if C were right") and questions assert nothing.
"""

import re
from collections.abc import Iterator, Sequence
from string import ascii_uppercase

from ...budget import in_time
from .assertions import Asserted, Claim, Kind, Named
from .hedges import added, others
from .letters import unwrapped
from .markers import DENIES, markers
from .statements import NEGATION, SENTENCE_END

MAX_LINES = 400
"""Lines, from the last one, that are read."""
MAX_SENTENCE = 600
"""Characters of a sentence that are read."""
MAX_ADDED = 60
"""Characters of a sentence without a letter that may choose all options."""
MAX_LETTERS = 40
"""Letters of a sentence that are read."""


_BEFORE, _AFTER = r"(?<![A-Za-z0-9_\\^])(?<![A-Za-z]['’])", r"(?![A-Za-z0-9_^]|['’][a-z])"
_LETTER = re.compile(rf"[(\[（]?{_BEFORE}(?P<letter>[A-Z]){_AFTER}[)\]）]?")
_MENTION = re.compile(rf"{_BEFORE}(?:[A-Z]|[a-z](?=\W*$|[)\].,])){_AFTER}")
"""A letter that stands alone. Most sentences of a solution have none, and claim nothing."""
_ARTICLE = re.compile(
    r"A(?=[ \t]+[a-z])(?!\s+(?:is|was|and|or|because|since|as|fails?|contradicts|violates|can|cannot|must|seems|but|to be"
    r"|over|if)\b)"
)
_PRONOUN = re.compile(r"I(?=\s+[a-z]|['’])(?!\s+(?:is|was|and|or|because|since|fails?|seems)\b)")
_NOUN = r"(?i:options?|choices?|letters?|answers?|statements?|alternatives?|选项|答案|项)"
_NAMED = re.compile(
    rf"[\s(\[（\"'“‘:：]*(?:(?i:the|either|both"
    rf"|only)\s+)*(?:{_NOUN}\s*+(?:is\s+)?[:：]?\s*+)*+[(\[（\"'“‘{{<]*(?P<letter>[A-Za-z]){_AFTER}"
)
_JOINED = re.compile(
    r"[)\]）\"'”’]*\s*(?P<join>[,/&+;、，和或]|\b(?:and/or|and|or)\b|及|以及|或者)\s*(?:(?:and|or)\s+)?"
    r"(?:(?:maybe|possibly|perhaps|also|even|both|either)\s+)?(?:(?:the\s+)?(?i:option|choice)\s+)?[(\[（]?"
    rf"(?P<letter>[A-Z]){_AFTER}(?!\s*(?:is|was|fails)\b)"
)
_ASKS = re.compile(r"[)\]）\"'”’.]*\s*[?？]")
_VERBS = (
    r"choos(?:e|ing)|chose|pick(?:ing)?|select(?:ing)?|tak(?:e|ing)|go(?:ing)? (?:with|for)|opt(?:ing)? for|guess|say"
    r"|settle (?:on|for)"
    r"|answer|mark|vote for|prefer|conclude|arrive at|(?:it|that) (?:is|must be|should be)|it['’]s|must be"
)
_CHOOSES = re.compile(
    r"(?:^\W*|\b(?:i|we|i['’](?:d|ll|m)|we['’](?:d|ll|re)|let['’]s|let us|so|thus|therefore|hence|then)\b,?\s+)"
    r"(?:(?:will|would|should|must|can|am|are|shall|therefore|thus|have to|going to|just|simply|had to|to|think|believe"
    r"|it is|it['’]s"
    rf"|that)\s+){{0,4}}(?:{_VERBS})\s+(?:that\s+)?(?:it(?:['’]s| is| must be)\s+)?"
    r"|(?:故|应|应当|因此|所以|本题|我|我们)?(?:选择?|應選)(?!项)(?:的是)?[:：]?\s*"
    r"|\b(?:it|this|that|which)(?:['’]s|\s+(?:is|must be|has to be|should be|can only be))\s+"
    r"(?:(?:therefore|thus|clearly|definitely|option|choice|answer|letter)\s+)*"
    r"|(?:^\W*|\b(?:so|thus|therefore|hence|then)\b,?\s+)only\s+"
    r"(?=(?:option |choice |statement )?[(\[]?[A-Z][)\]]?\s+(?:is|holds?|works?|fits?|satisf|remains?|can|match|gives?)\b)"
    r"|\b(?:leaves?|leaving|leads? (?:us )?to|points? to|corresponds? to|matche?s|supports?"
    r"|favou?rs)\s+(?:us\s+with\s+)?(?:only\s+)?"
    r"|(?:^\W*|[,;，；]\s*)(?:so|thus|therefore|hence|clearly|obviously|definitely|certainly|因此|所以|故),?\s*(?=(?:option "
    r"|choice )?[(\[]?[A-Z][)\]]?\W*$)"
    r"|(?:\bnot\b|n['’]t\b)[^.]{1,80}?[,;]?\s*\bbut\s+(?:rather\s+)?(?=(?:option |choice )?[(\[]?[A-Z][)\]]?\W*$)",
    re.IGNORECASE,
)
"""What comes before the letter that a writer picks."""
_UNCERTAIN = re.compile(
    r"\b(?:if|whether|suppose|would not|wouldn['’]t|will not|won['’]t|do not|don['’]t|did not|didn['’]t|cannot|can['’]t"
    r"|could|might|may"
    r"|never|not|unless|no|while|although|though)\b[^,;]{0,40}$|不(?:应该?|能|可以?)?$",
    re.IGNORECASE,
)
_RIGHT = re.compile(
    r"\W{0,4}(?:选?项)?\s*(?:['’]s|is|are|was|would be|must be|should be|seems?|appears?|has to be|being|looks)?\s*"
    r"(?:(?:clearly|indeed|therefore|thus|the|my|our|only|most|likely|probably|definitely|also|both|all|equally|a|one|an"
    r"|option|choice|answer|that is|which is|to be)\s+)*"
    r"(?:\b(?:correct|right|best|answer|the one|it|the only (?:one|option|choice|answer)(?: (?:that|which) (?:fits|works"
    r"|holds|remains|matches|satisfies))?)\b|(?:是|为)?(?:正确|对))"
    r"(?:\s+(?:answer|choice|option|one|statement|selection|letter))?"
    r"(?:的?(?:选项|答案)?)(?P<after>[^\w].*|)$",
    re.IGNORECASE | re.DOTALL,
)
_CANNOT = "|".join(rf"{verb}(?:n['’]t| not)" for verb in "does do did is are was could would should must".split())
_WRONG = re.compile(
    r"\W{0,4}(?:选?项)?\s*(?:\(.{0,80}?\)\s*)?(?:(?:['’]s|is|are|was|were|would be|must be|can be|seems?|looks"
    r"|appears?(?: to be)?"
    r"|has been|have been|could be|be|being|clearly|both|all|also|definitely|obviously|therefore|thus)\s+)*"
    r"(?:not\b|n['’]t|wrong|incorrect|false|invalid|impossible|excluded|eliminated|ruled out|inconsistent|unlikely|worst"
    r"|out\b|fails?"
    rf"|contradicts?|violates?|ignores?|overlooks?|misses|too\s|irrelevant|unrelated|absurd|{_CANNOT}|can(?:not|['’]t| not)"
    rf"|won['’]t|will not"
    r"|no\W*$|(?:是|也|都)?(?:错|不)|排除)",
    re.IGNORECASE,
)
_NOT_ANOTHER = re.compile(r"\W*(?:not|n['’]t)\s+(?:option\s+|choice\s+)?[(\[]?[A-Z]\b")
""" "C, not A" denies A."""
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
    r"(?:\b(?:but|rather|(?:it|that)(?:['’]s| is| must be))\s+|[，,]\s*而?(?:应该?)?是)(?P<said>.*)$", re.IGNORECASE
)
_TYPE = re.compile(r"[*`]|\\[()\[\]]|(?<!\w)_{1,2}(?=\w)|(?<=\w)_{1,2}(?!\w)")
"""Marks of type and of formulas, without which a text says the same."""
_SHORT = re.compile(r"\W*A\s?:\s*[(\[]?(?P<letter>[A-Z])[)\].]*\W*")
""" "A: C", the answer to "Q: ..."."""
_OPENS = re.compile(
    r"^[\s>#\-\"'“‘]*(?:(?i:(?:the\s+)?(?:option|choice|letter|answer|statement))\s+)?(?P<open>[(\[（{]?)(?P<letter>[A-Z])"
    r"(?P<sign>[)\]）}.:：,，、—–\"'”’-]*)(?P<rest>.*)$",
    re.DOTALL,
)
_LOWER = re.compile(r"\W*(?:(?i:option|choice|letter|answer)\s+)?[(\[]?([a-z])[)\].]*\W*")
_LETTER_ALONE = re.compile(r"\W*(?:(?i:it(?:['’]s| is)|option|choice)\s+)?[(\[]?([A-Z])[)\]]?\W*")
_CLOSING = re.compile(r"\s\((?P<letter>[A-Z])\)\W*$")
_CONDITION = re.compile(r"(?:only )?(?:if|about|in that|that|in saying|when|to)\b")


def asserted(text: str, options: Sequence[str]) -> Asserted:
    """Which letters a text asserts, and the words behind the one that it chooses.

    Args:
        text: a response, without its reasoning.
        options: the words of the options, in order.
    """
    by_letter = dict(zip(ascii_uppercase, options, strict=False))
    known = frozenset(by_letter)
    letters: frozenset[str] = frozenset()
    words, answered, doubted = "", False, False
    for claim in _claims(text, known):
        if claim.kind in (Kind.ANSWERS, Kind.ASSERTS) and len(claim.letters) == 1 and claim.words:
            more = others(claim.words, known, by_letter[min(claim.letters)])
            claim = claim._replace(letters=claim.letters | more)
        elif claim.letters == known and any(_same_words(claim.words, option) for option in options):
            continue  # "B. All of the above", where that is what the option says
        if claim.kind == Kind.DOUBTS:
            doubted = True
        elif claim.kind == Kind.DENIES:
            letters -= claim.letters
        elif (
            Kind.ANSWERS in (claim.kind, claim.replaces)
            or not letters
            or doubted
            or (claim.replaces == Kind.ASSERTS and not answered)
        ):
            letters, words, doubted = claim.letters, claim.words, False
            answered = answered or claim.kind == Kind.ANSWERS
        else:
            letters |= claim.letters
    return Asserted(letters, words if len(letters) == 1 else "")


def apposition(words: str) -> str:
    """What stands behind a letter as the option's words, without the reason behind them."""
    reason = _REASON.search(words)
    return (words[: reason.start()] if reason else words).strip(" \t.,:;()[]（）—–-\"'")


def _same_words(one: str, other: str) -> bool:
    return re.findall(r"\w+", one.casefold()) == re.findall(r"\w+", other.casefold())


def _claims(text: str, known: frozenset[str]) -> Iterator[Claim]:
    """What the sentences of a text claim, in order."""
    lines = [line for line in _TYPE.sub("", unwrapped(text)).split("\n") if line.strip()]
    labelled = False  # by "Answer:" at the end of the sentence before
    for number, line in enumerate(lines):
        if number < len(lines) - MAX_LINES:
            continue
        for place, part in enumerate(part for part in SENTENCE_END.split(line) if part.strip()):
            in_time()
            said = " ".join(part[:MAX_SENTENCE].split())
            named = _named(said, known) if labelled else None
            if named and named.letters and not _is_denied(named.rest):
                yield Claim(Kind.ANSWERS, named.letters, named.rest)
                labelled = False
            elif _MENTION.search(said):
                first, last = place == 0 and number == 0, place == 0 and number == len(lines) - 1
                yield from _claims_of(said, first, last, known)
                labelled = False
            elif len(said) <= MAX_ADDED and (more := added(said, known)):
                yield Claim(Kind.ASSERTS, more, said)
            elif re.search(r"[A-Za-z]", said):
                if said.endswith(("?", "？")) or _REVERSES.match(said):
                    yield Claim(Kind.DOUBTS)
                marker = next(markers(said), None)
                labelled = marker is not None and marker.end == len(said) and not marker.denied


def _claims_of(said: str, first: bool, last: bool, known: frozenset[str]) -> Iterator[Claim]:
    """What a sentence claims; `first` and `last` say whether it opens the first line of the text, and the last one."""
    if more := added(said, known):
        yield Claim(Kind.ASSERTS, more, said)
        return
    if (turned := _REVERSES.match(said)) and (short := _LETTER_ALONE.fullmatch(said[turned.end() :])) and short[1] in known:
        yield Claim(Kind.ASSERTS, frozenset(short[1]), "", Kind.ANSWERS)
        return
    claims = _answer_line(said, known) or _opening(said, first, last, known) or _picks(said, known) or _predicates(said, known)
    asks = said.endswith(("?", "？"))
    yield from [claim for claim in claims if not asks or claim.kind in (Kind.DENIES, Kind.DOUBTS)]
    if last and not claims:
        yield from _closing(said, known)
    if asks or (_REVERSES.match(said) and not claims):
        yield Claim(Kind.DOUBTS)


def _closing(said: str, known: frozenset[str]) -> list[Claim]:
    """What a last sentence says that ends with a letter in brackets: "The integral diverges (C)."."""
    found = _CLOSING.search(said)
    alone = found and found["letter"] in known and len(_LETTER.findall(said)) == 1
    return [Claim(Kind.ASSERTS, frozenset(found["letter"]))] if found and alone and not NEGATION.search(said) else []


def _answer_line(said: str, known: frozenset[str]) -> list[Claim]:
    """What a sentence says behind "the answer is", where that begins with letters."""
    for marker in markers(said):
        if marker.short:  # "A:" may be an option's letter
            continue
        behind = said[marker.end :]
        denial = DENIES.match(behind)
        named = _named(behind[denial.end() :] if denial else behind, known)
        if not named.letters:
            continue
        if denial or marker.denied:
            instead = _INSTEAD.search(named.rest)
            other = _named(instead["said"], known) if instead else None
            claims = [Claim(Kind.DENIES, named.letters)]
            if other and other.letters:
                return [*claims, Claim(Kind.ANSWERS, other.letters)]
            return [*claims, Claim(Kind.DOUBTS)] if denial else claims
        if named.asks:
            return [Claim(Kind.DOUBTS), *(_picks(named.rest, known) if _REVERSES.match(named.rest) else [])]
        if _is_denied(named.rest):
            return [Claim(Kind.DENIES, named.letters)]
        return [Claim(Kind.ANSWERS, named.letters, named.rest), *_predicates(named.rest, known, also=True)]
    return []


def _opening(said: str, first: bool, last: bool, known: frozenset[str]) -> list[Claim]:
    """What a sentence says that begins with a letter, as options are listed: "C", "(C)", "C) the words", "D, it can't be A".

    Args:
        said: the sentence.
        first, last: whether it opens the first line of the text, and the last one.
        known: the options' letters.
    """
    edge = first or last
    if short := _SHORT.fullmatch(said):
        return [Claim(Kind.ANSWERS, frozenset(short["letter"]) & known)]
    if edge and (lower := _LOWER.fullmatch(said)) and lower[1].upper() in known:
        return [Claim(Kind.ANSWERS, frozenset(lower[1].upper()))]
    if (led := _CONCLUDES.match(said)) and (behind := said[led.end() :].lstrip(" ,:")).startswith("("):
        said = behind
    found = _OPENS.match(said)
    if not found or found["letter"] not in known:
        return []
    letter, sign, rest = frozenset(found["letter"]), found["sign"], found["rest"]
    if not rest.strip(' .!)]"”'):
        return [Claim(Kind.ANSWERS if first else Kind.ASSERTS, letter, replaces=Kind.ASSERTS if last else None)]
    if rest[:1] not in (" ", "\t") and not sign:
        return []
    named = _named(said, known)
    if named.asks:
        return [Claim(Kind.DOUBTS), *(_picks(named.rest, known) if _REVERSES.match(named.rest) else [])]
    if len(named.letters) > 1:
        return [Claim(Kind.ANSWERS, named.letters)] if edge and not re.search(r"[A-Za-z]{3}", named.rest) else []
    if _is_denied(rest):
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


def _picks(said: str, known: frozenset[str]) -> list[Claim]:
    """What a sentence says that tells which letter the writer picks: "I choose C", "It must be C"."""
    claims = []
    replaces = Kind.ANSWERS if _REVERSES.match(said) else Kind.ASSERTS if _CONCLUDES.match(said) else None
    for found in list(_CHOOSES.finditer(said))[:MAX_LETTERS]:
        denial = DENIES.match(said, found.end())
        named = _named(said[denial.end() if denial else found.end() :], known)
        if not named.letters or named.asks:
            continue
        if denial or (found[0][0] not in ",;，；" and _UNCERTAIN.search(said[: found.start()])):
            claims.append(Claim(Kind.DENIES, named.letters))
        elif not _is_denied(named.rest):
            claims.append(Claim(Kind.ASSERTS, named.letters, named.rest, replaces))
    return claims if any(claim.kind == Kind.ASSERTS for claim in claims) else []


def _predicates(said: str, known: frozenset[str], also: bool = False) -> list[Claim]:
    """What a sentence says of letters, that they are right, wrong or ruled out.

    Args:
        said: the sentence, or what stands behind its answer.
        known: the options' letters.
        also: whether the sentence has given an answer, so that only what adds another one counts.
    """
    claims, right = [], []
    reason = _REASON.search(said)
    for found in list(_LETTER.finditer(said))[:MAX_LETTERS]:
        letter = found["letter"]
        if letter not in known or _is_word(said, found.start("letter")):
            continue
        behind, before = said[found.end() :], said[: found.start()]
        while joined := _JOINED.match(behind):
            behind = behind[joined.end() :].lstrip(")]）")
        clause = re.split(r"[,;，；]\s", behind, maxsplit=1)[0]
        told = _RIGHT.match(clause)
        if _RULED_OUT.search(before) or _WRONG.match(behind) or re.search(r"\bneither\b[^,;]*$", before, re.IGNORECASE):
            claims.append(Claim(Kind.DENIES, frozenset(letter)))
        elif told and not (also and reason and reason.start() < found.start()) and not _UNCERTAIN.search(before):
            after = told["after"].strip(" .!")
            if not (also and after) and not _CONDITION.match(after):
                right.append((found.start(), letter))
    if right:
        # "C looks right, but D is correct" asserts D.
        but = max((found.end() for found in re.finditer(r"\b(?:but|however|yet)\b", said)), default=0)
        sure = frozenset(letter for at, letter in right if at >= but) or frozenset(letter for _, letter in right)
        concludes = not also and _CONCLUDES.match(said)
        claims.append(Claim(Kind.ASSERTS, sure, "", Kind.ASSERTS if concludes else None))
    return claims


def _named(text: str, known: frozenset[str]) -> Named:
    """The letters that a text begins with, whether it asks, and what stands behind them."""
    nothing = Named(frozenset(), False, text)
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
    if apart := re.fullmatch(r"(?:\W+[A-Z])+\W*", rest):
        letters |= set(re.findall(r"[A-Z]", apart[0]))
    asks = _ASKS.match(rest)
    if not letters <= known:
        return nothing
    return Named(frozenset(letters), bool(asks), rest[asks.end() :] if asks else rest)


def _is_denied(behind: str) -> bool:
    """Whether what stands behind a letter says that it is wrong."""
    return _WRONG.match(behind) is not None and not _NOT_ANOTHER.match(behind)


def _is_word(text: str, at: int) -> bool:
    """Whether the capital letter at `at` is an article or a pronoun."""
    return _ARTICLE.match(text, at) is not None or _PRONOUN.match(text, at) is not None
