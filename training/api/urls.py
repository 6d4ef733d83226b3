from django.urls import path

from training.api import guide

urlpatterns = [
    path("train", guide.TrainView.as_view(), name="train"),
    path("train/status", guide.StatusView.as_view(), name="train-status"),
    path("train/reload", guide.ReloadView.as_view(), name="train-reload"),
    path("train/backups", guide.BackupsView.as_view(), name="train-backups"),
    path("train/restore/<slug:backup_name>", guide.RestoreView.as_view(), name="train-restore"),
]
