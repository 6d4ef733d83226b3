"""The guide's and the older service's routes at the root, `/api/v1/`, and the admin."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from training.admin.login import login

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index", http_method_names=["get", "head", "options"])),
    path("admin/login/", login),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include("training.api.urls")),
    path("", include("predictions.urls")),
    path("api/v1/", include("training.api.v1.urls")),
]
