DROP TABLE reject_decisions;
DROP INDEX reject_counts_waiting;
ALTER TABLE reject_counts DROP COLUMN kept, DROP COLUMN replayed, DROP COLUMN dismissed;
DROP INDEX rejected_records_follows, rejected_records_state, rejected_records_waiting_symbol, rejected_records_waiting;
ALTER TABLE rejected_records DROP COLUMN trade_id, DROP COLUMN layout, DROP COLUMN interval_minutes, DROP COLUMN follows;
