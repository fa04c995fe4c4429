"""What the admin looks like: its name, its colours and its menu, the deeds first."""

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy


def _entry(title: str, icon: str, page: str, permission: str) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{page}"),
        "permission": lambda request: request.user.has_perm(permission),
    }


def _data(title: str, icon: str, page: str, model: str) -> dict[str, Any]:
    return _entry(title, icon, f"krakendata_{page}", f"krakendata.view_{model}")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "krakendata",
    "SITE_HEADER": "krakendata",
    "SITE_SUBHEADER": "Kraken's market data",
    "SITE_SYMBOL": "candlestick_chart",
    "SITE_URL": None,
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("krakendata/icon.svg")}
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "krakendata.admin.overview.overview",
    # What the content policy asks for (docs/explanation/security.md): colours from a file, and Alpine without eval;
    # and what the theme does not give the keyboard and screen readers.
    "STYLES": [
        lambda request: static("krakendata/theme.css"),
        lambda request: static("krakendata/admin.css"),
    ],
    "SCRIPTS": [
        lambda request: static("krakendata/strict.js"),
        lambda request: static("krakendata/reach.js"),
    ],
    "GLOBAL_CALLBACK": "krakendata.security.content_policy.without_inline_colours",
    "SIDEBAR": {
        "navigation": [
            {
                "items": [
                    {"title": "Overview", "icon": "dashboard", "link": reverse_lazy("admin:index")},
                    _data("Completeness", "grid_on", "completeness_map", "syncstatus"),
                    _data("Live", "show_chart", "live", "candle"),
                    _data("Runs", "play_circle", "syncrun_changelist", "syncrun"),
                    _data("Sync status", "sync", "sync_status", "syncstatus"),
                    _data("Rejected records", "report", "rejectedrecord_changelist", "rejectedrecord"),
                ],
            },
            {
                "title": "Data",
                "separator": True,
                "items": [
                    _data("Candles", "candlestick_chart", "candles", "candle"),
                    _data("Trades", "swap_horiz", "trades", "trade"),
                    # The pages of a pair's data hang on the pairs, whose entry would light up with each.
                    {
                        **_data("Pairs", "currency_exchange", "pair_changelist", "pair"),
                        "active": lambda request: request.path.endswith("/krakendata/pair/"),
                    },
                    _entry("Track a pair", "add_chart", "krakendata_onboard", "krakendata.change_pair"),
                    _entry("Upload", "upload_file", "krakendata_upload_changelist", "krakendata.add_upload"),
                    _data("Import files", "folder_zip", "importfile_changelist", "importfile"),
                    _data("Retention", "fence", "retentionline_changelist", "retentionline"),
                ],
            },
            {
                "title": "Settings",
                "separator": True,
                "collapsible": True,
                "items": [
                    _entry(
                        "Schedules",
                        "schedule",
                        "krakendata_schedules",
                        "django_celery_beat.view_periodictask",
                    ),
                    _entry("API tokens", "key", "krakendata_apitoken_changelist", "krakendata.add_apitoken"),
                    _entry("Users", "person", "auth_user_changelist", "auth.view_user"),
                    _entry("Groups", "group", "auth_group_changelist", "auth.view_group"),
                    _data("Operators' log", "history", "operatoraction_changelist", "operatoraction"),
                ],
            },
        ],
    },
}
