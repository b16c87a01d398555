"""FHIR R4 Encounters: which state becomes which event, and where each field comes from."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from patient_flow.dialects import fhir
from patient_flow.transforms.bodies import Ignored, Unsupported
from patient_flow_tests.dialects.builders import Event, extra, only

PATIENT: Event = {
    "resourceType": "Patient",
    "id": "pat-1",
    "identifier": [{"value": "X1"}, {"type": {"coding": [{"code": "MR"}]}, "value": "MR-77"}],
    "name": [{"family": "Sample", "given": ["Person"]}],
    "gender": "female",
    "birthDate": "1980-11-19",
}


def encounter(**changes: object) -> Event:
    """A full Encounter with some elements changed (None: left out)."""
    whole = {
        "resourceType": "Encounter",
        "id": "enc-1",
        "meta": {"versionId": "3", "lastUpdated": "2026-11-19T22:30:00+01:00"},
        "text": {"status": "generated", "div": "<div>Person Sample</div>"},
        "identifier": [{"value": "other"}, {"type": {"coding": [{"code": "VN"}]}, "value": "V-9"}],
        "status": "in-progress",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/pat-1", "display": "Person Sample"},
        "period": {"start": "2026-11-19T10:00:00.250+01:00"},
        "location": [
            {"location": {"display": "Emergency"}, "status": "completed", "period": {"end": "2026-11-19T12:00:00Z"}},
            {"location": {"display": "ICU"}, "status": "active", "physicalType": {"coding": [{"code": "wa"}]}},
            {"location": {"display": "ICU-07"}, "status": "active", "physicalType": {"coding": [{"code": "bd"}]}},
            {"location": {"display": "Surgery"}, "status": "planned"},
        ],
        "serviceProvider": {"reference": "Organization/3"},
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def bundle(*resources: Event) -> Event:
    entries = [{"fullUrl": f"urn:uuid:{number}", "resource": resource} for number, resource in enumerate(resources)]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def stated(value: Event) -> Event:
    read = fhir.interpret(b"", value)
    assert read is not None
    return dict(read.parts[0])


def test_an_encounter_in_progress_is_a_snapshot_of_its_visit() -> None:
    row = only(encounter())
    assert row["event_type"] == "visit_snapshot"
    assert (row["visit_id"], row["patient_id"], row["hospital_id"]) == ("V-9", "pat-1", "3")
    assert (row["department"], row["bed_id"]) == ("ICU", "ICU-07")
    assert row["admission_time"] == datetime(2026, 11, 19, 9, 0, 0, 250000, tzinfo=UTC)
    assert row["event_time"] == datetime(2026, 11, 19, 21, 30, tzinfo=UTC)
    assert (row["reasons"], row["quality_flags"]) == ([], [])


def test_only_status_and_class_are_kept_besides() -> None:
    assert extra(only(encounter())) == {
        "fhir": {"resource": "Encounter", "status": "in-progress", "patient_class": "IMP"}
    }


def test_a_finished_encounter_states_its_discharge() -> None:
    row = only(
        encounter(
            status="finished",
            period={"start": "2026-11-18T10:00:00Z", "end": "2026-11-19T11:00:00Z"},
            hospitalization={"dischargeDisposition": {"coding": [{"system": "x", "code": "exp"}]}},
        )
    )
    assert row["discharge_time"] == datetime(2026, 11, 19, 11, tzinfo=UTC)
    assert row["discharge_status"] == "deceased"


@pytest.mark.parametrize(
    ("status", "event_type"),
    [
        ("arrived", "arrival"),
        ("triaged", "triage"),
        ("onleave", "visit_snapshot"),
        ("cancelled", "void_visit"),
        ("entered-in-error", "void_visit"),
    ],
)
def test_the_status_decides_the_event_type(status: str, event_type: str) -> None:
    row = only(encounter(status=status))
    assert (row["event_type"], row["reasons"]) == (event_type, [])


def test_an_arrival_states_when_the_patient_came_and_no_admission() -> None:
    row = only(encounter(status="arrived", meta=None))
    assert row["arrival_time"] == row["event_time"] == datetime(2026, 11, 19, 9, 0, 0, 250000, tzinfo=UTC)
    assert row["admission_time"] is None


@pytest.mark.parametrize("status", ["planned", "unknown", "", None, 7])
def test_an_encounter_that_states_nothing_that_happened_is_quarantined_by_name(status: object) -> None:
    assert only(encounter(status=status))["reasons"] == ["message_type_is_unsupported"]


@pytest.mark.parametrize(
    "value", [{"resourceType": "Observation"}, {"resourceType": "Patient"}, bundle(), bundle(PATIENT)]
)
def test_other_resources_are_ignored_by_name(value: Event) -> None:
    with pytest.raises(Ignored):
        fhir.interpret(b"", value)
    row = only(value)
    assert (row["ignored_as"], row["reasons"]) == ("resource_is_not_an_encounter", [])


def test_a_bundle_of_several_encounters_is_quarantined_and_not_ignored() -> None:
    with pytest.raises(Unsupported):
        fhir.interpret(b"", bundle(encounter(), encounter()))
    assert only(bundle(encounter(), encounter()))["reasons"] == ["message_type_is_unsupported"]


@pytest.mark.parametrize("value", [None, {}, {"resourceType": 5}, {"resource": "Encounter"}])
def test_other_bodies_are_left_to_others(value: Event | None) -> None:
    assert fhir.interpret(b"{}", value) is None


@pytest.mark.parametrize(
    ("value", "patient"),
    [
        (bundle(encounter(), PATIENT), "pat-1"),
        (bundle(PATIENT, encounter(subject={"reference": "urn:uuid:0"})), "pat-1"),
        (bundle({**PATIENT, "id": None}, encounter(subject={"reference": "urn:uuid:0"})), "MR-77"),
        (encounter(subject={"reference": "#p"}, contained=[{**PATIENT, "id": "p"}]), "MR-77"),
    ],
    ids=["by type and id", "by fullUrl", "by fullUrl, without id", "contained"],
)
def test_gender_and_age_come_from_a_patient_that_came_along(value: Event, patient: str) -> None:
    row = only(value)
    assert (row["patient_id"], row["gender"], row["age"]) == (patient, "Female", 46)


def test_another_patient_in_the_bundle_is_ignored() -> None:
    row = only(bundle(encounter(), {**PATIENT, "id": "somebody-else"}))
    assert (row["patient_id"], row["gender"], row["age"]) == ("pat-1", None, None)


@pytest.mark.parametrize(
    ("subject", "patient"),
    [
        ({"reference": "https://fhir.example.org/r4/Patient/42/_history/2"}, "42"),
        ({"identifier": {"value": "MRN-5"}}, "MRN-5"),
        ({"reference": "#gone", "identifier": {"value": "MRN-5"}}, "MRN-5"),
        ({"reference": "urn:uuid:7"}, None),
        (None, None),
    ],
)
def test_the_patient_is_who_the_subject_refers_to(subject: Event | None, patient: str | None) -> None:
    assert stated(encounter(subject=subject)).get("patient_id") == patient


def test_the_resource_id_replaces_a_missing_identifier() -> None:
    assert stated(encounter(identifier=None))["visit_id"] == "enc-1"
    assert stated(encounter(identifier=[{"value": "only"}]))["visit_id"] == "only"


def message(fresh: str, organization: Event, location: Event, **changes: object) -> Event:
    """A Bundle whose parts refer to each other by URLs that only this Bundle knows."""
    urls = {kind: f"urn:uuid:{fresh}-{kind}" for kind in ("encounter", "organization", "location")}
    visit = encounter(
        serviceProvider={"reference": urls["organization"]},
        location=[{"location": {"reference": urls["location"]}}],
        **changes,
    )
    parts = (
        visit,
        {"resourceType": "Organization", **organization},
        {"resourceType": "Location", **location},
    )
    entries = [{"fullUrl": url, "resource": part} for url, part in zip(urls.values(), parts, strict=True)]
    return {"resourceType": "Bundle", "type": "message", "entry": entries}


@pytest.mark.parametrize(
    ("organization", "hospital"),
    [
        ({"identifier": [{"value": "FINESS-75"}], "id": "org-3", "name": "North"}, "FINESS-75"),
        ({"id": "org-3", "name": "North"}, "org-3"),
        ({"id": "urn:uuid:{fresh}-organization", "name": "North"}, "North"),
        ({"id": "{fresh}-Organization", "name": "North"}, "North"),
        ({"name": "North"}, "North"),
    ],
)
@pytest.mark.parametrize(
    ("location", "department"),
    [
        ({"name": "ICU", "id": "w1"}, "ICU"),
        ({"identifier": [{"value": "ICU"}], "id": "w1"}, "ICU"),
        ({"id": "ICU"}, "ICU"),
    ],
)
def test_two_messages_on_one_visit_name_the_same_hospital_department_and_visit(
    organization: Event, hospital: str, location: Event, department: str
) -> None:
    def read(fresh: str) -> Event:
        own = {key: text.format(fresh=fresh) if key == "id" else text for key, text in organization.items()}
        return only(message(fresh, own, location, id=f"{fresh}-encounter", identifier=None))

    first, second = read("aaaa-1"), read("bbbb-2")
    assert (first["hospital_id"], first["department"], first["reasons"]) == (hospital, department, [])
    for field in ("hospital_id", "department", "visit_id"):
        assert first[field] == second[field]


def test_a_hospital_and_a_department_that_only_a_bundle_could_tell_are_named_as_missing() -> None:
    row = only(message("aaaa-1", {}, {}, identifier=None, id=None, status="arrived"))
    assert (row["hospital_id"], row["department"], row["visit_id"]) == (None, None, None)
    assert set(row["reasons"]) == {"hospital_is_missing", "department_is_missing", "visit_is_missing"}


def test_a_contained_hospital_is_known_by_its_identifier_or_name_and_not_by_its_place() -> None:
    def hospital(provider: Event, *contained: Event) -> object:
        whole = {"reference": "#1", **provider}
        return stated(encounter(serviceProvider=whole, contained=list(contained))).get("hospital_id")

    north: Event = {"resourceType": "Organization", "id": "1", "name": "North"}
    assert hospital({}, north) == "North"
    assert hospital({}, {**north, "identifier": [{"value": "FINESS-75"}]}) == "FINESS-75"
    assert hospital({"identifier": {"value": "FINESS-76"}, "display": "South"}) == "FINESS-76"
    assert hospital({"display": "South"}) == "South"
    assert hospital({}) is None


def test_the_id_of_an_encounter_that_its_bundle_made_up_is_no_visit() -> None:
    made_up = encounter(id="AAAA-1", identifier=None)
    entry = {"resourceType": "Bundle", "entry": [{"fullUrl": "urn:uuid:aaaa-1", "resource": made_up}]}
    assert "visit_id" not in stated(entry)
    assert "visit_id" not in stated(encounter(id="urn:uuid:aaaa-1", identifier=None))
    row = only(entry)
    assert (row["visit_id"], row["reasons"]) == (None, []), "the visit follows from patient and admission"


def test_the_last_location_counts_when_all_are_over() -> None:
    over = {"end": "2026-11-19T12:00:00Z"}
    locations = [
        {"location": {"reference": "Location/w1", "display": "Surgery"}, "period": over},
        {"location": {"reference": "Location/w2"}, "period": over},
    ]
    assert stated(encounter(location=locations))["department"] == "w2"


def test_an_admission_given_as_a_date_alone_is_unusable() -> None:
    row = only(encounter(period={"start": "2026-11-19"}))
    assert row["reasons"] == ["admission_time_is_unusable"]


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": [], "location": {}, "period": "now", "meta": 3, "identifier": "x", "class": None},
        {"location": [None, [], {"location": 5, "physicalType": {"coding": [1]}}], "serviceProvider": "3"},
        {"contained": [{"id": []}, 4], "subject": {"reference": {"a": 1}}},
    ],
)
def test_elements_of_the_wrong_shape_say_nothing(changes: Event) -> None:
    assert stated(encounter(**changes))["visit_id"]


@pytest.mark.parametrize(
    ("code", "visit_class"),
    [
        ("EMER", "emergency"),
        ("IMP", "inpatient"),
        ("ACUTE", "inpatient"),
        ("NONAC", "inpatient"),
        ("OBSENC", "observation"),
        ("SS", "day_case"),
        ("AMB", "outpatient"),
        ("VR", "virtual"),
        ("HH", "home"),
        ("PRENC", "preadmission"),
        ("amb", "outpatient"),
        ("FLD", None),
        (None, None),
    ],
)
def test_the_class_of_an_encounter_is_the_class_of_its_visit(code: str | None, visit_class: str | None) -> None:
    row = only(encounter(**{"class": {"code": code} if code else None}))
    assert row["visit_class"] == visit_class
    assert ("visit_class_is_unknown" in row["quality_flags"]) == (code == "FLD")


@pytest.mark.parametrize(("code", "reasons"), [("AMB", []), ("VR", []), ("HH", []), ("IMP", ["department_is_missing"])])
def test_an_encounter_of_a_class_without_a_bed_needs_no_department(code: str, reasons: list[str]) -> None:
    assert only(encounter(location=None, **{"class": {"code": code}}))["reasons"] == reasons


def test_the_system_of_an_identifier_is_who_assigned_it() -> None:
    numbered = encounter(
        identifier=[{"system": "urn:oid:1.2.3", "value": "V-9"}],
        subject={"identifier": {"system": "urn:oid:4.5", "value": "MRN-5"}},
    )
    fields = stated(numbered)
    assert (fields["visit_assigner"], fields["patient_assigner"]) == ("urn:oid:1.2.3", "urn:oid:4.5")
    assert "visit_assigner" not in stated(encounter(identifier=None)), "the id of the resource is nobody's number"
    assert "patient_assigner" not in stated(encounter())


def place(name: str, start: str | None, end: str | None = None, **more: object) -> Event:
    period = {key: value for key, value in (("start", start), ("end", end)) if value}
    return {"location": {"display": name}, **({"period": period} if period else {}), **more}


def stays(row: Event) -> list[tuple[object, ...]]:
    """Departments and beds, with the hours of 19 November at which each stay begins and ends."""
    midnight = datetime(2026, 11, 19, tzinfo=UTC).timestamp()
    return [
        (
            stay["department"],
            stay["bed_id"],
            (stay["from"] / 1e6 - midnight) / 3600,
            stay["to"] and (stay["to"] / 1e6 - midnight) / 3600,
        )
        for stay in json.loads(row["stays"])
    ]


BED = {"physicalType": {"coding": [{"code": "bd"}]}}


def test_locations_with_periods_are_the_stays_of_the_visit_in_order() -> None:
    """ICU 5 days, Surgery 1 day: not one stay of 144 hours in Surgery."""
    row = only(
        encounter(
            location=[
                place("Surgery", "2026-11-19T10:00:00Z"),
                place("ICU", "2026-11-14T10:00:00Z", "2026-11-19T10:00:00Z"),
                place("S-04", "2026-11-19T11:00:00Z", **BED),
                place("I-01", "2026-11-14T10:00:00Z", "2026-11-15T10:00:00Z", **BED),
                place("Cardiology", "2026-11-21T10:00:00Z", status="planned"),
            ],
            period={"start": "2026-11-14T09:00:00Z"},
        )
    )
    assert stays(row) == [("ICU", "I-01", -110, 10), ("Surgery", "S-04", 10, None)]
    assert (row["department"], row["bed_id"], row["reasons"]) == ("Surgery", "S-04", [])
    assert row["admission_time"] == datetime(2026, 11, 14, 9, tzinfo=UTC)


def test_a_location_without_a_beginning_leaves_the_way_unknown() -> None:
    row = only(encounter(location=[place("ICU", None), place("Surgery", "2026-11-19T10:00:00Z")]))
    assert (row["stays"], row["department"]) == (None, "Surgery")


def test_finished_without_an_end_ends_at_its_last_update_with_a_flag() -> None:
    row = only(encounter(status="finished"))
    assert row["discharge_time"] == datetime(2026, 11, 19, 21, 30, tzinfo=UTC)
    assert row["quality_flags"] == ["time_is_estimated"]
