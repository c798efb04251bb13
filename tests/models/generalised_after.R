# Profile-likelihood limits and errors of fitted means by glmmTMB, for
# tests/models/test_generalised_after.py. Run: Rscript generalised_after.R (writes JSON beside itself)
suppressMessages({library(glmmTMB); library(jsonlite)})
set.seed(3)
n <- 300
d <- data.frame(person = rep(1:50, each = 6), x = round(rnorm(n), 3), time = sample(1:5, n, TRUE))
d$arm <- c("usual", "house")[1 + d$person %% 2]
b <- rnorm(50, 0, .8)[d$person]
d$used <- rbinom(n, 1, plogis(-.3 + .5 * d$x + b)); d$k <- rpois(n, d$time * exp(.2 * d$x + .6 * b))
d$nb <- rnbinom(n, mu = exp(.8 + .3 * d$x + b), size = 2)
tight <- glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 2000, rel.tol = 1e-14))
models <- list(list("used ~ x + arm + (1 | person)", binomial(), "binomial"),
               list("k ~ x + arm + offset(log(time)) + (1 | person)", poisson(), "poisson"),
               list("nb ~ x + arm + (1 | person)", nbinom2(), "negative-binomial"))
fits <- lapply(models, function(m) {
  tmb <- glmmTMB(as.formula(m[[1]]), d, family = m[[2]], control = tight)
  known <- predict(tmb, type = "link", se.fit = TRUE)
  out <- list(formula = m[[1]], family = m[[3]], eta = unname(known$fit), se = unname(known$se.fit))
  p <- predict(tmb, type = "link", se.fit = TRUE, re.form = NA); out$se_fixed <- unname(p$se.fit)
  ci <- confint(tmb, method = "profile", parm = 1:3)
  out$low <- unname(ci[, 1]); out$high <- unname(ci[, 2])
  out
})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(list(data = d, fits = fits), file.path(here, "generalised_after.json"), digits = NA,
           auto_unbox = TRUE, dataframe = "columns")
