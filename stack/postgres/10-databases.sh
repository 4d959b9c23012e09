#!/bin/sh
# First start only: a role and a database for each application. Passwords come from the environment, never by argv.
set -eu
for name in keycloak kusthub kohub; do
  case $name in
    keycloak) password=$KEYCLOAK_DB_PASSWORD ;;
    kusthub) password=$KUSTHUB_DB_PASSWORD ;;
    kohub) password=$KOHUB_DB_PASSWORD ;;
  esac
  export password
  psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname=postgres <<SQL
\\getenv password password
SELECT format('CREATE ROLE %I LOGIN PASSWORD %L', '$name', :'password') \\gexec
CREATE DATABASE $name OWNER $name;
REVOKE ALL ON DATABASE $name FROM PUBLIC;
SQL
done
