# Values of emmeans for tests/models/test_margins.py, on the data of mixed.R (in mixed.json).
# Run with Rscript from this folder.
suppressPackageStartupMessages({library(lmerTest); library(emmeans); library(jsonlite)})
d <- as.data.frame(fromJSON("mixed.json")$data)
d$site <- c("north", "south")[(as.integer(factor(d$house)) %% 2) + 1]
tight <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE,
  optCtrl = list(xtol_rel = 1e-14, xtol_abs = 1e-13, ftol_abs = 1e-15, maxeval = 20000))
m <- lmer(y ~ wave * arm * site + x + (1 + wave | person), d, control = tight)
one <- lmer(y ~ wave + arm + site + x + (1 | person), d, control = tight)
set.seed(20)
table <- function(e, adjust, level = 0.95) {
  s <- as.data.frame(summary(e, infer = TRUE, adjust = adjust, level = level))
  lapply(as.list(s), function(v) if (is.factor(v)) as.character(v) else v)
}
both <- function(ddf) {
  emm_options(lmer.df = ddf)
  arm <- emmeans(m, ~arm); cell <- emmeans(m, ~ arm * site); inside <- emmeans(m, ~ arm | site)
  list(
    means = table(arm, "none"), cells = table(cell, "none"),
    proportional = table(emmeans(one, ~arm, weights = "proportional"), "none"),
    at = table(emmeans(m, ~ arm, at = list(wave = c(0, 3), site = "south"), by = "wave"), "none"),
    tukey = table(pairs(arm), "tukey"), holm = table(pairs(arm), "holm"),
    bonferroni = table(pairs(arm), "bonferroni"), sidak = table(pairs(arm), "sidak"),
    none = table(pairs(arm), "none"), mvt = table(pairs(arm), "mvt"),
    dunnett = table(contrast(arm, "trt.vs.ctrl", ref = "usual"), "mvt"),
    within = table(pairs(inside), "tukey"), interaction = table(pairs(cell), "tukey"),
    trends = table(emtrends(m, ~ arm | site, var = "wave"), "none"),
    trend_pairs = table(pairs(emtrends(m, ~ arm, var = "wave")), "tukey"))
}
write_json(list(
  version = paste(R.version.string, "emmeans", packageVersion("emmeans"), "lme4",
    packageVersion("lme4"), "pbkrtest", packageVersion("pbkrtest")),
  site = d$site, satterthwaite = both("satterthwaite"), `kenward-roger` = both("kenward-roger")),
  "margins.json", digits = 15, auto_unbox = TRUE)
