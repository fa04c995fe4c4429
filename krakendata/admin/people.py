"""Accounts, as an administrator who is no superuser sees them: nobody gets more than a role by their hand."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.db.models import ManyToManyField, QuerySet
from django.http import HttpRequest

from krakendata.security.roles import ABOUT

# What a superuser alone may give.
BEYOND_ROLES = ("is_superuser", "user_permissions")


def is_beyond_roles(person: Any) -> bool:
    """Whether somebody has single permissions, or is in a group that is no role."""
    others = person.groups.exclude(name__in=ABOUT)
    return bool(person.user_permissions.exists() or others.exists())


class PeopleAdmin:
    """Mixed into Django's page of users.

    Django lets whoever may change accounts make any of them, their own too, a superuser; this does not. Superusers
    are neither changed nor deleted by others, and of the groups only the roles are offered. Whoever has been given
    more than the roles is changed by superusers alone: a new password would be the way to what they may.
    """

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        people: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return people if request.user.is_superuser else people.exclude(is_superuser=True)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_reached = request.user.is_superuser or obj is None or not is_beyond_roles(obj)
        return is_reached and bool(super().has_change_permission(request, obj))  # type: ignore[misc]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        shown = list(super().get_readonly_fields(request, obj))  # type: ignore[misc]
        return shown if request.user.is_superuser else [*shown, *BEYOND_ROLES]

    def formfield_for_manytomany(
        self, field: ManyToManyField[Any, Any], request: HttpRequest, **given: Any
    ) -> Any:
        if field.name == "groups" and not request.user.is_superuser:
            given["queryset"] = Group.objects.filter(name__in=ABOUT)
        return super().formfield_for_manytomany(field, request, **given)  # type: ignore[misc]

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the roles chosen, and leave the person in a group that came meanwhile."""
        person = form.instance
        others = [] if request.user.is_superuser else list(person.groups.exclude(name__in=ABOUT))
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        person.groups.add(*others)
