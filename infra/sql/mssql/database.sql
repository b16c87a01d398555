-- Readers see the last committed load, whole, while the next one is under way; without it a dashboard can see
-- the gap between delete and insert. Run in master, when nobody else is connected.
ALTER DATABASE [patient_flow] SET READ_COMMITTED_SNAPSHOT ON
GO
