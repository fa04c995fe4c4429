DROP FUNCTION record_absent_ids, forget_answered_ids, record_trade_check;
