"""The page as sections, each rendered by itself: the first line, what follows it in order of need, and the foot."""

from collections.abc import Callable, Mapping
from typing import Final

from markupsafe import Markup

from streamer.logs.observing import observing
from streamer.page.charts import charts
from streamer.page.destinations import destinations
from streamer.page.faults import faults, letters
from streamer.page.figures import duration_words, moment
from streamer.page.group import groups
from streamer.page.integrations import integrations
from streamer.page.markup import element, joined
from streamer.page.partitions import partitions
from streamer.page.parts import WORDS, badge, name
from streamer.page.view import View
from streamer.page.way_back import way_back
from streamer.status.verdict import Problem, Verdict


def first_line(view: View) -> Markup:
    """Whether it is well, in words; below it the other problems."""
    verdict = view.verdict
    others = [_other(problem) for problem in verdict.problems[1:]]
    return joined(
        [
            badge(verdict.level, WORDS[verdict.level]),
            element("h1", _headline(verdict)),
            element("ul", others, class_="problems") if others else None,
        ]
    )


def _headline(verdict: Verdict) -> Markup | str:
    """The headline as it is; where it tells a problem, its parts stand below one another."""
    first = next(iter(verdict.problems), None)
    if first is None or not verdict.headline.startswith(first.line):
        return verdict.headline
    rest = verdict.headline.removeprefix(first.line)
    return joined([_problem(first), element("span", rest, class_="more") if rest else None])


def _problem(problem: Problem) -> Markup:
    """In three parts, which are its line when they are read one after the other."""
    return joined(
        [
            element("span", element("b", name(problem.subject)), f": {problem.what}.", class_="what"),
            element("span", problem.data, class_="data act" if problem.is_data_at_risk else "data"),
            element("span", element("b", "Do:"), f" {problem.next_step}", class_="do"),
        ],
        " ",
    )


def _other(problem: Problem) -> Markup:
    level = badge(problem.level, WORDS[problem.level])
    return element("li", level, " ", _problem(problem), data_key=f"{problem.subject} {problem.what.split(' ')[0]}")


def foot(view: View) -> Markup:
    """What runs, and where to look further."""
    status = view.status
    running = duration_words(view.now - status.started_at)
    entries = [
        ("Version", status.version),
        ("Commit", status.commit),
        ("Configuration", status.config_sha256),
        ("Mapping", status.mapping_version),
        ("Instance", name(status.instance or "not known")),
        ("Started", joined([moment(status.started_at, view.now), ", ", running, " ago"])),
    ]
    links = [("/status", "status"), ("/metrics", "metrics"), ("/readyz?verbose", "readyz?verbose")]
    return joined(
        [
            element(
                "dl",
                [element("div", element("dt", label), element("dd", value)) for label, value in entries],
                class_="facts",
            ),
            element("p", joined([element("a", text, href=address) for address, text in links], " · ")),
        ]
    )


SECTIONS: Final[Mapping[str, Callable[[View], Markup | None]]] = {
    "verdict": first_line,
    "integrations": integrations,
    "destinations": destinations,
    "partitions": partitions,
    "faults": faults,
    "letters": letters,
    "charts": charts,
    "groups": groups,
    "way-back": way_back,
    "foot": foot,
}
"""In the order of the page, by the id of the element that holds them."""


def sections_of(view: View) -> Mapping[str, Markup]:
    """All sections by their ids. One that cannot be shown says so, and the others are shown."""
    return {section: _shown(section, view) for section in SECTIONS}


def _shown(section: str, view: View) -> Markup:
    with observing(f"page.{section}"):
        return SECTIONS[section](view) or Markup()
    return element("p", "This part cannot be shown; see the log for observer.failed.", class_="act")
