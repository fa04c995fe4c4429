-- What retention has taken away cannot be rebuilt from the exchange's minutes: such a database is not migrated down.
DO $do$
BEGIN
    IF EXISTS (SELECT FROM retention_lines WHERE line > first_line) AND EXISTS (SELECT FROM candles_history) THEN
        RAISE EXCEPTION 'krakendata cannot be migrated down: the fence has moved, and candles_history holds the only copy '
            'of the candles before %. Back up the database, then empty candles_history yourself if you mean it.', candles_fence();
    END IF;
END $do$;
