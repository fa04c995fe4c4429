"""The app, as an internal Django project installs it: add "krakendata" to INSTALLED_APPS."""

from typing import Any

from django.apps import AppConfig
from django.apps import apps as installed
from django.apps.registry import Apps
from django.db import connections, router
from django.db.models.signals import post_migrate

from krakendata.storage.sql import query


class KrakendataConfig(AppConfig):
    """Registers the system checks, and has every `migrate` apply the policies and the roles."""

    name = "krakendata"
    verbose_name = "Kraken market data"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from krakendata import checks

        checks.register_all()
        post_migrate.connect(apply_policies, sender=self)
        post_migrate.connect(write_roles, sender=self)


def apply_policies(sender: AppConfig, using: str, **_: Any) -> None:
    """Make the database's policies what the settings want; nothing to do once it is migrated to zero."""
    from krakendata.options import upkeep_settings

    if not router.allow_migrate(using, sender.label):
        return
    with connections[using].cursor() as cursor:
        cursor.execute(query("has_policies"))
        if cursor.fetchone() == (True,):
            cursor.execute(query("apply_policies"), {"policies": upkeep_settings().as_json()})


def write_roles(sender: AppConfig, using: str, apps: Apps = installed, **_: Any) -> None:
    """Make the groups of viewers, operators and administrators what the table of roles says."""
    if installed.is_installed("django.contrib.auth"):
        from krakendata.security.roles_applied import apply_roles

        apply_roles(apps, using)
