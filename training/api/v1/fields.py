"""Fields by the rules of `training.rules`: no JSON type is taken for another one."""

from datetime import datetime
from typing import Any, cast

from django.contrib.auth.models import User
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.fields import empty

from training.models.anomaly import MAX_SCORE, MIN_SCORE
from training.rules import parse_time, score_problems, text_problems, time_problems

MAX_NAMED = 20  # unknown fields that an error names


class TextField(serializers.CharField):
    """A JSON string, kept as it came: an ID with a space at its end is another ID."""

    def run_validation(self, data: Any = empty) -> Any:
        is_empty, data = self.validate_empty_values(data)
        if is_empty:
            return data
        problems = list(text_problems(data, limit=self.max_length or 0, blank=self.allow_blank))
        if problems:
            raise serializers.ValidationError(problems)
        return data


class ScoreField(serializers.FloatField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_value=MIN_SCORE, max_value=MAX_SCORE, **kwargs)

    def to_internal_value(self, data: Any) -> float:
        problems = list(score_problems(data))
        if problems:
            raise serializers.ValidationError(problems)
        return float(data)


class MomentField(serializers.DateTimeField):
    def to_internal_value(self, value: Any) -> datetime:
        problems = list(time_problems(value))
        if problems:
            raise serializers.ValidationError(problems)
        return cast("datetime", parse_time(value))


@extend_schema_field(OpenApiTypes.STR)
class UsernameField(serializers.SlugRelatedField[User]):
    """Who did it, by name; null for nobody known."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(slug_field="username", read_only=True, allow_null=True, **kwargs)


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know: what is silently dropped looks as if it had been stored."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = [name for name in data if name not in self.fields] if isinstance(data, dict) else []
        if unknown:
            raise serializers.ValidationError({name[:40]: ["unknown field"] for name in unknown[:MAX_NAMED]})
        return super().to_internal_value(data)
