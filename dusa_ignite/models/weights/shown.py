"""Names that come from a file, as they can stand in a message of one line."""

from __future__ import annotations

LONGEST = 120


def shown(name: object) -> str:
    """Without line breaks and other characters that a terminal would obey, and not too long.

    Args:
        name: of a parameter, a class, or anything else that a file holds.
    """
    text = str(name)
    text = text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
