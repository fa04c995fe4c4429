-- Apache 2 and plain PostgreSQL: no policies. Celery beat and `manage.py upkeep` call the same deeds, with today's settings.

CREATE OR REPLACE FUNCTION policy_drift(p jsonb)
RETURNS TABLE (kind text, relation text, wanted text, found text)
LANGUAGE sql STABLE AS $$ SELECT NULL::text, NULL::text, NULL::text, NULL::text WHERE false $$;

CREATE OR REPLACE FUNCTION apply_policies(p jsonb) RETURNS void
LANGUAGE sql AS $$ SELECT $$;
