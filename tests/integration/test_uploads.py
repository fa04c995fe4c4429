"""Uploads: chunks in any order, resuming, names and zips that lie, the check, the import, and who may do what."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.fixtures import Settings

from config.celery import app
from krakendata.admin import upload_chunks
from krakendata.errors import ImportFileError
from krakendata.ingest import upload_files
from krakendata.models import ImportFile, OperatorAction, SyncRun, Trade, Upload
from krakendata.models.uploads import imports_of
from krakendata.storage.sql import query
from krakendata.tasks import check_upload, import_files, uploading
from krakendata.tasks.uploading import tidy_uploads
from krakendata.uploads import CHUNK_BYTES
from tests.archive_files import made_trades, trade_line
from tests.integration.test_tracking import queue as queue
from tests.integration.test_tracking import queued

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC)
TRADES = made_trades(5, NOW - timedelta(days=2), NOW - timedelta(days=1), 400)
CSV = "".join(f"{trade_line(trade)}\n" for trade in TRADES).encode()
HOSTILE = '<script>alert("x")</script>'
CHUNK = 1_000


@pytest.fixture
def folder(settings: Settings, tmp_path: Path) -> Path:
    """Turn uploads on."""
    path = tmp_path / "uploads"
    settings.KRAKENDATA = {**settings.KRAKENDATA, "UPLOAD_DIR": path, "UPLOAD_MAX_BYTES": 10_000_000}
    return path


def person(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.add(*Permission.objects.filter(codename__in=permissions))
    return user


@pytest.fixture
def alice(folder: Path, queue: redis.Redis, client: Client) -> Client:
    """Give the browser of one who may upload."""
    client.force_login(person("alice", "add_upload"))
    return client


def browser_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def begin(client: Client, name: str = "XBTUSD.csv", size: int = len(CSV), **facts: object) -> Any:
    body = json.dumps({"name": name, "size": size, "fingerprint": "of the file", **facts})
    return client.post(
        reverse("admin:krakendata_upload_begin"), body, content_type="application/octet-stream"
    )


def send(client: Client, number: int, offset: int, data: bytes, crc: str | None = None) -> Any:
    address = reverse("admin:krakendata_upload_chunk", args=[number])
    query = f"?offset={offset}&crc={crc or f'{zlib.crc32(data):08x}'}"
    return client.post(f"{address}{query}", data, content_type="application/octet-stream")


def facts_of(answer: Any) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(answer.content)
    return facts


def upload_whole(client: Client, data: bytes = CSV, name: str = "XBTUSD.csv", **facts: object) -> Upload:
    """Send a file from its first to its last byte."""
    number = facts_of(begin(client, name, len(data), **facts))["id"]
    for offset in range(0, len(data), CHUNK_BYTES):
        answer = send(client, number, offset, data[offset : offset + CHUNK_BYTES])
        assert answer.status_code == 200
    return upload_of(number)


def upload_of(number: int) -> Upload:
    found: Upload = Upload.objects.get(pk=number)
    return found


def kept(folder: Path, upload: Upload) -> bytes:
    return (folder / upload.file).read_bytes()


def deed(client: Client, name: str, upload: Upload) -> Any:
    return client.post(reverse(f"admin:krakendata_upload_{name}", args=[upload.pk]), follow=True)


def page_of(client: Client, upload: Upload) -> str:
    answer = client.get(reverse("admin:krakendata_upload_change", args=[upload.pk]))
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


Meanwhile = Callable[[Callable[[], object]], None]


class TestChunks:
    def test_a_file_comes_whole_and_is_handed_to_a_worker(
        self, alice: Client, folder: Path, queue: redis.Redis
    ) -> None:
        number = facts_of(begin(alice))["id"]
        states = []
        for offset in range(0, len(CSV), CHUNK):
            answer = facts_of(send(alice, number, offset, CSV[offset : offset + CHUNK]))
            states.append(answer["state"])
        upload = upload_of(number)
        assert kept(folder, upload) == CSV
        assert (upload.owner, upload.name, upload.size, upload.received) == (
            "alice",
            "XBTUSD.csv",
            len(CSV),
            len(CSV),
        )
        assert states == ["receiving"] * (len(states) - 1) + ["checking"]
        assert queued(queue) == [("krakendata.tasks.check_upload", [number])]

    def test_what_comes_too_early_or_again_changes_nothing_and_learns_what_is_next(
        self, alice: Client, folder: Path, queue: redis.Redis
    ) -> None:
        number = facts_of(begin(alice))["id"]
        early = send(alice, number, CHUNK, CSV[CHUNK : 2 * CHUNK])
        assert (early.status_code, facts_of(early)["received"]) == (409, 0)
        send(alice, number, 0, CSV[:CHUNK])
        again = send(alice, number, 0, b"x" * CHUNK)
        assert (again.status_code, facts_of(again)["received"]) == (200, CHUNK)
        overlapping = send(alice, number, CHUNK // 2, CSV[CHUNK // 2 : 2 * CHUNK])
        assert (overlapping.status_code, facts_of(overlapping)["received"]) == (409, CHUNK)
        send(alice, number, CHUNK, CSV[CHUNK:])
        last = send(alice, number, CHUNK, CSV[CHUNK:])
        assert (last.status_code, facts_of(last)["received"]) == (200, len(CSV))
        assert queued(queue) == [("krakendata.tasks.check_upload", [number])]
        assert kept(folder, upload_of(number)) == CSV

    def test_a_chunk_that_was_damaged_on_its_way_is_not_taken(self, alice: Client) -> None:
        number = facts_of(begin(alice))["id"]
        answer = send(alice, number, 0, CSV[:CHUNK], crc="00000000")
        assert answer.status_code == 422
        assert upload_of(number).received == 0

    @pytest.mark.parametrize("offset", ["-1", "x", "", "9" * 30, "١"])
    def test_an_offset_that_is_none_is_refused(self, alice: Client, offset: str) -> None:
        number = facts_of(begin(alice))["id"]
        address = reverse("admin:krakendata_upload_chunk", args=[number])
        query = f"?offset={offset}&crc={zlib.crc32(b'x'):08x}"
        answer = alice.post(f"{address}{query}", b"x", content_type="application/octet-stream")
        assert answer.status_code == 400

    def test_no_more_than_the_file_is_taken(self, alice: Client, folder: Path) -> None:
        number = facts_of(begin(alice, size=10))["id"]
        assert send(alice, number, 0, CSV[:11]).status_code == 400
        assert kept(folder, upload_of(number)) == b""

    def test_a_chunk_that_is_too_large_is_not_even_read(
        self, alice: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number = facts_of(begin(alice))["id"]
        monkeypatch.setattr(upload_chunks, "CHUNK_BYTES", 100)
        assert send(alice, number, 0, CSV[:101]).status_code == 413
        assert send(alice, number, 0, CSV[:100]).status_code == 200

    def test_a_broken_write_promises_nothing(
        self, alice: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        number = facts_of(begin(alice))["id"]

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(upload_files.UploadFolder, "write", fail)
            answer = send(alice, number, 0, CSV[:CHUNK])
        assert answer.status_code == 507
        assert "No space left" in facts_of(answer)["error"]
        assert upload_of(number).received == 0
        assert send(alice, number, 0, CSV[:CHUNK]).status_code == 200

    def test_where_the_queue_is_away_the_upload_says_so_and_may_be_checked_again(
        self, alice: Client, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
            patch.setattr(app.amqp, "_producer_pool", None)
            upload = upload_whole(alice)
        assert "The task queue does not answer" in page_of(alice, upload)
        deed(alice, "check", upload)
        assert queued(queue) == [("krakendata.tasks.check_upload", [upload.pk])]
        assert upload_of(upload.pk).problem == ""


class TestResuming:
    def test_the_same_file_goes_on_where_it_was_broken_off(self, alice: Client, folder: Path) -> None:
        number = facts_of(begin(alice))["id"]
        send(alice, number, 0, CSV[:CHUNK])
        asked = alice.get(reverse("admin:krakendata_upload_received", args=[number]))
        assert facts_of(asked) == {"received": CHUNK, "state": "receiving"}
        again = facts_of(begin(alice))
        assert (again["id"], again["received"]) == (number, CHUNK)
        send(alice, number, CHUNK, CSV[CHUNK:])
        assert kept(folder, upload_of(number)) == CSV

    @pytest.mark.parametrize(
        "other", [{"fingerprint": "of another"}, {"size": 7}, {"name": "ETHUSD.csv"}, {"symbol": "ETH/USD"}]
    )
    def test_another_file_begins_anew(self, alice: Client, other: dict[str, Any]) -> None:
        number = facts_of(begin(alice))["id"]
        send(alice, number, 0, CSV[:5])
        again = facts_of(begin(alice, **other))
        assert again["id"] != number
        assert again["received"] == 0

    def test_one_whose_bytes_are_gone_begins_anew(self, alice: Client, folder: Path) -> None:
        number = facts_of(begin(alice))["id"]
        (folder / upload_of(number).file).unlink()
        assert facts_of(begin(alice))["id"] != number
        assert send(alice, number, 0, CSV).status_code == 404

    def test_nobody_goes_on_with_somebody_elses(self, alice: Client) -> None:
        number = facts_of(begin(alice))["id"]
        bob = browser_of(person("bob", "add_upload"))
        assert facts_of(begin(bob))["id"] != number

    def test_the_half_of_it_is_shown(self, alice: Client) -> None:
        number = facts_of(begin(alice))["id"]
        send(alice, number, 0, CSV[: len(CSV) // 2])
        assert "Choose the same file again" in page_of(alice, upload_of(number))
        listed = alice.get(reverse("admin:krakendata_upload_changelist")).content.decode()
        assert "50%" in listed


class TestRefusedAtOnce:
    @pytest.mark.parametrize(
        "name",
        [
            "../../../etc/cron.d/XBTUSD.csv",
            "/etc/XBTUSD.csv",
            "..\\XBTUSD.csv",
            "x/../XBTUSD.csv",
            "\0XBTUSD.csv",
        ],
    )
    def test_a_name_leads_nowhere_but_into_the_folder(self, alice: Client, folder: Path, name: str) -> None:
        upload = upload_of(facts_of(begin(alice, name))["id"])
        assert upload.name == "XBTUSD.csv"
        assert [path.name for path in folder.iterdir()] == [upload.file]
        assert upload.file.startswith(f"upload-{upload.pk}-")
        assert sorted(each.name for each in folder.parent.iterdir()) == ["uploads"]

    @pytest.mark.parametrize(
        ("facts", "status", "told"),
        [
            ({"name": "notes.txt"}, 422, "no .csv and no .zip"),
            ({"name": "mine.csv"}, 422, "is not named after a pair"),
            ({"name": "XBTUSD_7.csv"}, 422, "names interval 7"),
            ({"size": 0}, 413, "is empty"),
            ({"size": 10_000_001}, 413, "UPLOAD_MAX_BYTES"),
            ({"symbol": "nonsense"}, 422, "No pair is called nonsense"),
            ({"size": "many"}, 400, "says nothing of a file"),
            ({"size": None}, 400, "says nothing of a file"),
        ],
    )
    def test_what_cannot_be_imported_is_refused_before_a_byte_is_sent(
        self, alice: Client, folder: Path, facts: dict[str, Any], status: int, told: str
    ) -> None:
        answer = begin(alice, **facts)
        assert answer.status_code == status
        assert told in facts_of(answer)["error"]
        assert not Upload.objects.exists()
        assert not folder.exists()

    @pytest.mark.parametrize("fingerprint", ["\0", "\ud800", "x" * 10_000, 7, ["a"], None])
    def test_any_fingerprint_is_borne(self, alice: Client, fingerprint: object) -> None:
        assert begin(alice, fingerprint=fingerprint).status_code in (200, 400)

    @pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"name": "XBTUSD.csv"}', b"[" * 9_000])
    def test_what_is_no_description_of_a_file_is_refused(self, alice: Client, body: bytes) -> None:
        address = reverse("admin:krakendata_upload_begin")
        answer = alice.post(address, body, content_type="application/octet-stream")
        assert answer.status_code == 400

    def test_a_disk_without_room_takes_nothing(self, alice: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(upload_files.UploadFolder, "room", lambda self: 3 * len(CSV) // 2)
        number = facts_of(begin(alice))["id"]
        other = begin(alice, "ETHUSD.csv")
        assert other.status_code == 507
        assert "disk has room for" in facts_of(other)["error"]
        send(alice, number, 0, CSV[: len(CSV) // 2 + 1])
        assert begin(alice, "ETHUSD.csv").status_code == 200
        monkeypatch.setattr(upload_files.UploadFolder, "room", lambda self: -1)
        assert send(alice, number, len(CSV) // 2 + 1, CSV[len(CSV) // 2 + 1 :]).status_code == 507

    def test_a_folder_that_cannot_be_written_to_is_told(self, alice: Client, folder: Path) -> None:
        folder.write_text("a file in its place", encoding="utf-8")
        answer = begin(alice)
        assert answer.status_code == 507
        assert "cannot write to UPLOAD_DIR" in facts_of(answer)["error"]
        assert not Upload.objects.exists()

    def test_without_a_folder_uploads_are_off_and_the_page_says_how_to_turn_them_on(
        self, alice: Client, settings: Settings
    ) -> None:
        settings.KRAKENDATA = {
            name: value for name, value in settings.KRAKENDATA.items() if name != "UPLOAD_DIR"
        }
        assert begin(alice).status_code == 404
        page = alice.get(reverse("admin:krakendata_upload_changelist")).content.decode()
        assert "UPLOAD_DIR=" in page


class TestCheckAndImport:
    def test_from_the_first_chunk_to_the_rows(self, alice: Client, folder: Path, queue: redis.Redis) -> None:
        upload = upload_whole(alice)
        check_upload.apply(args=[upload.pk], throw=True)
        upload = upload_of(upload.pk)
        assert (upload.state, upload.symbol) == ("ready", "BTC/USD")
        page = page_of(alice, upload)
        assert "1 file of 1 pair, about 400 rows. Of the first 400 rows none is bad." in page
        assert "trades with ids (schema D)" in page
        queue.delete("krakendata.long")
        deed(alice, "import", upload)
        path = str(folder / upload.file)
        assert queued(queue) == [("krakendata.tasks.import_files", [path])]
        assert upload_of(upload.pk).state == "importing"
        import_files.apply(args=[path], kwargs={"symbol": upload.symbol}, throw=True)
        assert Trade.objects.filter(symbol="BTC/USD").count() == len(TRADES)
        assert "rows read" in page_of(alice, upload)
        assert ">done<" in alice.get(reverse("admin:krakendata_upload_changelist")).content.decode()
        tidy_uploads(timezone.now())
        assert upload_of(upload.pk).state == "done"
        assert list(folder.iterdir()) == []
        noted = OperatorAction.objects.order_by("id")
        assert [each.action for each in noted] == ["upload", "import_upload"]

    def test_a_zip_of_several_pairs_goes_the_same_way(self, alice: Client, folder: Path) -> None:
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("2025/XBTUSD.csv", CSV)
            archive.writestr("2025/ETHUSD.csv", CSV)
            archive.writestr("2025/what.csv", "is this\n")
        upload = upload_whole(alice, buffer.getvalue(), "Kraken_Trading_History.zip")
        check_upload.apply(args=[upload.pk], throw=True)
        page = page_of(alice, upload_of(upload.pk))
        assert "2 files of 2 pairs" in page
        assert "Left out" in page
        assert "Kraken_Trading_History.zip!2025/what.csv" in page
        assert str(folder) not in page
        import_files.apply(args=[str(folder / upload.file)], kwargs={"symbol": None}, throw=True)
        assert Trade.objects.count() == 2 * len(TRADES)
        assert ImportFile.objects.count() == 2

    def test_the_first_bad_line_is_shown_and_never_rendered(self, alice: Client) -> None:
        lines = CSV.decode().splitlines()
        lines[7] = f"{lines[7].split(',')[0]},{HOSTILE},1,b,l,,8"
        upload = upload_whole(alice, "\n".join(lines).encode())
        check_upload.apply(args=[upload.pk], throw=True)
        page = page_of(alice, upload_of(upload.pk))
        assert "XBTUSD.csv, line 8" in page
        assert "1 would be rejected" in page
        assert "alert(" in page
        assert HOSTILE not in page

    def test_a_bomb_is_refused_and_taken_away(self, alice: Client, folder: Path) -> None:
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("XBTUSD.csv", CSV * 100)
        raw = bytearray(buffer.getvalue())
        # The size in the list of members, from which a bomb is told to be small.
        place = raw.rindex(b"XBTUSD.csv") - 46 + 24
        raw[place : place + 4] = len(CSV).to_bytes(4, "little")
        upload = upload_whole(alice, bytes(raw), "bomb.zip")
        check_upload.apply(args=[upload.pk], throw=True)
        page = page_of(alice, upload_of(upload.pk))
        assert "unpacks to more than the" in page
        assert "Import it" not in page
        assert upload_of(upload.pk).state == "refused"
        assert list(folder.iterdir()) == []

    def test_what_unpacks_to_more_than_the_limit_is_refused(self, alice: Client, settings: Settings) -> None:
        settings.KRAKENDATA = {**settings.KRAKENDATA, "UPLOAD_MAX_UNPACKED_BYTES": 2 * len(CSV) - 1}
        buffer = BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("XBTUSD.csv", CSV)
            archive.writestr("ETHUSD.csv", CSV)
        upload = upload_whole(alice, buffer.getvalue(), "two.zip")
        check_upload.apply(args=[upload.pk], throw=True)
        assert "UPLOAD_MAX_UNPACKED_BYTES" in upload_of(upload.pk).problem

    def test_a_worker_that_does_not_see_the_folder_says_so(self, alice: Client, folder: Path) -> None:
        upload = upload_whole(alice)
        (folder / upload.file).unlink()
        check_upload.apply(args=[upload.pk], throw=True)
        upload = upload_of(upload.pk)
        assert upload.state == "checking"
        assert "has to be one folder" in upload.problem
        assert "Check it again" in page_of(alice, upload)

    def test_a_second_check_takes_nothing_from_what_the_first_found_good(
        self, alice: Client, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = upload_whole(alice)

        def look(path: Path, *_: object) -> None:
            Upload.objects.update(state="importing")
            connection.close()
            raise ImportFileError("it cannot be read.", file=str(path))

        monkeypatch.setattr(uploading, "look_at", look)
        check_upload.apply(args=[upload.pk], throw=True)
        assert upload_of(upload.pk).state == "importing"
        assert kept(folder, upload) == CSV

    def test_one_that_another_worker_looks_at_is_left_to_it(self, alice: Client) -> None:
        upload = upload_whole(alice)
        with connection.cursor() as cursor:
            cursor.execute(query("try_deed_lock"), {"deed": f"check_upload {upload.pk}"})
            check_upload.apply(args=[upload.pk], throw=True)
            assert upload_of(upload.pk).state == "checking"
            cursor.execute("SELECT pg_advisory_unlock_all()")
        check_upload.apply(args=[upload.pk], throw=True)
        assert upload_of(upload.pk).state == "ready"

    def test_a_check_that_takes_too_long_is_given_up_and_may_be_asked_for_again(
        self, alice: Client, folder: Path, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = upload_whole(alice)
        queue.delete("krakendata.long")
        with monkeypatch.context() as patch:
            patch.setattr(uploading, "CHECK_SECONDS", 0)
            check_upload.apply(args=[upload.pk], throw=True)
        page = page_of(alice, upload_of(upload.pk))
        assert "took longer than 50 minutes" in page
        assert "Check it again" in page
        assert queued(queue) == []
        check_upload.apply(args=[upload.pk], throw=True)
        upload = upload_of(upload.pk)
        assert (upload.state, upload.problem) == ("ready", "")

    def test_a_check_that_is_cancelled_says_so_too(
        self, alice: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = upload_whole(alice)
        monkeypatch.setattr(uploading, "run_share", lambda *_: None)
        check_upload.apply(args=[upload.pk], throw=True)
        assert "took longer than" in upload_of(upload.pk).problem

    def test_a_check_that_ends_with_its_worker_is_left_to_another(
        self, alice: Client, queue: redis.Redis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = upload_whole(alice)
        queue.delete("krakendata.long")
        monkeypatch.setattr(uploading, "is_stopping", lambda: True)
        check_upload.apply(args=[upload.pk], throw=True)
        assert queued(queue) == [("krakendata.tasks.check_upload", [upload.pk])]
        assert upload_of(upload.pk).problem == ""

    def test_an_import_that_failed_may_be_ordered_again(
        self, alice: Client, folder: Path, queue: redis.Redis
    ) -> None:
        upload = upload_whole(alice)
        Upload.objects.update(state="ready")
        deed(alice, "import", upload)
        path = str(folder / upload.file)
        SyncRun.objects.create(
            kind="import", state="failed", parameters={"paths": [path]}, error="the disk is full"
        )
        tidy_uploads(timezone.now())
        assert upload_of(upload.pk).state == "failed"
        assert "the disk is full" in page_of(alice, upload)
        deed(alice, "import", upload)
        tidy_uploads(timezone.now())
        # The run that failed was ordered before.
        assert upload_of(upload.pk).state == "importing"

    @pytest.fixture
    def failed(self, alice: Client, folder: Path) -> Upload:
        """Give an upload whose import failed, long enough ago to be tidied."""
        upload = upload_whole(alice)
        SyncRun.objects.create(
            kind="import", state="failed", parameters={"paths": [str(folder / upload.file)]}, error="no room"
        )
        Upload.objects.update(
            state="failed", problem="no room", updated_at=timezone.now() - timedelta(days=8)
        )
        return upload_of(upload.pk)

    def test_a_failed_import_that_is_started_again_elsewhere_is_followed_to_its_end(
        self, alice: Client, folder: Path, failed: Upload
    ) -> None:
        run = SyncRun.objects.create(kind="import", parameters={"paths": [str(folder / failed.file)]})
        assert "Discard" not in page_of(alice, failed)
        deed(alice, "discard", failed)
        tidy_uploads(timezone.now())
        assert (upload_of(failed.pk).state, upload_of(failed.pk).problem) == ("importing", "")
        assert kept(folder, failed) == CSV
        SyncRun.objects.filter(pk=run.pk).update(state="done")
        tidy_uploads(timezone.now())
        assert upload_of(failed.pk).state == "done"
        assert list(folder.iterdir()) == []

    def test_one_that_is_done_by_the_next_upkeep_is_done(
        self, alice: Client, folder: Path, failed: Upload
    ) -> None:
        paths = [str(folder / failed.file)]
        SyncRun.objects.create(kind="import", state="done", parameters={"paths": paths})
        assert ">done<" in alice.get(reverse("admin:krakendata_upload_changelist")).content.decode()
        tidy_uploads(timezone.now())
        assert upload_of(failed.pk).state == "done"

    def test_one_that_fails_again_stays_failed(self, alice: Client, folder: Path, failed: Upload) -> None:
        Upload.objects.update(updated_at=timezone.now())
        tidy_uploads(timezone.now())
        assert (upload_of(failed.pk).state, upload_of(failed.pk).problem) == ("failed", "no room")
        assert "Discard" in page_of(alice, failed)

    def test_where_the_queue_is_away_nothing_is_ordered(
        self, alice: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload = upload_whole(alice)
        Upload.objects.update(state="ready")
        with monkeypatch.context() as patch:
            patch.setattr(app.conf, "broker_write_url", "redis://127.0.0.1:1/0")
            patch.setattr(app.amqp, "_producer_pool", None)
            page = deed(alice, "import", upload).content.decode()
        assert "The task queue does not answer" in page
        assert upload_of(upload.pk).state == "ready"


class TestTidying:
    @pytest.mark.parametrize(
        ("state", "age", "is_kept"),
        [
            ("receiving", timedelta(hours=23), True),
            ("receiving", timedelta(hours=25), False),
            ("ready", timedelta(days=6), True),
            ("ready", timedelta(days=8), False),
            ("failed", timedelta(days=8), False),
            ("importing", timedelta(days=8), True),
        ],
    )
    def test_what_nobody_came_back_for_is_taken_away(
        self, alice: Client, folder: Path, state: str, age: timedelta, is_kept: bool
    ) -> None:
        number = facts_of(begin(alice))["id"]
        Upload.objects.update(state=state, updated_at=timezone.now() - age)
        tidy_uploads(timezone.now())
        assert bool(list(folder.iterdir())) == is_kept
        assert (upload_of(number).state == "discarded") != is_kept

    @pytest.fixture
    def meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
        """Do something to an upload that is about to be tidied: while the file of the one before it is removed."""
        remove = upload_files.UploadFolder.remove

        def do(what: Callable[[], object]) -> None:
            def removing(folder: upload_files.UploadFolder, name: str) -> None:
                monkeypatch.setattr(upload_files.UploadFolder, "remove", remove)
                remove(folder, name)
                what()

            monkeypatch.setattr(upload_files.UploadFolder, "remove", removing)

        return do

    def test_one_that_is_ordered_meanwhile_keeps_its_file(
        self, alice: Client, folder: Path, meanwhile: Meanwhile
    ) -> None:
        upload, newest = upload_whole(alice), upload_whole(alice)
        Upload.objects.update(state="ready", updated_at=timezone.now() - timedelta(days=8))
        meanwhile(lambda: deed(alice, "import", upload))
        tidy_uploads(timezone.now())
        assert upload_of(newest.pk).state == "discarded"
        assert upload_of(upload.pk).state == "importing"
        assert kept(folder, upload) == CSV

    def test_one_that_goes_on_meanwhile_is_kept(
        self, alice: Client, folder: Path, meanwhile: Meanwhile
    ) -> None:
        number, newest = (facts_of(begin(alice, name))["id"] for name in ("XBTUSD.csv", "ETHUSD.csv"))
        Upload.objects.update(updated_at=timezone.now() - timedelta(days=2))
        meanwhile(lambda: send(alice, number, 0, CSV[:CHUNK]))
        tidy_uploads(timezone.now())
        assert upload_of(newest).state == "discarded"
        assert upload_of(number).state == "receiving"
        assert kept(folder, upload_of(number)) == CSV[:CHUNK]

    def test_an_upload_is_discarded_by_its_owner(self, alice: Client, folder: Path) -> None:
        upload = upload_of(facts_of(begin(alice))["id"])
        deed(alice, "discard", upload)
        assert upload_of(upload.pk).state == "discarded"
        assert list(folder.iterdir()) == []
        late = send(alice, upload.pk, 0, CSV[:CHUNK])
        assert (late.status_code, facts_of(late)["state"]) == (409, "discarded")

    def test_what_is_being_imported_is_not_discarded(self, alice: Client, folder: Path) -> None:
        upload = upload_whole(alice)
        Upload.objects.update(state="importing")
        deed(alice, "discard", upload)
        assert upload_of(upload.pk).state == "importing"
        assert kept(folder, upload) == CSV


class TestPermissions:
    DEEDS = ("import", "check", "discard")

    @pytest.fixture
    def upload(self, alice: Client) -> Upload:
        upload = upload_whole(alice)
        Upload.objects.update(state="ready")
        return upload_of(upload.pk)

    def test_a_stranger_is_sent_to_the_login(self, upload: Upload) -> None:
        stranger = Client()
        for answer in (begin(stranger), send(stranger, upload.pk, 0, b"x")):
            assert answer.status_code == 302
        assert stranger.get(reverse("admin:krakendata_upload_changelist")).status_code == 302

    def test_staff_without_the_permission_sees_and_does_nothing(
        self, upload: Upload, queue: redis.Redis
    ) -> None:
        queue.delete("krakendata.long")
        clerk = browser_of(person("clerk", "view_pair", "view_syncrun"))
        assert begin(clerk).status_code == 403
        assert send(clerk, upload.pk, 0, b"x").status_code == 403
        pages = [reverse("admin:krakendata_upload_changelist")]
        pages += [
            reverse(f"admin:krakendata_upload_{name}", args=[upload.pk]) for name in ("change", "received")
        ]
        assert {clerk.get(page).status_code for page in pages} == {403}
        assert {deed(clerk, name, upload).status_code for name in self.DEEDS} == {403}
        assert queued(queue) == []
        assert upload_of(upload.pk).state == "ready"

    def test_somebody_elses_upload_is_not_there(
        self, upload: Upload, queue: redis.Redis, folder: Path
    ) -> None:
        queue.delete("krakendata.long")
        bob = browser_of(person("bob", "add_upload"))
        assert send(bob, upload.pk, 0, CSV[:CHUNK]).status_code == 404
        for name in ("change", "received"):
            assert bob.get(reverse(f"admin:krakendata_upload_{name}", args=[upload.pk])).status_code == 404
        assert {deed(bob, name, upload).status_code for name in self.DEEDS} == {404}
        listed = bob.get(reverse("admin:krakendata_upload_changelist")).content.decode()
        assert "XBTUSD.csv" not in listed
        assert queued(queue) == []
        assert kept(folder, upload) == CSV

    def test_a_viewer_sees_everybodys_and_starts_nothing(self, upload: Upload, queue: redis.Redis) -> None:
        queue.delete("krakendata.long")
        viewer = browser_of(person("viewer", "view_upload"))
        page = page_of(viewer, upload)
        assert "XBTUSD.csv" in page
        assert '<button class="kd-button">Import' not in page
        listed = viewer.get(reverse("admin:krakendata_upload_changelist")).content.decode()
        assert "XBTUSD.csv" in listed
        assert 'id="upload"' not in listed
        assert begin(viewer).status_code == 403
        assert {deed(viewer, name, upload).status_code for name in self.DEEDS} == {403}
        assert queued(queue) == []

    def test_who_may_delete_uploads_takes_away_what_others_left(self, upload: Upload, folder: Path) -> None:
        keeper = browser_of(person("keeper", "view_upload", "delete_upload"))
        deed(keeper, "discard", upload)
        assert upload_of(upload.pk).state == "discarded"
        assert list(folder.iterdir()) == []

    def test_deeds_are_posts_with_a_token(self, upload: Upload) -> None:
        browser = Client(enforce_csrf_checks=True)
        browser.force_login(User.objects.get(username="alice"))
        for name in (*self.DEEDS, "chunk"):
            address = reverse(f"admin:krakendata_upload_{name}", args=[upload.pk])
            assert browser.post(address).status_code == 403
            assert browser.get(address).status_code == 405

    @pytest.mark.parametrize("key", ["999999", "nonsense", "9" * 30, "-1"])
    def test_an_upload_that_is_not_there_is_not_found(self, alice: Client, key: str) -> None:
        assert alice.get(reverse("admin:krakendata_upload_change", args=[key])).status_code == 404


def test_a_hostile_name_is_shown_and_never_rendered(alice: Client) -> None:
    upload = upload_of(facts_of(begin(alice, f"{HOSTILE.replace('/', '')}.zip"))["id"])
    for page in (
        page_of(alice, upload),
        alice.get(reverse("admin:krakendata_upload_changelist")).content.decode(),
    ):
        assert "<script>alert" not in page
        assert "alert(" in page


def test_an_import_is_found_among_many_runs_without_reading_them(folder: Path) -> None:
    """With the planner forbidden to read the table from end to end, it has an index to go by."""
    wanted = SyncRun.objects.create(kind="import", parameters={"paths": ["/a"], "symbol": None})
    SyncRun.objects.create(kind="import", parameters={"paths": ["/a", "/b"]})
    assert imports_of(["/a", "/c"]) == {"/a": wanted}
    assert imports_of([]) == {}
    with connection.cursor() as cursor:
        cursor.execute("SET enable_seqscan = off")
        try:
            runs = SyncRun.objects.filter(kind="import", parameters__paths=["/a"]).order_by()
            backfills = SyncRun.objects.filter(kind="backfill", parameters__symbol="BTC/USD").order_by()
            assert "sync_runs_imported" in runs.explain()
            assert "sync_runs_backfilled" in backfills.explain()
        finally:
            cursor.execute("RESET enable_seqscan")
