DROP TABLE audit_findings, trade_checks;
DROP INDEX pairs_key, pairs_altname, pairs_wsname;
-- Names that another pair has today go with the pair that is gone: the constraints below allow one of each.
DELETE FROM pairs WHERE status IN ('delisted', 'renamed');
ALTER TABLE pairs DROP COLUMN tracked_since, DROP COLUMN renamed_to,
    ADD CONSTRAINT pairs_key_key UNIQUE (key), ADD CONSTRAINT pairs_altname_key UNIQUE (altname),
    ADD CONSTRAINT pairs_wsname_key UNIQUE (wsname);
