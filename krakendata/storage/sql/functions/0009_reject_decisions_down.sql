DROP FUNCTION insert_archive_row, record_archive_row, lock_archive_rejects, settle_rejects;
