"""The whole page: complete as of one moment, so that it can be read without JavaScript."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from markupsafe import Markup

from streamer.page.figures import moment
from streamer.page.markup import element
from streamer.page.parts import SYMBOLS, WORDS, name
from streamer.page.view import View
from streamer.status.verdict import Level

RELOAD_SECONDS: Final = 10
"""How often the page reloads itself where no JavaScript runs."""

MAX_TITLE_CHARACTERS: Final = 40
"""Of the name in the title: a tab shows no more."""

_WITHOUT_SCRIPT: Final = f"Without JavaScript this page reloads every {RELOAD_SECONDS} s."

_NAMES: Final = {
    "integrations": "Integrations",
    "destinations": "Destinations",
    "partitions": "Partitions",
    "faults": "Faults",
    "letters": "Dead letters",
    "charts": "Charts",
    "groups": "Group",
    "way-back": "Way back",
}

_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><{shape}/>'
    '<path d="{sign}" stroke="#fff" stroke-width="2" fill="none"/></svg>'
)
_ICONS: Final = {
    Level.WELL: _ICON.format(shape='circle cx="8" cy="8" r="8" fill="#1a7f4b"', sign="M4 8.5l3 3 5-6"),
    Level.WATCH: _ICON.format(shape='path d="M8 0l8 15H0z" fill="#b57700"', sign="M8 5v5M8 11.5v2"),
    Level.ACT: _ICON.format(
        shape='rect width="16" height="16" rx="2" fill="#c02b20"', sign="M4.5 4.5l7 7M11.5 4.5l-7 7"
    ),
}
"""Shape and colour by level: a tab says how it is."""


def icon_of(view: View) -> str:
    """The address of the icon of the tab."""
    return f"data:image/svg+xml,{quote(_ICONS[view.verdict.level])}"


def title_of(view: View) -> str:
    """What a tab shows."""
    level, problems = view.verdict.level, view.verdict.problems
    subject = problems[0].subject.partition(" (")[0][:MAX_TITLE_CHARACTERS] if problems else ""
    about = f": {subject}" if subject else ""
    return f"{SYMBOLS[level]} {WORDS[level]}{about} · streamer"


def clock_of(view: View) -> Markup:
    """As of when the page is."""
    return moment(view.now, view.now)


def document(view: View, sections: Mapping[str, Markup]) -> Markup:
    """The page with its sections, by their ids."""
    body = element(
        "body",
        element("a", "Skip to the state", href="#main", class_="skip"),
        element(
            "header",
            element("span", "streamer", class_="brand"),
            element("span", name(view.status.instance), class_="instance"),
            element(
                "span",
                element("span", "As of", id="live"),
                " ",
                element("span", clock_of(view), id="clock"),
                " UTC",
                class_="clock",
            ),
        ),
        element("p", id="connection", role="status", hidden=""),
        element("p", id="announcement", role="status", class_="unseen"),
        element("noscript", element("p", _WITHOUT_SCRIPT, class_="quiet")),
        element(
            "main",
            _section("verdict", sections, None),
            element(
                "nav",
                [element("a", text, href=f"#{key}") for key, text in _NAMES.items() if sections.get(key)],
                aria_label="Parts of the page",
            ),
            [_section(key, sections, f"{key}-title") for key in _NAMES],
            id="main",
            tabindex=-1,
        ),
        element("footer", sections["foot"], id="foot"),
    )
    page = element("html", _head(view), body, lang="en", data_level=view.verdict.level.value)
    return Markup("<!doctype html>") + page


def _section(key: str, sections: Mapping[str, Markup], title: str | None) -> Markup:
    content = sections.get(key)
    return element(
        "section", content, id=key, aria_labelledby=title if content else None, hidden=None if content else ""
    )


def _head(view: View) -> Markup:
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("title", title_of(view)),
        element("link", rel="icon", href=icon_of(view), id="icon"),
        element("link", rel="stylesheet", href="page/page.css"),
        element("noscript", element("meta", http_equiv="refresh", content=str(RELOAD_SECONDS))),
        element("script", src="page/page.js", defer=""),
    )
