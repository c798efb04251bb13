# Agreement of raters by psych::ICC, limits at 95 %: a random table with judges of different levels,
# and one where no target differs more than chance (correlations below 0).
suppressMessages({library(psych); library(jsonlite)})
answer <- function(y) {
  r <- ICC(y, lmer = FALSE)$results
  list(y = as.matrix(y), estimate = r$ICC, statistic = r$F, num_df = r$df1, den_df = r$df2,
       p_value = r$p, conf_low = r$`lower bound`, conf_high = r$`upper bound`, term = r$type)
}
set.seed(7)
n <- 12; k <- 3
y <- outer(rnorm(n, 0, 2), c(0, 1.5, -0.5), "+") + matrix(rnorm(n * k), n)
noise <- matrix(rnorm(8 * 5), 8); noise <- noise - 0.5 * rowMeans(noise)
write_json(list(levels = answer(round(y, 2)), noise = answer(round(noise, 2))), "rater_icc.json",
           digits = 15, auto_unbox = TRUE, pretty = TRUE)
