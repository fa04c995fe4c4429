"""Pages of Django's users and of Celery beat, registered again on unfold, without which they look broken."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin import ModelAdmin as PlainAdmin
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from krakendata.admin.people import PeopleAdmin

DRESSED_APPS = ("auth", "django_celery_beat")


class TimetableAdmin:
    """Mixed into the page of beat's entries, whose actions ask for no permission of their own."""

    # django-celery-beat's would write a script into the page.
    change_form_template = None

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        found: dict[str, Any] = super().get_actions(request)  # type: ignore[misc]
        if self.has_change_permission(request):  # type: ignore[attr-defined]
            return found
        return {name: action for name, action in found.items() if name == "delete_selected"}


# What goes before the page that a model has.
MIXINS: dict[str, type] = {"auth.User": PeopleAdmin, "django_celery_beat.PeriodicTask": TimetableAdmin}


def dress(model: type[Model], **extra: Any) -> None:
    """Put unfold's ModelAdmin under the page the model has, unless a project has done so itself."""
    page: type[PlainAdmin[Any]] = type(admin.site.get_model_admin(model))
    if issubclass(page, ModelAdmin):
        return
    admin.site.unregister(model)
    mixins = (MIXINS[model._meta.label],) if model._meta.label in MIXINS else ()
    admin.site.register(model, type(page.__name__, (*mixins, page, ModelAdmin), extra))


def dress_all() -> None:
    """Dress every registered page of `DRESSED_APPS`."""
    for label in DRESSED_APPS:
        for model in apps.get_app_config(label).get_models() if apps.is_installed(_full(label)) else ():
            if admin.site.is_registered(model):
                dress(model, **_extras(model))


def _full(label: str) -> str:
    return "django.contrib.auth" if label == "auth" else label


def _extras(model: type[Model]) -> dict[str, Any]:
    """Give the forms that draw their own inputs, which unfold cannot reach from outside."""
    name = model._meta.label
    if name == "auth.User":
        return {
            "form": UserChangeForm,
            "add_form": UserCreationForm,
            "change_password_form": AdminPasswordChangeForm,
        }
    if name == "django_celery_beat.PeriodicTask":
        return {"form": _periodic_task_form()}
    return {}


def _periodic_task_form() -> type[Any]:
    from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget

    class DressedTaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
        """The list of tasks in unfold's clothes."""

    class DressedForm(PeriodicTaskForm):
        """The form of a schedule in unfold's clothes."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.fields["task"].widget = UnfoldAdminTextInputWidget()
            self.fields["regtask"].widget = DressedTaskSelect()

    return DressedForm


dress_all()
