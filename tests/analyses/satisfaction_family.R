# Outcomes that are not normal, split within and between people, by lme4 and glmmTMB, for
# tests/analyses/test_satisfaction_family.py. Run: Rscript satisfaction_family.R (JSON beside itself)
suppressMessages({library(lme4); library(glmmTMB); library(jsonlite)})
set.seed(11)
people <- 80; waves <- 4; n <- people * waves
d <- data.frame(pid = rep(1:people, each = waves), wave = rep(0:(waves - 1), people))
d$site <- d$pid %% 12
d$x <- round(rnorm(people, 3, .7)[d$pid] + rnorm(n, 0, .6), 2)
b <- rnorm(people, 0, .8)[d$pid] + rnorm(12, 0, .4)[d$site + 1]
eta <- -.2 + .1 * d$wave + .5 * (d$x - 3) + b
d$yes <- rbinom(n, 1, plogis(eta)); d$count <- rpois(n, exp(.5 + .4 * eta))
d$extra <- rnbinom(n, mu = exp(.8 + .5 * eta), size = 1.5)
p <- plogis(eta); d$days <- rbinom(n, 30, rbeta(n, 4 * p, 4 * (1 - p)))
m <- d; m$between <- ave(m$x, m$pid); m$within <- m$x - m$between
agq <- function(f, family) {
  control <- glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5))
  fit <- glmer(f, m, family = family, nAGQ = 11, control = control)
  s <- coef(summary(fit)); list(fit = fit, s = s, ll = as.numeric(logLik(fit)))
}
tmb <- function(f, family) {
  tight <- glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 2000, rel.tol = 1e-14))
  fit <- glmmTMB(f, m, family = family, control = tight)
  list(fit = fit, s = coef(summary(fit))$cond, ll = as.numeric(logLik(fit)))
}
told <- function(found, family, outcome, cluster, extra = list()) c(list(
  family = family, outcome = outcome, cluster = cluster,
  within = found$s["within", 1:2], between = found$s["between", 1:2],
  p_within = found$s["within", 4], wave = found$s["wave", 1:2]), extra)
yes <- agq(yes ~ wave + within + between + (1 | pid), binomial)
# everybody's within at 1 against 0, integrated over people by R's adaptive quadrature
sd_people <- as.data.frame(VarCorr(yes$fit))$sdcor[1]
at <- function(value) {
  moved <- transform(m, within = value)
  lin <- predict(yes$fit, moved, re.form = NA)
  mean(sapply(lin, function(l) integrate(function(u) plogis(l + sd_people * u) * dnorm(u),
                                         -Inf, Inf, rel.tol = 1e-12)$value))
}
count <- agq(count ~ wave + within + between + (1 | pid), poisson)
extra <- tmb(extra ~ wave + within + between + (1 | pid) + (1 | site), nbinom2())
days <- tmb(cbind(days, 30 - days) ~ wave + within + between + (1 | pid) + (1 | site), betabinomial())
fits <- list(told(yes, "binomial", "yes", FALSE, list(mean_1 = at(1), mean_0 = at(0))),
             told(count, "poisson", "count", FALSE),
             told(extra, "negative-binomial", "extra", TRUE),
             told(days, "beta-binomial", "days", TRUE))
fits <- lapply(fits, function(f) lapply(f, unname))
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(list(data = d, fits = fits), file.path(here, "satisfaction_family.json"), digits = NA,
           auto_unbox = TRUE, dataframe = "columns")
