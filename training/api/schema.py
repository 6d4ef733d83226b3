"""How the OpenAPI description is made: errors that every resource answers, views described from outside."""

from collections.abc import Sequence
from typing import Any

from drf_spectacular.extensions import OpenApiViewExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema_view
from rest_framework import serializers

OPTIONAL_AUTH: list[Any] = [{"tokenAuth": []}, {"cookieAuth": []}, {}]

REFUSED = "Something in the request is wrong; `validation_errors` names each field. Nothing was stored."
UNKNOWN_CALLER = "No credentials, or wrong ones."
FORBIDDEN = "The permission is missing; the sentence names it."
UNKNOWN_ROW = "There is no such row."
CONFLICT = "The state does not allow it; the sentence says why."

SUMMARIES = {"list": "Filter, search, order", "retrieve": "One of them"}

JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}


class ErrorSerializer(serializers.Serializer[Any]):
    """The form of every error."""

    success = serializers.BooleanField(default=False)
    error = serializers.CharField()
    validation_errors = serializers.ListField(child=serializers.CharField(), required=False)
    is_training = serializers.BooleanField(required=False)


class ResourceSchema(AutoSchema):
    """Adds what holds for any resource of /api/v1/: once here, instead of on every action."""

    view: Any  # a ResourceViewSet

    def get_summary(self) -> str | None:
        """The first sentence of the action's own description."""
        summary: str | None = super().get_summary()
        return summary or SUMMARIES.get(self.view.action) or super().get_description().partition(".")[0]

    def get_description(self) -> str:  # type: ignore[override]  # drf-spectacular's signature
        permission = self.view.permission_of(self.view.action)
        return f"{super().get_description()}\n\nNeeds `{permission}`."

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Any:
        operation = super().get_operation(path, path_regex, path_prefix, method, registry)
        if operation is None:
            return None
        schema = self.resolve_serializer(ErrorSerializer, "response").ref
        for status, sentence in self._errors(operation).items():
            answer = {"description": sentence, "content": {"application/json": {"schema": schema}}}
            operation["responses"].setdefault(str(status), answer)
        return operation

    def _errors(self, operation: dict[str, Any]) -> dict[int, str]:
        errors = {401: UNKNOWN_CALLER, 403: FORBIDDEN}
        places = {parameter["in"] for parameter in operation.get("parameters", [])}
        if "requestBody" in operation or "header" in places or self._is_list_view():
            errors[400] = REFUSED
        if "path" in places:
            errors[404] = UNKNOWN_ROW
        if self.method == "POST":
            errors[409] = CONFLICT
        return dict(sorted(errors.items()))


def describe(view: str, **methods: Any) -> None:
    """Describe the methods of a view, named by its dotted path, without a word in its own module."""

    class Description(OpenApiViewExtension):  # type: ignore[no-untyped-call]  # it registers itself
        target_class = view

        def view_replacement(self) -> Any:
            return extend_schema_view(**methods)(type(self.target.__name__, (self.target,), {}))


def answer(sentence: str, *examples: Any, also: Sequence[Any] = ()) -> OpenApiResponse:
    """An answer told by examples, which are also its shape; `also` widens the shape unseen."""
    shown = [
        OpenApiExample(f"Example {number}", value=example) for number, example in enumerate(examples, start=1)
    ]
    return OpenApiResponse(shape_of(*examples, *also), description=sentence, examples=shown)


def shape_of(*examples: Any) -> dict[str, Any]:
    """The JSON schema of which all values are examples: a field that all of them have is required."""
    known = [example for example in examples if example is not None]
    nullable = {"nullable": True} if len(known) < len(examples) else {}
    if not known:
        return nullable
    first = known[0]
    if isinstance(first, dict):
        names = dict.fromkeys(name for example in known for name in example)
        properties = {name: shape_of(*(each[name] for each in known if name in each)) for name in names}
        required = [name for name in names if all(name in each for each in known)]
        return {"type": "object", "properties": properties, "required": required, **nullable}
    if isinstance(first, list):
        return {"type": "array", "items": shape_of(*(item for each in known for item in each)), **nullable}
    types = dict.fromkeys(JSON_TYPES[type(example)] for example in known)
    if "number" in types:
        types.pop("integer", None)
    one = [{"type": name} for name in types]
    return {**(one[0] if len(one) == 1 else {"oneOf": one}), **nullable}
