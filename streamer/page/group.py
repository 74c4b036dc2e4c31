"""Who shares the work: the members of the consumer groups, as Kafka knows them."""

from typing import Final

from markupsafe import Markup

from streamer.page.figures import count
from streamer.page.markup import element, joined
from streamer.page.parts import cell, heading, name, table
from streamer.page.view import View
from streamer.status import ConsumerStatus

MAX_MEMBERS: Final = 20
"""Most members that are shown of a group."""

_COLUMNS: Final = (("Group", False), ("Client", False), ("Host", False), ("Partitions", True))


def groups(view: View) -> Markup:
    """The section of the members of all groups."""
    bodies = [_group(consumer) for consumer in view.status.consumers if consumer.members]
    return joined(
        [
            heading("groups", "Group members", "as the brokers know them"),
            table("Members of the consumer groups", _COLUMNS, bodies, class_="wide")
            if bodies
            else element("p", "The brokers have not said yet who the members are.", class_="quiet"),
        ]
    )


def _group(consumer: ConsumerStatus) -> Markup:
    members = sorted(consumer.members, key=lambda member: (not member.is_this, member.client_id))
    rows = [
        element(
            "tr",
            cell("Group", name(consumer.group)),
            element(
                "th",
                name(member.client_id),
                element("span", "this instance", class_="tag") if member.is_this else None,
                scope="row",
                role="rowheader",
            ),
            cell("Host", name(member.host)),
            cell("Partitions", count(member.partitions), is_number=True),
            role="row",
        )
        for member in members[:MAX_MEMBERS]
    ]
    if len(members) > MAX_MEMBERS:
        text = f"and {len(members) - MAX_MEMBERS:,} more"
        rows.append(element("tr", element("td", text, colspan="4", class_="quiet", role="cell"), role="row"))
    return element("tbody", rows, role="rowgroup", data_key=consumer.name)
