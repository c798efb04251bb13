# Likelihood-ratio statistics of generalised mixed models by glmmTMB, for
# tests/models/test_generalised_ratio.py. Run: Rscript generalised_ratio.R (writes JSON beside itself;
# the data are those of generalised_after.json)
suppressMessages({library(glmmTMB); library(jsonlite)})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
d <- as.data.frame(read_json(file.path(here, "generalised_after.json"), simplifyVector = TRUE)$data)
tight <- glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 2000, rel.tol = 1e-14))
one <- function(f, law) glmmTMB(as.formula(f), d, family = law, control = tight)
pairs <- list(
  list("used ~ x + (1 | person)", binomial(), "used ~ x + arm + (1 | person)", binomial()),
  list("nb ~ x + (1 | person)", nbinom2(), "nb ~ x + (1 + x | person)", nbinom2()),
  list("nb ~ x + (1 | person)", poisson(), "nb ~ x + (1 | person)", nbinom2()))
out <- lapply(pairs, function(p) {
  a <- one(p[[1]], p[[2]]); b <- one(p[[3]], p[[4]])
  chisq <- 2 * (a$fit$objective - b$fit$objective)   # logLik() is NA on the boundary
  df <- length(b$fit$par) - length(a$fit$par)
  list(statistic = chisq, df = df, p = pchisq(chisq, df, lower.tail = FALSE))
})
write_json(out, file.path(here, "generalised_ratio.json"), digits = NA, auto_unbox = TRUE)
