# Values of lme4, lmerTest, pbkrtest and emmeans for tests/models/test_mixed.py.
# Run with Rscript from this folder. The data are made by formula, so that they need no file.
suppressPackageStartupMessages({library(lmerTest); library(emmeans); library(jsonlite)})
n <- 144; i <- seq_len(n)
person <- rep(1:36, each = 4); house <- ((person - 1) %% 9) + 1
wave <- rep(0:3, 36)
d <- data.frame(
  person = sprintf("p%02d", person), house = sprintf("h%d", house), wave = wave,
  arm = c("usual", "house", "both")[(person - 1) %% 3 + 1],
  x = round(sin(i * 1.7) + cos(person), 6))
d$y <- round(5 + 0.5 * wave + 0.6 * d$x + (d$arm == "both") + 0.9 * sin(person * person * 2.3) +
  1.9 * cos(house * house * 1.9) + 0.5 * sin(person * 5.1) * wave + 0.8 * sin(i * i * 0.37), 6)
d <- d[-c(3, 17, 18, 40, 77, 101, 102, 103, 140), ]  # unbalanced
tight <- lmerControl(optimizer = "nloptwrap", calc.derivs = FALSE,
  optCtrl = list(xtol_rel = 1e-14, xtol_abs = 1e-13, ftol_abs = 1e-15, maxeval = 20000))
values <- function(formula) {
  m <- lmer(formula, d, control = tight)
  s <- coef(summary(m)); k <- coef(summary(m, ddf = "Kenward-Roger"))
  a <- function(type, ddf) { t <- anova(m, type = type, ddf = ddf)
    list(term = rownames(t), num_df = t$NumDF, den_df = t$DenDF, statistic = t$"F value") }
  v <- as.data.frame(VarCorr(m), order = "lower.tri")
  list(formula = deparse1(formula), loglik = as.numeric(logLik(m)), term = rownames(s),
       estimate = s[, 1], std_error = s[, 2], df = s[, 3], se_kr = k[, 2], df_kr = k[, 3],
       variance = v$vcov, anova3 = a(3, "Satterthwaite"), anova2 = a(2, "Satterthwaite"),
       anova1 = a(1, "Satterthwaite"), anova3_kr = a(3, "Kenward-Roger"))
}
m <- lmer(y ~ wave * arm + x + (1 + wave | person) + (1 | house), d, control = tight)
emm_options(lmer.df = "satterthwaite")
means <- as.data.frame(emmeans(m, ~arm)); slopes <- as.data.frame(emtrends(m, ~arm, var = "wave"))
pairs <- as.data.frame(pairs(emmeans(m, ~arm), adjust = "holm"))
nakagawa <- function(m) {
  f <- var(as.numeric(model.matrix(m) %*% fixef(m))); s <- sigma(m)^2
  Z <- model.matrix(~wave, d); P <- VarCorr(m)$person
  r <- mean(rowSums((Z %*% P) * Z)) + VarCorr(m)$house[1]
  c(f / (f + r + s), (f + r) / (f + r + s))
}
write_json(list(
  version = paste(R.version.string, "lme4", packageVersion("lme4"), "lmerTest",
    packageVersion("lmerTest"), "pbkrtest", packageVersion("pbkrtest"), "emmeans",
    packageVersion("emmeans")),
  data = d,
  fits = list(values(y ~ wave * arm + x + (1 + wave | person) + (1 | house)),
              values(y ~ wave + arm + x + (1 | house/person)),
              values(y ~ arm * x + (1 + wave || person)),
              values(y ~ arm:x + wave + (1 | person))),
  means = means, slopes = slopes, pairs = pairs, r2 = nakagawa(m)),
  "mixed.json", digits = 15, auto_unbox = TRUE, dataframe = "columns", pretty = FALSE)
