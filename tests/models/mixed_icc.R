# Values of performance and psych for tests/models/test_mixed_icc.py; data of mixed.R (mixed.json).
# Run with Rscript from this folder.
suppressPackageStartupMessages({library(lme4); library(performance); library(psych); library(jsonlite)})
d <- as.data.frame(fromJSON("mixed.json")$data)
tight <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE,
  optCtrl = list(xtol_rel = 1e-14, xtol_abs = 1e-13, ftol_abs = 1e-15, maxeval = 20000))
share <- function(formula) {
  m <- lmer(formula, d, control = tight); r <- r2_nakagawa(m); i <- icc(m)
  list(formula = deparse1(formula), marginal = as.numeric(r$R2_marginal),
       conditional = as.numeric(r$R2_conditional), icc = i$ICC_adjusted)
}
# Shrout and Fleiss 1979, table 2: six targets, four judges
sf <- matrix(c(9,2,5,8, 6,1,3,2, 8,4,6,8, 7,1,2,6, 10,5,6,9, 6,2,4,7), 6, 4, byrow = TRUE)
one <- ICC(sf, lmer = FALSE)$results[1, ]
write_json(list(
  version = paste(R.version.string, "performance", packageVersion("performance"), "psych",
    packageVersion("psych"), "lme4", packageVersion("lme4")),
  shares = list(share(y ~ wave + arm + x + (1 | person)), share(y ~ wave + arm + (1 | house/person)),
    share(y ~ wave * arm + (1 + wave | person))),
  rating = as.numeric(t(sf)), icc1 = one$ICC, low = one[["lower bound"]], high = one[["upper bound"]]),
  "mixed_icc.json", digits = 15, auto_unbox = TRUE)
