-- Readers see the last committed load, whole, while the next one is under way; without it a dashboard can see
-- the gap between delete and insert. Run connected to master, when nobody else is connected to the database.
ALTER DATABASE [patient_flow] SET READ_COMMITTED_SNAPSHOT ON
GO
