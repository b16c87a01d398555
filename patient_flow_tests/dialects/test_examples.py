"""The shipped mapping files, each fed with events of its variant and judged by the ordinary rules."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from patient_flow.contracts import events
from patient_flow_tests.dialects import variants
from patient_flow_tests.dialects.builders import NOW, Event, accepted, adt, example, extra, judged, only
from patient_flow_tests.dialects.variants import DIRT, on_the_wire

SEED, COUNT = 7, 300
REASON_OF_DIRT = {
    variants.FUTURE: ["admission_is_in_the_future"],
    variants.BACKWARDS: ["discharge_precedes_admission"],
    variants.NO_DEPARTMENT: ["department_is_missing"],
    "null field": ["patient_is_missing", "visit_is_missing"],  # the patient is a part of the visit there
}
FLAG_OF_DIRT = {variants.DIRTY_AGE: ["age_is_out_of_range"], "hospital": ["department_is_not_listed"]}
FLAT = {
    "a_flat_visit": variants.variant_a,
    "b_flat_visit_without_bed": variants.variant_b,
    "c_flat_visit_with_offset": variants.variant_c,
    "d_sex_for_gender": variants.variant_d,
    "e_with_name": variants.variant_e,
    "f_event_id_and_wait": variants.variant_f,
    "g_random_event_type": variants.variant_g,
}
ALL = {
    **FLAT,
    "h_bed_activity": variants.variant_h,
    "i_admission_and_discharge": variants.variant_i,
    "j_adt_codes": variants.variant_j,
}


def pairs(name: str, variant: variants.Variant) -> list[tuple[Event, Event]]:
    """Events of a variant, each with what the example's mapping and the rules make of it."""
    sent = list(variant(SEED, COUNT))
    return list(zip(sent, judged(map(on_the_wire, sent), example(name)), strict=True))


@pytest.mark.parametrize(("name", "variant"), FLAT.items(), ids=FLAT)
def test_a_flat_event_becomes_a_snapshot_with_typed_fields(name: str, variant: variants.Variant) -> None:
    clean = [(sent, row) for sent, row in pairs(name, variant) if DIRT not in sent]
    assert len(clean) > COUNT / 2
    for sent, row in clean:
        admitted = datetime.fromisoformat(sent["admission_time"]).replace(tzinfo=UTC)
        assert row["event_type"] == events.SNAPSHOT
        assert row["admission_time"] == admitted
        assert row["discharge_time"] == datetime.fromisoformat(sent["discharge_time"]).replace(tzinfo=UTC)
        assert row["patient_id"] == sent["patient_id"]
        assert row["hospital_id"] == str(sent["hospital_id"])
        assert row["gender"] == sent.get("gender", sent.get("sex"))
        assert row["age"] == sent["age"]
        assert row["department"] == sent["department"]
        assert row["bed_id"] == (str(sent["bed_id"]) if "bed_id" in sent else None)
        assert row["reasons"] == []
        assert row["quality_flags"] == []
    in_silver = accepted([on_the_wire(sent) for sent, _ in clean], example(name))
    assert len(in_silver) == len(clean)
    assert all(row["visit_id"] for row in in_silver)


@pytest.mark.parametrize(("name", "variant"), ALL.items(), ids=ALL)
def test_the_dirty_events_of_each_variant_are_quarantined_or_flagged_by_name(
    name: str, variant: variants.Variant
) -> None:
    for sent, row in pairs(name, variant):
        reasons = REASON_OF_DIRT.get(sent.get(DIRT, ""), [])
        if name == "h_bed_activity" and reasons:
            reasons = ["event_is_in_the_future"]  # such an event states no other time
        assert row["reasons"] == reasons, sent
        assert row["quality_flags"] == FLAG_OF_DIRT.get(sent.get(DIRT, ""), []), sent


@pytest.mark.parametrize("name", ["a_flat_visit", "b_flat_visit_without_bed", "c_flat_visit_with_offset"])
def test_variants_that_speak_the_contract_read_the_same_without_a_mapping(name: str) -> None:
    sent = [on_the_wire(event) for event in FLAT[name](SEED, 50)]
    assert judged(sent) == judged(sent, example(name))


@pytest.mark.parametrize(("name", "variant"), ALL.items(), ids=ALL)
def test_accepted_events_of_each_variant_fit_the_silver_table(name: str, variant: variants.Variant) -> None:
    sent = [on_the_wire(event) for event in variant(SEED, 50)]
    rows = accepted(sent, example(name))
    assert 30 <= len(rows) <= len(sent)
    assert all(row["event_time"].tzinfo and row["patient_id"] not in {e["patient_id"] for e in sent} for row in rows)


def test_no_name_stays_among_the_extras() -> None:
    for name in ("e_with_name", "i_admission_and_discharge"):
        rows = accepted(map(on_the_wire, ALL[name](SEED, 20)), example(name))
        assert rows
        assert not any("Name" in (row["extra"] or "") for row in rows)


def test_variant_f_reports_its_wait_and_keeps_its_event_id() -> None:
    for sent, row in pairs("f_event_id_and_wait", variants.variant_f):
        assert row["wait_minutes"] == sent["wait_time_minutes"]
        assert row["event_id"] == sent["event_id"]
        assert row["event_time"] == NOW
        assert row["extra"] is None


def test_the_random_event_types_of_variant_g_would_be_quarantined_without_the_mapping() -> None:
    sent = [on_the_wire(event) for event in variants.variant_g(SEED, 20)]
    assert all("visit_is_missing" in row["reasons"] for row in judged(sent))


def test_admission_and_discharge_of_variant_h_meet_in_one_visit() -> None:
    rows = [row for _, row in pairs("h_bed_activity", variants.variant_h)]
    assert {row["event_type"] for row in rows} == {"admission", "discharge"}
    for admission, discharge in zip(rows[::2], rows[1::2], strict=True):
        assert admission["visit_id"] == discharge["visit_id"]
        assert discharge["visit_id"] == "/".join(discharge[part] for part in ("hospital_id", "patient_id", "bed_id"))


def test_events_of_variant_h_without_the_mapping_or_without_a_bed_name_what_they_lack() -> None:
    event = next(variants.variant_h(SEED, 1))
    assert only({**event, "event_type": "admission", "event_time": event["activity_time"]})["reasons"] == [
        "visit_is_missing"
    ]
    del event["bed_id"]
    assert only(event, example("h_bed_activity"))["reasons"] == ["visit_is_missing"]


def test_admission_and_discharge_of_variant_i_meet_in_one_visit() -> None:
    clean = [row for sent, row in pairs("i_admission_and_discharge", variants.variant_i) if DIRT not in sent]
    visits: dict[str, set[str]] = {}
    for row in clean:
        visits.setdefault(row["visit_id"], set()).add(row["event_type"])
    assert all(kinds == {"admission", "discharge"} for kinds in visits.values())
    assert {row["discharge_status"] for row in clean} == {None, "home", "left_against_advice", "deceased"}
    assert all({"vitals", "expected_discharge_time", "priority"} <= extra(row).keys() for row in clean)


def test_the_listed_typing_errors_of_variant_i_become_their_department() -> None:
    typos = [row for sent, row in pairs("i_admission_and_discharge", variants.variant_i) if sent.get(DIRT) == "typo"]
    assert typos
    assert {row["department"] for row in typos} == {"Emergency"}


def test_the_three_events_of_a_stay_of_variant_j_are_one_visit() -> None:
    rows = [row for _, row in pairs("j_adt_codes", variants.variant_j)]
    assert [row["event_type"] for row in rows[:3]] == ["admission", "transfer", "discharge"]
    assert len({row["visit_id"] for row in rows[:3]}) == 1
    assert {row["hospital_id"] for row in rows} == {"4"}
    assert rows[0]["event_id"] == "MSG-0-0"
    assert extra(rows[1])["from_ward_id"] == "W1"


def test_the_hl7_example_distinguishes_arrivals_from_admissions_and_reads_local_time() -> None:
    def message(patient_class: str) -> bytes:
        return adt(
            "A01",
            msh={4: "STAUBIN"},
            pv1={2: patient_class, 3: "REA^12^A^STAUBIN", 44: "20261119100000"},
        )

    arrival, admission = (only(message(kind), example("hl7_adt")) for kind in ("E", "I"))
    assert arrival["event_type"] == "arrival"
    assert arrival["department"] == "Emergency"
    assert arrival["arrival_time"] == datetime(2026, 11, 19, 9, tzinfo=UTC)
    assert arrival["admission_time"] is None
    assert admission["event_type"] == "admission"
    assert admission["department"] == "ICU"
    assert admission["event_time"] == datetime(2026, 11, 19, 9, 15, 30, tzinfo=UTC)
    assert admission["bed_id"] == "12/A"
    assert (arrival["reasons"], admission["reasons"]) == ([], [])


def test_the_fhir_example_gives_the_names_of_the_site() -> None:
    encounter = {
        "resourceType": "Encounter",
        "id": "e1",
        "status": "in-progress",
        "subject": {"reference": "Patient/p1"},
        "serviceProvider": {"reference": "Organization/org-main"},
        "period": {"start": "2026-11-19T10:00:00+01:00"},
        "location": [{"location": {"display": "Intensive care, 2nd floor"}}],
    }
    row = only(encounter, example("fhir_encounter"))
    assert (row["hospital_id"], row["department"], row["reasons"]) == ("1", "ICU", [])


@pytest.mark.parametrize("read", [judged, accepted])
def test_a_batch_may_mix_all_variants_and_formats(read: Callable[..., list[Event]]) -> None:
    text = "\n".join(example(name) for name in ALL)
    sent = [on_the_wire(next(variant(SEED, 1))) for variant in ALL.values()]
    assert len(read(sent, text)) == len(sent)
