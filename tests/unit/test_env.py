"""The environment reader: values out, or a sentence that names the variable."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config import env
from config.env import Environment, SettingError
from krakendata.errors import ConfigurationError

URL = "timescale://me:p%40ss@db.example.com:5433/market"
PARTS = {"DB_HOST": "db.example.com", "DB_NAME": "market", "DB_USER": "me", "DB_PASSWORD": "p@ss"}


def of(**variables: str) -> Environment:
    return Environment(variables)


def test_a_timescale_url_chooses_the_timescale_backend() -> None:
    assert env.database(of(DATABASE_URL=URL))["ENGINE"] == "krakendata.db.timescale"


def test_a_postgresql_url_chooses_the_postgresql_backend() -> None:
    url = URL.replace("timescale", "postgresql")
    assert env.database(of(DATABASE_URL=url))["ENGINE"] == "krakendata.db.postgresql"


def test_an_escaped_password_is_read_back() -> None:
    assert env.database(of(DATABASE_URL=URL))["PASSWORD"] == "p@ss"


def test_the_parts_make_a_timescale_database_by_default() -> None:
    database = env.database(of(**PARTS))
    assert (database["ENGINE"], database["PORT"], database["PASSWORD"]) == (
        "krakendata.db.timescale",
        5432,
        "p@ss",
    )


def test_the_engine_of_the_parts_can_be_postgresql() -> None:
    assert env.database(of(**PARTS, DB_ENGINE="postgresql"))["ENGINE"] == "krakendata.db.postgresql"


@pytest.mark.parametrize("missing", ["DB_NAME", "DB_USER", "DB_PASSWORD"])
def test_a_missing_part_is_named_with_an_example(missing: str) -> None:
    rest = {name: value for name, value in PARTS.items() if name != missing}
    with pytest.raises(SettingError, match=f"^{missing} is not set: .*for example {missing}="):
        env.database(Environment(rest))


def test_a_missing_database_is_named_with_an_example() -> None:
    with pytest.raises(SettingError, match=r"^DATABASE_URL is not set: .*DATABASE_URL=timescale://"):
        env.database(of())


@pytest.mark.parametrize(
    "url",
    [
        "mysql://me:hunter2@host/name",
        "hunter2",
        "timescale://me:hunter2@host:port/name",
        "timescale://me:hun[ter2@host/name",
        "timescale://me:hunter2@host",
        "timescale:///hunter2",
    ],
)
def test_a_malformed_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingError, match=r"^DATABASE_URL .*for example") as caught:
        env.database(of(DATABASE_URL=url))
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_an_environment_shows_no_values() -> None:
    assert repr(of(**PARTS)) == "Environment(DB_HOST, DB_NAME, DB_PASSWORD, DB_USER)"


@pytest.mark.parametrize("name", ["DATABASE_URL", "SECRET_KEY", "REDIS_URL", "DB_PASSWORD"])
def test_a_secret_may_lie_in_a_file(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from-the-file\n", encoding="utf-8")
    assert Environment({f"{name}_FILE": str(secret)}).required(name, "x") == "from-the-file"


def test_a_secret_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="^DB_PASSWORD_FILE names a file that cannot be read"):
        of(DB_PASSWORD_FILE=str(tmp_path / "none")).required("DB_PASSWORD", "x")


def test_an_empty_secret_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(SettingError, match="^DB_PASSWORD_FILE names an empty file"):
        of(DB_PASSWORD_FILE=str(tmp_path / "empty")).required("DB_PASSWORD", "x")


def test_the_secret_key_has_no_default() -> None:
    with pytest.raises(SettingError, match="^SECRET_KEY is not set"):
        env.secret_key(of(DATABASE_URL=URL))


def test_redis_is_required_beside_a_server() -> None:
    with pytest.raises(SettingError, match="^REDIS_URL is not set"):
        env.redis_url(of(DATABASE_URL=URL))


def test_a_redis_that_is_named_is_taken_beside_an_embedded_database_too() -> None:
    url = "redis://localhost:6379/3"
    assert env.redis_url(of(DATABASE_URL="embedded:", REDIS_URL=url)) == url


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://:p%2Fss@host:6379/3", "redis://:p%2Fss@host:6379/3"),
        ("unix:///my%20data/redis.sock", "redis+socket:///my%20data/redis.sock?virtual_host=0"),
        ("unix://:p%2Fss@/redis.sock?db=3", "redis+socket://:p%2Fss@/redis.sock?virtual_host=3"),
    ],
)
def test_the_task_queue_is_in_the_same_redis(url: str, broker: str) -> None:
    assert env.broker_url(url) == broker


def test_an_address_that_is_not_of_redis_is_refused() -> None:
    with pytest.raises(SettingError, match="^REDIS_URL is not an address of Redis"):
        env.redis_url(of(DATABASE_URL=URL, REDIS_URL="localhost:6379"))


def test_embedded_lives_under_var_by_default() -> None:
    assert env.embedded_home(of(DATABASE_URL="embedded:")) == env.ROOT / "var" / "postgres"


def test_embedded_can_live_elsewhere() -> None:
    assert env.embedded_home(of(DATABASE_URL="embedded:/srv/my data")) == Path("/srv/my data")


def test_embedded_in_a_relative_path_is_refused() -> None:
    with pytest.raises(SettingError, match="^DATABASE_URL asks for an embedded server in a relative path"):
        env.embedded_home(of(DATABASE_URL="embedded:var"))


def test_a_server_is_not_embedded() -> None:
    assert env.embedded_home(of(DATABASE_URL=URL)) is None


def test_the_defaults_are_the_customers() -> None:
    settings = env.krakendata(of())
    assert (settings["RETENTION_TRADES_DAYS"], settings["RETENTION_CANDLES_DAYS"]) == (90, 365)
    assert (settings["COMPRESS_TRADES_AFTER_DAYS"], settings["COMPRESS_CANDLES_AFTER_DAYS"]) == (7, 30)


def test_the_limits_of_the_live_buffer_are_the_customers() -> None:
    settings = env.krakendata(of())
    assert (settings["LIVE_BUFFER_TRADES"], settings["LIVE_BUFFER_CANDLES"]) == (10_000, 1_000)
    assert (settings["LIVE_FLUSH_TRADES"], settings["LIVE_FLUSH_CANDLES"]) == (100, 10)
    assert settings["LIVE_FLUSH_EVERY"] == timedelta(seconds=5)


def test_a_flush_of_more_than_the_buffer_holds_is_refused() -> None:
    with pytest.raises(SettingError, match="^LIVE_FLUSH_TRADES is above LIVE_BUFFER_TRADES"):
        env.krakendata(of(LIVE_BUFFER_TRADES="50"))


def test_a_flush_later_than_the_live_socket_expects_is_refused() -> None:
    with pytest.raises(SettingError, match="^LIVE_FLUSH_EVERY is above 5s"):
        env.krakendata(of(LIVE_FLUSH_EVERY="6s"))


def test_the_refresh_of_5m_is_the_customers() -> None:
    settings = env.krakendata(of())
    window = [settings[f"REFRESH_5M_{edge}"] for edge in ("START", "END", "EVERY")]
    assert window == [timedelta(hours=1), timedelta(minutes=5), timedelta(minutes=5)]


def test_the_refresh_of_1w_is_in_proportion_but_hourly() -> None:
    settings = env.krakendata(of())
    window = [settings[f"REFRESH_1W_{edge}"] for edge in ("START", "END", "EVERY")]
    assert window == [timedelta(weeks=12), timedelta(weeks=1), timedelta(hours=1)]


def test_a_duration_is_a_number_and_a_unit() -> None:
    assert env.krakendata(of(REFRESH_5M_START="90m"))["REFRESH_5M_START"] == timedelta(minutes=90)


@pytest.mark.parametrize("text", ["90", "m", "-5m", "1.5h", "0m", "5 minutes"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="^REFRESH_5M_START is not a duration"):
        env.krakendata(of(REFRESH_5M_START=text))


@pytest.mark.parametrize("text", ["-1", "ninety", "1e3", "9.5", "٩"])
def test_what_is_no_whole_number_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="^RETENTION_TRADES_DAYS is not a whole number of at least 0"):
        env.krakendata(of(RETENTION_TRADES_DAYS=text))


def test_zero_keeps_for_ever() -> None:
    assert env.krakendata(of(RETENTION_TRADES_DAYS="0"))["RETENTION_TRADES_DAYS"] == 0


def test_a_pool_smaller_than_its_least_is_refused() -> None:
    with pytest.raises(SettingError, match="^POOL_MIN_SIZE is above POOL_MAX_SIZE"):
        env.krakendata(of(POOL_MIN_SIZE="5", POOL_MAX_SIZE="4"))


def test_the_exchange_is_kraken_at_the_pace_it_recommends() -> None:
    settings = env.krakendata(of())
    assert settings["KRAKEN_REST_URL"] == "https://api.kraken.com"
    assert settings["KRAKEN_WEBSOCKET_URL"] == "wss://ws.kraken.com/v2"
    assert (settings["KRAKEN_CALLS_PER_SECOND_PER_PAIR"], settings["KRAKEN_CALLS_PER_SECOND"]) == (1, 5)


def test_a_rate_may_be_a_fraction_or_none() -> None:
    settings = env.krakendata(of(KRAKEN_CALLS_PER_SECOND_PER_PAIR="0.5", KRAKEN_CALLS_PER_SECOND="0"))
    assert (settings["KRAKEN_CALLS_PER_SECOND_PER_PAIR"], settings["KRAKEN_CALLS_PER_SECOND"]) == (0.5, 0)


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "1e3", "1/2", "fast", ".5"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="^KRAKEN_CALLS_PER_SECOND is not a number of 0 or more"):
        env.krakendata(of(KRAKEN_CALLS_PER_SECOND=text))


@pytest.mark.parametrize(
    "url",
    [
        "api.kraken.com",
        "wss://ws.kraken.com/v2",
        "https://",
        "https://host:port",
        "https://me:hunter2@host",
        "https://host?key=hunter2",
        "http://[hunter2",
    ],
)
def test_an_address_that_is_not_of_a_web_server_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(SettingError, match="^KRAKEN_REST_URL is not the address of a web server") as caught:
        env.krakendata(of(KRAKEN_REST_URL=url))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["ws.kraken.com/v2", "https://ws.kraken.com/v2", "wss://me:hunter2@host/v2"])
def test_an_address_that_is_not_of_a_websocket_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(
        SettingError, match="^KRAKEN_WEBSOCKET_URL is not the address of a WebSocket"
    ) as caught:
        env.krakendata(of(KRAKEN_WEBSOCKET_URL=url))
    assert "hunter2" not in str(caught.value)


def test_a_flag_is_yes_or_no() -> None:
    assert of(DEBUG="True").flag("DEBUG", default=False)
    with pytest.raises(SettingError, match="^DEBUG is neither yes nor no"):
        of(DEBUG="perhaps").flag("DEBUG", default=False)


def test_a_setting_error_is_djangos_and_ours() -> None:
    assert issubclass(SettingError, ConfigurationError)
    assert issubclass(SettingError, ImproperlyConfigured)


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("POOL_MAX_SIZE=3\nPOOL_MIN_SIZE=1\n", encoding="utf-8")
    monkeypatch.setenv("KRAKENDATA_ENV_FILE", str(tmp_path / ".env"))
    monkeypatch.setenv("POOL_MAX_SIZE", "7")
    settings = env.krakendata(env.from_process())
    assert (settings["POOL_MIN_SIZE"], settings["POOL_MAX_SIZE"]) == (1, 7)


def test_the_example_file_lists_every_variable() -> None:
    asked: set[str] = set()

    class Asking(dict[str, str]):
        def get(self, name: str, default: object = None) -> str:
            asked.add(name)
            return ""

    asking = Environment(Asking())
    env.krakendata(asking)
    for name in ("DEBUG", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", *PARTS, "DB_PORT", "DB_ENGINE"):
        asking.optional(name)
    listed = (env.ROOT / ".env.example").read_text(encoding="utf-8")
    names = {name for name in asked if not name.endswith("_FILE")} | {
        "DATABASE_URL",
        "SECRET_KEY",
        "REDIS_URL",
    }
    assert [
        name for name in sorted(names) if f"\n{name}=" not in listed and f"\n#{name}=" not in listed
    ] == []


def test_there_is_no_replica_unless_one_is_named() -> None:
    assert env.replica(of()) is None


def test_a_replica_is_an_address_of_its_own() -> None:
    found = env.replica(of(DATABASE_REPLICA_URL=URL.replace("db.example", "replica.example")))
    assert found is not None
    assert (found["HOST"], found["PASSWORD"]) == ("replica.example.com", "p@ss")


@pytest.mark.parametrize("url", ["embedded:", "mysql://me:secret@host/name", "timescale://me:se/cret@host"])
def test_a_replica_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(
        SettingError, match="^DATABASE_REPLICA_URL .*for example DATABASE_REPLICA_URL="
    ) as refused:
        env.replica(of(DATABASE_REPLICA_URL=url))
    assert "cret" not in str(refused.value)


def test_uploads_are_off_unless_a_folder_is_named() -> None:
    settings = env.krakendata(of(DATABASE_URL=URL))
    assert "UPLOAD_DIR" not in settings
    assert settings["UPLOAD_MAX_BYTES"] < settings["UPLOAD_MAX_UNPACKED_BYTES"]


def test_uploads_have_a_folder_of_their_own_beside_an_embedded_database() -> None:
    settings = env.krakendata(of(DATABASE_URL="embedded:/srv/data"))
    assert settings["UPLOAD_DIR"] == Path("/srv/data/uploads")


def test_a_folder_for_uploads_that_is_named_is_taken() -> None:
    named = of(DATABASE_URL="embedded:/srv/data", UPLOAD_DIR="/mnt/uploads", UPLOAD_MAX_BYTES="5")
    settings = env.krakendata(named)
    assert (settings["UPLOAD_DIR"], settings["UPLOAD_MAX_BYTES"]) == (Path("/mnt/uploads"), 5)


def test_a_relative_folder_for_uploads_is_refused() -> None:
    with pytest.raises(SettingError, match="^UPLOAD_DIR is not an absolute path"):
        env.krakendata(of(UPLOAD_DIR="uploads"))


def test_the_metrics_are_for_nobody_unless_somebody_says_for_whom() -> None:
    found = env.krakendata(env.Environment({}))
    assert "METRICS_TOKEN" not in found
    assert "METRICS_NETWORKS" not in found


def test_the_metrics_are_for_who_knows_the_token_or_asks_from_a_network() -> None:
    given = {"METRICS_TOKEN": "0123456789abcdef", "METRICS_NETWORKS": "10.0.0.0/8, fd00::/8"}
    found = env.krakendata(env.Environment(given))
    assert found["METRICS_TOKEN"] == "0123456789abcdef"
    assert [str(each) for each in found["METRICS_NETWORKS"]] == ["10.0.0.0/8", "fd00::/8"]


@pytest.mark.parametrize(
    "given", [{"METRICS_TOKEN": "0123456789abcde"}, {"METRICS_NETWORKS": "10.0.0.0/8,hunter2hunter2"}]
)
def test_a_word_that_opens_too_easily_is_refused_without_being_told(given: dict[str, str]) -> None:
    with pytest.raises(env.SettingError) as caught:
        env.krakendata(env.Environment(given))
    assert next(iter(given)) in str(caught.value)
    assert "0123456789abcde" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
