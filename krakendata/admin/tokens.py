"""API tokens: made and revoked here, by those who may add them; shown once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
)

from krakendata.admin.pages import show
from krakendata.admin.readonly import ReadOnlyAdmin
from krakendata.admin.wording import NOTHING, ago, chip, counted, minute
from krakendata.api.tokens import PREFIX, SCOPES, digest_of, new_token
from krakendata.models import ApiToken

NAME_CHARACTERS = 100
# The last ones of a token, by which its holder tells which it is.
ENDING_CHARACTERS = 4


class TokenForm(forms.ModelForm):  # type: ignore[type-arg]  # not subscriptable when run
    """What a new token is for, what it may do, for how long."""

    name = forms.CharField(
        max_length=NAME_CHARACTERS,
        help_text="What it is for: the program that will show it.",
        widget=UnfoldAdminTextInputWidget,
    )
    scopes = forms.MultipleChoiceField(
        choices=[(scope, f"{scope}: {about}") for scope, about in SCOPES.items()],
        help_text="What may be read with it. The list of pairs may be read with any.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    expires_at = forms.SplitDateTimeField(
        required=False,
        label="Expires (UTC)",
        help_text="Left empty: never.",
        widget=UnfoldAdminSplitDateTimeWidget,
    )
    requests_per_minute = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1_000_000,
        help_text="Left empty: as many as API_REQUESTS_PER_MINUTE says.",
        widget=UnfoldAdminIntegerFieldWidget,
    )

    class Meta:
        model = ApiToken
        fields = ("name", "scopes", "expires_at", "requests_per_minute")

    def clean_expires_at(self) -> Any:
        """A token that has expired already is of no use."""
        moment = self.cleaned_data["expires_at"]
        if moment is not None and moment <= timezone.now():
            raise forms.ValidationError("That is past.")
        return moment


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """All of it needs the permission "Can add API token". Tokens are revoked, never deleted or changed."""

    form = TokenForm
    list_display = ["name", "token", "shown_state", "allowed", "owner", "created", "used", "expires"]
    search_fields = ["name", "owner", "ending"]
    ordering = ["-id"]
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.has_perm("krakendata.add_apitoken"))

    has_view_permission = has_add_permission
    has_module_permission = has_add_permission
    has_revoke_permission = has_add_permission

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        if obj is None:
            return list(TokenForm.Meta.fields)
        return [*self.list_display, "requests_per_minute"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [] if obj is None else self.get_fields(request, obj)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        """Make the token; all that is kept of it is its digest and its last characters."""
        token = new_token()
        obj.owner = request.user.get_username()
        obj.digest, obj.ending = digest_of(token), token[-ENDING_CHARACTERS:]
        obj.save()
        # For the answer to this request alone.
        request.made_token = token  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: Any = None
    ) -> HttpResponse:
        """Show the token, this once."""
        token = request.made_token  # type: ignore[attr-defined]
        facts = {"token": token, "made": obj, "docs": _address_of_docs()}
        answer = show(request, "token_made.html", f"Token for {obj.name}", **facts)
        answer["Cache-Control"] = "no-store"
        return answer

    @admin.action(
        description="Revoke (programs that show it are refused within seconds)", permissions=["revoke"]
    )
    def revoke(self, request: HttpRequest, tokens: QuerySet[ApiToken]) -> None:
        revoked = list(tokens.filter(revoked_at=None))
        for each in revoked:
            ApiToken.objects.filter(pk=each.pk).update(revoked_at=timezone.now())
            self.log_change(request, each, "Revoked.")
        self.message_user(request, f"{counted(len(revoked), 'token is', 'tokens are')} revoked.")

    @admin.display(description="Token")
    def token(self, made: ApiToken) -> str:
        return f"{PREFIX}…{made.ending}"

    @admin.display(description="State")
    def shown_state(self, made: ApiToken) -> SafeString:
        if made.revoked_at is not None:
            return chip("revoked", "bad")
        return chip("valid", "good") if made.is_valid_at(timezone.now()) else chip("expired", "quiet")

    @admin.display(description="May read")
    def allowed(self, made: ApiToken) -> str:
        return ", ".join(made.scopes)

    @admin.display(description="Created (UTC)", ordering="created_at")
    def created(self, made: ApiToken) -> str:
        return minute(made.created_at)

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, made: ApiToken) -> str:
        return NOTHING if made.last_used_at is None else ago(made.last_used_at, timezone.now())

    @admin.display(description="Expires (UTC)", ordering="expires_at")
    def expires(self, made: ApiToken) -> str:
        return "never" if made.expires_at is None else minute(made.expires_at)


def _address_of_docs() -> str | None:
    """Where the API can be tried; None in a project that does not include it."""
    try:
        return reverse("krakendata-api:openapi-view")
    except NoReverseMatch:
        return None
