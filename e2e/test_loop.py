"""The loop in the browser: import a file with mistakes, train and follow it live, activate, restore."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect

from e2e.conftest import Open
from e2e.product import Product
from training.ml.records import SCORE_COLUMNS

TITLES = ("anomaly_id", "description", "equipment_name", "equipment_id", *SCORE_COLUMNS)
ROWS = (
    TITLES,
    ("E2E-1", "fuite huile palier pompe alimentaire", "Pompe alimentaire", "eq-e2e", "4", "1", "2"),
    ("E2E-2", "bruit anormal ventilateur de tirage", "Ventilateur", "eq-e2e-2", "2", "1", "1"),
    ("E2E-3", "", "Ventilateur", "eq-e2e-2", "2", "1", "1"),
    ("E2E-4", "vanne bloquee en ouverture", "Vanne", "eq-e2e-3", "9", "1", "1"),
    ("E2E-5", "=HYPERLINK(1)", "Vanne", "eq-e2e-3", "1", "1", "1"),
)
MINUTES = 120_000  # milliseconds that a training of the sample may take on a busy machine


def count(product: Product, rows: str) -> int:
    models = "Activation, Anomaly, Backup, ModelVersion, TrainingSession"
    return int(product.shell(f"from training.models import {models}; print({rows}.count())"))


def test_importing_a_file_with_mistakes(
    product: Product, open_as: Open, picture: Any, tmp_path: Path
) -> None:
    file = tmp_path / "night-shift.csv"
    file.write_text("\n".join(map(",".join, ROWS)), encoding="utf-8")
    product.manage("create_backup")
    page = open_as("owner", "/admin/training/fileimport/add/")
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Look at the files").click()
    expect(page.get_by_text("E2E-1").first).to_be_visible()
    expect(page.locator("#content")).to_contain_text("description")
    picture(page, "import-preview")
    assert count(product, "Anomaly.objects.filter(anomaly_id__startswith='E2E-')") == 0
    page.get_by_role("button", name="Import").first.click()
    page.wait_for_load_state("networkidle")
    assert count(product, "Anomaly.objects.filter(anomaly_id__startswith='E2E-')") == 3


def test_training_is_followed_live_and_activated(product: Product, open_as: Open, picture: Any) -> None:
    page = open_as("owner", "/admin/training/trainingsession/train_now/")
    expect(page.locator(".tp-confirm")).to_contain_text("newly approved")
    page.get_by_role("button", name="Train now").click()
    expect(page.locator("progress")).to_be_visible()
    address = page.url
    page.goto(f"{product.url}/admin/")  # the training goes on when the page is left
    page.goto(address)
    picture(page, "training-progress")
    expect(page.locator("progress")).to_have_count(0, timeout=MINUTES)
    expect(page.locator("#content")).to_contain_text("succeeded")
    picture(page, "training-result")
    newest = product.shell(
        "from training.models import ModelVersion; print(ModelVersion.objects.latest('pk').pk)"
    )
    page.goto(f"{product.url}/admin/training/modelversion/{newest}/activate/")
    confirm(page, "Activate")
    assert count(product, f"ModelVersion.objects.filter(pk={newest}, is_active=True)") == 1


def test_restoring_shows_first_what_changes(product: Product, open_as: Open, picture: Any) -> None:
    before_import = product.shell(
        "from training.models import Backup; print(Backup.objects.filter(kind='manual').latest('pk').pk)"
    )
    page = open_as("owner", f"/admin/training/backup/{before_import}/restore/")
    expect(page.locator(".tp-confirm")).to_contain_text("go back to the review queue")
    picture(page, "restore-preview")
    backups = count(product, "Backup.objects")
    confirm(page, "Restore")
    expect(page.get_by_text("The present was kept as")).to_be_visible(timeout=MINUTES)
    assert count(product, "Backup.objects") == backups + 1
    assert count(product, "Anomaly.objects.approved().filter(anomaly_id__startswith='E2E-')") == 0
    assert count(product, "Anomaly.objects.pending().filter(anomaly_id__startswith='E2E-')") == 3


def confirm(page: Page, button: str) -> None:
    reason = page.locator(".tp-confirm [name=reason]")
    if reason.count():
        reason.fill("shown in the browser")
    page.locator(".tp-confirm").get_by_role("button", name=button).click()
    page.wait_for_load_state("networkidle")
