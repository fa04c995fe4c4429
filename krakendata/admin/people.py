"""Accounts, as an administrator who is no superuser sees them: nobody gets more than a role by their hand."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from django.db.models import ManyToManyField, QuerySet
from django.http import HttpRequest

from krakendata.security.roles import ABOUT

# What a superuser alone may give.
BEYOND_ROLES = ("is_superuser", "user_permissions")


class PeopleAdmin:
    """Mixed into Django's page of users.

    Django lets whoever may change accounts make any of them, their own too, a superuser; this does not. Superusers
    are neither changed nor deleted by others, and of the groups only the roles are offered: others stay as they are.
    """

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        people: QuerySet[Any] = super().get_queryset(request)  # type: ignore[misc]
        return people if request.user.is_superuser else people.exclude(is_superuser=True)

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
        """Save the roles chosen, and leave the person in the other groups."""
        person = form.instance
        others = [] if request.user.is_superuser else list(person.groups.exclude(name__in=ABOUT))
        super().save_related(request, form, formsets, change)  # type: ignore[misc]
        person.groups.add(*others)
