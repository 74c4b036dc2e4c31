"""The numbers of the page, of ``/status`` and of ``/metrics`` are the same: compared one by one."""

from typing import Any, Final

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.page.reading import Element, read

_TERMS: Final = ("consumed", "delivered", "duplicate", "handed_back", "in_flight")
_TERMS_BY_REASON: Final = ("filtered", "dead_lettered")
_ELAPSED_SECONDS: Final = 10.0
"""What waits gets older between two requests."""

_Metrics = dict[tuple[str, str], float]


async def assert_agreement(client: aiohttp.ClientSession) -> None:
    """Ask for all three, and compare whatever more than one of them shows; the service must be at rest."""
    page = read(await _get(client, "/"))
    metrics = _sums(await _get(client, "/metrics"))
    async with client.get("/status") as response:
        status = await response.json()
    for name, integration in status["integrations"].items():
        _compare_integration(name, page.one(id="integrations").one(data_key=name), integration, metrics)
        for place in integration["partitions"]:
            key = f"{name} {place['topic']}-{place['partition']}"
            _compare_partition(page.one(id="partitions").one(data_key=key), place)
    for name, destination in status["destinations"].items():
        _compare_destination(name, page.one(id="destinations").one(data_key=name), destination, metrics)
    assert page.one("h1").text == status["verdict"]["headline"]
    assert status["config_sha256"] in page.one("footer").text


def _compare_integration(name: str, row: Element, told: dict[str, Any], metrics: _Metrics) -> None:
    account = told["account"]
    totals = {term: account[term] for term in _TERMS} | {term: sum(account[term].values()) for term in _TERMS_BY_REASON}
    for term, total in totals.items():
        metric = f"streamer_records_{term}" if term == "in_flight" else f"streamer_records_{term}_total"
        assert row.one(data_term=term).number() == total == metrics[metric, name], (name, term)
    if told["lag"] is not None:
        assert row.one(data_label="Lag, records").number() == told["lag"] == metrics["streamer_consumer_lag", name]
        waits = _seconds(row.one(data_label="Oldest waits"))
        assert waits == pytest.approx(told["lag_seconds"], abs=_ELAPSED_SECONDS)
    if told["limited_by"] is not None:
        assert row.one(data_label="Limited by").one("data").attributes["value"] == told["limited_by"]


def _compare_partition(row: Element, place: dict[str, Any]) -> None:
    if not place["assigned"]:
        return
    figures = [row.one(data_label=label).number() for label in ("Position", "End", "Lag, records", "Parked")]
    assert figures == [place["position"], place["high_watermark"], place["lag"], place["parked"]]


def _compare_destination(name: str, row: Element, told: dict[str, Any], metrics: _Metrics) -> None:
    assert {item.attributes["data-key"]: item.number() for item in row.all("li")} == told["requests"]
    in_use = [float(figure.attributes["value"] or "") for figure in row.one(data_label="In flight").all("data")]
    assert in_use == [told["in_flight"], told["limit"]]
    assert in_use == [metrics[f"streamer_concurrency_{which}", name] for which in ("in_use", "limit")]
    for label, quantile in (("Latency p50", "p50_at_most"), ("Latency p99", "p99_at_most")):
        if told["request_seconds"][quantile] is not None:
            assert _seconds(row.one(data_label=label)) == told["request_seconds"][quantile]


def _seconds(cell: Element) -> float:
    return float((cell.one("time").attributes["datetime"] or "").removeprefix("PT").removesuffix("S"))


def _sums(text: str) -> _Metrics:
    """Of the samples, by name and by integration or destination."""
    sums: _Metrics = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            subject = sample.labels.get("integration") or sample.labels.get("destination", "")
            sums[sample.name, subject] = sums.get((sample.name, subject), 0.0) + sample.value
    return sums


async def _get(client: aiohttp.ClientSession, path: str) -> str:
    async with client.get(path) as response:
        assert response.status == 200
        return await response.text()
