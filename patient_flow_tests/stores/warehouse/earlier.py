"""Warehouses as earlier versions made them."""

from __future__ import annotations

from patient_flow.contracts.tables import FACT_PATIENT_FLOW
from patient_flow.stores.warehouse.schema import TABLES
from patient_flow.stores.warehouse.warehouse import Warehouse

OWN_INDEX = "ix_FactPatientFlow_of_the_hospital"
"""An index that an administrator made."""


def scatter(warehouse: Warehouse) -> None:
    """Creates ``warehouse`` as it was when the key and an index of stays began with a hash."""
    warehouse.init()
    stays = TABLES[FACT_PATIENT_FLOW.path]
    columns = "(admission_time_key, stay_key)"
    table = [text.replace(columns, "(stay_key)") for text in warehouse.target.table_statements(stays)]
    with warehouse.writing() as connection:
        connection.exec_driver_sql('DROP TABLE "FactPatientFlow"' + (" CASCADE" if warehouse.target.has_users else ""))
        for text in table:
            connection.exec_driver_sql(text)
        connection.exec_driver_sql('DROP INDEX "ix_FactPatientFlow_arrival_time_key"')
        connection.exec_driver_sql('CREATE INDEX "ix_FactPatientFlow_visit_id" ON "FactPatientFlow" (visit_id)')
        connection.exec_driver_sql(f'CREATE INDEX "{OWN_INDEX}" ON "FactPatientFlow" (bed_id)')
    warehouse.init()
