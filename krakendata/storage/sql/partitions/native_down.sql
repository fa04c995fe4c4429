DROP FUNCTION drop_partitions, make_partitions, partition_days;
