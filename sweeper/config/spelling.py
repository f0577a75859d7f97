"""How values are spelt by mistake: typographic characters, decimal commas, Python's `None`.

Each spelling is only suggested if it fits the field, so that the message can say what to write.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from sweeper.config.yaml_nodes import ScalarNode, resolve
from sweeper.suggest import shown

__all__ = ["NOT_NULL", "odd_characters", "plain_spelling", "quoted_by_hand", "spelling_hint"]

_DASHES = {
    "\u2010": "a typographic hyphen",
    "\u2011": "a non-breaking hyphen",
    "\u2012": "a figure dash",
    "\u2013": "an en dash",
    "\u2014": "an em dash",
    "\u2212": "a minus sign that isn't the keyboard's",
    "\ufe63": "a small hyphen",
    "\uff0d": "a full-width hyphen",
}
_BLANKS = {
    "\u00a0": "a non-breaking blank",
    "\u202f": "a narrow non-breaking blank",
    "\u2009": "a thin blank",
    "\u2007": "a figure blank",
    "\u3000": "a full-width blank",
    "\u200b": "an invisible blank",
    "\ufeff": "an invisible mark",
    "\u00ad": "an invisible hyphen",
}
_QUOTES = dict.fromkeys(
    "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb", "typographic quotation marks"
)
_NAMES = _DASHES | _BLANKS | _QUOTES
_INVISIBLE = "\u200b\ufeff\u00ad"
_TO_PLAIN = str.maketrans(
    dict.fromkeys(_DASHES, "-")
    | dict.fromkeys(_BLANKS, " ")
    | dict.fromkeys(_INVISIBLE, "")
    | dict.fromkeys(_QUOTES, '"')
)

NOT_NULL = "`None` is text in YAML: write `null`"
_NULL_WORDS = frozenset({"None", "none", "NONE", "nil"})
_POWER = re.compile(r"(?:([-+]?[0-9.]+)\s*[*x×·]\s*)?10\s*(?:\^|\*\*)\s*([-+]?[0-9]+)\Z")
_NUMBER_LIKE = re.compile(r"[-+0-9.,_ eE]+\Z")


def odd_characters(text: str) -> str:
    """What a text has that only looks like something on the keyboard; empty for nothing."""
    found = dict.fromkeys(_NAMES[char] for char in text if char in _NAMES)
    return " and ".join(found)


def plain_spelling(text: str) -> str:
    """The text with the characters of a keyboard, without quotation marks around it."""
    plain = unicodedata.normalize("NFKC", text.translate(_TO_PLAIN)).strip()
    return plain[1:-1] if len(plain) > 1 and plain[0] == plain[-1] == '"' else plain


def quoted_by_hand(text: str) -> bool:
    """Whether a text has typographic quotation marks around it, which YAML takes as part of it."""
    return len(text) > 1 and text[0] in _QUOTES and text[-1] in _QUOTES


def spelling_hint(node: ScalarNode, fits: Callable[[ScalarNode], bool]) -> str:
    """The ending of a message: why a text doesn't mean what it looks like, and what to write.

    `fits` says whether the field takes a value. Empty if no other spelling of it fits.
    """
    text = node.text
    if not node.plain:
        meaning = ScalarNode(resolve(text), text, plain=True, mark=node.mark)
        if not isinstance(meaning.value, str) and fits(meaning):
            return "; leave out the quotes"
    elif "#" in text:
        return "; a comment needs a space before its `#`"
    elif text[:1] in _DASHES and text[1:2] == " ":
        return f"; it has {odd_characters(text[0])}: an item of a list begins with `- `"
    for why, better in _spellings(text):
        other = ScalarNode(resolve(better), better, plain=True, mark=node.mark)
        if better != text and fits(other):
            return f"; {why.format(text=shown(text), better=shown(better))}"
    return ""


def _spellings(text: str) -> Iterator[tuple[str, str]]:
    """Other spellings, each with a message of `text` and `better`."""
    if text in _NULL_WORDS:
        yield "`{text}` is text in YAML: write `{better}`", "null"
    odd = odd_characters(text)
    plain = plain_spelling(text)
    if plain != text:
        why = f"it has {odd}" if odd else "it has characters that aren't the keyboard's"
        yield f"{why}: write `{{better}}`", plain
        yield f"{why}: write `{{better}}`", plain.replace(" ", "")
    ended = plain.rstrip(",;")
    if ended != plain:
        yield "nothing follows a value: write `{better}`", ended.rstrip()
    yield from _numbers(ended)


def _numbers(text: str) -> Iterator[tuple[str, str]]:
    power = _POWER.match(text)
    if power is not None:
        yield "a power of ten is written `{better}`", f"{power[1] or 1}e{int(power[2])}"
    if not _NUMBER_LIKE.match(text):
        return
    if re.fullmatch(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?", text):
        whole = text.replace(",", "")
        yield "a number has no commas: write `{better}`, or `.` for a decimal point", whole
    if text.count(",") == 1:
        yield "a decimal point is `.`: write `{better}`", text.replace(",", ".")
    yield "a number has no blanks: write `{better}`", text.replace(" ", "")
    yield (
        "a number has no leading zeros: write `{better}`",
        re.sub(r"^([-+]?)0+(?=[0-9])", r"\1", text),
    )
