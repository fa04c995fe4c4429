DROP FUNCTION write_staged_given_candles, record_trade_checks, record_staged_runs, merge_staged_trades, is_involved,
    write_staged_trades, stage_trades;
