DROP FUNCTION record_absent_ids, record_rejected_ids, forget_answered_ids, cut_answered_ids, answered_between, held_between, id_range,
    record_trade_check;
