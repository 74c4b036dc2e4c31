"""What ``streamer replay`` does, from its options to its account."""

import argparse
import asyncio
from pathlib import Path
from typing import Final

from streamer import logs
from streamer.cli.output import print_rows
from streamer.cli.progress import ProgressBar
from streamer.cli.replay_order import UsageError, order_of
from streamer.cli.replay_telling import ReplayBar, account_rows, plan_rows
from streamer.cli.replay_words import command_of, say
from streamer.cli.signals import call_at_signal
from streamer.core.pushing import new_mapper
from streamer.core.records.replay import Bounds, group_of, passed, shortfall, size_of
from streamer.kafka import preflight
from streamer.kafka.client_lines import ABOUT_CONNECTIONS
from streamer.kafka.groups import delete_group
from streamer.kafka.stored_positions import stored_positions
from streamer.kafka.topic_reader import TopicReader
from streamer.operations import replay_state
from streamer.operations.delivered_before import Delivered, from_instances, from_topic
from streamer.operations.instances import Instances
from streamer.operations.replay_state import ReplayState
from streamer.operations.replay_survey import MAX_RECORDS, Survey
from streamer.page.figures import duration_words
from streamer.receipts import destination_fingerprint
from streamer.replay import Order, Replay, settings_for
from streamer.settings import Settings, load

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

STDERR: Final = 2


async def replay(args: argparse.Namespace) -> int:
    """Carry out the command; returns its exit code."""
    settings = load(args.config)
    try:
        order = order_of(args, settings)
        return await _Command(args, settings, order).run()
    except UsageError as error:
        say(str(error))
        return EXIT_USAGE


class _Command:
    """One run of the command."""

    def __init__(self, args: argparse.Namespace, settings: Settings, order: Order) -> None:
        self._args = args
        self._settings = settings
        self._order = order
        self._integration = settings.integrations[order.integration]
        self._group_id = group_of(order.name)
        self._directory: Path = replay_state.directory_of(settings.state_dir, order.name)
        self._again = command_of(args, order.integration)

    async def run(self) -> int:
        await preflight(self._settings.kafka)
        if self._args.forget:
            return await self._forget()
        state = replay_state.load(self._directory)
        if state is not None and state.forced != self._args.force:
            began = "with --force" if state.forced else "without --force"
            raise UsageError(
                f"this replay was begun {began} and interrupted. Go on with it {began}, or end it with --forget"
            )
        if state is not None:
            return await self._go_on(state)
        survey, known = await self._look(None)
        if not self._args.execute:
            return self._say_plan(survey, known)
        if known.doubt and not self._args.force:
            self._say_doubt(known)
            return EXIT_FAILED
        if not survey.to_send:
            say("nothing is to be sent")
            return 0
        stored = await stored_positions(self._settings.kafka, self._group_id, survey.bounds.keys())
        state = ReplayState(
            bounds=survey.bounds,
            records=survey.records,
            to_send=survey.to_send,
            forced=self._args.force,
            # Begun with another state_dir, or one that was deleted: the group goes on, and its account is not known.
            was_killed=any(position.offset is not None for position in stored.values()),
        )
        return await self._execute(state, known)

    async def _look(self, bounds: Bounds | None) -> tuple[Survey, Delivered]:
        """Read the range, and find out what of it was delivered before; without ``bounds``, it is decided now."""
        async with TopicReader(self._settings.kafka) as reader:
            survey = Survey(await self._bounds(reader) if bounds is None else bounds)
            bar = ProgressBar("reading")
            own = settings_for(self._order, self._settings, self._directory)
            await survey.read(reader, new_mapper(own.mapping(self._order.integration)), bar.show)
            bar.clear()
            known = await self._known(reader, survey)
        if not self._args.force:
            survey.note_delivered(known.digests)
        return survey, known

    async def _bounds(self, reader: TopicReader) -> Bounds:
        """The offsets of the range, without those that the integration itself has still to deliver."""
        topics = self._integration.topics
        bounds: Bounds = await reader.bounds_between(topics, self._args.since.at, self._args.until.at)
        for topic in sorted(set(topics) - {topic for topic, _ in bounds}):
            say(f"the topic {topic} does not exist: nothing is sent of it")
        if not self._order.is_elsewhere:
            stored = await stored_positions(self._settings.kafka, self._integration.group_id, bounds.keys())
            behind = passed(bounds, stored)
            left = size_of(bounds) - size_of(behind)
            if left:
                say(f"{left:,} records of the range are left to {self._order.integration}: it has not read them yet")
            bounds = behind
        if size_of(bounds) > MAX_RECORDS:
            raise UsageError(
                f"the range has {size_of(bounds):,} records, and one replay takes at most {MAX_RECORDS:,}: choose a"
                " shorter range, and replay the rest after it"
            )
        return bounds

    async def _known(self, reader: TopicReader, survey: Survey) -> Delivered:
        """What was delivered before to the destination, and what makes that doubtful."""
        if self._args.force or not survey.wanted:
            return Delivered()
        target, since = self._settings.destinations[self._order.destination], self._args.since.at
        bar = ProgressBar("receipts")
        try:
            if self._settings.receipts.topic is not None:
                known = await from_topic(
                    reader,
                    self._settings.receipts.topic,
                    destination_fingerprint(target.url, target.read_key(), target.message_id_suffix),
                    wanted=survey.wanted,
                    since=since,
                    on_progress=bar.show,
                )
                # Another destination has got nothing but what earlier replays sent there.
                return Delivered(known.digests) if self._order.is_elsewhere else known
            if self._order.is_elsewhere:
                return Delivered()
            async with Instances.open(self._settings, self._args.instance, self._args.token_file) as instances:
                return await from_instances(
                    instances, self._order.integration, wanted=survey.wanted, since=since, on_progress=bar.show
                )
        finally:
            bar.clear()

    def _say_plan(self, survey: Survey, known: Delivered) -> int:
        print_rows(plan_rows(survey), self._args.output)
        if known.doubt and not self._args.force:
            self._say_doubt(known)
            return 0
        if not survey.to_send:
            say("nothing is to be sent")
            return 0
        took = duration_words(survey.to_send / self._rate)
        say(
            f"nothing was sent; {survey.to_send:,} events would go to {self._order.destination}, in {took} at"
            f" {self._rate}/s. To send them, type: {self._again}"
        )
        return 0

    @property
    def _rate(self) -> int:
        own = settings_for(self._order, self._settings, self._directory)
        return own.destinations[self._order.destination].rate_limit or self._order.rate

    def _say_doubt(self, known: Delivered) -> None:
        say(f"it is not known what of this range was delivered: {known.doubt}")
        say(
            "nothing was sent. With --force all of it is sent: Segment drops the events that it has received within the"
            " last 24 hours, and those that it received earlier are there twice then"
        )

    async def _go_on(self, state: ReplayState) -> int:
        """The replay was interrupted, or another process runs it."""
        if self._args.execute:
            return await self._execute(state, None)
        stored = await stored_positions(self._settings.kafka, self._group_id, state.bounds.keys())
        print_rows(
            [
                {
                    "topic": topic,
                    "partition": partition,
                    "first": first,
                    "end": end,
                    "reached": max(first, stored[topic, partition].offset or 0),
                }
                for (topic, partition), (first, end) in state.bounds.items()
            ],
            self._args.output,
        )
        say(f"this replay of {state.records:,} records was begun and is not done. To go on, type: {self._again}")
        return 0

    async def _execute(self, state: ReplayState, known: Delivered | None) -> int:
        """Run it; ``known`` is None if an earlier run has kept that already."""
        log = self._settings.log.model_copy(update={"level": "warning"})
        with logs.configured(log, file_descriptor=STDERR, said_elsewhere=ABOUT_CONNECTIONS):
            replay = Replay(self._order, self._settings, state.bounds, self._directory)
            try:
                if known is None and replay.has_forgotten and not state.forced:
                    _, known = await self._look(state.bounds)
                    if known.doubt:
                        self._say_doubt(known)
                        return EXIT_FAILED
                if known is not None:
                    replay.note_delivered(known.digests)
                if self._args.release_guard:
                    replay.release_guard()
                state.was_killed = state.was_killed or state.is_running
                state.is_running = True
                replay_state.save(self._directory, state)
                stop = asyncio.Event()
                call_at_signal(stop.set)
                bar = ReplayBar(replay, size_of(state.bounds), self._again)
                try:
                    await replay.run(stop, bar.look)
                finally:
                    bar.clear()
            finally:
                await replay.close()
        return await self._end(replay, state, is_stopped=stop.is_set())

    async def _end(self, replay: Replay, state: ReplayState, *, is_stopped: bool) -> int:
        """Say what came of it, and keep what the next run needs."""
        print_rows(account_rows(replay.accounts), self._args.output)
        settled_before = state.settled_before if replay.was_alone else None
        state.settled += replay.totals.settled
        state.is_running, state.was_killed = False, state.was_killed or not replay.was_alone
        if not replay.is_complete:
            replay_state.save(self._directory, state)
            return self._say_rest(replay, is_stopped=is_stopped)
        fault = shortfall(replay.totals, records=state.records, settled_before=settled_before, lost=replay.lost)
        reason = await delete_group(self._settings.kafka, self._group_id)
        if reason:
            say(f"the group {self._group_id} is not needed any more, and could not be deleted: {reason}")
        replay_state.remove(self._directory)
        if replay.totals.dead_lettered:
            say(self._about_letters(replay.totals.dead_lettered))
        if fault:
            say(f"the account does not add up: {fault}")
            return EXIT_FAILED
        earlier = "" if settled_before == 0 else f"; with the earlier runs, all {state.records:,} records are settled"
        say(f"done: the account adds up{earlier}")
        return 0

    def _about_letters(self, letters: int) -> str:
        if self._order.is_elsewhere:
            return (
                f"{letters:,} events were dead-lettered as those of {self._order.shown}: no redrive sends them, because"
                f" it would send them to {self._integration.destination}. Remove the cause, and run the replay again"
            )
        return (
            f"{letters:,} events were dead-lettered; to see why, type: streamer dlq ls --config {self._args.config}"
            f" --integration {self._order.integration}"
        )

    def _say_rest(self, replay: Replay, *, is_stopped: bool) -> int:
        if replay.is_guarded:
            say(
                "the mass guard has stopped this replay: most of its records were refused. Nothing is lost, and what is"
                " open is read again. Correct the cause; to go on with the same configuration, add --release-guard to:"
                f" {self._again}"
            )
            return EXIT_FAILED
        say(f"interrupted, nothing is lost. To go on, type: {self._again}")
        return EXIT_INTERRUPTED if is_stopped else EXIT_FAILED

    async def _forget(self) -> int:
        reason = await delete_group(self._settings.kafka, self._group_id)
        if reason:
            say(f"the group {self._group_id} cannot be deleted: {reason}")
            return EXIT_FAILED
        replay_state.remove(self._directory)
        say(f"forgotten: {self._order.name}. Sent again from its beginning, its events arrive once more")
        return 0
