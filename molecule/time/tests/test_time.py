# SPDX-License-Identifier: GPL-3.0-or-later
"""chrony, on a host that has no clock of its own: configured, enabled, and left alone by systemd."""

from __future__ import annotations

from typing import Any

UNITS = ("chrony.service",)


def test_systemd_leaves_chrony_out_where_the_clock_is_not_the_hosts_own(machine: Any) -> None:
    unit = machine.unit("chrony.service", "ActiveState", "UnitFileState", "ConditionResult", "SubState")
    assert unit == {"ActiveState": "inactive", "SubState": "dead", "UnitFileState": "enabled", "ConditionResult": "no"}
    assert "[Unit]\nConditionVirtualization=!container" in machine.run("systemctl cat chrony.service")
    assert not machine.host.run("pgrep chronyd").stdout


def test_nobody_else_keeps_the_time(machine: Any) -> None:
    assert machine.unit("systemd-timesyncd.service", "ActiveState")["ActiveState"] == "inactive"


def test_chrony_reads_its_settings_as_they_are_meant(machine: Any) -> None:
    read = machine.run("/usr/sbin/chronyd -p -f /etc/chrony/chrony.conf").splitlines()
    assert "server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4" in read
    for setting in ("makestep 1 3", "rtcsync", "port 0", "cmdport 0", "driftfile /var/lib/chrony/chrony.drift"):
        assert setting in read, setting
    assert machine.host.file("/var/lib/chrony").user == "_chrony"
