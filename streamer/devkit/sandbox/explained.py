"""Why Segment drops a call after a 200, in words: what happened, Segment's rule, and what to do about it.

Source: Segment docs, delivery overview ("Discarded events"), HTTP API, and the specification of each call.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from streamer.devkit.sandbox.answers import MAX_BATCH_CALLS
from streamer.devkit.sandbox.discards import MAX_MESSAGE_ID_CHARACTERS, Discard


class Explained(NamedTuple):
    """One discard code for a reader. Each part is one or two sentences."""

    what: str
    rule: str
    remedy: str


EXPLAINED: Final[Mapping[Discard, Explained]] = MappingProxyType(
    {
        Discard.BAD_REQUEST: Explained(
            "The call is not a JSON object, or its type is unknown.",
            "In a batch, each call is an object with type identify, track, page, screen, group or alias.",
            "Set type to one of the six.",
        ),
        Discard.CATEGORY_NOT_STRING: Explained(
            "The category of a page or screen call is not a text.",
            "category is a text that is not empty, or it is left out.",
            "Send a text, or leave category out.",
        ),
        Discard.EMPTY_BATCH: Explained(
            "The batch holds no call.",
            "A batch holds at least one call. Segment counts the request as discarded; there is no call to lose.",
            "Send no empty batches.",
        ),
        Discard.EVENT_NOT_DEFINED: Explained(
            "A track call has no event.",
            "Each track call names its event in event.",
            "Set event to the name of the event.",
        ),
        Discard.EVENT_NOT_STRING: Explained(
            "The event of a track call is not a text.",
            "event is a text.",
            "Send the event's name as a text.",
        ),
        Discard.ID_NOT_STRING: Explained(
            "A userId, anonymousId or messageId is not a text.",
            "All three are texts, also where your ids are numbers.",
            'Send ids as texts: "123", not 123.',
        ),
        Discard.MULTI_USER_ERROR: Explained(
            "Some calls of the batch were dropped, and the others were published.",
            "Segment judges each call of a batch by itself and still answers 200 to the batch.",
            "See the codes of the calls that were dropped.",
        ),
        Discard.NAME_NOT_STRING: Explained(
            "The name of a page or screen call is not a text.",
            "name is a text that is not empty, or it is left out.",
            "Send a text, or leave name out.",
        ),
        Discard.NO_USER_ANON_ID: Explained(
            "The call has neither userId nor anonymousId.",
            "Each call says whom it is about with at least one of the two.",
            "Set userId, or anonymousId for a user who is not known.",
        ),
        Discard.PROPERTIES_NOT_OBJECT: Explained(
            "The properties of the call are not a JSON object.",
            "properties is an object, or it is left out.",
            "Send an object with the properties as members.",
        ),
        Discard.TRAITS_NOT_OBJECT: Explained(
            "The traits of an identify or group call are not a JSON object.",
            "traits is an object, or it is left out.",
            "Send an object with the traits as members.",
        ),
        Discard.MESSAGE_ID_TOO_LONG: Explained(
            f"The messageId has more than {MAX_MESSAGE_ID_CHARACTERS} characters.",
            f"Segment documents at most {MAX_MESSAGE_ID_CHARACTERS} characters. One of its products drops longer ones"
            " without an error; the others do not say. Segment has no code for this.",
            "Send a shorter messageId, such as a hash of the long one.",
        ),
        Discard.TOO_MANY_CALLS: Explained(
            f"The batch has more than {MAX_BATCH_CALLS:,} calls.",
            f"Segment takes {MAX_BATCH_CALLS:,} calls in a batch and drops calls above that. It does not say which, so"
            " the sandbox drops all of them. Segment has no code for this.",
            "Send smaller batches.",
        ),
        Discard.UNKNOWN_WRITE_KEY: Explained(
            "No source has this write key.",
            "Segment answers 200 to an unknown write key and drops the calls. Segment has no code for this.",
            "Use the write key of a source of the workspace. Here, --know-key says which keys are known.",
        ),
    }
)
"""Each code in words; no code is missing."""
