import orjson

from bench.applying import PERSONS, call_of, person_of
from streamer.core.inbound.call import Action, Call
from streamer.core.inbound.reading import read
from streamer.core.inbound.rules import Rules


def test_every_other_call_identifies_a_person_and_the_next_one_is_an_event() -> None:
    """The row waits for one trigger a pair: with fewer, it would wait in vain."""
    for number in (0, 1, 2, 3, 2 * PERSONS, 9_999):
        call = read(call_of(number), [], 1_800_000_000_000, Rules())
        assert isinstance(call, Call)
        assert call.action is (Action.TRACK_EVENT if number % 2 else Action.IDENTIFY_USER)
        assert call.user_id == f"usr_{person_of(number)}"
    ids = {orjson.loads(call_of(number))["messageId"] for number in range(5_000)}
    assert len(ids) == 5_000
