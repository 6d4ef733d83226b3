"""What is suggested: for the review queue, and for files of reports."""

from predictions.models.job import PredictionChunk, PredictionJob
from predictions.models.prediction import Prediction

__all__ = ["Prediction", "PredictionChunk", "PredictionJob"]
