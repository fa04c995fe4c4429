DROP MATERIALIZED VIEW candles_1w, candles_1d, candles_12h, candles_4h;
DROP MATERIALIZED VIEW candles_1h, candles_30m, candles_15m, candles_5m;
DROP FUNCTION mark_dirty;
