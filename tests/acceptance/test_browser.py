# SPDX-License-Identifier: GPL-3.0-or-later
"""A person with a browser: logs in, sees the DAGs, triggers one by hand, reads what its task wrote."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

from .conftest import ARTIFACTS, URL, Site, run, until

WAIT = 60_000  # milliseconds; two cores carry five Airflow processes and a browser


@pytest.fixture(scope="module")
def context(site: Site) -> Iterator[BrowserContext]:
    """A browser that trusts the lab's authority and nobody else beyond its own list."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    assert executable, "no Chromium on this machine: tools/bootstrap test installs it"
    profile = ARTIFACTS / "chromium"
    shutil.rmtree(profile, ignore_errors=True)
    # Chromium on Linux keeps what it trusts in an NSS database below the home directory, so it gets one of its own.
    nss = profile / ".pki" / "nssdb"
    nss.mkdir(parents=True)
    run("certutil", "-d", f"sql:{nss}", "-N", "--empty-password")
    run("certutil", "-d", f"sql:{nss}", "-A", "-t", "C,,", "-n", "freehold lab", "-i", str(site.ca))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable,
            env={**os.environ, "HOME": str(profile)},
            args=["--disable-quic", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
            + (["--no-sandbox"] if os.geteuid() == 0 else []),
        )
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.set_default_timeout(WAIT)
        yield context
        browser.close()


@pytest.fixture(scope="module")
def page(context: BrowserContext, site: Site) -> Page:
    """A page in which the administrator has logged in by the form."""
    page = context.new_page()
    page.goto(URL)
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", site.password)
    page.locator("input[type=submit], button[type=submit]").first.click()
    page.wait_for_url(lambda url: "/auth/login" not in url)
    return page


def test_the_dag_list_shows_the_smoke_dag(page: Page) -> None:
    page.goto(f"{URL}/dags")
    expect(page.get_by_text("freehold_smoke").first).to_be_visible(timeout=WAIT)
    page.screenshot(path=str(ARTIFACTS / "dags.png"))


def test_a_dag_triggered_by_hand_succeeds_and_its_log_can_be_read(page: Page, site: Site) -> None:
    def runs() -> dict[str, str]:
        found = site.api("GET", "dags/freehold_smoke/dagRuns?limit=50")["dag_runs"]
        return {run["dag_run_id"]: run["state"] for run in found}

    before = runs()
    page.goto(f"{URL}/dags/freehold_smoke")
    page.get_by_role("button", name="Trigger").first.click()
    # The dialog repeats the word on its own confirming button.
    page.get_by_role("dialog").get_by_role("button", name="Trigger").last.click()
    new = until("the run triggered by hand", lambda: [run for run in runs() if run not in before], 30)[0]
    until("its success", lambda: runs()[new] in ("success", "failed"), 120)
    assert runs()[new] == "success"

    tasks = site.api("GET", f"dags/freehold_smoke/dagRuns/{new}/taskInstances")["task_instances"]
    page.goto(f"{URL}/dags/freehold_smoke/runs/{new}/tasks/{tasks[0]['task_id']}")
    expect(page.get_by_text(tasks[0]["hostname"]).first).to_be_visible(timeout=WAIT)
    page.screenshot(path=str(ARTIFACTS / "log.png"))
