ALTER DATABASE [patient_flow] SET AUTO_CREATE_STATISTICS ON
GO

-- The load has its own share of the pool, whatever the dashboards ask. A request gets all of it:
-- 25 % is the smallest grant of a DW100c, where a smaller reservation counts as none.
CREATE WORKLOAD GROUP patient_flow_load WITH (
    MIN_PERCENTAGE_RESOURCE = 25,
    CAP_PERCENTAGE_RESOURCE = 50,
    REQUEST_MIN_RESOURCE_GRANT_PERCENT = 25,
    IMPORTANCE = ABOVE_NORMAL
)
GO

CREATE WORKLOAD CLASSIFIER patient_flow_loader WITH (
    WORKLOAD_GROUP = 'patient_flow_load',
    MEMBERNAME = 'patient_flow_loader'
)
GO
