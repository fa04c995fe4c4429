"""The roles as Django's groups, written after each migrate.

The three groups are ours and always have exactly what the table says; other groups, and who is in which, are left
alone. Who wants another mixture makes a group of another name.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import router

from krakendata.security.roles import ABOUT, permissions_of


def apply_roles(apps: Any, using: str) -> None:
    """Make the groups and give them their permissions; nothing to do in a project without Django's accounts.

    Idempotent. `apps` is the state of the models that `migrate` has reached. Permissions of apps that are not
    installed are left out.
    """
    try:
        group_model = apps.get_model("auth", "Group")
        permission_model = apps.get_model("auth", "Permission")
    except LookupError:
        return
    if not router.allow_migrate_model(using, group_model):
        return
    labels = {name.partition(".")[0] for role in ABOUT for name in permissions_of(role)}
    for label in sorted(labels):
        # Those of apps behind ours in INSTALLED_APPS are not there yet.
        if label in installed.app_configs:
            create_permissions(installed.get_app_config(label), verbosity=0, using=using, apps=apps)
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in permission_model.objects.using(using)
        .filter(content_type__app_label__in=labels)
        .select_related("content_type")
    }
    for role in ABOUT:
        group, _ = group_model.objects.using(using).get_or_create(name=role)
        wanted = {known[name].pk for name in permissions_of(role) if name in known}
        if wanted != set(group.permissions.using(using).values_list("pk", flat=True)):
            group.permissions.set(wanted)
