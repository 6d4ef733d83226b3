"""The OpenAPI description and its explorer, all of whose files come from this server."""

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import training.api.guide_schema  # noqa: F401  # describes the guide's views to drf-spectacular
from training.api.permissions import MayRead


class SchemaView(SpectacularAPIView):
    """Its renderers know the description alone: there is no metadata of it for OPTIONS."""

    permission_classes = [MayRead]
    http_method_names = ["get", "head"]


class ExplorerView(SpectacularSwaggerSplitView):
    """Its script is a request of its own, so that the content security policy needs no exception."""

    permission_classes = [MayRead]
    http_method_names = ["get", "head"]
    url_name = "v1:schema"
