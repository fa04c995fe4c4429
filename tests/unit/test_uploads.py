"""What may be uploaded, under which name it is kept, and which of its bytes come next."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krakendata.uploads import (
    Place,
    UploadLimits,
    is_kept_name,
    kept_name,
    place_chunk,
    shown_name,
    why_too_large,
    why_wrong_kind,
)

LIMITS = UploadLimits(file_bytes=100, unpacked_bytes=1_000)
HOSTILE = [
    "../../etc/passwd.csv",
    "/etc/cron.d/x.csv",
    "..\\..\\x.zip",
    "a/../../b.csv",
    "C:\\x.csv",
    ".csv/..",
    "",
]


@pytest.mark.parametrize(
    ("offset", "length", "place"),
    [
        (40, 10, Place.NEXT),
        (40, 60, Place.NEXT),
        (0, 40, Place.KNOWN),
        (10, 10, Place.KNOWN),
        (50, 10, Place.ELSEWHERE),
        (30, 20, Place.ELSEWHERE),
        (40, 61, Place.OUTSIDE),
        (40, 0, Place.OUTSIDE),
        (-1, 5, Place.OUTSIDE),
        (100, 1, Place.OUTSIDE),
    ],
)
def test_a_chunk_is_what_comes_next_or_there_already_or_neither(
    offset: int, length: int, place: Place
) -> None:
    assert place_chunk(40, 100, offset, length) is place


@given(st.binary(min_size=1, max_size=200), st.integers(1, 50), st.integers(0, 2**32))
def test_chunks_in_any_order_and_any_number_of_times_make_the_file(
    data: bytes, length: int, seed: int
) -> None:
    chance = random.Random(seed)
    kept = bytearray()
    chunks = [(offset, data[offset : offset + length]) for offset in range(0, len(data), length)]
    while len(kept) < len(data):
        # A browser that was told what is there sends that next; others send whatever they like.
        offset, chunk = chance.choice([*chunks, (len(kept), data[len(kept) : len(kept) + length])])
        if place_chunk(len(kept), len(data), offset, len(chunk)) is Place.NEXT:
            kept += chunk
    assert bytes(kept) == data


@pytest.mark.parametrize("name", HOSTILE)
def test_what_people_are_shown_has_no_folders(name: str) -> None:
    assert not {"/", "\\"} & set(shown_name(name))


def test_what_cannot_be_seen_is_left_out_of_a_name() -> None:
    assert shown_name("XBT\u202eUSD\n\0.csv ") == "XBTUSD.csv"


@given(st.text(max_size=400))
def test_a_shown_name_is_short_and_can_be_seen(name: str) -> None:
    shown = shown_name(name)
    assert len(shown) <= 255
    assert shown.isprintable()


@given(st.integers(1, 10**12), st.integers(0, 2**32 - 1), st.text(), st.sampled_from([None, 1, 60, 1440]))
def test_the_name_a_file_is_kept_under_is_ours_whatever_it_is_called(
    number: int, salt: int, name: str, minutes: int | None
) -> None:
    kept = kept_name(number, f"{salt:08x}", f"{name}.ZIP", minutes)
    assert is_kept_name(kept)
    assert "/" not in kept


@pytest.mark.parametrize(
    "name", [*HOSTILE, "upload-1-0123abcd.csv/x", "upload-1-0123abcd.csv\n", "UPLOAD-1-0123abcd.csv"]
)
def test_no_other_name_is_taken_for_ours(name: str) -> None:
    assert not is_kept_name(name)


def test_the_interval_stays_in_the_name_because_readers_go_by_it() -> None:
    assert kept_name(7, "0123abcd", "XBTUSD_60.csv", 60) == "upload-7-0123abcd_60.csv"


@pytest.mark.parametrize("name", ["XBTUSD.csv", "Kraken_OHLCVT.ZIP"])
def test_archives_are_taken(name: str) -> None:
    assert why_wrong_kind(name) is None


@pytest.mark.parametrize("name", ["notes.txt", "X.zip.part00", ".csv", "csv", ""])
def test_what_is_no_archive_is_refused_in_a_sentence(name: str) -> None:
    why = why_wrong_kind(name)
    assert why is not None
    assert "no .csv and no .zip" in why


@pytest.mark.parametrize(("size", "told"), [(0, "is empty"), (-5, "is empty"), (101, "UPLOAD_MAX_BYTES")])
def test_a_size_that_is_not_taken_is_told(size: int, told: str) -> None:
    why = why_too_large(size, LIMITS)
    assert why is not None
    assert told in why


def test_a_size_up_to_the_limit_is_taken() -> None:
    assert why_too_large(100, LIMITS) is None
