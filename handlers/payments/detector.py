"""Card and bank account numbers have no place here: a write that contains one is refused (C51).

Theory of operation
    Free text from outside passes `refuse_account_numbers` before it goes anywhere. Text is normalised first (NFKC), so
    full-width digits count as digits. Digits separated by single spaces, dots or dashes are one run of groups. A run is a card
    number when groups in a row, or any window inside one group, make 13 to 19 digits of a length and with a
    beginning that a card network issues, and satisfy Luhn. Windows inside a group make this strict: a long reference number may be refused by chance, and the message
    says what to do. Identifiers of ours and of the companies are checked by their own grammar instead, in the database.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

from handlers.errors import InvalidRequest

_RUN = re.compile(r"\d(?:[ .\-\u2010-\u2015]?\d){12,}")
_GROUP = re.compile(r"\d+")
# First digits and lengths that the networks issue.
_NETWORK = re.compile(
    r"4(\d{12}|\d{15}|\d{18})"  # Visa
    r"|(5[1-5]\d{2}|222[1-9]|22[3-9]\d|2[3-6]\d{2}|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(0[0-59]|[689]\d)\d{11,16}"  # Diners
    r"|35(2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|220[0-4]\d{12,15}"  # Mir
    r"|(6011|64[4-9]\d|65\d{2}|62\d{2})\d{12,15}"  # Discover, UnionPay
    r"|(50|5[6-8]|6\d)\d{11,17}"  # Maestro
)
_CARD_DIGITS = range(13, 20)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])")


def luhn_holds(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + position % 2)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def iban_holds(text: str) -> bool:
    """Whether the text, without spaces, satisfies the IBAN check (ISO 13616, modulo 97)."""
    compact = text.replace(" ", "")
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _windows(group: str) -> Iterator[str]:
    for length in _CARD_DIGITS:
        for start in range(len(group) - length + 1):
            yield group[start : start + length]


def _joined(groups: list[str]) -> Iterator[str]:
    for start in range(len(groups)):
        digits = ""
        for group in groups[start:]:
            digits += group
            if len(digits) >= _CARD_DIGITS.stop:
                break
            if len(digits) in _CARD_DIGITS:
                yield digits


def _candidates(run: str) -> Iterator[str]:
    groups = _GROUP.findall(run)
    yield from _joined(groups)
    for group in groups:
        yield from _windows(group)


def holds_card_number(text: str) -> bool:
    """Whether a payment card number stands anywhere in the text."""
    return any(
        _NETWORK.fullmatch(digits) and luhn_holds(digits)
        for run in _RUN.findall(unicodedata.normalize("NFKC", text))
        for digits in _candidates(run)
    )


def holds_iban(text: str) -> bool:
    """Whether an international bank account number stands anywhere in the text."""
    for found in _IBAN.findall(unicodedata.normalize("NFKC", text).upper()):
        # A following word may be caught with the number, so every shorter reading on group borders counts too.
        parts = found.split(" ")
        if any(
            15 <= len("".join(parts[:end])) <= 34 and iban_holds("".join(parts[:end]))
            for end in range(1, len(parts) + 1)
        ):
            return True
    return False


def _texts(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        yield path, str(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts(str(key), path)
            yield from _texts(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, Iterable):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{path}[{index}]")


def refuse_account_numbers(value: object) -> None:
    """Refuse a request that contains a card or bank account number, at any depth.

    Args:
        value: text, or mappings and sequences of text and numbers.

    Raises:
        InvalidRequest: names the field, never the number.
    """
    for path, text in _texts(value, ""):
        if holds_card_number(text) or holds_iban(text):
            # A key of the client's may itself be the number: the path is shown only when it is clean.
            shown = None if holds_card_number(path) or holds_iban(path) else path
            raise InvalidRequest(
                "The field holds what looks like a card or bank account number, which is never accepted here: "
                "remove it, and enter payment details only on the payment company's own page.",
                code="account_number_refused",
                param=shown,
            )
