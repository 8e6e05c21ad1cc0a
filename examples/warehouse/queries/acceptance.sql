-- How often reviewers accepted what each version of a prompt returned, by week of the run (Monday, UTC).
SELECT
    e.step_id,
    e.prompt_version_id,
    v.created_at AS version_created_at,
    CAST(date_trunc('week', e.created_at AT TIME ZONE 'UTC') AS date) AS week,
    COUNT(*) AS reviewed,
    SUM(CASE WHEN e.outcome = 'accepted' THEN 1 ELSE 0 END) AS accepted,
    AVG(CASE WHEN e.outcome = 'accepted' THEN 1.0 ELSE 0.0 END) AS acceptance_rate
FROM evaluation_examples AS e
LEFT JOIN prompt_versions AS v ON v.id = e.prompt_version_id
GROUP BY 1, 2, 3, 4
ORDER BY 1, 3, 2, 4;
