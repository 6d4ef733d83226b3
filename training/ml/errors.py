"""What can go wrong in learning and in loading what was learned."""


class MLError(Exception):
    """Base of every error of this package; its text is fit to show to a person."""


class NothingToLearnError(MLError):
    """There is no record to train on."""


class ArtifactError(MLError):
    """Files that must not be used. Nothing in them was deserialised."""


class TamperedArtifactError(ArtifactError):
    """A file is missing, superfluous, truncated or altered, or the signature does not match."""


class IncompatibleArtifactError(ArtifactError):
    """Genuine files, written by another format or library version."""
