-- Moves both lines to where the settings put them (never back) and drops what lies wholly before them.
CREATE OR REPLACE FUNCTION apply_retention(p_now timestamptz, p_trades_days integer, p_candles_days integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    trades_line  constant timestamptz := line_for(p_now, p_trades_days);
    candles_line constant timestamptz := line_for(p_now, p_candles_days);
BEGIN
    PERFORM lock_lines();
    IF trades_line > (SELECT line FROM retention_lines WHERE kind = 'trades') THEN
        PERFORM move_trades_line(trades_line);
    END IF;
    IF candles_line > candles_fence() THEN
        PERFORM move_fence(candles_line);
    END IF;
    PERFORM drop_partitions(kind, line) FROM retention_lines ORDER BY kind;
END $$;
