"""The way back, where it is configured: webhooks, what becomes of their calls, and the directory."""

from collections import Counter
from typing import Final

from markupsafe import Markup

from streamer.core.inbound.call import CallOutcome
from streamer.page.figures import count, duration_words, moment
from streamer.page.integrations import COLUMNS, consumer_rows
from streamer.page.markup import Child, element, joined
from streamer.page.parts import badge, cell, heading, name, quiet, table, tally
from streamer.page.view import View
from streamer.status import ConsumerStatus, DirectoryStatus, InboundStatus, WebhooksStatus
from streamer.status.verdict import Level

TERMS: Final = {"delivered": CallOutcome.APPLIED.value, "filtered": CallOutcome.IGNORED.value}
"""Terms of an account that have other names for calls."""

_TYPES: Final = (("Type of call", False), ("Outcomes", False))
_WEBHOOKS: Final = (("Webhook", False), ("Requests by result", False), ("Calls", True))


def way_back(view: View) -> Markup | None:
    """The section of the way back; None: it is off."""
    inbound = view.status.inbound
    if inbound is None:
        return None
    environment = None if inbound.environment is None else f"environment {inbound.environment}"
    consumer = inbound.consumer
    return joined(
        [
            heading("way-back", "The way back", environment),
            element("p", "Another process applies the calls.", class_="quiet")
            if consumer is None
            else table(
                "The way back", COLUMNS, consumer_rows(consumer, view, about="directory", terms=TERMS), class_="cards"
            ),
            None if inbound.directory is None else _directory(inbound.directory, view),
            _webhooks(inbound.webhooks),
            _calls(inbound),
        ]
    )


def _consumer(consumer: ConsumerStatus, view: View) -> Markup:
    rows = consumer_rows(consumer, view, about="applies calls to the directory", terms=TERMS)
    return table("The way back", COLUMNS, rows, class_="cards")


def _directory(directory: DirectoryStatus, view: View) -> Markup:
    is_publishing = "published by this instance" if directory.is_publishing else "published by another instance"
    oldest = directory.outbox_oldest_at
    entries: list[tuple[str, Child]] = [
        ("State", badge(Level.WELL, "Up") if directory.is_up else badge(Level.ACT, "Away")),
        ("Reason", directory.reason),
        ("Users", count(directory.users)),
        ("Devices", count(directory.devices)),
        ("Outbox", joined([count(directory.outbox_records), " records, ", is_publishing])),
        (
            "Oldest in the outbox",
            "" if oldest is None else joined([moment(oldest, view.now), ", ", duration_words(view.now - oldest)]),
        ),
        ("Published here", joined([count(directory.published), ", skipped ", count(directory.skipped)])),
        ("Cannot publish", directory.publishing_fault),
    ]
    return joined(
        [
            element("h3", "Directory of users"),
            element(
                "dl",
                [
                    element("div", element("dt", label), element("dd", value), data_key=label)
                    for label, value in entries
                    if value
                ],
                class_="facts",
            ),
        ]
    )


def _webhooks(webhooks: WebhooksStatus | None) -> Markup:
    if webhooks is None:
        return element("p", "Another process receives the webhooks.", class_="quiet")
    names = sorted({webhook for webhook, _ in webhooks.requests} | {webhook for webhook, _ in webhooks.calls})
    rows = [_webhook(webhook, webhooks) for webhook in names]
    return table("Webhooks", _WEBHOOKS, element("tbody", rows, role="rowgroup"), class_="cards")


def _webhook(webhook: str, webhooks: WebhooksStatus) -> Markup:
    results = {result: number for (of, result), number in webhooks.requests.items() if of == webhook and number}
    calls = sum(number for (of, _), number in webhooks.calls.items() if of == webhook)
    return element(
        "tr",
        element("th", name(webhook), scope="row", role="rowheader"),
        cell("Requests by result", tally(results)),
        cell("Calls", count(calls), is_number=True),
        role="row",
        data_key=webhook,
    )


def _calls(inbound: InboundStatus) -> Markup | None:
    """By type, and by outcome or reason."""
    types: dict[str, Counter[str]] = {}
    for (_, kind, outcome, reason), number in sorted(inbound.calls.items()):
        types.setdefault(kind, Counter())[reason or outcome] += number
    if not types:
        return None
    rows = [
        element(
            "tr",
            element("th", name(kind), scope="row", role="rowheader"),
            cell("Outcomes", tally(counts)),
            role="row",
            data_key=kind,
        )
        for kind, counts in types.items()
    ]
    return joined(
        [
            table("Calls", _TYPES, element("tbody", rows, role="rowgroup"), class_="cards"),
            element("div", quiet("Remarks "), tally(inbound.remarks), class_="remarks")
            if any(inbound.remarks.values())
            else None,
        ]
    )
