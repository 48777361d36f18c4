"""Readings from files: what is good is stored once, and what is bad is named by its line."""

import gzip
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from devices.management.commands import import_readings
from devices.models import Device, Reading
from tests.helpers import at, stored
from users.models import User

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("alice")]

HEADER = "device,recorded_at,x,y,z\n"
FIRST = "Pump 1,2026-01-01T00:00:00Z,1,2,3\n"
SECOND = "Pump 2,2026-01-01T00:00:01Z,4,5,6\n"
THIRD = "Pump 1,2026-01-01T00:00:02Z,7,8,9\n"
GOOD = HEADER + FIRST + SECOND + THIRD


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "readings.csv"


def test_a_file_is_stored(file: Path) -> None:
    file.write_text(GOOD)
    assert imported(file) == "3 readings stored, 0 were there already, 0 bad lines skipped.\n"
    assert contents() == [
        ("Pump 1", at(0), 1.0, 2.0, 3.0),
        ("Pump 2", at(1), 4.0, 5.0, 6.0),
        ("Pump 1", at(2), 7.0, 8.0, 9.0),
    ]


def test_a_gzipped_file_is_stored_whatever_its_name(file: Path) -> None:
    file.write_bytes(gzip.compress(GOOD.encode()))
    imported(file)
    assert len(contents()) == 3


def test_a_gzipped_file_may_have_several_members(file: Path) -> None:
    file.write_bytes(gzip.compress((HEADER + FIRST).encode()) + gzip.compress(SECOND.encode()))
    imported(file)
    assert len(contents()) == 2


def test_columns_may_come_in_another_order(file: Path) -> None:
    file.write_text("z,y,x,recorded_at,device\n3,2,1,2026-01-01T00:00:00Z,Pump 1\n")
    imported(file)
    assert contents() == [("Pump 1", at(0), 1.0, 2.0, 3.0)]


@pytest.mark.parametrize("zipped", [False, True])
def test_a_byte_order_mark_is_passed_over(file: Path, zipped: bool) -> None:
    content = GOOD.encode("utf-8-sig")
    file.write_bytes(gzip.compress(content) if zipped else content)
    imported(file)
    assert len(contents()) == 3


def test_lines_may_end_as_on_windows(file: Path) -> None:
    file.write_bytes(GOOD.replace("\n", "\r\n").encode())
    imported(file)
    assert len(contents()) == 3


def test_the_last_line_needs_no_end(file: Path) -> None:
    file.write_text(GOOD.rstrip("\n"))
    imported(file)
    assert len(contents()) == 3


def test_blank_lines_are_passed_over(file: Path) -> None:
    file.write_text(HEADER + "\n" + FIRST + "\r\n" + SECOND + "\n")
    assert imported(file) == "2 readings stored, 0 were there already, 0 bad lines skipped.\n"


def test_a_quoted_name_may_hold_commas_and_quotes(file: Path) -> None:
    file.write_text(HEADER + '"Pump ""A"", left",2026-01-01T00:00:00Z,1,2,3\n')
    imported(file)
    assert contents() == [('Pump "A", left', at(0), 1.0, 2.0, 3.0)]


def test_a_name_may_be_in_any_language(file: Path) -> None:
    file.write_text(HEADER + "Pumpe Süd 東京,2026-01-01T00:00:00Z,1,2,3\n", encoding="utf-8")
    imported(file)
    assert contents() == [("Pumpe Süd 東京", at(0), 1.0, 2.0, 3.0)]


def test_a_device_is_found_by_its_name_and_else_created(file: Path, alice: User, device: Device) -> None:
    file.write_text(GOOD)
    imported(file)
    assert list(Device.objects.order_by("id").values_list("name", "owner")) == [
        ("Pump 1", alice.pk),
        ("Pump 2", alice.pk),
    ]
    assert Reading.objects.filter(device=device).count() == 2


def test_a_device_of_the_same_name_and_another_owner_is_left_alone(file: Path, bob: User) -> None:
    his = Device.objects.create(owner=bob, name="Pump 1")
    file.write_text(GOOD)
    imported(file)
    assert not Reading.objects.filter(device=his).exists()
    assert Device.objects.filter(name="Pump 1").count() == 2


def test_the_same_file_again_creates_nothing(file: Path) -> None:
    file.write_text(GOOD)
    imported(file)
    assert imported(file) == "0 readings stored, 3 were there already, 0 bad lines skipped.\n"
    assert (Reading.objects.count(), Device.objects.count()) == (3, 2)


def test_a_line_that_comes_twice_is_stored_once(file: Path) -> None:
    file.write_text(HEADER + FIRST + FIRST)
    assert imported(file) == "1 readings stored, 1 were there already, 0 bad lines skipped.\n"


def test_readings_that_are_there_already_are_passed_over(file: Path, device: Device) -> None:
    stored(device, (0, 1, 2, 3))
    file.write_text(GOOD)
    assert imported(file) == "2 readings stored, 1 were there already, 0 bad lines skipped.\n"


def test_more_lines_than_one_chunk_holds_are_all_stored(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_readings, "CHUNK", 100)
    file.write_text(HEADER + "".join(f"Pump {n % 2},2026-01-01T00:00:00Z,{n},2,3\n" for n in range(10)))
    assert imported(file) == "10 readings stored, 0 were there already, 0 bad lines skipped.\n"


BAD_LINES: list[tuple[bytes, str]] = [
    (b"Pump 1,2026-01-01T00:00:00Z,1,2", "4 columns in place of 5."),
    (b"Pump 1,2026-01-01T00:00:00Z,1,2,3,4", "6 columns in place of 5."),
    (b"Pump 1;2026-01-01T00:00:00Z;1;2;3", "1 columns in place of 5."),
    (b"Pump 1,2026-01-01T00:00:00Z,1,2,", "z: This must be a number"),
    (b"Pump 1,2026-01-01T00:00:00Z,1,two,3", "y: This must be a number"),
    (b'Pump 1,2026-01-01T00:00:00Z,"1,5",2,3', "x: This must be a number"),
    (b"Pump 1,2026-01-01T00:00:00Z,1_0,2,3", "x: This must be a number"),
    (b"Pump 1,2026-01-01T00:00:00Z,nan,2,3", "x: This must be a finite number."),
    (b"Pump 1,2026-01-01T00:00:00Z,1,-inf,3", "y: This must be a finite number."),
    (b"Pump 1,2026-01-01T00:00:00Z,1,2,1e400", "z: This must be a finite number."),
    (b"Pump 1,2026-01-01T00:00:00Z,1,2,1.1e15", "z: This number must be at most 1e15 in size."),
    (b"Pump 1,2026-01-01T00:00:00,1,2,3", "recorded_at: This time needs an offset"),
    (b"Pump 1,2026-01-01T00:00:00.1234567Z,1,2,3", "recorded_at: This time is finer than a microsecond."),
    (b"Pump 1,2200-01-01T00:00:00Z,1,2,3", "recorded_at: This time must be in the years"),
    (b"Pump 1,\xff,1,2,3", "recorded_at: This must be a time"),
    (b"Pump 1,2026-01-01T00:00:00Z,1,2,\xff", "z: This must be a number"),
    (b"Pump \xff,2026-01-01T00:00:00Z,1,2,3", "device: This name has characters that can't be shown."),
    (b"Pump \x00,2026-01-01T00:00:00Z,1,2,3", "device: This name has characters that can't be shown."),
    (b",2026-01-01T00:00:00Z,1,2,3", "device: This field cannot be blank."),
    (b"P" * 201 + b",2026-01-01T00:00:00Z,1,2,3", "device: Ensure this value has at most 200 characters"),
    (b'Pump 1,"2026-01-01T00:00:00Z"Z,1,2,3', "The quotes in this line do not match."),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_ends_the_import_after_those_before_it(file: Path, line: bytes, reason: str) -> None:
    file.write_bytes((HEADER + FIRST + SECOND).encode() + line + b"\n" + THIRD.encode())
    with pytest.raises(CommandError) as failure:
        imported(file)
    message = str(failure.value)
    assert message.startswith(f"Line 4: {reason}")
    assert message.endswith("2 readings stored, 0 were there already, 0 bad lines skipped.")
    assert [content[1] for content in contents()] == [at(0), at(1)]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_can_be_skipped_and_is_listed(file: Path, line: bytes, reason: str) -> None:
    file.write_bytes((HEADER + FIRST + SECOND).encode() + line + b"\n" + THIRD.encode())
    errors = StringIO()
    assert imported(file, errors) == "3 readings stored, 0 were there already, 1 bad lines skipped.\n"
    assert errors.getvalue().startswith(f"Line 4 skipped: {reason}")
    assert len(contents()) == 3


@pytest.mark.parametrize("line", ['Pump 1,"2026-01-01T00:00:00Z,1,2,3\n', '"Pump 1,2026-01-01T00:00:00Z,1,2,3\n'])
def test_a_quote_that_is_not_closed_spoils_its_own_line_only(file: Path, line: str) -> None:
    file.write_text(HEADER + FIRST + line + SECOND + THIRD)
    errors = StringIO()
    assert imported(file, errors) == "3 readings stored, 0 were there already, 1 bad lines skipped.\n"
    assert errors.getvalue().startswith("Line 3 skipped: ")


def test_a_line_is_counted_with_the_blank_ones(file: Path) -> None:
    file.write_text(HEADER + "\n\n" + FIRST + "nonsense\n")
    with pytest.raises(CommandError, match=r"^Line 5: 1 columns"):
        imported(file)


def test_all_faults_of_a_line_are_named(file: Path) -> None:
    file.write_text(HEADER + "Pump 1,now,1,two,3\n")
    with pytest.raises(CommandError, match=r"^Line 2: recorded_at: This must be a time .* y: This must be a number"):
        imported(file)


def test_a_bad_line_creates_no_device(file: Path) -> None:
    """As when two files were joined, each with its header."""
    file.write_text(HEADER + FIRST + HEADER + THIRD)
    imported(file, StringIO())
    assert list(Device.objects.values_list("name", flat=True)) == ["Pump 1"]


def test_of_many_bad_lines_the_first_hundred_are_listed_and_all_are_counted(file: Path) -> None:
    file.write_text(HEADER + "nonsense\n" * 150 + FIRST)
    errors = StringIO()
    assert imported(file, errors) == "1 readings stored, 0 were there already, 150 bad lines skipped.\n"
    assert [line.split()[1] for line in errors.getvalue().splitlines()] == [str(n) for n in range(2, 102)]


def test_after_a_repair_the_same_file_completes(file: Path) -> None:
    file.write_text(HEADER + FIRST + "nonsense\n" + THIRD)
    with pytest.raises(CommandError):
        imported(file)
    file.write_text(GOOD)
    assert imported(file) == "2 readings stored, 1 were there already, 0 bad lines skipped.\n"


@pytest.mark.parametrize("damage", ["cut short", "changed", "followed by something else"])
def test_a_damaged_gzip_ends_the_import_and_the_whole_file_completes_it(
    file: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.setattr(import_readings, "CHUNK", 3000)
    whole = HEADER + "".join(f"Pump 1,2026-01-01T00:00:00Z,{n + 1},2,{n**3}\n" for n in range(5000))
    zipped = gzip.compress(whole.encode())
    no_deflate = zipped[:10] + b"\xff" * 1000  # a good header, and then what can't be unpacked
    damaged = {
        "cut short": zipped[: len(zipped) // 2],
        "changed": gzip.compress((HEADER + FIRST).encode()) + no_deflate,
        "followed by something else": zipped + b"\xff" * 1000,
    }
    file.write_bytes(damaged[damage])
    with pytest.raises(CommandError, match=r"readings\.csv: .* readings stored"):
        imported(file)
    before = Reading.objects.count()
    file.write_bytes(zipped)
    assert imported(file).startswith(f"{5000 - before} readings stored, {before} were there already")


def test_the_owner_must_be_there(file: Path) -> None:
    file.write_text(GOOD)
    with pytest.raises(CommandError, match=r"There is no user 'nobody'\."):
        call_command("import_readings", file, owner="nobody")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "\n",
        "device,recorded_at,x,y\n",
        "device,recorded_at,x,y,z,id\n",
        "device,recorded_at,x,y,y\n",
        "device,recorded_at,x,y,z,z\n",
        "device,recorded_at,X,Y,Z\n",
        "device;recorded_at;x;y;z\n",
        'device,recorded_at,x,y,"z\n',
        'device,"recorded_at"s,x,y,z\n',
        "device,recorded_at,x,y,\0\n",
    ],
)
def test_the_header_must_name_the_columns(file: Path, header: str) -> None:
    file.write_text(header + FIRST if header else "")
    with pytest.raises(CommandError, match=r"Line 1: the header must name the columns device, recorded_at, x, y, z"):
        imported(file)
    assert not contents()


def test_the_names_in_the_header_may_have_spaces_around_them(file: Path) -> None:
    file.write_text("device, recorded_at, x, y, z\nPump 1,2026-01-01T00:00:00Z, 1, 2, 3\n")
    imported(file)
    assert len(contents()) == 1


def test_a_header_alone_is_a_file_without_readings(file: Path) -> None:
    file.write_text(HEADER)
    assert imported(file) == "0 readings stored, 0 were there already, 0 bad lines skipped.\n"


def test_a_file_that_is_not_there_is_told(file: Path) -> None:
    with pytest.raises(CommandError, match=r"readings\.csv"):
        imported(file)


@pytest.mark.parametrize("skip_bad_lines", [False, True])
def test_an_inactive_device_ends_the_import_with_the_batch(file: Path, device: Device, skip_bad_lines: bool) -> None:
    Device.objects.update(is_active=False)
    file.write_text(GOOD)
    with pytest.raises(CommandError, match=r"inactive and takes no readings.*\. 0 readings stored"):
        imported(file, StringIO() if skip_bad_lines else None)
    assert not contents()


def imported(file: Path, errors: StringIO | None = None) -> str:
    """What the command tells about a file of alice's. With a place for errors, it skips bad lines."""
    output = StringIO()
    call_command(
        "import_readings", file, owner="alice", skip_bad_lines=errors is not None, stdout=output, stderr=errors
    )
    return output.getvalue()


def contents() -> list[tuple[object, ...]]:
    """All readings by time, each with its device's name."""
    return list(Reading.objects.order_by("recorded_at").values_list("device__name", "recorded_at", "x", "y", "z"))
