"""A client as it was written for the older service, over real HTTP: not a line of it knows this product."""

from typing import Any

import pytest
import requests
from pytest_django.live_server_helper import LiveServer

from tests.predictions.published import publish_version
from training.models import ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)

ANOMALIES = [
    {
        "anomaly_id": f"ANO-{number}",
        "description": description,
        "equipment_name": "Vanne de purge",
        "equipment_id": "98b82203-7170-45bf-879e-f47ba6e12c86",
    }
    for number, description in enumerate(["fuite vapeur", "vibration palier", "bruit anormal"])
]


class OlderClient:
    """Predicts one by one or in bulk, and prints what it got."""

    def __init__(self, url: str) -> None:
        self.url = url

    def is_ready(self) -> bool:
        health = requests.get(f"{self.url}/health", timeout=10).json()
        return health["status"] == "healthy" and health["models_loaded"] is True

    def predict(self, anomaly: dict[str, str]) -> str:
        response = requests.post(f"{self.url}/predict", json=anomaly, timeout=10)
        if response.status_code != 200:
            error = response.json()
            return f"{error['error']}: {error['message']}"
        return self.line(response.json())

    def predict_all(self, anomalies: list[dict[str, str]]) -> list[str]:
        answer = requests.post(f"{self.url}/predict", json=anomalies, timeout=10).json()
        if "validation_errors" in answer:
            return [str(error) for error in answer["validation_errors"]]
        info = answer["batch_info"]
        assert answer["status"] == "completed"
        assert info["successful_predictions"] + info["failed_predictions"] == info["total_anomalies"]
        assert info["processing_time_seconds"] >= info["average_time_per_anomaly"] > 0
        return [self.line(result) for result in answer["results"]]

    def line(self, result: dict[str, Any]) -> str:
        assert result["status"] == "success"
        scores = [
            f"{name} {result['predictions'][name]['score']}/5 ({result['predictions'][name]['description']})"
            for name in ("availability", "reliability", "process_safety")
        ]
        risk = result["risk_assessment"]
        return (
            f"{result['anomaly_id']}: {'; '.join(scores)};"
            f" {result['overall_score']:.2f}, {result['total_sum']}/15,"
            f" {risk['overall_risk_level']}, {risk['recommended_action']}, weakest {risk['weakest_aspect']},"
            f" critical {', '.join(risk['critical_factors']) or 'none'},"
            f" {len(result['maintenance_recommendations'])} recommendations"
        )

    def report(self) -> dict[str, str]:
        info = requests.get(f"{self.url}/models/info", timeout=10).json()
        metrics = requests.get(f"{self.url}/models/metrics", timeout=10).json()
        lines = {}
        for name, performance in metrics["model_performance"].items():
            statistics = metrics["training_statistics"][name]
            lines[name] = (
                f"{info['models'][name]['target_range']}: MAE {performance['regression_metrics']['mae']:.2f},"
                f" R² {performance['regression_metrics']['r2_score']:.2f},"
                f" {performance['accuracy_metrics']['accuracy_within_1.0']:.0%} within 1"
                f" of {performance['test_samples']}; trained on {statistics['valid_target_records']}"
                f" ({statistics['target_distribution']['score_1']} × 1),"
                f" {metrics['model_files'][name]['filename']}"
            )
        summary = metrics["summary"]
        lines["summary"] = f"{summary['health_status']}, {summary['total_training_records']} records"
        return lines


@pytest.fixture
def client(live_server: LiveServer) -> OlderClient:
    return OlderClient(live_server.url)


@pytest.fixture
def published(transactional_db: None) -> ModelVersion:
    return publish_version(is_active=True)


FIRST = (
    "ANO-0: availability 1/5 (No effect on the availability of the equipment);"
    " reliability 1/5 (No effect on the reliability and integrity of the equipment);"
    " process_safety 5/5 (Critical effect on process safety: people, environment or plant are in danger);"
    " 2.33, 7/15, HIGH, Priority: plan the repair at the next opportunity, weakest process_safety,"
    " critical process_safety, 2 recommendations"
)


def test_it_predicts(published: ModelVersion, client: OlderClient) -> None:
    assert client.is_ready()
    assert client.predict(ANOMALIES[0]) == FIRST
    lines = client.predict_all(ANOMALIES)
    assert lines[0] == FIRST
    assert [line.partition(":")[0] for line in lines] == ["ANO-0", "ANO-1", "ANO-2"]


def test_it_reports(published: ModelVersion, client: OlderClient) -> None:
    assert client.report() == {
        "availability": "1-5 (5 is the most critical): MAE 0.00, R² 1.00, 100% within 1 of 8;"
        " trained on 36 (12 × 1), availability_model.pkl",
        "fiability": "1-5 (5 is the most critical): MAE 0.00, R² 1.00, 100% within 1 of 8;"
        " trained on 36 (24 × 1), fiability_model.pkl",
        "process_safety": "1-5 (5 is the most critical): MAE 0.00, R² 1.00, 100% within 1 of 8;"
        " trained on 36 (24 × 1), process_safety_model.pkl",
        "summary": "good, 36 records",
    }


def test_it_understands_refusals(published: ModelVersion, client: OlderClient) -> None:
    assert client.predict({"anomaly_id": "ANO-0"}) == (
        "Bad Request: Missing required fields: ['description', 'equipment_id']"
    )
    assert client.predict_all([ANOMALIES[0], {"description": "fuite"}]) == [
        "Record 2: Missing required fields: ['equipment_id']"
    ]


def test_it_understands_that_there_is_no_model_yet(client: OlderClient) -> None:
    assert not client.is_ready()
    assert client.predict(ANOMALIES[0]).startswith("Service Unavailable: No model is active: train one")
