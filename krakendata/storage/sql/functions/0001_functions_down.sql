DROP FUNCTION apply_retention, move_fence, move_trades_line, line_for, share_lines, lock_lines,
              trade_holes, summarize_sync, drop_archive_trades, drop_archive_candles, record_candle_run, record_trade_run, ns_timestamp,
              merge_coarse_candles, merge_staged_candles, merge_into_history, fold_history, merge_into_candles,
              rebuild_minute, minute_bit, stage_candles, candles_merge, candle_replaces;
