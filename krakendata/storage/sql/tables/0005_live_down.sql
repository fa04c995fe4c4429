DROP TABLE feed_sessions;
ALTER TABLE pairs DROP COLUMN candles_only;
