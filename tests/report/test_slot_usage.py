"""The timeline: who held which slot when, from journals written by hand and by Hypothesis."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from support import folded, recorded

from sweeper.records import GroupFolder
from sweeper.report.figures import save_timeline_figure, timeline_figure, timeline_info
from sweeper.report.figures.timeline import FEW_BARS, PIXELS, WORD_COLOURS, thinned
from sweeper.report.final_report import ending
from sweeper.report.slot_usage import Bar, Occupancy, occupancy

Line: TypeAlias = dict[str, Any]

T0 = 1_700_000_000.0


class Teller:
    """Writes events as the supervisor of one launch, at seconds after T0."""

    def __init__(
        self,
        events: list[Line],
        writer: str = "w",
        slots: int = 2,
        at: float = 0.0,
        host: str = "alpha",
    ) -> None:
        self.events = events
        self.writer = writer
        self.tell(at, "launched", launch=writer, slots=slots, host=host)

    def tell(self, at: float, event: str, **fields: object) -> None:
        place = {"writer": self.writer, "seq": len(self.events), "time": T0 + at}
        self.events.append({"event": event, **fields, **place})

    def attempt(
        self,
        run: str,
        slot: int,
        start: float,
        end: float | None,
        *,
        outcome: str = "finished",
        wave: int = 1,
        attempt: int = 1,
    ) -> None:
        """An attempt; without `end` nobody tells it."""
        self.tell(start, "started", run=run, attempt=attempt, wave=wave, slot=slot)
        if end is not None:
            self.tell(end, "ended", run=run, attempt=attempt, wave=wave, outcome=outcome)

    def wave(self, number: int, *, start: float, ready: float, over: float, end: float) -> None:
        self.tell(start, "wave_started", wave=number, runs=2, slots=2)
        costs = {"startup_s": ready - start, "training_s": over - ready, "shutdown_s": 0.5}
        self.tell(end, "wave_ended", wave=number, reason="done", **costs)

    def end(self, at: float, reason: str = "done") -> None:
        self.tell(at, "launch_ended", launch=self.writer, reason=reason)


def spans(found: Occupancy) -> list[tuple[int, float, float, str]]:
    return [(bar.row, bar.start, bar.end, bar.word) for bar in found.bars]


def two_waves() -> list[Line]:
    events: list[Line] = []
    launch = Teller(events)
    launch.wave(1, start=1, ready=5, over=30, end=33)
    launch.attempt("a", 0, 6, 20)
    launch.attempt("b", 1, 6, 30)
    launch.wave(2, start=10, ready=15, over=40, end=42)
    launch.attempt("c", 0, 21, 40, outcome="diverged", wave=2)
    launch.end(43)
    return events


def test_slots_and_rays_of_two_waves() -> None:
    found = occupancy(recorded(two_waves()))
    assert spans(found) == [
        (0, 6, 20, "finished"),
        (0, 21, 40, "diverged"),
        (1, 6, 30, "finished"),
    ]
    first, second = found.rays
    assert (first.start, first.ready, first.began, first.over, first.end) == (1, 5, 6, 30, 33)
    # Its Ray was ready while the first wave drained, and it began where slot 0 became free.
    assert (second.start, second.ready, second.began, second.over, second.end) == (
        (10, 15, 21, 40, 42)
    )
    assert [ray.lane for ray in found.rays] == [0, 1]
    assert (found.span_s, found.available_s, found.busy_s) == (43, 86, 14 + 19 + 24)
    assert (found.before_s, found.between_s, found.after_s) == (12, 1, 3 + 13)


def test_a_lost_attempt_lasts_until_its_launch_s_last_sign_of_life() -> None:
    events: list[Line] = []
    killed = Teller(events, "first", slots=1)
    killed.tell(1, "wave_started", wave=1, runs=2, slots=1)
    killed.attempt("a", 0, 5, 10)
    killed.attempt("b", 0, 11, None)
    # The next launch, a day later, finds that `b` had written its last line 29 seconds in.
    again = Teller(events, "second", slots=1, at=86_400)
    lost = {"run": "b", "attempt": 1, "outcome": "lost", "of": "first", "wall_s": 29.0}
    again.tell(86_400, "ended", **lost)
    again.attempt("b", 0, 86_405, 86_425, attempt=2)
    again.end(86_430)
    found = occupancy(recorded(events))
    assert spans(found) == [
        (0, 5, 10, "finished"),
        (0, 11, 40, "lost"),
        (0, 45, 65, "finished"),  # the day in between is cut out
    ]
    (mark,) = found.relaunches
    assert (mark.at, mark.pause_s, mark.earlier) == (40, 86_400 - 40, "died")
    assert found.available_s == found.span_s == 40 + 30
    assert found.busy_s == 5 + 29 + 20
    (ray,) = found.rays
    # When Ray had started nobody could tell any more, but the first attempt shows it.
    assert (ray.start, ray.ready, ray.over, ray.end) == (1, 5, 40, 40)
    assert (found.runs, dict(found.attempts)) == (2, {"finished": 2, "lost": 1})


def test_without_any_later_sign_the_last_event_is_the_end() -> None:
    events: list[Line] = []
    launch = Teller(events, slots=1)
    launch.attempt("a", 0, 5, None)
    launch.tell(9, "wave_started", wave=2, runs=1, slots=1)
    assert spans(occupancy(recorded(events))) == [(0, 5, 9, "running")]
    launch.end(12, reason="error")
    assert spans(occupancy(recorded(events))) == [(0, 5, 12, "interrupted")]


def test_an_end_that_was_lost_is_where_the_slot_goes_on() -> None:
    events: list[Line] = []
    launch = Teller(events, slots=1)
    launch.attempt("a", 0, 5, None)
    launch.attempt("b", 0, 8, 10)
    launch.end(12)
    assert spans(occupancy(recorded(events))) == [(0, 5, 8, "interrupted"), (0, 8, 10, "finished")]


@pytest.mark.parametrize("end", [9.0, None])
def test_a_pack_is_one_bar_and_shows_its_rarest_outcome(end: float | None) -> None:
    events: list[Line] = []
    launch = Teller(events, slots=1)
    for run in ("a", "b", "c"):
        launch.attempt(run, 0, 5, end, outcome="crashed" if run == "b" else "finished")
    launch.end(12)
    (bar,) = occupancy(recorded(events)).bars
    assert (bar.start, bar.end, bar.attempts) == (5, end or 12, 3)
    assert bar.word == ("crashed" if end else "interrupted")


def test_launches_at_the_same_time_have_rows_of_their_own() -> None:
    events: list[Line] = []
    one = Teller(events, "one", slots=2, host="alpha")
    two = Teller(events, "two", slots=3, at=10, host="beta")
    one.attempt("a", 1, 5, 30)
    two.attempt("b", 1, 15, 20)
    one.end(31)
    two.end(21)
    three = Teller(events, "three", slots=3, at=25, host="beta")
    three.attempt("c", 0, 26, 27)
    three.end(28)
    found = occupancy(recorded(events))
    assert spans(found) == [
        (1, 5, 30, "finished"),
        (2, 26, 27, "finished"),
        (3, 15, 20, "finished"),
    ]
    assert [(block.hosts, block.first, block.count) for block in found.blocks] == [
        (("alpha",), 0, 2),
        (("beta",), 2, 3),
    ]
    assert [(mark.at, mark.earlier) for mark in found.relaunches] == [(10, None), (25, None)]
    assert found.available_s == 2 * 31 + 3 * 11 + 3 * 3


def test_a_writer_of_two_launches_is_two_launches() -> None:
    events: list[Line] = []
    launch = Teller(events, slots=1)
    launch.attempt("a", 0, 5, 10)
    launch.end(12)
    launch.tell(100, "launched", launch="second", slots=1)
    launch.attempt("b", 0, 101, 104)
    assert spans(occupancy(recorded(events))) == [(0, 5, 10, "finished"), (0, 13, 16, "finished")]


def test_launches_that_found_nothing_to_do_are_left_out() -> None:
    events = two_waves()
    Teller(events, "idle", at=1000).end(1001)
    found = occupancy(recorded(events))
    assert (found.relaunches, found.span_s) == ((), 43)


def test_a_wave_that_died_has_no_shutdown() -> None:
    events: list[Line] = []
    launch = Teller(events)
    launch.tell(1, "wave_started", wave=1, runs=2, slots=2)
    launch.attempt("a", 0, 6, 20, outcome="lost")
    launch.tell(21, "wave_ended", wave=1, reason="signal 9", startup_s=4.0, training_s=15.0)
    launch.end(22)
    (ray,) = occupancy(recorded(events)).rays
    assert (ray.ready, ray.began, ray.over, ray.end, ray.died) == (5, 6, 21, 21, True)


def test_evaluations_are_no_attempts() -> None:
    events = two_waves()
    place = {"writer": "evaluation", "time": T0 + 100}
    events.append({"event": "wave_started", "wave": 1, "runs": 1, "slots": 1, "seq": 0, **place})
    events.append({"event": "evaluation_started", "run": "a", "slot": 0, "seq": 1, **place})
    assert occupancy(recorded(events)) == occupancy(recorded(two_waves()))


@pytest.mark.parametrize("purpose", ["train", "evaluate"])
def test_a_launch_that_evaluates_is_left_out(purpose: str) -> None:
    events = two_waves()
    place = {"writer": "evaluation", "time": T0 + 100}
    launched = {"event": "launched", "launch": "E", "slots": 1, "purpose": purpose}
    events.append({**launched, "seq": 0, **place})
    events.append({"event": "wave_started", "wave": 1, "runs": 1, "slots": 1, "seq": 1, **place})
    same = occupancy(recorded(events)) == occupancy(recorded(two_waves()))
    assert same == (purpose == "evaluate")


def test_nothing_started() -> None:
    found = occupancy([])
    assert (found.bars, found.span_s, found.available_s) == ((), 0, 0)
    timeline_figure(timeline_info(found))


# -- any journal -----------------------------------------------------------------------------

moments = st.floats(0, 1000)
small = st.integers(-1, 3)
maybe = st.none() | small | st.just(10**400)
kinds = st.sampled_from(
    ["launched", "launch_ended", "wave_started", "wave_ended", "started", "ended"]
)
journals = st.lists(
    st.fixed_dictionaries(
        {"event": kinds, "writer": st.sampled_from("vw"), "seq": st.integers(0, 40)},
        optional={
            "time": moments,
            "launch": st.sampled_from("LM"),
            "slots": maybe,
            "run": st.sampled_from("abcd"),
            "attempt": small,
            "wave": maybe,
            "slot": maybe,
            "of": st.sampled_from("vw"),
            "wall_s": moments,
            "outcome": st.sampled_from(["finished", "crashed", "lost", "nonsense"]),
            "startup_s": moments,
            "training_s": moments,
            "shutdown_s": moments,
            "reason": st.sampled_from(["done", "signal 9", 7]),
        },
    ),
    max_size=40,
)


@given(journals)
def test_whatever_the_journal_says_slots_do_one_thing_at_a_time(events: list[Line]) -> None:
    found = occupancy(recorded(events))
    assert found == occupancy(recorded(events[::-1]), folded(events))
    rows = sum(block.count for block in found.blocks)
    for bar in found.bars:
        assert 0 <= bar.row < rows
        assert 0 <= bar.start <= bar.end <= found.span_s
    for one, next_one in pairwise(found.bars):
        assert one.row < next_one.row or one.end <= next_one.start
    parts = (found.busy_s, found.before_s, found.between_s, found.after_s)
    assert all(part >= 0 for part in parts)
    assert sum(parts) == pytest.approx(found.available_s)
    assert found.busy_s == pytest.approx(sum(bar.end - bar.start for bar in found.bars))
    assert sum(bar.attempts for bar in found.bars) == sum(found.attempts.values())
    for ray in found.rays:
        assert 0 <= ray.start <= ray.ready <= ray.began <= ray.over <= ray.end <= found.span_s
    for lane in {ray.lane for ray in found.rays}:
        own = [ray for ray in found.rays if ray.lane == lane]
        assert all(ray.end <= later.start for ray, later in pairwise(own))


sequences = st.lists(
    st.tuples(st.floats(0, 3), st.floats(0, 3), st.sampled_from(["finished", "crashed"])),
    max_size=60,
)


@given(st.lists(sequences, max_size=3), st.floats(0.1, 5))
def test_thinned_bars_keep_every_attempt_and_are_no_more_than_pixels(
    rows: list[list[tuple[float, float, str]]], narrowest_s: float
) -> None:
    bars = []
    for row, steps in enumerate(rows):
        now = 0.0
        for idle, busy, word in steps:
            bars.append(Bar(row, now + idle, now + idle + busy, word))
            now = bars[-1].end
    thin = thinned(bars, narrowest_s, {"finished": 1000, "crashed": 1})
    assert sum(bar.attempts for bar in thin) == len(bars)
    assert all(a.row < b.row or a.end <= b.start for a, b in pairwise(thin))
    assert {(bar.row, bar.word) for bar in bars if bar.word == "crashed"} == {
        (bar.row, bar.word) for bar in thin if bar.word == "crashed"
    }
    for row, steps in enumerate(rows):
        own = [bar for bar in thin if bar.row == row]
        length = sum(idle + busy for idle, busy, _ in steps)
        # Of any two neighbours one is as long as a pixel, or the gap between them is.
        assert len(own) <= 2 * length / narrowest_s + 1


# -- drawing ---------------------------------------------------------------------------------


def long_sweep(runs: int, slots: int, run_s: float) -> list[Line]:
    """Equal runs one after the other, in waves of a thousand, one in a hundred diverged."""
    events: list[Line] = []
    launch = Teller(events, slots=slots)
    for wave in range(-(-runs // 1000)):
        start = 1000 * wave / slots * run_s
        over = start + 1000 * run_s / slots
        launch.wave(wave + 1, start=max(start - 10, 0), ready=start + 1, over=over, end=over + 1)
    for run in range(runs):
        start = 1 + run // slots * run_s
        word = "finished" if run % 100 else "diverged"
        launch.attempt(
            f"r{run}", run % slots, start, start + run_s, outcome=word, wave=run // 1000 + 1
        )
    launch.end(2 + -(-runs // slots) * run_s)
    return events


def boxes_of(figure: Figure) -> int:
    return sum(len(item.get_paths()) for axes in figure.axes for item in axes.collections)


def test_thousands_of_runs_on_few_slots_are_joined_and_still_told() -> None:
    found = occupancy(recorded(long_sweep(20_000, 2, 3.0)))
    began = time.process_time()
    info = timeline_info(found)
    figure = timeline_figure(info)
    assert boxes_of(figure) <= 2 * 2 * (PIXELS + 1) + 4 * 20
    assert "rarest outcome" in info.note
    assert sum(bar.attempts for bar in info.bars) == 20_000
    assert sum(bar.word == "diverged" for bar in info.bars) >= 100
    assert time.process_time() - began < 10  # one artist a run would take a minute


def test_many_bars_become_pixels_in_the_svg_too(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "g")
    write_journal(folder, long_sweep(4 * FEW_BARS, 64, 100.0))
    png, svg = save_timeline_figure(folder)
    assert png.read_bytes().startswith(b"\x89PNG")
    assert svg.stat().st_size < 500_000


def write_journal(folder: GroupFolder, events: Iterable[Line]) -> None:
    lines = [json.dumps(event) + "\n" for event in events]
    (folder.make().journal_dir / "w.jsonl").write_text("".join(lines))


def test_title_note_and_legend_say_all_that_is_drawn() -> None:
    events = two_waves()
    again = Teller(events, "again", at=7243)
    again.attempt("d", 0, 7244, 7250, outcome="crashed")
    again.end(7251)
    info = timeline_info(occupancy(recorded(events)))
    assert info.title == ("4 runs, 2 waves, 2 launches on 2 slots: busy for 61.8 % of the time")
    assert info.note.startswith("slot time: 61.8 % busy, ")
    assert (info.unit, info.unit_s) == ("s", 1.0)
    figure = timeline_figure(info)
    names = {text.get_text() for text in figure.legends[0].get_texts()}
    assert names == {
        "Ray starts",
        "waits for a slot",
        "trains",
        "shuts down",
        "finished (2)",
        "diverged (1)",
        "crashed (1)",
        "launched again",
    }
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["wave 1", "wave 2", "pause of 2 h"]


def test_every_word_has_a_colour_of_its_own() -> None:
    words = {"finished", "diverged", "crashed", "timed out", "stopped", "lost"}
    assert set(WORD_COLOURS) == words | {"running", "interrupted"}
    assert len(set(WORD_COLOURS.values())) == len(WORD_COLOURS)


@pytest.mark.parametrize(
    ("span", "unit"), [(0.0, "s"), (150.0, "s"), (600.0, "min"), (20_000.0, "h"), (1e6, "days")]
)
def test_the_unit_fits_the_span(span: float, unit: str) -> None:
    events: list[Line] = []
    launch = Teller(events)
    launch.attempt("a", 0, 0, span)
    launch.end(span)
    info = timeline_info(occupancy(recorded(events)))
    assert info.unit == unit
    low, high = timeline_figure(info).axes[1].get_xlim()
    assert low == 0
    assert high == pytest.approx(max(span / info.unit_s, 1e-9))


@pytest.mark.parametrize("slots", [1, 2, 16, 40, 192, 2000])
def test_labels_overlap_nowhere_and_stay_on_the_page(slots: int) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    events: list[Line] = []
    for index, host in enumerate(("alpha", "beta")):
        launch = Teller(events, f"w{index}", slots=slots, at=index, host=host * 12)
        for number in range(12):
            start = 100 * number + index
            launch.wave(number, start=start, ready=start + 5, over=start + 98, end=start + 99)
            launch.attempt(f"r{index}{number}", number % slots, start + 6, start + 98, wave=number)
        launch.end(1200 + index)
    # A pause near each end of the axis, where its words have least room.
    for start, end in ((-9000, -8995), (9000, 9005)):
        launch = Teller(events, f"at {start}", slots=slots, at=start)
        launch.attempt("s", 0, start, end)
        launch.end(end)
    figure = timeline_figure(timeline_info(occupancy(recorded(events))))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    above, below = figure.axes
    legend = figure.legends[0]
    right = below.get_xlim()[1]
    ticks = [tick.label1 for tick in below.xaxis.get_major_ticks() if tick.get_loc() <= right]
    note = [text for text in figure.texts if text.get_text() == figure.get_supxlabel()]
    groups: list[Sequence[Artist]] = [
        below.get_yticklabels(),
        ticks,
        above.texts,
        below.texts,
        [below.xaxis.label, legend, *note],
    ]
    for group in groups:
        boxes = [item.get_window_extent(canvas.get_renderer()) for item in group]
        assert len(boxes) >= 2
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        for box in boxes:
            assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1
    words = [text.get_text().split()[0] for text in above.texts]
    assert (words.count("wave"), words.count("pause")) == (24, 2)


def test_a_launch_leaves_its_timeline_beside_the_table(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "g")
    write_journal(folder, two_waves())
    answer = ending(folder, folded(two_waves()), reason="done")
    names = [file.rpartition("/")[2] for file in answer["files"]]
    assert names[:2] == ["table.md", "table.csv"]
    assert names[-2:] == ["timeline.png", "timeline.svg"]
    assert (folder.results_dir / "timeline.png").is_file()


def test_a_sweep_of_which_nothing_finished_has_a_timeline_too(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "g")
    events: list[Line] = []
    launch = Teller(events)
    launch.attempt("a", 0, 5, 6, outcome="crashed")
    launch.end(7)
    write_journal(folder, events)
    files = ending(folder, folded(events), reason="done")["files"]
    assert [file.rpartition("/")[2] for file in files] == ["timeline.png", "timeline.svg"]


def test_nothing_started_nothing_written(tmp_path: Path) -> None:
    folder = GroupFolder(tmp_path, "g")
    write_journal(folder, [{"event": "planned", "runs": {"a": {"x": 1}}}])
    assert save_timeline_figure(folder) == []
    assert not folder.results_dir.exists()
