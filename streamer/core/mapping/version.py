"""The version of the mapping, which is not the version of the package."""

from typing import Final

MAPPING_VERSION: Final = "1"
"""Changes when any record gets another messageId than before with the same settings, and only then.

Segment and our receipts recognise a call by its messageId. A record that is read again with another one is delivered
twice. So a change of an id is announced (docs/compatibility.md), and dead letters, ``/status`` and the metric
``streamer_config_info`` carry this version. ``tests/core/mapping/message_ids.json`` holds the ids of each version.
"""
