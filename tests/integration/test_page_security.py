"""What every page says to the browser, that nothing in it is forbidden by its policy, and the deployment's checks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient, Client
from django.urls import reverse

from krakendata.models import RejectedRecord, SyncRun
from tests.installations import Installation, installed

pytestmark = pytest.mark.django_db

# Data for scripts is no script.
INLINE_SCRIPT = re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*type=\"application/json\")[^>]*>", re.IGNORECASE)
INLINE_STYLE = re.compile(r"<style|<[^>]*\sstyle=", re.IGNORECASE)
HANDLER = re.compile(r"<[^>]*\son[a-z]+=", re.IGNORECASE)
SCRIPT_ADDRESS = re.compile(r"href=\"\s*javascript:", re.IGNORECASE)

PAGES = [
    "index", "password_change", "krakendata_syncrun_changelist", "krakendata_schedules", "krakendata_sync_status",
    "krakendata_rejectedrecord_changelist", "krakendata_candles", "krakendata_trades", "krakendata_live",
    "krakendata_pair_changelist", "krakendata_importfile_changelist", "krakendata_retentionline_changelist",
    "krakendata_operatoraction_changelist", "krakendata_apitoken_changelist", "krakendata_apitoken_add",
    "auth_user_changelist", "auth_user_add", "auth_group_changelist", "auth_group_add",
    "django_celery_beat_periodictask_changelist", "django_celery_beat_periodictask_add",
    "django_celery_beat_intervalschedule_add", "django_celery_beat_crontabschedule_add",
]  # fmt: skip


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("operator"))
    return client


@pytest.mark.parametrize("name", PAGES)
def test_nothing_in_a_page_is_forbidden_by_its_policy(name: str, operator: Client) -> None:
    run = SyncRun.objects.create(kind="backfill", parameters={"by": "worker", "symbol": "BTC/USD"}, done=1)
    RejectedRecord.objects.create(
        run=run,
        source="archive",
        place="a",
        symbol="b",
        reason="c",
        detail="d",
        raw="<img src=x onerror=alert(1)>",
    )
    page = operator.get(reverse(f"admin:{name}")).content.decode()
    for forbidden in (INLINE_SCRIPT, INLINE_STYLE, HANDLER, SCRIPT_ADDRESS):
        assert forbidden.findall(page) == []


@pytest.mark.parametrize("path", ["/admin/login/", "/", "/nowhere/", "/api/v1/nowhere", "/api/v1/docs"])
def test_every_answer_has_its_headers(path: str, client: Client) -> None:
    answer = client.get(path)
    assert "script-src 'self';" in answer["Content-Security-Policy"]
    assert "connect-src 'self' ws://testserver;" in answer["Content-Security-Policy"]
    assert "camera=()" in answer["Permissions-Policy"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"


def test_no_page_is_framed(client: Client) -> None:
    assert client.get("/admin/login/")["X-Frame-Options"] == "DENY"


async def test_the_headers_go_with_answers_under_asgi() -> None:
    answer = await AsyncClient().get("/api/v1/nowhere")
    assert "default-src 'none'" in answer["Content-Security-Policy"]


def test_a_strange_host_does_not_get_into_the_policy(client: Client) -> None:
    answer = client.get("/admin/login/", headers={"host": "x; script-src *"})
    assert answer.status_code == 400
    assert "*" not in answer["Content-Security-Policy"]


def test_the_cookies_are_the_servers_alone(client: Client) -> None:
    User.objects.create_superuser("operator", password="for this test only")
    form = {"username": "operator", "password": "for this test only"}
    client.get("/admin/login/")
    client.post("/admin/login/", form, REMOTE_ADDR="192.0.2.201")
    session = client.cookies["sessionid"]
    assert session["httponly"]
    assert session["samesite"] == client.cookies["csrftoken"]["samesite"] == "Lax"


# --- behind a proxy that speaks HTTPS -----------------------------------------------------------------------

DEPLOYED = {
    "CSRF_TRUSTED_ORIGINS": "https://data.example.com",
    "ALLOWED_HOSTS": "data.example.com",
    "SECRET_KEY": "Zl3hT9vQm2xKc8wRb5yNf7pLd1sGj4aUe6oXi0tVzBqMnHrCyPk5Wg7J",
}
ASK = """
import json, sys
sys.argv[0] = 'manage.py'
import os; os.environ['DJANGO_SETTINGS_MODULE'] = 'config.settings'
import django; django.setup()
from django.test import Client
client = Client(headers={'host': 'data.example.com'})
plain, safe = client.get('/admin/login/'), client.get('/admin/login/', headers={'x-forwarded-proto': 'https'})
inside = client.get('/health/live')
print(json.dumps([plain.status_code, plain.headers.get('Location'), safe.status_code, dict(safe.headers),
                  safe.cookies['csrftoken'].OutputString(), inside.status_code]))
"""


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with installed("krakendata_deployed") as installation:
        yield installation


def test_the_deployments_checks_find_nothing(installation: Installation) -> None:
    told = installation.run("check", "--deploy", "--tag", "security", "--fail-level", "DEBUG", **DEPLOYED)
    assert "no issues" in told


@pytest.mark.parametrize(
    ("redirected", "status"), [("true", 301), ("false", 200)], ids=["redirected", "not redirected"]
)
def test_behind_a_proxy_everything_goes_by_https(
    installation: Installation, redirected: str, status: int
) -> None:
    asking = Installation(installation.url, ASK)
    answer = asking.run(**DEPLOYED, HTTPS_REDIRECT=redirected)
    plain, location, safe, headers, cookie, inside = json.loads(answer.splitlines()[-1])
    assert (plain, safe) == (status, 200)
    assert location == ("https://data.example.com/admin/login/" if status == 301 else None)
    assert headers["Strict-Transport-Security"] == "max-age=2592000"
    assert "wss://data.example.com" in headers["Content-Security-Policy"]
    assert "Secure" in cookie
    # Who asks after the server's health stands inside.
    assert inside != 301
