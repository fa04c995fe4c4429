DROP FUNCTION drop_partitions, make_partitions;
