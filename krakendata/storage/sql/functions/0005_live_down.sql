DROP FUNCTION write_staged_given_candles, record_trade_checks, record_staged_runs, merge_staged_trades, find_involved, record_staged_stretches,
    write_staged_trades, stage_trades;
