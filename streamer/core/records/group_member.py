"""A member of a consumer group, as it is shown."""

from typing import NamedTuple


class GroupMember(NamedTuple):
    """One member of a consumer group, as the brokers know it."""

    client_id: str
    host: str
    partitions: int
    is_this: bool
    """Whether it is this process."""
