"""The same lists as a project would have them that does nothing for speed: Django's and DRF's own."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin, site
from django.contrib.auth.models import User
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Model
from django.template.response import TemplateResponse
from django.test import RequestFactory
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import filters, generics, pagination, permissions, serializers
from rest_framework.test import APIRequestFactory, force_authenticate


def plain_admin(model: type[Model], user: User) -> Callable[[str], None]:
    """Answers a query string with a stock ModelAdmin that has our columns, orders, filters and search."""
    ours: Any = site._registry[model]  # noqa: SLF001  # get_model_admin is only in later versions

    class Stock(ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
        list_display = tuple(_column(ours, name) for name in ours.list_display)
        list_filter = tuple(name[0] for name in ours.list_filter if isinstance(name, tuple))
        list_select_related = ours.list_select_related
        list_per_page = ours.list_per_page
        search_fields = ours.search_fields

    stock = Stock(model, AdminSite())

    def answer(query: str) -> None:
        request = RequestFactory().get(f"/?{query}")
        request.user = user
        response = stock.changelist_view(request)
        assert isinstance(response, TemplateResponse), f"{model} refuses {query}"  # noqa: S101
        response.render()

    return answer


def _column(ours: Any, name: str) -> str:
    """The field that our column is ordered by, or the row itself."""
    ordering = getattr(getattr(ours, name, None), "admin_order_field", name)
    try:
        ours.model._meta.get_field(ordering)  # noqa: SLF001  # Django documents _meta
    except FieldDoesNotExist:
        return "__str__"
    return str(ordering)


class Pages(pagination.PageNumberPagination):
    page_size = 50


def plain_api(view_set: Any, user: User) -> Callable[[str], None]:
    """Answers a query string with a generic list of the same rows, filters, search and orders."""
    rows = view_set.queryset.model

    class Everything(serializers.ModelSerializer[Any]):
        class Meta:
            model = rows
            fields = "__all__"

    class Plain(generics.ListAPIView[Any]):
        queryset = rows._default_manager.order_by("-pk")  # noqa: SLF001  # Django documents it
        serializer_class = Everything
        permission_classes = [permissions.IsAuthenticated]
        pagination_class = Pages
        filter_backends = [DjangoFilterBackend, filters.SearchFilter, filters.OrderingFilter]
        filterset_class = view_set.filterset_class
        search_fields = view_set.search_fields
        ordering_fields = view_set.ordering_fields

    view = Plain.as_view()

    def answer(query: str) -> None:
        request = APIRequestFactory().get(f"/?{query}")
        force_authenticate(request, user)
        response = view(request)
        assert response.status_code == 200, f"{rows} refuses {query}: {response.data}"  # noqa: S101
        response.render()

    return answer
