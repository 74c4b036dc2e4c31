"""Whether a cancellation was asked for. Libraries cancel their own tasks, and sometimes let that through."""

import asyncio


def is_asked_for() -> bool:
    """Whether somebody wants the present task to end; asked where a `asyncio.CancelledError` was caught."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine runs in a task"
    return task.cancelling() > 0
