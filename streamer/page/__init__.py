"""The page at ``/``: what the service knows of itself, for a person with a browser, changing as it changes.

    view.py       one look: a snapshot, the verdict on it, the moment
    sections.py   the parts of the page in their order; one module each renders them (integrations, partitions, ...)
    document.py   the whole page; charts.py draws, markup.py escapes, figures.py writes numbers
    screen.py     renders once a second for all viewers; page.py serves it
    static/       style and script: no build step, nothing from elsewhere

Everything is rendered here, in one place. The script only puts changed parts in, so a browser without it sees the same.
"""

from streamer.page.page import Page

__all__ = ["Page"]
