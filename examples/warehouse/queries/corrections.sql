-- What reviewers had to correct, by step, the most corrected first, and how many of the corrections they explained.
SELECT
    e.step_id,
    COUNT(*) AS reviewed,
    SUM(CASE WHEN e.outcome = 'corrected' THEN 1 ELSE 0 END) AS corrected,
    AVG(CASE WHEN e.outcome = 'corrected' THEN 1.0 ELSE 0.0 END) AS correction_rate,
    SUM(CASE WHEN e.outcome = 'corrected' AND f.span_id IS NOT NULL THEN 1 ELSE 0 END) AS explained
FROM evaluation_examples AS e
LEFT JOIN (SELECT DISTINCT span_id FROM feedback) AS f ON f.span_id = e.span_id
GROUP BY 1
ORDER BY 4 DESC, 1;
