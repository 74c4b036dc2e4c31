from pathlib import Path

import pytest

from bench.goals import Verdict, goals_of
from bench.publish import BEGIN, END, with_results
from bench.report import comparison, differing_facts, tables_of
from bench.results import Kind, Results, Row, load_results, percentile

FACTS = {"streamer": "0.1.0, commit abc", "machine": "2 cores"}


def row(name: str, *values: float, measure: str = "events_per_second", kind: Kind = Kind.BACKLOG) -> Row:
    return Row(name=name, kind=kind, title=f"title of {name}", runs=[{measure: value} for value in values])


def results(*rows: Row, facts: dict[str, str] | None = None) -> Results:
    return Results(began="2026-01-01 00:00:00", facts=facts or FACTS, rows=rows)


def verdicts(found: Results) -> dict[str, Verdict]:
    return {goal.text: goal.verdict for goal in goals_of(found)}


def test_a_row_tells_the_median_and_the_spread_of_its_runs() -> None:
    measured = row("latency-0", 30_000, 10_000, 20_000)

    assert measured.median("events_per_second") == 20_000
    assert measured.spread("events_per_second") == (10_000, 30_000)
    assert measured.median("p99_ms") is None


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_a_percentile_is_a_value_that_occurred(share: float, expected: int) -> None:
    assert percentile(range(1, 101), share) == expected


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    stored = Results(began="then", facts=FACTS, rows=[row("latency-0", 1.5, 2.5)], warnings=["busy"])

    stored.save(path)

    read = load_results(path)
    assert read.rows[0].median("events_per_second") == 2.0
    assert read.rows[0].kind is Kind.BACKLOG
    assert (read.began, read.facts, read.warnings) == (stored.began, stored.facts, stored.warnings)


@pytest.mark.parametrize("text", ["[]", '{"format": 0, "rows": []}', '{"rows": []}'])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)

    with pytest.raises(ValueError, match="no results of this version"):
        load_results(path)


def test_a_goal_is_judged_by_the_median_and_its_limit() -> None:
    text = "events/s of one process, receiver 0 ms"

    assert verdicts(results(row("latency-0", 1, 30_000, 40_000)))[text] is Verdict.MET
    assert verdicts(results(row("latency-0", 1, 29_999, 40_000)))[text] is Verdict.NOT_MET
    assert verdicts(results())[text] is Verdict.NOT_MEASURED


def test_the_share_of_the_ceiling_needs_both_rows() -> None:
    text = "events/s as a share of the bare loop's, receiver 20 ms"
    ours, bare = row("latency-20", 8.0), row("ceiling-20", 10.0, kind=Kind.CEILING)

    assert verdicts(results(ours, bare))[text] is Verdict.MET
    assert verdicts(results(ours))[text] is Verdict.NOT_MEASURED


def test_memory_is_judged_by_the_worst_run_of_one_process() -> None:
    text = "anonymous memory in MB, most in any run"
    calm, bad = (
        row("latency-0", 100.0, 120.0, measure="anonymous_mb"),
        row("copies", 90.0, 301.0, measure="anonymous_mb"),
    )
    group = row("instances-2", 500.0, measure="anonymous_mb")

    assert verdicts(results(calm, group))[text] is Verdict.MET
    assert verdicts(results(calm, bad))[text] is Verdict.NOT_MET


def test_growth_over_time_compares_the_first_window_with_the_last() -> None:
    text = "CPU per event at the end of four minutes, times that at the beginning"
    steady = row("uptime", 30.0, 60.0, 31.0, measure="cpu_us_per_event", kind=Kind.PACED)
    growing = row("uptime", 30.0, 30.0, 40.0, measure="cpu_us_per_event", kind=Kind.PACED)

    assert verdicts(results(steady))[text] is Verdict.MET
    assert verdicts(results(growing))[text] is Verdict.NOT_MET
    assert verdicts(results(row("uptime", 30.0, measure="cpu_us_per_event")))[text] is Verdict.NOT_MEASURED


@pytest.mark.parametrize(
    ("then", "now", "word"),
    [
        ([100.0, 101.0], [80.0, 81.0], "WORSE"),
        ([100.0, 101.0], [120.0, 121.0], "better"),
        ([100.0, 101.0], [103.0, 104.0], "same"),
        ([90.0, 130.0], [80.0, 95.0], "same"),
    ],
    ids=["slower", "faster", "little", "spreads overlap"],
)
def test_a_change_counts_beyond_noise_only(then: list[float], now: list[float], word: str) -> None:
    table = comparison(results(row("latency-0", *then)), results(row("latency-0", *now)))

    assert [line[-1] for line in table.lines] == [word]


def test_a_lower_cost_is_better() -> None:
    then, now = (results(row("latency-0", value, measure="cpu_us_per_event")) for value in (40.0, 30.0))

    assert [line[-1] for line in comparison(then, now).lines] == ["better"]


def test_a_row_that_is_new_is_not_compared() -> None:
    assert not comparison(results(), results(row("latency-0", 1.0))).lines


def test_another_machine_is_pointed_out() -> None:
    other = results(facts={**FACTS, "machine": "64 cores"})

    assert differing_facts(results(), results()) == []
    assert differing_facts(other, results()) == ["not the same machine: 64 cores, now 2 cores"]


def test_tables_show_medians_spreads_and_bounds() -> None:
    runs = [{"events_per_second": rate, "loop_lag_ms": lag} for rate, lag in ((10_000, 5), (20_000, 50), (30_000, 10))]
    measured = Row(name="latency-0", kind=Kind.BACKLOG, title="no wait", runs=runs)

    _, table = tables_of(results(measured))

    assert list(table.lines[0]) == ["latency-0: no wait", "20,000 (10,000-30,000)", "50"]
    assert "| latency-0: no wait | 20,000 (10,000-30,000) | 50 |" in table.markdown()
    assert "latency-0: no wait  20,000 (10,000-30,000)" in table.text()


def test_publishing_replaces_what_is_between_the_marks_and_nothing_else() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    assert with_results(page, "new") == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert with_results(with_results(page, "newer"), "new") == with_results(page, "new")
    with pytest.raises(ValueError, match="no place for results"):
        with_results("a page without marks", "new")
