DROP INDEX audit_findings_healed;
DROP TABLE api_tokens;
