DROP FUNCTION drop_given_history;
