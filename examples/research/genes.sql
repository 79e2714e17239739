-- In how many people of the cohort each gene is altered, by sex: the fifteen genes that are altered most often.
WITH altered AS (
    SELECT DISTINCT variants.patient, gene, coalesce(sex, 'unknown') AS sex
    FROM variants JOIN patients ON patients.id = variants.patient
    WHERE gene IS NOT NULL
), ranked AS (
    SELECT gene, count(*) AS people FROM altered GROUP BY gene ORDER BY people DESC, gene LIMIT 15
)
SELECT gene,
    count(*) FILTER (sex = 'female') AS female,
    count(*) FILTER (sex = 'male') AS male,
    count(*) FILTER (sex NOT IN ('female', 'male')) AS other
FROM altered JOIN ranked USING (gene)
GROUP BY gene, people
ORDER BY people DESC, gene;
