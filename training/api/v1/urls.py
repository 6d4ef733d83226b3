"""The routes of /api/v1/. Predictions, whose app stands above this one, register their own beside them."""

from django.urls import include, path
from rest_framework.routers import SimpleRouter

from training.api.v1.anomalies import AnomalyViewSet
from training.api.v1.backups import BackupViewSet
from training.api.v1.explorer import ExplorerView, SchemaView
from training.api.v1.policy import PolicyViewSet
from training.api.v1.quality import LabelFindingViewSet, QualityCheckViewSet, QualityReportViewSet
from training.api.v1.sessions import SessionViewSet
from training.api.v1.versions import VersionViewSet

app_name = "v1"

router = SimpleRouter()
router.register("anomalies", AnomalyViewSet, "anomaly")
router.register("training-sessions", SessionViewSet, "session")
router.register("model-versions", VersionViewSet, "version")
router.register("backups", BackupViewSet, "backup")
router.register("quality-reports", QualityReportViewSet, "quality")
router.register("quality-checks", QualityCheckViewSet, "check")
router.register("label-findings", LabelFindingViewSet, "finding")

urlpatterns = [
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs/", ExplorerView.as_view(), name="docs"),
    path("training-policy/", PolicyViewSet.as_view({"get": "show", "patch": "change"}), name="policy-list"),
    path("training-policy/freeze/", PolicyViewSet.as_view({"post": "freeze"}), name="policy-freeze"),
    path("training-policy/lift/", PolicyViewSet.as_view({"post": "lift"}), name="policy-lift"),
    path("", include(router.urls)),
]
