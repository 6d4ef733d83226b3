"""What the resources of /api/v1/ have in common."""

from typing import Any, ClassVar, cast

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from training.api.parsers import refuse_body
from training.api.permissions import requires
from training.api.schema import ResourceSchema
from training.api.v1.filters import BoundedSearchFilter, StableOrderingFilter
from training.errors import BackupError, NotAllowedNowError, UnservableVersionError


class ResourceViewSet(GenericViewSet[Any]):
    """Each action asks for one permission; never open to anonymous callers."""

    permissions: ClassVar[dict[str, str]]  # by action; "list" also stands for what is not named

    bodiless: ClassVar[frozenset[str]] = frozenset()  # actions that take no body
    takes_records = False  # for the parser: one small object at most
    schema = ResourceSchema()
    filter_backends = [DjangoFilterBackend, BoundedSearchFilter, StableOrderingFilter]
    lookup_value_regex = "[0-9]{1,18}"  # a path with any other key leads nowhere

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse a body that nobody would read; after the caller is known and allowed to ask."""
        super().initial(request, *args, **kwargs)
        if self.action in self.bodiless:
            refuse_body(request)

    def get_permissions(self) -> list[BasePermission]:
        return [requires(self.permission_of(self.action))()]

    def permission_of(self, action: str | None) -> str:
        return self.permissions.get(action or "list", self.permissions["list"])

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Filters choose among many: a row that the address names is that row, before and after an action."""
        return queryset if self.detail else super().filter_queryset(queryset)

    def handle_exception(self, exc: Exception) -> Response:
        """The address names one version or backup: that it cannot be used is its state, not our failure."""
        if self.detail and isinstance(exc, UnservableVersionError | BackupError):
            exc = NotAllowedNowError(str(exc))
        return super().handle_exception(exc)

    def checked_data(self) -> dict[str, Any]:
        """The body of an action, by its `serializer_class`; ValidationError names each wrong field."""
        serializer = self.get_serializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        data: dict[str, Any] = serializer.validated_data
        return data

    @property
    def caller(self) -> User:
        return cast("User", self.request.user)  # every permission of ours asks for one


def location(request: Request, view_name: str, key: object, kwarg: str = "pk") -> dict[str, str]:
    return {"Location": reverse(view_name, kwargs={kwarg: key}, request=request)}
