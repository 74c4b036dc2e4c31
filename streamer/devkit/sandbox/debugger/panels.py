"""What stands around the list of calls: counts, rates, faults, what Segment swallows, and the stand-ins. Pure HTML."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from streamer.devkit.sandbox.debugger.call_views import MEANINGS
from streamer.devkit.sandbox.debugger.markup import count, duration, rate, text, things
from streamer.devkit.sandbox.debugger.presets import DURATIONS, PRESETS, describe, ending
from streamer.devkit.sandbox.discards import Discard
from streamer.devkit.sandbox.explained import EXPLAINED
from streamer.devkit.sandbox.fault_script import RunningFault
from streamer.devkit.sandbox.platforms import Platform, StandIn
from streamer.devkit.sandbox.rates import WINDOW_SECONDS, Tally
from streamer.devkit.sandbox.record import SandboxRecord, Verdict
from streamer.devkit.sandbox.webhook import WebhookDestination

NOW_SECONDS: Final = 5
"""Over how many seconds a rate counts as what happens now."""

SHOWN_EVENTS: Final = 5
"""How many of the latest events of a stand-in are shown."""

SHOWN_FAULTS: Final = 20
"""How many of the faults in force are shown."""

CHART_HEIGHT: Final = 40


def show_counts(record: SandboxRecord, seconds: Sequence[Tally]) -> str:
    """Calls by verdict, with rates."""
    numbers = (record.accepted, record.duplicates, record.swallowed, record.refused)
    rows = [("received", record.received, [sum(tally) for tally in seconds])]
    for place, (verdict, number) in enumerate(zip(Verdict, numbers, strict=True)):
        rows.append((verdict, number, [tally[place] for tally in seconds]))
    body = "".join(
        f'<tr><th scope="row"><span class="tag {name}">{name}</span></th><td class="number">{count(number)}</td>'
        f'<td class="number">{rate(sum(each[-NOW_SECONDS:]) / NOW_SECONDS)}</td>'
        f'<td class="number">{rate(sum(each) / WINDOW_SECONDS)}</td></tr>'
        for name, number, each in rows
    )
    return (
        '<table><thead><tr><th scope="col">calls</th><th scope="col" class="number">all</th>'
        f'<th scope="col" class="number">per s, {NOW_SECONDS} s</th><th scope="col" class="number">per s, minute</th>'
        f"</tr></thead><tbody>{body}</tbody></table>{_requests(record)}"
    )


def _requests(record: SandboxRecord) -> str:
    answers = _numbers(record.requests_by_answer)
    return (
        f'<p class="quiet">Requests by answer: {answers or "none yet"}. In flight: {count(record.requests_in_flight)}.'
        f" messageIds remembered: {count(len(record.accepted_ids))}.</p>"
    )


def _numbers(counter: Mapping[str, int]) -> str:
    return ", ".join(f"{text(name)}: {count(number)}" for name, number in sorted(counter.items()))


def show_verdicts() -> str:
    """What each verdict means."""
    meanings = "".join(
        f'<dt><span class="tag {verdict}">{verdict}</span></dt><dd>{meaning}</dd>'
        for verdict, meaning in MEANINGS.items()
    )
    return (
        "<details><summary>What these mean</summary><p>received = accepted + duplicate + swallowed + refused. Each"
        f' attempt of a sender counts.</p><dl id="verdicts">{meanings}</dl></details>'
    )


def show_chart(seconds: Sequence[Tally]) -> str:
    """The calls of each second of the last minute, by verdict, as bars on one another."""
    highest = max(map(sum, seconds), default=0)
    bars = []
    for x, tally in enumerate(seconds):
        top = float(CHART_HEIGHT)
        for verdict, calls in zip(Verdict, tally, strict=True):
            if calls:
                height = calls * CHART_HEIGHT / highest
                top -= height
                bars.append(f'<rect class="{verdict}" x="{x * 5}" y="{top:.2f}" width="4" height="{height:.2f}"/>')
    said = f"Calls in each second of the last minute; the most were {count(highest)}."
    return (
        f'<svg viewBox="0 0 {WINDOW_SECONDS * 5} {CHART_HEIGHT}" preserveAspectRatio="none" role="img"'
        f' aria-label="{said}">{"".join(bars)}</svg><p class="quiet">{said}</p>'
    )


def show_fault_buttons() -> str:
    """The buttons that start faults, and for how long; they need the page's script."""
    buttons = "".join(
        f'<button type="button" data-play="{name}" title="{text(preset.effect)}"><b>{text(preset.label)}</b>'
        f"<span>{text(preset.effect)}</span></button>"
        for name, preset in PRESETS.items()
    )
    durations = "".join(f'<option value="{seconds or ""}">{said}</option>' for said, seconds in DURATIONS.items())
    return (
        f'<p><label>Play for <select id="duration" autocomplete="off">{durations}</select></label>'
        f' <span id="told" role="status"></span></p><div class="buttons">{buttons}</div>'
    )


def show_running(running: Sequence[RunningFault]) -> str:
    """The faults in force, in the order in which they are tried, each with a way to end it."""
    if not running:
        return "<p>No fault runs: the sandbox answers as Segment does.</p>"
    items = "".join(
        f"<li><span><b>{text(describe(each.fault))}</b><br>since {duration(each.age_seconds)},"
        f" hit {things(each.requests, 'request')},"
        f" {ending(each.ends_in_seconds, each.times_left)}</span>"
        f' <button type="button" class="end" data-end="{each.number}"'
        f' aria-label="End: {text(describe(each.fault))}">End</button></li>'
        for each in running[:SHOWN_FAULTS]
    )
    more = f"<p>{len(running) - SHOWN_FAULTS} more run.</p>" if len(running) > SHOWN_FAULTS else ""
    return f'<ol class="running">{items}</ol>{more}'


def show_swallowed(calls: Counter[Discard], requests: Counter[Discard]) -> str:
    """Each code for which Segment drops calls after a 200: those that were met first, in words."""
    met = [code for code in Discard if calls[code] or requests[code]]
    others = [code for code in Discard if code not in met]
    first = "".join(_discard(code, calls[code], requests[code]) for code in met)
    rest = "".join(_discard(code, 0, 0) for code in others)
    return (
        f"<dl>{first}</dl>" if met else "<p>None so far.</p>"
    ) + f"<details><summary>{'The other rules' if met else 'The rules'}</summary><dl>{rest}</dl></details>"


def _discard(code: Discard, calls: int, requests: int) -> str:
    explained = EXPLAINED[code]
    counted = [things(number, noun) for noun, number in (("call", calls), ("request", requests)) if number]
    return (
        f"<dt><code>{code}</code> {', '.join(counted)}</dt><dd>{text(explained.what)}"
        f' <span class="quiet">{text(explained.rule)}</span> {text(explained.remedy)}</dd>'
    )


def show_stand_ins(stand_ins: Mapping[Platform, StandIn]) -> str:
    """What the stand-ins for the survey platforms know, if anybody sent them anything."""
    used = {platform: stand_in for platform, stand_in in stand_ins.items() if stand_in.answers}
    return "".join(_stand_in(platform, stand_in) for platform, stand_in in used.items())


def _stand_in(platform: Platform, stand_in: StandIn) -> str:
    latest = list(stand_in.events)[-SHOWN_EVENTS:]
    events = "".join(
        f"<li>{text(event.name)} <span class=quiet>{text(event.user)}"
        f" {text(orjson.dumps(event.content).decode()[:200])}</span></li>"
        for event in reversed(latest)
    )
    answers = _numbers({str(status): number for status, number in stand_in.answers.items()})
    known = f"{things(len(stand_in.users), 'user')}, {things(len(stand_in.events), 'event')} kept."
    listed = f"<ul>{events}</ul>" if events else ""
    return f"<section><h3>{platform}</h3><p>{known} Requests by answer: {answers}.</p>{listed}</section>"


def show_webhook(webhook: WebhookDestination | None) -> str:
    """What became of the calls that are forwarded; "" if none are."""
    if webhook is None:
        return ""
    last = webhook.last_answer or "none yet"
    return (
        f"<h2>Webhook</h2><p>Accepted calls go on to {text(webhook.url)}: {count(webhook.forwarded)} forwarded,"
        f" {count(webhook.waiting)} waiting, {count(webhook.dropped)} dropped. Requests by answer:"
        f" {_numbers(webhook.answers) or 'none'}. Last answer: {text(last)}.</p>"
    )
