# SPDX-License-Identifier: GPL-3.0-or-later
"""A failed test of a scenario shows the journal of the units it is about: molecule's own hook, in a pytest run."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).resolve().parents[3] / "molecule" / "conftest.py"
# In place of the host that a scenario launches.
MACHINE = """

class Journals:
    def journal(self, unit):
        if unit == "lost":
            raise RuntimeError("no way to the host")
        return f"{unit} said why"


@pytest.fixture(scope="session")
def machine(pytestconfig):
    pytestconfig.stash[MACHINE] = Journals()


@pytest.fixture
def broken():
    raise RuntimeError("broken")
"""


class Shown:
    """What pytest shows of the journals."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def of(self, test: str) -> list[str]:
        """Run a test of a module with two units; return what it shows."""
        self.pytester.makepyfile(f'UNITS = ("first", "second")\n\n\n{test}')
        # Hypothesis, which has no part in this, would be imported anew at the end of each run.
        result = self.pytester.runpytest("-rA", "-p", "no:hypothesispytest")
        assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        return [after for line, after in pairwise(result.outlines) if "- journal of " in line]


@pytest.fixture
def shown(pytester: pytest.Pytester) -> Shown:
    pytester.makeconftest(CONFTEST.read_text() + MACHINE)
    return Shown(pytester)


def test_a_failed_test_shows_the_journals_of_its_module_s_units(shown: Shown) -> None:
    assert shown.of("def test_it(machine): assert False") == ["first said why", "second said why"]


def test_a_failed_test_of_a_component_shows_that_component_s_journal_alone(shown: Shown) -> None:
    test = "class TestIt:\n    unit = 'component'\n\n    def test_it(self, machine): assert False"
    assert shown.of(test) == ["component said why"]


def test_a_test_that_fails_before_it_begins_shows_them_too(shown: Shown) -> None:
    assert shown.of("def test_it(machine, broken): pass") == ["first said why", "second said why"]


def test_a_journal_that_can_not_be_read_says_why_and_does_not_hide_the_next(shown: Shown) -> None:
    test = "UNITS = ('lost', 'second')\n\n\ndef test_it(machine): assert False"
    assert shown.of(test) == ["can't be read: no way to the host", "second said why"]


@pytest.mark.parametrize(
    "test",
    ["def test_it(machine): pass", "def test_it(broken): pass"],
    ids=["a test that passed", "there is no machine yet"],
)
def test_otherwise_no_journal_is_asked_for(shown: Shown, test: str) -> None:
    assert shown.of(test) == []
