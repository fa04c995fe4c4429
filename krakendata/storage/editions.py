"""The three editions of the database: variation as data, three parts, two ways each."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Edition:
    """One kind of database. Each part names the SQL file of that name in its folder under sql/."""

    name: str
    title: str
    partitions: Literal["hypertables", "native"]
    rollups: Literal["aggregates", "tables"]
    upkeep: Literal["policies", "scheduled"]

    def closed_relation(self, relation: str) -> str:
        """Where the refreshed buckets of a rollup are: in the aggregate, or in the table below the view."""
        return relation if self.rollups == "aggregates" else f"{relation}_closed"

    @property
    def has_timescale(self) -> bool:
        """Whether the timescaledb extension is installed in the database."""
        return self.partitions == "hypertables"


EDITIONS = {
    edition.name: edition
    for edition in (
        Edition("community", "TimescaleDB Community", "hypertables", "aggregates", "policies"),
        Edition("apache", "TimescaleDB Apache 2", "hypertables", "tables", "scheduled"),
        Edition("plain", "PostgreSQL", "native", "tables", "scheduled"),
    )
}


def edition_named(timescale_license: str | None) -> Edition:
    """Return the edition by `timescaledb.license` (`timescale`, `apache`; None without the extension)."""
    if timescale_license is None:
        return EDITIONS["plain"]
    return EDITIONS["apache" if timescale_license == "apache" else "community"]
