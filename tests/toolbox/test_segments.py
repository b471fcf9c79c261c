"""What is missing of the WAL, by names alone: across files of 256 segments, timelines and what was left of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolbox import segments
from toolbox.segments import Gap, Needed, Segment, Switch

MB16 = segments.SEGMENT_BYTES


def row(timeline: int, first: int, last: int) -> set[Segment]:
    """The segments `first` to `last` of a timeline."""
    return {Segment(timeline, number) for number in range(first, last + 1)}


def backup(timeline: int, first: int, last: int | None = None) -> Needed:
    """A backup that was made while these segments were written."""
    return Needed(f"at {first}", Segment(timeline, first), Segment(timeline, first if last is None else last))


def missing(gaps: list[Gap]) -> list[tuple[str, str]]:
    """What is missing, and on what."""
    return [(str(gap), gap.on) for gap in gaps]


@given(st.integers(1, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF * segments.PER_FILE))
def test_name_of_a_segment_is_read_as_it_is_written(timeline: int, number: int) -> None:
    assert Segment.of(Segment(timeline, number).name) == Segment(timeline, number)


def test_number_after_ff_goes_on_in_the_next_file() -> None:
    assert Segment(1, Segment.of("0000000100000000000000FF").number + 1).name == "000000010000000100000000"


def test_what_is_no_segment_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"'00000002\.history' is no name of a WAL segment"):
        Segment.of("00000002.history")


def test_history_is_read_as_postgresql_writes_it() -> None:
    text = "1\t0/5000098\tno recovery target specified\n\n2\t1/A0000000\tbefore 2026-01-06 12:00:00+00\n"
    assert segments.read_history(text) == [Switch(1, 0x5000098), Switch(2, 0x1A0000000)]


def test_whole_timeline_has_no_gap() -> None:
    assert segments.gaps(row(1, 250, 270), {}, [backup(1, 250)]) == []


def test_missing_segment_after_the_backup_is_on_the_line() -> None:
    there = row(1, 2, 20) - row(1, 7, 7)
    assert missing(segments.gaps(there, {}, [backup(1, 2)])) == [("000000010000000000000007", "line")]


def test_segments_missing_in_a_row_are_one_gap() -> None:
    (gap,) = segments.gaps(row(1, 250, 270) - row(1, 254, 258), {}, [backup(1, 250)])
    assert (str(gap), gap.count) == ("0000000100000000000000FE to 000000010000000100000002", 5)


def test_segment_that_a_backup_itself_needs_is_told_apart() -> None:
    there = row(1, 2, 20) - row(1, 10, 12)
    backups = [backup(1, 2), backup(1, 10, 11)]
    assert missing(segments.gaps(there, {}, backups)) == [
        ("00000001000000000000000A to 00000001000000000000000B", "backup"),
        ("00000001000000000000000C", "line"),
    ]


def test_backup_whose_wal_is_all_gone_is_found() -> None:
    assert missing(segments.gaps(set(), {}, [backup(1, 2, 3)])) == [
        ("000000010000000000000002 to 000000010000000000000003", "backup")
    ]


def test_wal_before_the_oldest_backup_is_not_missed() -> None:
    assert segments.gaps(row(1, 1, 1) | row(1, 5, 9), {}, [backup(1, 5)]) == []


def test_line_goes_on_in_the_segment_in_which_the_timeline_was_switched() -> None:
    there = row(1, 2, 9) | row(2, 10, 15)
    assert segments.gaps(there, {2: [Switch(1, 10 * MB16 + 4711)]}, [backup(1, 2)]) == []


def test_first_segment_of_a_timeline_is_missed_when_an_older_backup_leads_there() -> None:
    there = row(1, 2, 9) | row(2, 11, 15)
    gaps = segments.gaps(there, {2: [Switch(1, 10 * MB16 + 4711)]}, [backup(1, 2)])
    assert missing(gaps) == [("00000002000000000000000A", "line")]


def test_last_segment_before_a_switch_is_missed() -> None:
    there = row(1, 2, 8) | row(2, 10, 15)
    gaps = segments.gaps(there, {2: [Switch(1, 10 * MB16 + 4711)]}, [backup(1, 2)])
    assert missing(gaps) == [("000000010000000000000009", "line")]


def test_switch_between_two_segments_needs_the_one_before_and_the_one_after() -> None:
    there = row(1, 2, 9) | row(2, 10, 15)
    assert segments.gaps(there, {2: [Switch(1, 10 * MB16)]}, [backup(1, 2)]) == []


def test_gap_in_what_was_left_of_a_timeline_is_on_a_branch() -> None:
    there = row(1, 2, 20) - row(1, 15, 15) | row(2, 10, 25)
    gaps = segments.gaps(there, {2: [Switch(1, 10 * MB16 + 1)]}, [backup(1, 2)])
    assert missing(gaps) == [("00000001000000000000000F", "branch")]


def test_gap_before_the_switch_is_on_the_line_though_the_timeline_was_left() -> None:
    there = row(1, 2, 20) - row(1, 7, 7) | row(2, 10, 25)
    gaps = segments.gaps(there, {2: [Switch(1, 10 * MB16 + 1)]}, [backup(1, 2)])
    assert missing(gaps) == [("000000010000000000000007", "line")]


def test_line_leads_through_several_timelines() -> None:
    there = row(1, 2, 9) | row(2, 10, 14) | row(3, 15, 18)
    histories = {2: [Switch(1, 10 * MB16 + 1)], 3: [Switch(1, 10 * MB16 + 1), Switch(2, 15 * MB16 + 1)]}
    assert segments.gaps(there, histories, [backup(1, 2)]) == []
    gaps = segments.gaps(there - row(2, 12, 13), histories, [backup(1, 2)])
    assert missing(gaps) == [("00000002000000000000000C to 00000002000000000000000D", "line")]


def test_timeline_that_was_restored_twice_from_the_same_one_leaves_the_other_as_a_branch() -> None:
    there = row(1, 2, 9) | row(2, 10, 14) - row(2, 12, 12) | row(3, 8, 18)
    histories = {2: [Switch(1, 10 * MB16 + 1)], 3: [Switch(1, 8 * MB16 + 1)]}
    assert missing(segments.gaps(there, histories, [backup(1, 2)])) == [
        ("00000002000000000000000C", "branch")
    ]


def test_beginning_of_a_restored_timeline_is_a_seam_once_it_has_a_backup() -> None:
    there, histories = row(1, 2, 9) | row(2, 13, 18), {2: [Switch(1, 10 * MB16 + 1)]}
    seam = "00000002000000000000000A to 00000002000000000000000C"
    assert missing(segments.gaps(there, histories, [backup(1, 2)])) == [(seam, "line")]
    assert missing(segments.gaps(there, histories, [backup(1, 2), backup(2, 14)])) == [(seam, "seam")]


def test_gap_between_the_beginning_of_a_timeline_and_its_first_backup_is_no_seam() -> None:
    there, histories = row(1, 2, 9) | row(2, 10, 18) - row(2, 12, 12), {2: [Switch(1, 10 * MB16 + 1)]}
    gaps = segments.gaps(there, histories, [backup(1, 2), backup(2, 14)])
    assert missing(gaps) == [("00000002000000000000000C", "line")]


def test_timeline_without_a_history_begins_with_its_first_backup() -> None:
    there = row(1, 2, 9) | row(2, 13, 18)
    assert segments.gaps(there, {}, [backup(1, 2), backup(2, 14)]) == []
    assert 2 not in segments.beginnings(there, {}, [backup(1, 2)])


def test_wal_of_a_timeline_whose_backups_are_expired_is_not_missed() -> None:
    there = row(1, 2, 3) | row(1, 6, 9) | row(2, 10, 18)
    assert segments.gaps(there, {2: [Switch(1, 10 * MB16 + 1)]}, [backup(2, 11)]) == []


def test_backup_after_the_switch_does_not_lead_to_the_new_timeline() -> None:
    there = row(1, 2, 20) | row(2, 10, 12)
    assert set(segments.beginnings(there, {2: [Switch(1, 10 * MB16 + 1)]}, [backup(1, 15)])) == {1}


@given(st.sets(st.integers(3, 600), max_size=12), st.integers(601, 620))
def test_gaps_are_exactly_what_was_taken_away(taken: set[int], last: int) -> None:
    there = row(1, 2, last) - {Segment(1, number) for number in taken}
    found = segments.gaps(there, {}, [backup(1, 2)])
    numbers = [number for gap in found for number in range(gap.first.number, gap.last.number + 1)]
    assert numbers == sorted(taken)
