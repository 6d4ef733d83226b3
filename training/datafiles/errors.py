"""What every reader of a file raises."""

from training.errors import TrainingError


class DataFileError(TrainingError):
    """Files from which nothing can be read."""
