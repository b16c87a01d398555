-- SQLite has no users: whoever may read the file reads everything. Give the loader's account the folder,
-- the readers' group read access to the file and its -wal and -shm companions, and open it with mode=ro.
PRAGMA query_only = ON;
