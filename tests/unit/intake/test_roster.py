"""The employees' CSV: all problems at once, with their lines, or people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import InvalidInputError
from daemon.intake import roster
from daemon.intake.roster import parse

HEADER = "user_id,name,badge,job_id\n"


def problems(data: bytes | str) -> list[str]:
    """The problems of a file, without the first line of the message."""
    with pytest.raises(InvalidInputError) as caught:
        parse(data.encode() if isinstance(data, str) else data)
    first, *rest = caught.value.message.split("\n")
    assert first == "cannot import the employees; nothing was changed:"
    return rest


def people(text: str) -> list[tuple]:
    return [(p.user_id, p.name, p.job_id, list(p.badges)) for p in parse(text.encode())]


def test_rows_of_one_person_are_one_person():
    """Several rows with one user_id give several badges; badge and job may be empty; badges are canonical."""
    text = HEADER + "7,Ann,04:a1:b2:c3,\n8,Bob,,job-1\n7,Ann,0012345678,job-2\n"
    assert people(text) == [("7", "Ann", "job-2", ["04A1B2C3", "0012345678"]), ("8", "Bob", "job-1", [])]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + "7,Ann,04A1,\n",
        HEADER.replace("\n", "\r\n") + "7,Ann,04A1,\r\n\r\n",
        "Name , USER_ID,job_id,badge\n Ann ,7,, 04a1 \n",
        HEADER + '"7","Ann","04A1",""',
    ],
)
def test_what_spreadsheets_write_is_read(text):
    """Byte order mark, CRLF, empty lines, other order, spaces, quotes, no last newline."""
    assert people(text) == [("7", "Ann", None, ["04A1"])]


def test_names_keep_their_letters():
    """Commas in quotes, and letters of any script."""
    assert people(HEADER + '7,"Łukasz, Jr.",,\n8,Zoë,,\n9,陳,,\n')[0][1] == "Łukasz, Jr."


def test_all_problems_are_told_with_their_lines():
    """One bad row does not hide the next."""
    text = HEADER + (
        "7,Ann,04A1,\n"  # 2
        ",Nobody,,\n"  # 3
        "8,,,\n"  # 4
        "7,Anna,,\n"  # 5
        "9,Eve,04A1,\n"  # 6
        "7,Ann,04:A1,\n"  # 7
        "10,Joe\n"  # 8
        f"{'1' * 65},Long,,\n"  # 9
        "11,Tab\tName,,\n"  # 10
        "1 2,Space,,\n"  # 11
        f"13,Odd,{'x' * 65},\n"  # 12
        "14,Job,,j1\n14,Job,,j2\n"  # 13, 14
    )
    told = problems(text)
    assert [int(line.split(":")[0].removeprefix("line ")) for line in told] == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14]
    assert "line 2" in told[2]
    assert "04A1 stands in line 2 already" in told[3]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "user_id is missing"),
        (b"user_id,name\n7,Ann\n", "badge is missing"),
        (b"user_id;name;badge;job_id\n", "commas, not semicolons"),
        (b"user_id,name,badge,job_id,phone\n", "'phone' is unknown"),
        (b"user_id,name,badge,job_id,name\n", "twice"),
        (HEADER.encode() + b"7,Ann,,\n8,B\xf6b,,\n", "line 3: byte 37 is not UTF-8"),
        (HEADER.encode() + b"7,Ann,,\n8,B\0b,,\n", "line 3: there is a NUL byte"),
        ((HEADER + "7,Ann,,\n").encode("utf-16"), "UTF-16"),
        (HEADER.encode() + b'7,"Ann,,\n', "line 2: not readable as CSV"),
        (HEADER.encode() + b'7,"Ann"x,,\n', "line 2: not readable as CSV"),
        (HEADER.encode() + b"7," + b"x" * 200_000 + b",,\n", "not readable as CSV"),
        (b"x" * (roster.BYTES_MAX + 1), "more than 5,242,880"),
        (HEADER.encode() + b"7,A,,\n" * (roster.ROWS_MAX + 1), "more than 100,000 rows"),
    ],
)
def test_files_that_are_something_else(data, words):
    """A wrong file is told as such, with the line where there is one."""
    assert words in "\n".join(problems(data))


def test_a_thoroughly_wrong_file_is_told_in_bounds():
    """A file wrong in every line gives a message of bounded length that says how much more there is."""
    told = problems(HEADER + ",x,,\n" * 5000)
    assert len(told) == roster.PROBLEMS_MAX + 1
    assert told[-1] == "… and 4000 more"


@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: (HEADER + text).encode("utf-8", "replace")))
def test_garbage_is_an_operators_error(data):
    """Whatever stands in a file: people, or InvalidInputError; nothing else is ever raised."""
    try:
        for person in parse(data):
            assert person.user_id
            assert person.name
    except InvalidInputError:
        pass
