#!/bin/sh
# The two roles of the database and the database itself. The PostgreSQL image runs this once, on an empty volume;
# for a server of your own, run it as its superuser. What each role may do: docs/audit.md.
set -eu
psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv owner OWNER_PASSWORD
\getenv app APP_PASSWORD
CREATE ROLE tillgate_owner LOGIN PASSWORD :'owner';
CREATE ROLE tillgate_app LOGIN PASSWORD :'app';
CREATE DATABASE tillgate OWNER tillgate_owner;
SQL
