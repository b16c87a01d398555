"""The tree of errors: each is permanent or transient, names are unique, and the command line prints any of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter

import pytest

import patient_flow
from patient_flow import cli, errors

KINDS = (errors.OperatorError, errors.TransientError, errors.DataError)
FAMILIES = {"LakeError", "WarehouseError"}


def all_classes(base: type) -> set[type]:
    return {base}.union(*(all_classes(derived) for derived in base.__subclasses__()))


def raised_on_purpose() -> set[type]:
    for module in pkgutil.walk_packages(patient_flow.__path__, "patient_flow."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return {found for found in all_classes(Exception) if found.__module__.startswith("patient_flow.")}


def test_every_error_of_the_package_is_in_the_tree_and_of_one_kind() -> None:
    found = raised_on_purpose()
    assert found == all_classes(errors.PatientFlowError)
    leaves = [error for error in found if error is not errors.PatientFlowError and error.__name__ not in FAMILIES]
    assert len(leaves) > 30
    assert [error for error in leaves if sum(issubclass(error, kind) for kind in KINDS) != 1] == []


def test_no_two_errors_have_the_same_name() -> None:
    assert [name for name, times in Counter(error.__name__ for error in raised_on_purpose()).items() if times > 1] == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_line_prints_any_error_of_the_tree_on_one_line(
    kind: type[Exception], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise kind("the lake\nis away")

    monkeypatch.setattr(cli, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == "patient-flow: the lake is away\n"


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "cli", lambda: {}["missing"])
    with pytest.raises(KeyError):
        cli.main()
