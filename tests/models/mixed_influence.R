# Values of lme4 for tests/models/test_mixed_influence.py, on the data of mixed.R (in mixed.json).
# Run with Rscript from this folder.
suppressPackageStartupMessages({library(lme4); library(jsonlite)})
d <- as.data.frame(fromJSON("mixed.json")$data)
tight <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE,
  optCtrl = list(xtol_rel = 1e-14, xtol_abs = 1e-13, ftol_abs = 1e-15, maxeval = 20000))
m <- lmer(y ~ wave + arm + x + (1 + wave | person) + (1 | house), d, control = tight)
i <- influence(m, groups = "house")
# lme4 multiplies Cook's distance by (groups - p) / groups; this is the plain form.
p <- length(fixef(m)); k <- length(unique(d$house))
write_json(list(
  version = paste(R.version.string, "lme4", packageVersion("lme4")),
  hat = as.numeric(hatvalues(m)), student = as.numeric(rstudent(m)),
  house = rownames(i[["fixed.effects[-house]"]]),
  cook = as.numeric(cooks.distance(i)) * k / (k - p),
  terms = names(fixef(m)), dfbetas = unname(as.matrix(dfbetas(i)))),
  "mixed_influence.json", digits = 15, auto_unbox = TRUE)
