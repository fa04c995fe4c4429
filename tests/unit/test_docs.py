"""What the documentation says is so: commands, options, variables, tables, reasons, links and paths exist."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

from config import env
from krakendata.historical_provider import Candle, HistoricalDataProvider, StreamedCandle
from krakendata.replay.faults import Faults
from krakendata.validation import Reason

ROOT = env.ROOT
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
PAGE_NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
IMAGE_BYTES = 200_000

# Words of the documentation that look like variables and are Django's, Python's or the tests'.
OTHER_NAMES = {
    "CHANNEL_LAYERS", "DATABASES", "FORWARDED_ALLOW_IPS", "DATABASE_ROUTERS", "INSTALLED_APPS", "KRAKENDATA",
    "SWALLOWED_BASES", "TIME_ZONE", "USE_TZ", "X_FILE",
    "PAIR_INTERVAL", "PAIR_INTERVAL.csv", "BTC_USD", "ETH_USD", "BENCH_ARCTICDB_PYTHON",
}  # fmt: skip


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows_of(text: str) -> list[list[str]]:
    """Give the cells of every table row, without heads' rulers."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|---")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def sections_of(text: str, level: str) -> dict[str, str]:
    """Give the text below each heading of a level, by the heading without its backticks."""
    parts = re.split(rf"^{level} (.+)$", text, flags=re.MULTILINE)
    return {
        title.strip("`"): re.split(r"^#", body, flags=re.MULTILINE)[0]
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def long_options(command: BaseCommand) -> set[str]:
    parser = command.create_parser("manage.py", "")
    return {text for action in parser._actions for text in action.option_strings if text.startswith("--")}


def options_of(name: str) -> set[str]:
    """Give the long options of a command, those that every command has included."""
    app = get_commands()[name]
    return long_options(app if isinstance(app, BaseCommand) else load_command_class(app, name))


def own_options_of(name: str) -> set[str]:
    return options_of(name) - long_options(BaseCommand())


def our_commands() -> list[str]:
    return sorted(path.stem for path in (ROOT / "krakendata/management/commands").glob("[a-z]*.py"))


def variables_of_example() -> dict[str, str]:
    found = re.findall(
        r"^#?([A-Z][A-Z0-9_]*)=(.*)$", (ROOT / ".env.example").read_text(encoding="utf-8"), re.MULTILINE
    )
    return dict(found)


def anchor_of(heading: str) -> str:
    """Make GitHub's anchor of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def links_of(page: Path) -> Iterator[str]:
    without_code = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code):
        if not target.startswith(("http://", "https://", "mailto:")):
            yield target


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_every_internal_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for link in links_of(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(anchor_of, headings), link


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_every_command_shown_exists_with_its_options(name: str) -> None:
    for command, rest in re.findall(
        r"manage\.py ([a-z_]+)([^`\n]*)", (ROOT / name).read_text(encoding="utf-8")
    ):
        assert command in get_commands(), command
        missing = set(re.findall(r"(?<= )--[a-z-]+", rest)) - options_of(command)
        assert not missing, f"{command} {missing}"


def test_the_reference_has_every_command_with_exactly_its_options() -> None:
    sections = sections_of(text_of("reference/commands.md"), "##")
    assert sorted(sections) == our_commands()
    for command, text in sections.items():
        shown = {cells[0].strip("`") for cells in rows_of(text) if cells[0].startswith("`--")}
        assert shown == own_options_of(command), command


def test_the_settings_are_those_of_the_example() -> None:
    rows = [cells for cells in rows_of(text_of("reference/settings.md")) if cells[0].startswith("`")]
    assert {cells[0].strip("`"): cells[1].strip("`") for cells in rows} == variables_of_example()


@pytest.mark.parametrize("name", PAGE_NAMES)
def test_every_variable_named_is_in_the_example(name: str) -> None:
    known = variables_of_example()
    text = (ROOT / name).read_text(encoding="utf-8")
    code = re.findall(r"`[^`\n]+`|^```.*?^```", text, flags=re.MULTILINE | re.DOTALL)
    for word in re.findall(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b", "\n".join(code)):
        assert word in known or word.removesuffix("_FILE") in known or word in OTHER_NAMES, word


def test_the_reject_reasons_are_those_of_the_code() -> None:
    rows = [cells for cells in rows_of(text_of("reference/reject-reasons.md")) if cells[0].startswith("`")]
    assert [(cells[0].strip("`"), cells[1]) for cells in rows] == [
        (str(each), each.sentence) for each in Reason
    ]


def test_the_faults_are_those_of_the_code() -> None:
    rows = rows_of(sections_of(text_of("reference/replay-exchange.md"), "##")["Faults"])
    assert [cells[0].strip("`") for cells in rows[1:]] == list(Faults().as_dict())


def test_the_check_ids_are_those_of_the_code() -> None:
    source = (ROOT / "krakendata/checks.py").read_text(encoding="utf-8")
    pattern = r"krakendata\.[EW]\d{3}"
    assert set(re.findall(pattern, text_of("reference/checks.md"))) == set(re.findall(pattern, source))


def test_the_tables_are_told_column_by_column() -> None:
    text = text_of("reference/tables.md")
    sections = sections_of(text, "###")
    for model in apps.get_app_config("krakendata").get_models():
        table = model._meta.db_table
        assert f"`{table}`" in text, table
        told = sections.get(table) or sections_of(text, "##")["Columns of a candle"]
        columns = {field.column for field in model._meta.concrete_fields if field.column}
        assert columns <= set(re.findall(r"`([a-z_]+)`", told)), table


def test_the_provider_is_told_with_its_arguments_and_fields() -> None:
    text = text_of("reference/provider.md")
    for name, method in inspect.getmembers(HistoricalDataProvider, inspect.isfunction):
        if name.startswith("_"):
            continue
        plain = [
            parameter.replace(annotation=inspect.Parameter.empty)
            for parameter in list(inspect.signature(method).parameters.values())[1:]
        ]
        call = f"{name}{inspect.Signature(plain)}".replace("'", '"').replace(
            "datetime.timedelta", "timedelta"
        )
        assert f"`{'await ' if inspect.iscoroutinefunction(method) else ''}{call}`" in text, name
    assert set(Candle._fields) <= set(re.findall(r"`([a-z_]+)`", sections_of(text, "##")["Candle"]))
    told = set(re.findall(r"`([a-z_]+)`", sections_of(text, "##")["Streamed candles"]))
    assert {field.name for field in fields(StreamedCandle)} <= told


@pytest.mark.parametrize("name", ["docs/room-map.md", "CONTRIBUTING.md"])
def test_every_path_named_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for path in re.findall(r"`([\w./-]+(?:/|\.py|\.sql|\.toml|\.md))`", text):
        assert any((folder / path).exists() for folder in (ROOT, ROOT / "krakendata")), path


def test_the_tools_are_told_with_the_versions_they_were_proven_with() -> None:
    rows = rows_of(text_of("how-to/use-with-other-tools.md"))
    told = {re.sub(r"\[(.+)\]\(.*\)", r"\1", cells[0]): cells[1] for cells in rows[1:]}
    for path in (ROOT / "tests/interop/requirements").glob("*.in"):
        name, version = path.read_text(encoding="utf-8").splitlines()[0].split("==")
        assert told[{"backtesting": "backtesting.py"}.get(name, name)] == version
    pinned = re.findall(
        r"^ccxt==(\S+)", (ROOT / "requirements-dev.in").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert [told["ccxt"]] == pinned


def test_no_picture_is_too_heavy() -> None:
    for image in DOCS.rglob("*.png"):
        assert image.stat().st_size < IMAGE_BYTES, image
