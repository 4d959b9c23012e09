, part AS (
    SELECT v.oid AS view, v.oid FROM pg_catalog.pg_class v WHERE v.relkind = 'm' AND v.relispopulated
    UNION SELECT part.view, c.oid FROM part JOIN pg_catalog.pg_rewrite r ON r.ev_class = part.oid
      JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
       AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('v', 'm'))
SELECT DISTINCT pg_catalog.concat(part.view::pg_catalog.regclass)
  FROM part JOIN pg_catalog.pg_rewrite r ON r.ev_class = part.oid
 WHERE r.ev_action::pg_catalog.text ~ '\{SQLVALUEFUNCTION ' OR EXISTS (
    SELECT FROM pg_catalog.regexp_matches(r.ev_action::pg_catalog.text, ':(?:funcid|opfuncid) (\d+)', 'g') AS m
      JOIN (SELECT oid FROM builtin UNION SELECT oid FROM clock) AS impure ON impure.oid = m[1]::pg_catalog.oid) ORDER BY 1
