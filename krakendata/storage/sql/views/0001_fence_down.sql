DROP FUNCTION draw_all_candles, candles_fence;
