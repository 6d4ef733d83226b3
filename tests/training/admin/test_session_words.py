"""Every sentence that a session or a quality check keeps is recognised, as the code makes it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone, translation

from tests.factories import ApprovedFactory, SessionFactory, UserFactory, VersionFactory
from tests.training.admin.people import staff
from training import quality_checks, schedules, sessions, versions
from training.admin import session_words
from training.admin.session_words import told
from training.errors import NoWorkerError
from training.ml.records import TARGETS
from training.models import QualityReport, TrainingSession
from training.policy import freeze, frozen_sentence
from training.runner import _why_not_activated  # its sentences are all made there
from training.session_log import note_event

pytestmark = pytest.mark.django_db
Status = TrainingSession.Status


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("Cancelled.", "Cancelled."),
        ("Cancelled by ines.", "Cancelled by ines."),
        ("The training timed out after 3600 s.", "The training took more than 3600 s."),
        (
            (
                "The training process died in each of 2 attempts, the last one killed by SIGKILL (out of "
                "memory?).\nTraceback\nMemoryError"
            ),
            (
                "The training process died in each of 2 attempts, the last one killed by SIGKILL (out of "
                "memory?).\nTraceback\nMemoryError"
            ),
        ),
        (
            "The training process died in each of 2 attempts, the last one with exit code 1.",
            "The training process died in each of 2 attempts, the last one with exit code 1.",
        ),
        ("The disk refused: No space left on device.", "The disk refused: No space left on device."),
        ("It took more than 14400 s.", "It took more than 14400 s."),
        ("The process ended killed by SIGTERM.\nhalf", "The process ended killed by SIGTERM.\nhalf"),
        (
            "The process that made it died in each of 2 attempts.",
            "The process that made it died in each of 2 attempts.",
        ),
        ("Another training session was active.", "Another training session was active."),
        (
            "The worker died: the session is queued again.",
            "The worker died: the session is queued again.",
        ),
        ("What nobody foresaw: 100 %.", "What nobody foresaw: 100 %."),
        ("", ""),
    ],
)
def test_sentences(stored: str, shown: str) -> None:
    assert told(stored) == shown


def is_known(text: str) -> bool:
    sentence = text.partition("\n")[0]
    return any(pattern.fullmatch(sentence) for pattern, _words in session_words.WORDS)


def test_who_found_no_worker() -> None:
    session = SessionFactory.create()
    with pytest.raises(NoWorkerError):
        sessions.expire_unclaimed(session)
    assert told(session.reason) == session.reason
    assert is_known(session.reason)
    stale = SessionFactory.create(queued_at=timezone.now() - timedelta(hours=1))
    sessions.recover_sessions()
    stale.refresh_from_db()
    assert is_known(stale.reason)


def test_whose_worker_died() -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    session = SessionFactory.create(status="running", step="fit", attempts=2, heartbeat_at=long_ago)
    sessions.recover_sessions()
    session.refresh_from_db()
    assert told(session.reason) == (
        "The worker died during attempt 2 of 2, at the step “fitting”. The records are kept."
    )


def test_what_was_skipped() -> None:
    assert told(schedules.start_scheduled_session().reason) == "Approved anomalies: 0; 10 are needed."
    version = VersionFactory.create()
    SessionFactory.create(status="succeeded", model_version=version)
    ApprovedFactory.create(reviewed_at=datetime(2026, 2, 1, tzinfo=UTC))
    assert told(schedules.start_scheduled_session().reason) == (
        f"Newly approved anomalies since version {version.pk}: 1; 10 are needed."
    )


def test_what_is_frozen() -> None:
    by_nobody = freeze(user=None, reason="audit: 100 %")
    assert told(frozen_sentence(by_nobody)) == (
        "Training and activation are frozen by the product itself until the freeze is lifted: audit: 100 %"
    )
    by_nobody.frozen_by = UserFactory.create(username="ines")
    by_nobody.frozen_until = datetime(2030, 1, 1, 6, 30, tzinfo=UTC)
    assert told(schedules.start_scheduled_session().reason).startswith("Training and activation are frozen")
    assert told(frozen_sentence(by_nobody)) == (
        "Training and activation are frozen by ines until Jan. 1, 2030, 6:30 a.m. UTC: audit: 100 %"
    )


def measured(*maes: float) -> dict[str, dict[str, float]]:
    return {target: {"mae": mae} for target, mae in zip(TARGETS, maes, strict=True)}


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        ((0.2, 0.2, 0.2614), "Worse on process safety: MAE 0.261, the champion's 0.200."),
        ((0.21, 0.21, 0.21), "Worse than the champion: mean MAE +0.010 on the same held-out records."),
    ],
)
def test_what_the_gate_refused(candidate: tuple[float, ...], expected: str) -> None:
    version = VersionFactory.create(comparison=versions.compare(measured(*candidate), measured(*[0.2] * 3)))
    kept = _why_not_activated(version, None)
    assert told(f"Not activated by itself: {kept}") == f"Not activated by itself: {expected}"


def test_what_else_kept_a_version_from_serving() -> None:
    nothing = VersionFactory.create(comparison=versions.compare({}, None))
    passed = VersionFactory.create(comparison={"passed": True})
    for version, champion in ((nothing, None), (passed, nothing)):
        kept = _why_not_activated(version, champion)
        assert is_known(kept)
        assert told(f"Not activated by itself: {kept}") == f"Not activated by itself: {kept}"


def test_why_a_check_was_skipped() -> None:
    assert is_known(quality_checks.why_skip("labels"))
    ApprovedFactory.create()
    now = timezone.now()
    QualityReport.objects.create(kind="labels", record_count=1, seconds=1, content={}, created_at=now)
    assert told(quality_checks.why_skip("labels")).startswith("Nothing has changed since the report of ")
    assert is_known(quality_checks.why_skip("labels"))


def test_the_page_and_the_list_say_it_in_the_readers_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """With words of the test's own in the place of the French ones."""
    session = SessionFactory.create(
        status=Status.FAILED, attempts=1, reason="The training timed out after 9 s."
    )
    note_event(session.pk, 1, "The worker died: the session is queued again.")
    words = [(pattern, f"en français : {text}") for pattern, text in session_words.WORDS]
    monkeypatch.setattr(session_words, "WORDS", words)
    client = staff("training.view_trainingsession")
    page = client.get(reverse("admin:training_trainingsession_change", args=[session.pk])).content.decode()
    assert "en français : The training took more than 9 s." in page
    assert "en français : en français : The worker died: the session is queued again." in page
    listed = client.get(reverse("admin:training_trainingsession_changelist")).content.decode()
    assert "en français : The training took more than 9 s." in listed
    start = client.get(reverse("admin:index"))
    assert "The training took more than 9 s." in {card.detail for card in start.context["cards"]}.pop()


def test_numbers_and_dates_are_the_languages_own() -> None:
    with translation.override("fr"):
        shown = told("Worse on fiability: MAE 0.261, not 0.200 on the same held-out records.")
    assert "0,261" in shown
