"""How the OpenAPI description is made: errors that every resource answers, views described from outside."""

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


class ErrorSerializer(serializers.Serializer[Any]):
    """The form of every error."""

    success = serializers.BooleanField(default=False)
    error = serializers.CharField()
    validation_errors = serializers.ListField(child=serializers.CharField(), required=False)
    is_training = serializers.BooleanField(required=False)


class ResourceSchema(AutoSchema):
    """Adds what any resource of /api/v1/ may answer: once here, instead of on every action."""

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
        if "requestBody" in operation or self._is_list_view():
            errors[400] = REFUSED
        if any(parameter["in"] == "path" for parameter in operation.get("parameters", [])):
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


def answer(sentence: str, *examples: Any) -> OpenApiResponse:
    """An answer told by examples; the first one is also its shape."""
    shown = [
        OpenApiExample(f"{sentence} ({number})" if number > 1 else sentence, value=example)
        for number, example in enumerate(examples, start=1)
    ]
    return OpenApiResponse(shape_of(examples[0]), description=sentence, examples=shown)


def shape_of(example: Any) -> dict[str, Any]:
    """The JSON schema of which the value is an example: every field is always there."""
    if isinstance(example, dict):
        properties = {name: shape_of(value) for name, value in example.items()}
        return {"type": "object", "properties": properties, "required": list(properties)}
    if isinstance(example, list):
        return {"type": "array", "items": shape_of(example[0]) if example else {}}
    if example is None:
        return {"nullable": True}
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return {"type": kinds[type(example)]}
