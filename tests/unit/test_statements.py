"""Statements are found by their names, and a name has one."""

from __future__ import annotations

import pytest

from krakendata.storage.sql import statements_by_name


def test_every_statement_has_its_name() -> None:
    assert statements_by_name("-- name: one\nSELECT 1\n\n-- name: two\nSELECT 2\n") == {
        "one": "SELECT 1",
        "two": "SELECT 2",
    }


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="named one"):
        statements_by_name("-- name: one\nSELECT 1\n\n-- name: one\nSELECT 2\n")
