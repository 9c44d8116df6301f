"""What to show of the address of a link, where its text is all that can be shown, or not enough."""

from __future__ import annotations

from markdown_it.common.normalize_url import normalizeLinkText

MAIL = "mailto:"


def beside(label: str, address: str) -> str:
    """Returns what to show of an address beside the text of its link; empty if the text says it."""
    shown = address.removeprefix(MAIL)
    if not shown or says(label, address):
        return ""
    return f" ({shown})" if label.strip() else shown


def says(label: str, address: str) -> bool:
    """Tells whether the text of a link is its address: with or without its scheme, encoded or as people write it."""
    return _bare(label) in {_bare(address), _bare(normalizeLinkText(address))}


def _bare(address: str) -> str:
    bare = address.removeprefix(MAIL)
    return bare.removeprefix("https://").removeprefix("http://").rstrip("/")
