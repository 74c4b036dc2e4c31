"""The list of calls and one call that was opened, as HTML. Pure."""

from collections.abc import Sequence
from typing import Final

from streamer.devkit.sandbox.debugger.calls import ShownCall
from streamer.devkit.sandbox.debugger.finding import MAX_ROWS, Found
from streamer.devkit.sandbox.debugger.json_view import show_json
from streamer.devkit.sandbox.debugger.markup import clock_time, count, name, text
from streamer.devkit.sandbox.debugger.query import Query
from streamer.devkit.sandbox.explained import EXPLAINED
from streamer.devkit.sandbox.record import KEPT_CALLS, Verdict
from streamer.devkit.sandbox.sources import Source

MEANINGS: Final = {
    Verdict.ACCEPTED: "Segment would publish the call.",
    Verdict.DUPLICATE: "The messageId was accepted before, so Segment drops the call.",
    Verdict.SWALLOWED: "Segment answers 2xx and drops the call, because the call breaks a rule.",
    Verdict.REFUSED: "The request was answered with an error, or its connection was reset.",
}
"""What each verdict means."""

NOBODY_TOLD: Final = (
    '<p class="quiet">Unknown: a call does not say which record it was made from. The producer of the records can tell'
    " the sandbox: <code>POST /_sandbox/sources</code>.</p>"
)

NOT_KEPT: Final = (
    f"<h2 tabindex=-1>This call is not here any more</h2><p>The sandbox keeps the latest {KEPT_CALLS:,} calls, and"
    " forgets them all when it is reset or restarted. Search for the messageId to find a later attempt.</p>"
)


def show_rows(found: Found, query: Query, *, opened: str = "") -> str:
    """The rows of the list, newest first, with a note where calls are left out.

    Args:
        found: what to list.
        query: the search that found them; the rows' links keep it.
        opened: id of the call that is open.
    """
    rows = [_row(call, query, is_open=call.id == opened) for call in found.calls]
    notes = []
    if left_out := found.matches - len(found.calls):
        notes.append(f"{count(left_out)} more came before these. A search finds them while they are kept.")
    if found.missed:
        notes.append(f"{count(found.missed)} more came too fast to be listed or searched.")
    if notes:
        rows.append(f'<tr class="gap"><td colspan="6">{" ".join(notes)}</td></tr>')
    return "\n".join(rows)


def _row(call: ShownCall, query: Query, *, is_open: bool) -> str:
    entry = call.kept.entry
    current = ' aria-current="true"' if is_open else ""
    code = f' <span class="quiet">{entry.discard}</span>' if entry.discard else ""
    title = call.name or ("(too large, not kept)" if call.kept.body is None else "(no event)")
    cells = (("user", ", ".join(call.users)), ("id", entry.message_id or "(none)"), ("answer", entry.answer))
    return (
        f'<tr data-id="{call.id}"{current}><td class="time">{clock_time(entry.received_at)}</td>'
        f'<td class="verdict"><span class="tag {entry.verdict}">{entry.verdict}</span></td>'
        f'<td class="event"><a href="{text(query.address(call=call.id))}" title="{text(title)}">{text(title)}</a>'
        f"{code}</td>"
        + "".join(f'<td class="{column}" title="{text(cell)}">{text(cell)}</td>' for column, cell in cells)
        + "</tr>"
    )


def show_found(found: Found, query: Query, received: int) -> str:
    """What was searched, and what was found."""
    kept = min(received, KEPT_CALLS)
    if query.is_empty:
        listed = min(received, MAX_ROWS)
        return f"The latest {count(listed)} of {count(received)} calls." if received else "No call has come yet."
    verb = "match" if found.matches != 1 else "matches"
    return f"{count(found.matches)} of the latest {count(kept)} calls {verb}; new ones are added. "


def show_call(call: ShownCall | None, sources: Sequence[Source], query: Query, taken: int) -> str:
    """One call beside the records that it was made from.

    Args:
        call: the call; None: it is not kept any more.
        sources: the records of its messageId, as far as somebody told.
        query: the search that stays when the call is closed.
        taken: how often its messageId was accepted or found to be a duplicate.
    """
    close = f'<a class="button" id="close" href="{text(query.address())}">Close</a>'
    if call is None:
        return close + NOT_KEPT
    body = "<p>The call is over Segment's limit of 32,000 bytes and was not kept.</p>"
    if call.kept.body is not None:
        body = f'<pre tabindex="0" role="region" aria-label="the call">{show_json(call.document)}</pre>'
    return (
        f'{close}<h2 tabindex="-1">{text(call.name or "(no event)")}</h2>{_verdict(call)}{_facts(call, taken)}'
        f'<div class="beside"><section><h3>Call</h3>{body}</section>'
        f"<section><h3>Record it came from</h3>{_sources(sources)}</section></div>"
    )


def _verdict(call: ShownCall) -> str:
    entry = call.kept.entry
    why = MEANINGS[entry.verdict]
    if entry.discard:
        explained = EXPLAINED[entry.discard]
        why = f"{explained.what} {explained.rule} What to do: {explained.remedy}"
    code = f" <code>{entry.discard}</code>" if entry.discard else ""
    return f'<p><span class="tag {entry.verdict}">{entry.verdict}</span>{code} {text(why)}</p>'


def _facts(call: ShownCall, taken: int) -> str:
    entry = call.kept.entry
    facts = [
        ("received", f"{clock_time(entry.received_at)} UTC"),
        ("request", f"POST {text(entry.path)}, answer {text(entry.answer)}"),
        ("messageId", _only("message_id", entry.message_id) if entry.message_id else "(none)"),
        ("user", ", ".join(_only("user", user) for user in call.users) or "(none)"),
    ]
    if call.kept.body is not None:
        facts.append(("size", f"{count(len(call.kept.body))} bytes as compact JSON"))
    if taken > 1:
        facts.append(("taken", f"{count(taken)} calls with this messageId got a 2xx; the first one is published"))
    return f'<dl class="facts">{"".join(f"<dt>{term}</dt><dd>{fact}</dd>" for term, fact in facts)}</dl>'


def _only(field: str, value: str) -> str:
    """A link to all calls that have this value."""
    address = Query(**{field: value}).address()  # type: ignore[arg-type]  # both fields are texts
    return f'<a href="{text(address)}" title="show all calls with it">{name(value)}</a>'


def _sources(sources: Sequence[Source]) -> str:
    if not sources:
        return NOBODY_TOLD
    several = f"<p>{len(sources)} records were told for this messageId.</p>" if len(sources) > 1 else ""
    return several + "".join(map(_source, reversed(sources)))


def _source(source: Source) -> str:
    place = (
        f'<dl class="facts"><dt>topic</dt><dd>{name(source.topic)}</dd>'
        f"<dt>partition</dt><dd>{source.partition}</dd><dt>offset</dt><dd>{source.offset}</dd></dl>"
    )
    if source.value is None:
        return place
    return f'{place}<pre tabindex="0" role="region" aria-label="the record">{show_json(source.value)}</pre>'
