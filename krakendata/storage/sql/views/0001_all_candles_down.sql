DROP VIEW all_candles_1m, all_candles_5m, all_candles_15m, all_candles_30m, all_candles_1h, all_candles_4h,
          all_candles_12h, all_candles_1d, all_candles_1w;
