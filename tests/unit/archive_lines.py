"""Lines as an archive might hold them, good and bad, for tests that compare two ways of reading them."""

from __future__ import annotations

from hypothesis import strategies as st

from krakendata.kraken.archives import RawBlock

ODD_NUMBERS = (
    "", " ", "0", "0.0", "-1", "-0.5", "+1.5", "1.", ".5", " 2.5", "2.5 ", "1e3", "1E-7", "1.5e-05", "2.5E+2", "1e-41",
    "1e999999999", "-1e-999999999", "nan", "NaN", "inf", "-Infinity", "1_000", "0x10", "１２", "1e", "e5", "--1",
    "1..5", "1 5", '"1"', "abc", "00012.50", "99999999999999999999", "100000000000000000000", "0.0000000000001",
    "0.0000000000000000001", "123456789012345678.901234567891", "1234567890123456.7890123456784", "9223372036854775807",
    "9223372036854775808", "1\r", "\x00",
)  # fmt: skip
ODD_SECONDS = (
    "1377993599", "1377993600", "1377993599.999999999", "1763987400", "1763987460", "1763987460.000000001",
    "1763987461", "9999999999", "99999999999", "170000000", "1700000000.", "1700000000.1234567891", "1700000000.+12",
    "1.7e9", "+1700000000", " 1700000000", "1700000000.5.5", "-1700000000", "1700000000.-5", "2023-11-14T22:13:20Z",
)  # fmt: skip


def _in_some_notation(number: str, notation: int) -> str:
    return f"{float(number):e}" if notation == 1 else f"+{number}" if notation == 2 else number


plain = st.decimals("0.00000001", "999999", places=8).map(lambda number: f"{number:f}")
numbers = st.one_of(
    plain,
    st.builds(_in_some_notation, plain, st.integers(0, 2)),
    st.decimals("0", "1e20", allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(ODD_NUMBERS),
)
seconds = st.one_of(
    st.integers(1_377_993_600, 1_763_987_400).map(str),
    st.builds(
        lambda second, fraction: f"{second}.{fraction}",
        st.integers(1_377_993_600, 1_763_987_400),
        st.integers(0, 10**9 - 1),
    ),
    st.sampled_from(ODD_SECONDS),
    numbers,
)
# Ids and numbers of trades.
counts = st.one_of(
    st.integers(1, 10**12).map(str),
    st.sampled_from(
        ["0", "-1", "24.0", "1e3", "2.5", "+7", " 8", "007", "", "x", str(2**63 - 1), str(2**63), "1_0"]
    ),
)


def words(*known: str) -> st.SearchStrategy[str]:
    return st.one_of(st.sampled_from(known), st.sampled_from(["", " ", "B", " b", "x", "bb"]))


@st.composite
def cut_or_padded(draw: st.DrawFn, fields: st.SearchStrategy[tuple[str, ...]]) -> tuple[str, ...]:
    """Some fields too few, or too many, empty ones among them."""
    cells = draw(fields)
    if draw(st.booleans()):
        return cells[: draw(st.integers(0, len(cells) - 1))]
    return cells + tuple(draw(st.lists(st.sampled_from(["", "1", "x", " "]), min_size=1, max_size=3)))


def lines_of_fields(fields: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[list[str]]:
    line = fields.map(",".join).filter(lambda text: "\n" not in text)
    return st.lists(
        st.one_of(line, line, line, st.sampled_from(["", " ", ",", "\t"])), min_size=1, max_size=12
    )


def raw_block(lines: list[str], first_line: int = 1) -> RawBlock:
    data = "".join(f"{line}\n" for line in lines).encode()
    return RawBlock(data, 0, len(data), first_line)
