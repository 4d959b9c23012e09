, impure AS (
    SELECT oid FROM builtin UNION SELECT oid FROM clock
    UNION SELECT oid FROM pg_catalog.pg_proc WHERE oid < 16384 AND provolatile = 's'
       AND proname !~ '^(?:concat|format|array_to_|enum_|quote_|row_to_json|to_jsonb?$|jsonb?_(?!path)|convert|pg_input_|anytextcat|textanycat)'
       AND proname NOT IN ('pg_typeof', 'pg_column_size', 'format_type', 'length', 'getdatabaseencoding')),
checked AS (
    SELECT pg_catalog.quote_ident(k.conname) || ' of ' || CASE WHEN k.conrelid <> 0
             THEN pg_catalog.concat(k.conrelid::pg_catalog.regclass)
             ELSE pg_catalog.concat(k.contypid::pg_catalog.regtype) END AS name, k.conbin::pg_catalog.text AS tree,
           pg_catalog.pg_get_constraintdef(k.oid) AS told
      FROM pg_catalog.pg_constraint k
     WHERE k.contype = 'c' AND k.convalidated AND (k.conrelid = 0 OR k.coninhcount = 0)),
suspect AS (
    SELECT name, tree, told ~ '''[\d:.-]+''::interval' AND told !~* '\d (?:day|mon|year)' AS of_hours FROM checked
     WHERE told !~ ('^CHECK \(\((?:VALUE|[\w$]+|"[^"]*") <=? (?:(?:now\(\)|CURRENT_TIMESTAMP'
           || '|CURRENT_DATE|LOCALTIMESTAMP)|\((?:now\(\)|CURRENT_TIMESTAMP|CURRENT_DATE|LOCALTIMESTAMP) [+-] '
           || '(?:\d+|''[^'']*''::interval)\))\)\)$'))
SELECT DISTINCT name FROM suspect WHERE tree ~ '\{SQLVALUEFUNCTION '
    OR EXISTS (SELECT FROM pg_catalog.regexp_matches(tree, ':(?:funcid|opfuncid) (\d+)', 'g') AS m
          JOIN impure ON impure.oid = m[1]::pg_catalog.oid
         WHERE NOT (of_hours AND m[1] IN ('1189', '1190', '2546')))
    OR EXISTS (SELECT FROM pg_catalog.regexp_matches(tree,
            '\{COERCEVIAIO :arg \{\w+ [^{}]*?:(?:vartype|funcresulttype|opresulttype|typeId|consttype) (\d+)', 'g') AS m
          JOIN pg_catalog.pg_type t ON t.oid = m[1]::pg_catalog.oid AND t.oid < 16384 AND t.typtype = 'b' AND t.typelem = 0
          JOIN pg_catalog.pg_proc p ON p.oid = t.typoutput AND p.provolatile = 's')
    OR EXISTS (SELECT FROM pg_catalog.regexp_matches(tree, '\{COERCEVIAIO :arg \{[^{}]*\} :resulttype (\d+)', 'g') AS m
          JOIN pg_catalog.pg_type t ON t.oid = m[1]::pg_catalog.oid AND t.oid < 16384 AND t.typtype = 'b' AND t.typelem = 0
          JOIN pg_catalog.pg_proc p ON p.oid = t.typinput AND p.provolatile = 's') ORDER BY 1
