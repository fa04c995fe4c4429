"""The addresses: the admin, the HTTP API, and the root that leads to the admin."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from krakendata.security.login_limit import limited_login

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    # Before the admin's own page for it, which sets no limit.
    path("admin/login/", limited_login),
    path("admin/", admin.site.urls),
    path("api/", include("krakendata.api.urls")),
]
