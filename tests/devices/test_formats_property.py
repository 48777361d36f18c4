"""The quick ways through a batch say what the strict one says, whatever is in it."""

import json
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from unittest.mock import patch

import pytest
from django.db import transaction
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rest_framework.exceptions import APIException

from devices import values
from devices.columns import Columns, NotSimple
from devices.formats import Batch, decode_csv, decode_json, decode_ndjson
from devices.insertion import insert
from devices.models import Reading
from devices.reading_ids import EPOCH, MICROSECOND
from devices.rows import Row

# Without HYPOTHESIS_EXAMPLES the same examples in each run; with it, that many new ones.
examples = os.environ.get("HYPOTHESIS_EXAMPLES")
thoroughly = settings(max_examples=int(examples or 400), derandomize=not examples, database=None, deadline=None)

Decode = Callable[[bytes, int | None], Batch]
Outcome = tuple[object, ...]


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[str], characters: str) -> str:
    """A text as it is or, one time in three, with a character too few, too many or another one."""
    text = draw(texts)
    if draw(st.integers(0, 2)):
        return text
    start = draw(st.integers(0, len(text)))
    inserted = draw(st.text(st.sampled_from(characters), max_size=2))
    return text[:start] + inserted + text[start + draw(st.integers(0, 2)) :]


def two_digits(highest: int) -> st.SearchStrategy[str]:
    """Mostly right, sometimes the first that are too high."""
    return st.integers(0, highest + 2).map("{:02}".format)


# Times

years = st.sampled_from(["1899", "1900", "2199", "2200", "0000", "0001", "9999"]) | st.integers(1900, 2199).map(str)
dates = st.tuples(years, two_digits(12), st.sampled_from(["00", "01", "28", "29", "30", "31", "32"])).map("-".join)
clocks = st.tuples(two_digits(23), two_digits(59), two_digits(59)).map(":".join)
fractions = st.just("") | st.text("0123456789", max_size=8).map(".{}".format)
named_offsets = st.sampled_from(["Z", "z", "", "+00:00", "-00:00", "+23:59", "+24:00", "-00:60", "+0100", "+01"])
offsets = named_offsets | st.tuples(st.sampled_from("+-"), two_digits(23), st.just(":"), two_digits(59)).map("".join)
times = mutated(
    st.tuples(dates, st.sampled_from("TTTTt "), clocks, fractions, offsets).map("".join),
    "0159-:.+TtZz \0é\u0661\ud800,",
)
good_times = st.builds(
    "{}{}".format,
    st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30)).map(datetime.isoformat),
    st.sampled_from(["Z", "+01:30", "-23:59"]),
)


def quick_times(texts: Sequence[str]) -> list[int] | None:
    """The microseconds that a batch with these times would store; None where the strict way has to say."""
    zeros = [0.0] * len(texts)
    try:
        return Columns.of_values(1, texts, zeros, zeros, zeros).recorded_at.tolist()  # type: ignore[no-any-return]
    except NotSimple:
        return None


@settings(thoroughly, max_examples=int(examples or 2000))
@given(st.lists(times | good_times, max_size=2))
@example(["1900-01-01T00:00:00Z", "2199-12-31T23:59:59.999999Z"])
@example(["2200-01-01T00:00:00Z"])
@example(["1899-12-31T23:59:59.999999Z"])
@example(["2026-01-01T00:00:00Z\0"])
@example(["1900-02-29T00:00:00Z"])
def test_what_is_quickly_taken_for_times_are_these_times(texts: list[str]) -> None:
    microseconds = quick_times(texts)
    if microseconds is not None:
        assert microseconds == [(values.time(text) - EPOCH) // MICROSECOND for text in texts]


@thoroughly
@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31)).map(datetime.isoformat)), st.data())
def test_times_as_most_senders_write_them_need_no_strict_look(texts: list[str], data: st.DataObject) -> None:
    offset = data.draw(st.sampled_from(["Z", "+00:00"]))
    assert quick_times([text + offset for text in texts]) is not None


# Batches

NUMERALS = """
0 -0 -0.0 1e400 -1e400 1e-400 1E5 1e+5 5e-324 2.5e-324 1e15 -1e15 1000000000000000.1 1.0000000000000002e15
9223372036854775807 9223372036854775808 18446744073709551616 12345678901234567890 9007199254740993
1e1000000000000000000000 01 +1 .5 5. 0x1 1_0 NaN Infinity -Infinity nan inf
"""
numerals = st.one_of(
    st.sampled_from(NUMERALS.split()),
    st.floats(-1e15, 1e15).map(repr),
    st.floats(-1e15, 1e15).map("{:.25f}".format),
    st.integers(-(10**16), 10**16).map(str),
    st.from_regex(r"-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)
good_numerals = st.floats(-1e15, 1e15).map(repr)
device_ids = st.sampled_from(["1", "2", "9223372036854775807"])
odd_device_ids = st.sampled_from(
    ["0", "-1", "9223372036854775808", "1.0", "1e1", "true", '"1"', "null", "007", "\u00b2", "\u0663", "1" * 5000]
)
odd_values = st.sampled_from(["true", "false", "null", '"1.0"', "[]", "{}", '"2026-01-01T00:00:00Z"', '"\\u0000"'])
spaces = st.sampled_from(["", "", "", "", " ", "\t", "\r", "\n", "\r\n", "\f", "\u00a0"])


@st.composite
def json_objects(draw: st.DrawFn) -> str:
    """An object with the right members, or one that is missing, odd or there twice."""
    members = [("recorded_at", json.dumps(draw(good_times))), *((axis, draw(good_numerals)) for axis in "xyz")]
    if draw(st.booleans()):
        members.append(("device", draw(device_ids)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 1, 2]))):
        members.insert(draw(st.integers(0, len(members))), draw(odd_members))
    if not draw(st.integers(0, 9)):
        members.pop(draw(st.integers(0, len(members) - 1)))
    space = draw(spaces)
    return "{%s}" % f",{space}".join(f'"{name}":{space}{value}' for name, value in members)


odd_members = st.one_of(
    st.tuples(st.sampled_from("xyz"), numerals | odd_values),
    st.tuples(st.just("device"), device_ids | odd_device_ids),
    st.tuples(st.just("recorded_at"), times.map(json.dumps) | odd_values),
    st.tuples(st.sampled_from(["q", "X", "id", "\\u0078", "non_field_errors", ""]), numerals),
)
json_characters = '{}[],:"\\0-.eE+ \n\rnull\ufefftrue\0é\ud800'
json_arrays = mutated(
    st.lists(json_objects() | odd_values, max_size=4).map(lambda objects: f"[{','.join(objects)}]"), json_characters
)
ends_of_lines = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\n \n", " ", "\x0b", "\x85", "\u2028"])


@st.composite
def lines(draw: st.DrawFn, contents: st.SearchStrategy[str]) -> str:
    end = draw(ends_of_lines)
    return "".join(content + end for content in draw(st.lists(contents, max_size=4)))


cells_of_columns = {
    "recorded_at": times,
    **dict.fromkeys(
        "xyz", numerals | st.sampled_from(["", "1,5", '"1"', '"1', "true", "\u0663", " 1 ", "\u00a01", "1\0"])
    ),
    "device": device_ids | odd_device_ids,
}
good_cells = {"recorded_at": good_times, **dict.fromkeys("xyz", good_numerals), "device": device_ids}


@st.composite
def csv_files(draw: st.DrawFn) -> str:
    """Lines with the right cells in any order of the columns, and an odd cell or line between them."""
    names = draw(st.permutations(["recorded_at", "x", "y", "z", *draw(st.sampled_from([[], ["device"]]))]))
    cells = st.tuples(*(good_cells[name] for name in names)).map(list)

    def oddly(line: list[str], data: tuple[int, str]) -> list[str]:
        return [*line[: data[0]], data[1], *line[data[0] + 1 :]]

    odd = st.integers(0, len(names) - 1).flatmap(
        lambda place: st.tuples(st.just(place), cells_of_columns[names[place]])
    )
    line = cells | cells | st.builds(oddly, cells, odd) | st.lists(numerals, max_size=5)
    return draw(st.sampled_from(["", "", "\ufeff"])) + ",".join(names) + draw(
        st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n"])
    ) + draw(lines(line.map(",".join)))  # fmt: skip


def outcome(decode: Decode, content: bytes, device_id: int | None) -> Outcome:
    """A batch bit by bit, or its refusal."""
    try:
        batch = decode(content, device_id)
    except APIException as refusal:
        return type(refusal), refusal.detail
    columns = batch.columns
    return *(
        column.tobytes() for column in (columns.device, columns.recorded_at, columns.x, columns.y, columns.z)
    ), list(batch.places), batch.faults  # fmt: skip


def assert_both_ways_agree(decode: Decode, text: str, device_id: int | None) -> None:
    content = text.encode(errors="surrogatepass")
    with patch.object(Columns, "of_values", side_effect=NotSimple):
        strictly = outcome(decode, content, device_id)
    assert outcome(decode, content, device_id) == strictly


ROW = '"recorded_at":"2026-01-01T00:00:00Z","x":1,"y":2,"z":3'
HEADER = "device,recorded_at,x,y,z\n"
own_or_many = st.sampled_from([7, None])


@thoroughly
@given(json_arrays, own_or_many)
@example('[{"device":0,%s}]' % ROW, None)
@example('[{"device":-1,%s}]' % ROW, None)
@example('[{"device":1.0,%s}]' % ROW, None)
@example('[{%s,"x":4}]' % ROW, 7)
@example('[{"\ud800":1,%s}]' % ROW, 7)
@example("[" * 100_000, 7)
def test_json_is_read_quickly_as_it_is_strictly(text: str, device_id: int | None) -> None:
    assert_both_ways_agree(decode_json, text, device_id)


@thoroughly
@given(mutated(lines(json_objects() | odd_values), json_characters), own_or_many)
@example("{%s}\r{%s}\n" % (ROW, ROW), 7)
@example('{%s,\r"x":4}\n' % ROW, 7)
@example('{%s,\n"x":4}\n' % ROW, 7)
@example("{%s} {%s}\n" % (ROW, ROW), 7)
def test_ndjson_is_read_quickly_as_it_is_strictly(text: str, device_id: int | None) -> None:
    assert_both_ways_agree(decode_ndjson, text, device_id)


@thoroughly
@given(mutated(csv_files(), 'recorded_atxyz,;"\n\r \t0-.+TZe_\0é\ufeff\ud800\u0661'), own_or_many)
@example(HEADER + "0,2026-01-01T00:00:00Z,1,2,3\n", None)
@example(HEADER + "\u00b2,2026-01-01T00:00:00Z,1,2,3\n", None)
@example(HEADER + "\u0663,2026-01-01T00:00:00Z,1,2,3\n", None)
@example(HEADER + "1" * 5000 + ",2026-01-01T00:00:00Z,1,2,3\n", None)
@example(HEADER + "0" * 30 + "1,2026-01-01T00:00:00Z,1,2,3\n", None)
@example(HEADER[7:] + "2026-01-01T00:00:00Z,1,2,0." + "0" * 140_000 + "\n", 7)
def test_csv_is_read_quickly_as_it_is_strictly(text: str, device_id: int | None) -> None:
    assert_both_ways_agree(decode_csv, text, device_id)


# Columns

few_times = st.integers(0, 3).map(lambda number: EPOCH + number * MICROSECOND)
ends_of_time = st.sampled_from([datetime(1900, 1, 1, tzinfo=UTC), datetime(2199, 12, 31, 23, 59, 59, 999999, UTC)])
moments = few_times | ends_of_time | st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))
extremes = [0.0, 1.0, 1e15, -1e15, 1e15 - 0.125, 5e-324, -5e-324, 2.225073858507201e-308, 2.2250738585072014e-308, 0.1]
axes = st.sampled_from(extremes) | st.floats(-1e15, 1e15).map(lambda value: value + 0.0)  # one zero only
several_rows = st.lists(st.builds(Row, st.sampled_from([1, 2, 2**63 - 1]), moments, axes, axes, axes), max_size=20)


@thoroughly
@given(several_rows, st.data())
def test_a_sorted_set_is_that_of_python(once: list[Row], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(once), max_size=5)) if once else []
    assert list(Columns.of_rows(once + again).sorted_set().rows()) == sorted(set(once))


@pytest.mark.django_db
@settings(thoroughly, max_examples=int(examples or 150))
@given(several_rows)
def test_what_is_inserted_is_read_back_to_the_bit(several: list[Row]) -> None:
    with transaction.atomic():
        insert(Columns.of_rows(several))
        read = list(Reading.objects.order_by("pk").values_list("device_id", "recorded_at", "x", "y", "z"))
        transaction.set_rollback(True)
    assert bits(Row(*row) for row in read) == bits(sorted(set(several)))


def bits(rows: Iterable[Row]) -> list[tuple[object, ...]]:
    return [(row.device_id, row.recorded_at, row.x.hex(), row.y.hex(), row.z.hex()) for row in rows]
