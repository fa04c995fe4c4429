DROP FUNCTION apply_policies, policy_drift;
