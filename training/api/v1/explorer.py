"""The OpenAPI description and its explorer, all of whose files come from this server."""

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

import training.api.guide_schema  # noqa: F401  # describes the guide's views to drf-spectacular
from training.api.permissions import MayRead


class SchemaView(SpectacularAPIView):
    permission_classes = [MayRead]


class ExplorerView(SpectacularSwaggerSplitView):
    """Its script is a request of its own, so that the content security policy needs no exception."""

    permission_classes = [MayRead]
    url_name = "v1:schema"
