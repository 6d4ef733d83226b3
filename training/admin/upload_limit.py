"""Uploads are refused before they are received when they are far too large: they would fill the disk."""

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler

TIMES = 4  # up to so many times IMPORT_LIMIT the import's form says what is wrong, on its own page


class BoundedUploadHandler(FileUploadHandler):
    """Stands before Django's own, and keeps nothing itself.

    A length that is announced is refused at once; where none is, what has come is counted.
    """

    received = 0  # bytes of all files of this request

    @property
    def most(self) -> int:
        """Bytes of a whole request; somebody unknown has nothing to upload."""
        user = getattr(self.request, "user", None)
        is_known = user is not None and user.is_authenticated
        return TIMES * settings.IMPORT_LIMIT if is_known else settings.DATA_UPLOAD_MAX_MEMORY_SIZE

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: Any, encoding: Any = None
    ) -> None:
        if content_length > self.most:
            raise RequestDataTooBig("The upload is too large.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        self.received += len(raw_data)
        if self.received > self.most:
            raise RequestDataTooBig("The upload is too large.")
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
