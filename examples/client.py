"""The few lines that a client of the REST API needs: JSON in, JSON out, standard library only.

ANOMALY_URL says where the service is, ANOMALY_TOKEN is sent when it is set (the admin makes tokens).
"""

import json
import os
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

BASE = urlsplit(os.environ.get("ANOMALY_URL", "http://127.0.0.1:5000"))
TIMEOUT = 330  # seconds: POST /train answers after the training, at most 300 s by default


def call(method: str, path: str, payload: object = None) -> tuple[int, Any]:
    """The status and the decoded body of one request."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("ANOMALY_TOKEN"):
        headers["Authorization"] = f"Token {token}"
    connect = HTTPSConnection if BASE.scheme == "https" else HTTPConnection
    connection = connect(BASE.netloc, timeout=TIMEOUT)
    try:
        body = None if payload is None else json.dumps(payload)
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()
