# Values of lme4, clubSandwich, RLRsim and pbkrtest for tests/models/test_mixed_inference.py.
# Run with Rscript from this folder; the data are those of mixed.json.
suppressPackageStartupMessages({library(lme4); library(jsonlite); library(clubSandwich)
  library(RLRsim); library(pbkrtest)})
d <- as.data.frame(fromJSON("mixed.json")$data)
d$arm <- factor(d$arm)
tight <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE,
  optCtrl = list(xtol_rel = 1e-14, xtol_abs = 1e-13, ftol_abs = 1e-15, maxeval = 20000))
# Steps of a fortieth of the cutoff, so that interpolation between them costs no digits.
limits <- function(formula) {
  m <- lmer(formula, d, REML = FALSE, control = tight)
  p <- suppressWarnings(profile(m, delta = sqrt(qchisq(0.99, 8)) / 40, maxpts = 400, signames = FALSE))
  c <- suppressWarnings(confint(p, signames = FALSE))
  list(formula = deparse1(formula), term = rownames(c), low = c[, 1], high = c[, 2])
}
robust <- function(formula, cluster, terms) {
  m <- lmer(formula, d, control = tight)
  v <- vcovCR(m, cluster = d[[cluster]], type = "CR2")
  lapply(terms, function(t) {
    w <- Wald_test(m, constrain_zero(t, reg_ex = TRUE), vcov = v, test = "HTZ")
    list(formula = deparse1(formula), cluster = cluster, term = t, statistic = w$Fstat,
      num_df = w$df_num, den_df = w$df_denom, p_value = w$p_val)
  })
}
# A house effect made small enough to doubt, by half of what each house is above the others.
d$z <- d$y - 0.5 * ave(d$y, d$house)
person <- lmer(z ~ wave + (1 | person), d, control = tight)
both <- lmer(z ~ wave + (1 | person) + (1 | house), d, control = tight)
exact <- exactRLRT(lmer(z ~ wave + (1 | house), d, control = tight), both, person,
  nsim = 1e5, seed = 1)
large <- lmer(y ~ wave + arm + x + (1 | person), d, REML = FALSE, control = tight)
small <- lmer(y ~ wave + x + (1 | person), d, REML = FALSE, control = tight)
simulated <- PBmodcomp(large, small, nsim = 1000, seed = 1)$test
write_json(list(
  boundary = list(statistic = exact$statistic[[1]], p_value = exact$p.value[[1]],
    reml = 2 * as.numeric(logLik(both) - logLik(person))),
  fixed = list(statistic = simulated$stat[1], naive = simulated$p.value[1],
    p_value = simulated$p.value[2], simulations = 1000),
  version = paste(R.version.string, "lme4", packageVersion("lme4"), "clubSandwich",
    packageVersion("clubSandwich"), "RLRsim", packageVersion("RLRsim"), "pbkrtest", packageVersion("pbkrtest")),
  profile = list(limits(y ~ wave + x + (1 + wave | person)),
                 limits(y ~ wave + x + (1 | person) + (1 | house)),
                 limits(y ~ wave + (1 + wave || person))),
  robust = c(robust(y ~ wave * arm + x + (1 + wave | person), "person", c("^arm", ":arm")),
             robust(y ~ wave + arm + x + (1 | person), "house", "^arm"))),
  "mixed_inference.json", digits = 15, auto_unbox = TRUE, dataframe = "columns", pretty = FALSE)
