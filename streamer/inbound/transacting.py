"""One transaction: what the directory holds of a slice of calls is loaded, the rules decide, the changes are saved."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from streamer.core.errors import UnavailableError
from streamer.core.inbound.call import Applied, Call, Ignored, Rejected
from streamer.core.inbound.concern import concern
from streamer.core.inbound.rules import Rules
from streamer.core.inbound.view import View
from streamer.inbound.ports import Directory

CALLS_AT_ONCE: Final = 50
"""Calls that are read or applied before the event loop gets its turn: a few milliseconds."""

Read = Call | Ignored | Rejected


class GuiltyError(Exception):
    """Applying the call at ``index`` of a slice raised; ``cause`` is what. Nothing of the slice is stored."""

    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__()
        self.index = index
        self.cause = cause


async def transact(
    calls: Sequence[Read], *, directory: Directory, rules: Rules, timeout_seconds: float
) -> list[Applied]:
    """Apply calls in one transaction. When this returns, they are applied for good.

    Returns:
        What becomes of each call, in order. One that was rejected is to be set aside, unless it is a duplicate.

    Raises:
        UnavailableError: the database cannot be used. The calls are not applied; only if its connection was lost at the
            commit, they may be, and are duplicates the next time.
        GuiltyError: one of the calls cannot be applied because of a bug.
    """
    ends: list[Applied] = []
    try:
        async with asyncio.timeout(timeout_seconds), directory.transaction() as transaction:
            view = View(*await transaction.load(concern(calls, rules)), rules)
            for index, call in enumerate(calls):
                if index and index % CALLS_AT_ONCE == 0:
                    await asyncio.sleep(0)
                try:
                    ends.append(view.apply(call))
                except Exception as error:
                    raise GuiltyError(index, error) from error
            await transaction.save(view.changes(), time.time_ns() // 1000)
    except TimeoutError as error:
        raise UnavailableError(
            f"a transaction of {len(calls)} calls took more than {timeout_seconds:g} s; look at the load of the"
            " database"
        ) from error
    return ends
