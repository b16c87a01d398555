-- Run by a member of the database administrators group, connected to database "postgres" (deploy.md, step 5):
--
--   psql "host=HOST dbname=postgres sslmode=require user=GROUP" -v pipeline=id-pf-prod-pipeline \
--        -v control=id-pf-prod-control -f roles.sql
--
-- Running it again changes nothing. Two identities use Dagster's tables: the code location (runs write events) and the
-- UI with the daemon. Both act as the role "dagster", so that each can use what the other created; they ask for it as
-- they connect (dagster.yaml), since PostgreSQL 16 lets this administrator change no role that Azure's function has made.

\set ON_ERROR_STOP on

-- Entra identities as database users; Azure Database for PostgreSQL has this function, in database "postgres" alone.
SELECT pgaadauth_create_principal(:'pipeline', false, false) WHERE to_regrole(quote_ident(:'pipeline')) IS NULL;
SELECT pgaadauth_create_principal(:'control', false, false) WHERE to_regrole(quote_ident(:'control')) IS NULL;

-- Everything below is plain PostgreSQL, and is about schema "public" of this database.
\connect dagster
SELECT 'CREATE ROLE dagster NOLOGIN' WHERE to_regrole('dagster') IS NULL \gexec
GRANT CONNECT ON DATABASE dagster TO dagster;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO dagster;

GRANT dagster TO :"pipeline", :"control";
