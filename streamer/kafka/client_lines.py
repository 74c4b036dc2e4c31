"""What the Kafka client logs about its connections: hundreds of lines in ten seconds without a broker.

One line of ours says all of it (``kafka.unavailable``, see `streamer.pipeline.contact`), so these are written at the
level ``debug`` only. What the client says about anything else stays a warning.
"""

from typing import Final

ABOUT_CONNECTIONS: Final = frozenset(
    {
        'Unable connect to "%s:%s": %s',
        "Unable connect to node with id %s: %s",
        'Unable to request metadata from "%s:%s": %s',
        "Unable to request metadata from node with id %s: %r",
        "Unable to update metadata from %s",
        "Failed fetch messages from %s: %s",
        "Failed fetch offsets from %s: %s",
        "Error sending %s to node %s [%s] -- marking coordinator dead",
        "Marking the coordinator dead (node %s)for group %s.",
        "Group Coordinator Request failed: %s",
        "Heartbeat session expired - marking coordinator dead",
        "Heartbeat send request failed: %s. Will retry.",
        "Heartbeat failed for group %s: coordinator (node %s) is either not started or not valid",
        "LeaveGroup request failed: %s",
        "FindCoordinator Request failed: %s",
        "Cannot send %r to %s: %r",
        "Could not send %r: %r",
    }
)
"""The formats of those lines, as they stand in the client's source."""
