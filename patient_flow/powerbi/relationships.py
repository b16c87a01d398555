"""Which table filters which. Filters flow from a dimension to its facts only; no two active paths meet."""

from __future__ import annotations

from patient_flow.powerbi.declarations import Relationship

RELATIONSHIPS: tuple[Relationship, ...] = (
    Relationship("DimTime", "date", "DimDate", "date"),
    Relationship("DimDepartment", "hospital_id", "DimHospital", "hospital_id"),
    # A stay has three moments; measures of arrivals and discharges switch to theirs by USERELATIONSHIP.
    Relationship("FactPatientFlow", "admission_time_key", "DimTime", "time_key"),
    Relationship("FactPatientFlow", "arrival_time_key", "DimTime", "time_key", is_active=False),
    Relationship("FactPatientFlow", "discharge_time_key", "DimTime", "time_key", is_active=False),
    Relationship("FactPatientFlow", "department_key", "DimDepartment", "department_key"),
    # A copy, not an inactive relationship: USERELATIONSHIP may not lead to a table that row-level security filters.
    Relationship("FactPatientFlow", "from_department_key", "DimOrigin", "department_key"),
    Relationship("FactPatientFlow", "patient_key", "DimPatient", "patient_key"),
    Relationship("FactPatientFlow", "gender", "DimGender", "gender"),
    Relationship("FactBedCensus", "time_key", "DimTime", "time_key"),
    Relationship("FactBedCensus", "department_key", "DimDepartment", "department_key"),
    Relationship("FactBedCensus", "gender", "DimGender", "gender"),
    Relationship("KpiDepartmentDay", "date", "DimDate", "date"),
    Relationship("KpiDepartmentDay", "department_key", "DimDepartment", "department_key"),
    Relationship("KpiDepartmentDay", "gender", "DimGender", "gender"),
    Relationship("DataQualityDay", "date", "DimDate", "date"),
    Relationship("DataQualityDay", "hospital_id", "DimHospital", "hospital_id"),
)
