SELECT delete_job(job_id) FROM krakendata_jobs WHERE proc_name = 'krakendata_retention';
DROP PROCEDURE krakendata_retention;
DROP FUNCTION apply_policies, policy_drift, found_policies, wanted_policies;
DROP VIEW krakendata_jobs;
