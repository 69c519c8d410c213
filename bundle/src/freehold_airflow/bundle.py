# SPDX-License-Identifier: GPL-3.0-or-later
"""The DAG bundles: releases, each read from a verified copy on the host, and the DAGs that come with the image.

Configure it as ``[dag_processor] dag_bundle_config_list``::

    [{"name": "dags", "classpath": "freehold_airflow.bundle.ReleaseBundle",
      "kwargs": {"source": "/opt/airflow/dags", "refresh_interval": 5,
                 "view_url_template": "https://github.com/you/dags/tree/{version}/{subdir}"}}]

``source`` is the mounted, read-only folder of releases. A DAG run stays on the release it began with, because Airflow
asks for that version on every try; new runs take the current one. See docs/decisions/0002-release-format.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion, get_bundle_storage_root_path
from airflow.dag_processing.bundles.local import LocalDagBundle

from freehold_airflow.copies import Copies
from freehold_airflow.release import ReleaseError, Store


class OwnBundle(LocalDagBundle):  # type: ignore[misc]  # Airflow isn't installed where types are checked
    """The DAGs that come with the image: the smoke DAG is there whatever anybody publishes."""

    def __init__(self, **kwargs: Any) -> None:
        """Take the folder beside this file."""
        super().__init__(path=str(Path(__file__).with_name("dags")), **kwargs)


class ReleaseBundle(BaseDagBundle):  # type: ignore[misc]  # Airflow isn't installed where types are checked
    """Releases of one repository, each an unchangeable version named by its commit."""

    supports_versioning = True

    def __init__(self, *, source: str, subdir: str = "", **kwargs: Any) -> None:
        """``source`` holds the releases; ``subdir`` only fills the template of the link to the repository."""
        super().__init__(**kwargs)
        self.subdir = subdir
        self.store = Store(Path(source))
        self.copies = Copies(Path(get_bundle_storage_root_path()), self.name)
        self._release: str | None = self.version

    def initialize(self) -> None:
        """Make sure that the wanted release, or the current one, lies on this host's disk, exactly."""
        if self.version:
            try:
                self.copies.ensure(self.store, self.version)
            except ReleaseError:
                self.copies.forget_use(self.version)
                raise
        else:
            self.refresh()
        super().initialize()

    def refresh(self) -> None:
        """Follow the pointer. When the new release can't be had, this raises and the one before stays in use."""
        if self.version:
            raise ReleaseError(f"bundle {self.name} stands on release {self.version} and can't be refreshed")
        release = self.store.pointer().release
        self.copies.ensure(self.store, release)
        self._release = release

    @property
    def path(self) -> Path:
        """The copy on this host; before ``initialize`` it need not exist."""
        return self.copies.path(self._release) if self._release else Path(self.versions_dir)

    def get_current_version(self) -> BundleVersion | None:
        """The release that this bundle stands on."""
        return BundleVersion(version=self._release) if self._release else None

    def view_url_template(self) -> str | None:
        """The link that the UI shows; ``{version}`` stays for Airflow to fill in."""
        template: str | None = super().view_url_template()
        return template.replace("{subdir}", self.subdir) if template else None

    def view_url(self, version: str | None = None) -> str | None:
        """The link to one version, for what still asks in the old way."""
        template = self.view_url_template()
        return template.replace("{version}", version) if template and version else None
