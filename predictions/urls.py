from django.urls import include, path
from rest_framework.routers import SimpleRouter

import predictions.schema  # noqa: F401  # describes the views to drf-spectacular
from predictions import api, probes
from predictions.api_v1 import PredictionViewSet
from predictions.drift_api import DriftViewSet
from predictions.jobs_api import PredictionJobViewSet
from predictions.metrics_api import MetricsView

router = SimpleRouter()
router.register("predictions", PredictionViewSet, basename="prediction")
router.register("prediction-jobs", PredictionJobViewSet, basename="prediction-job")

urlpatterns = [
    path("predict", api.PredictView.as_view(), name="predict"),
    path("health", api.HealthView.as_view(), name="health"),
    path("livez", probes.LiveView.as_view(), name="livez"),
    path("readyz", probes.ReadyView.as_view(), name="readyz"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("models/info", api.ModelsInfoView.as_view(), name="models-info"),
    path("models/metrics", api.ModelsMetricsView.as_view(), name="models-metrics"),
    path("api/v1/drift/", DriftViewSet.as_view({"get": "newest"}), name="drift"),
    path("api/v1/", include(router.urls)),
]
