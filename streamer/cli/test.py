"""``streamer test``: golden cases, so that a team sees in its CI what becomes of its records."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import orjson

from streamer.cli.mapping_source import add_mapping_source, mapping_of, new_mapper_of

if TYPE_CHECKING:
    from streamer.cli.options import Commands
    from streamer.operations.golden import Result

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2

MAX_SHOWN_CHARACTERS: Final = 500
"""Of a longer value, only so many characters are shown."""


def add_parser(commands: "Commands") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "test",
        help="compare what records would become with what is expected",
        description="DIR holds cases, also in directories below it: NAME.json is one record value, as on the topic, and"
        " NAME.expect.json what must become of it, as streamer map prints it. NAME.record.json may give the record a"
        " key, headers and a timestamp; without one, the broker's time is 2026-01-01T00:00:00Z. Print each difference,"
        " field by field. outcome, reason and calls are compared; detail, message_id and found only if the expectation"
        " has them. Nothing leaves this machine.",
        epilog="Exit codes: 0 all cases passed or were updated, 1 a case failed, 2 wrong usage or no cases, 78 faults"
        " in the settings of the integration."
        " Examples: streamer test events --dialect sprig --update;"
        " streamer test events --config streamer.yaml --integration sprig --junit report.xml",
    )
    add_mapping_source(parser)
    add = parser.add_argument
    add("--update", action="store_true", help="write what is found as expectation of each case that fails, and name it")
    add("--junit", metavar="FILE", type=Path, help="also write a report in JUnit's form")
    add("directory", metavar="DIR", type=Path, help="directory with the cases")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check all cases, and print what is different."""
    settings = mapping_of(args)
    if settings is None:
        return EXIT_USAGE
    from streamer.operations.golden import check, update  # noqa: PLC0415 - its libraries take a while to load

    results = list(check(args.directory, new_mapper_of(settings), settings))
    if not results:
        print(f"streamer: there are no cases (NAME.json) in {args.directory}", file=sys.stderr)
        return EXIT_USAGE
    updated: list[Result] = []
    try:
        for result in results:
            if args.update and result.found and not result.has_passed:
                update(args.directory, result)
                updated.append(result)
        if args.junit is not None:
            args.junit.write_bytes(_junit([result for result in results if result not in updated]))
    except OSError as error:
        print(f"streamer: {error.filename} cannot be written: {error.strerror}", file=sys.stderr)
        return EXIT_FAILED
    failed = [result for result in results if not result.has_passed and result not in updated]
    for result in (*updated, *failed):
        _print_result(result, is_updated=result in updated)
    passed = len(results) - len(failed) - len(updated)
    said = f", {len(updated)} updated" if args.update else ""
    print(f"{len(results)} case{'s' * (len(results) > 1)}: {passed} passed{said}, {len(failed)} failed")
    return EXIT_FAILED if failed else 0


def _print_result(result: "Result", *, is_updated: bool) -> None:
    verb = ("written" if result.is_new else "updated") if is_updated else "FAILED"
    print(f"{verb} {result.name}" + (f": {result.fault}" if result.fault and not is_updated else ""))
    print(*_lines_of(result), sep="\n", end="\n" if result.differences else "")


def _lines_of(result: "Result") -> list[str]:
    """Each difference on three lines."""
    from streamer.core.mapping.pointer import pointer_of  # noqa: PLC0415 - the mapping loads slowly

    return [
        f"  {pointer_of(place) or 'the whole'}\n    expected: {_shown(expected)}\n    found:    {_shown(found)}"
        for place, expected, found in result.differences
    ]


def _shown(value: Any) -> str:
    from streamer.core.mapping.pointer import NOTHING  # noqa: PLC0415

    text = "nothing" if value is NOTHING else orjson.dumps(value).decode()
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."


def _junit(results: "Sequence[Result]") -> bytes:
    failed = [result for result in results if not result.has_passed]
    suite = ET.Element("testsuite", name="streamer test", tests=str(len(results)), failures=str(len(failed)))
    for result in results:
        case = ET.SubElement(suite, "testcase", classname="streamer", name=result.name)
        if not result.has_passed:
            count = len(result.differences)
            message = result.fault or f"{count} difference{'s' * (count > 1)}"
            ET.SubElement(case, "failure", message=message).text = "\n".join(_lines_of(result))
    text: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return text
