"""What several sections of the page are built of: badges, tables that become cards, headings."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from markupsafe import Markup

from streamer.page.figures import count, duration_words, moment
from streamer.page.markup import Child, element
from streamer.status.verdict import Level

SYMBOLS: Final = {Level.WELL: "✓", Level.WATCH: "!", Level.ACT: "✕"}
"""So that colour is never the only signal."""

WORDS: Final = {Level.WELL: "Well", Level.WATCH: "Watch", Level.ACT: "Act now"}


def badge(level: Level, word: str) -> Markup:
    """A state in a word, with a symbol and a colour."""
    symbol = element("span", SYMBOLS[level], class_="symbol", aria_hidden="true")
    return element("span", symbol, word, class_=f"badge {level.value}")


NOTHING: Final = element("span", "–", class_="quiet")  # noqa: RUF001 - a dash
"""Where there is nothing to say."""


def name(text: str) -> Markup:
    """A name that somebody chose; it may run from right to left without turning its neighbours round."""
    return element("bdi", text)


def heading(section: str, text: str, note: Child = None) -> Markup:
    """The heading of a section."""
    return element("h2", text, None if note is None else element("small", note), id=f"{section}-title")


def quiet(*children: Child) -> Markup:
    """What matters less."""
    return element("span", *children, class_="quiet")


def tally(counts: Mapping[str, int], *, is_failed: Callable[[str], bool] = lambda _: False) -> Markup:
    """Counts by a word, in the order given."""
    items = [
        element(
            "li",
            element("code", word),
            " × ",  # noqa: RUF001 - times
            count(number),
            class_="failed" if is_failed(word) else None,
            data_key=word,
        )
        for word, number in counts.items()
    ]
    return element("ul", items, class_="answers") if items else quiet("none yet")


def since(at: float | None, now: float) -> Markup | None:
    """Since when, and how long that is; ``at`` and ``now`` in seconds since the epoch."""
    return (
        None
        if at is None
        else element("span", "since ", moment(at, now), ", ", duration_words(now - at), class_="quiet")
    )


def do(next_step: str) -> Markup | None:
    """What to do next."""
    return element("p", element("b", "Do: "), next_step, class_="do") if next_step else None


def cell(label: str, *children: Child, is_number: bool = False, **attributes: str | float | None) -> Markup:
    """A cell of a table; on a phone, where rows become cards, its label stands beside it."""
    kind = "number" if is_number else None
    return element("td", *children, class_=kind, data_label=label, role="cell", **attributes)


def table(caption: str, columns: Iterable[tuple[str, bool]], *bodies: Child, class_: str) -> Markup:
    """A table in a frame of its own, which scrolls if it must.

    Args:
        caption: for those who cannot see the heading above.
        columns: the text of each, and whether it has numbers.
        bodies: its ``tbody`` elements.
        class_: ``cards``: rows become cards on a phone; ``wide``: it scrolls there.
    """
    heads = [
        element("th", text, scope="col", role="columnheader", class_="number" if is_number else None)
        for text, is_number in columns
    ]
    return element(
        "div",
        element(
            "table",
            element("caption", caption, class_="unseen"),
            element("thead", element("tr", heads, role="row"), role="rowgroup"),
            bodies,
            role="table",
            class_=class_,
        ),
        class_="frame",
        tabindex=0 if class_ == "wide" else None,
        role="region" if class_ == "wide" else None,
        aria_label=caption if class_ == "wide" else None,
    )
