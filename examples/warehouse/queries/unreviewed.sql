-- Traces of which nobody has reviewed anything yet, the oldest first.
SELECT
    t.id,
    t.created_at,
    t.status,
    COUNT(s.id) AS spans
FROM traces AS t
LEFT JOIN spans AS s ON s.trace_id = t.id
GROUP BY 1, 2, 3
HAVING COUNT(s.approved_output) = 0
ORDER BY 2, 1;
