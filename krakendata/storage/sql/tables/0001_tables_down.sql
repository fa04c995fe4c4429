DROP TABLE reject_counts, rejected_records, import_files, sync_runs, data_sync_status, pairs, candle_runs, answered_ids,
           trade_runs, candles_history, candles, trades, retention_lines, platform_facts;
