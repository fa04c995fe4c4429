DROP FUNCTION insert_archive_row, record_archive_row, settle_rejects;
