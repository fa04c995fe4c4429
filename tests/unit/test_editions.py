"""The editions are data: three parts, two ways each, and an SQL file for every way."""

from __future__ import annotations

import pytest

from krakendata.storage.editions import EDITIONS, Edition, edition_named
from krakendata.storage.sql import query, read_file


@pytest.mark.parametrize(
    ("licence", "name"), [("timescale", "community"), ("apache", "apache"), (None, "plain")]
)
def test_a_server_is_an_edition_by_its_licence(licence: str | None, name: str) -> None:
    assert edition_named(licence) is EDITIONS[name]


def test_both_licences_bring_the_extension() -> None:
    assert [name for name, edition in EDITIONS.items() if edition.has_timescale] == ["community", "apache"]


@pytest.mark.parametrize("edition", EDITIONS.values(), ids=EDITIONS)
def test_every_part_has_its_file_and_the_way_back(edition: Edition) -> None:
    for part in ("partitions", "rollups", "upkeep"):
        variant = getattr(edition, part)
        assert read_file(f"{part}/{variant}.sql")
        assert read_file(f"{part}/{variant}_down.sql")


def test_an_unknown_statement_is_an_error() -> None:
    with pytest.raises(KeyError):
        query("no such statement")
