# Values of generalised mixed models by R's lme4, for tests/models/test_generalised.py.
# Run: Rscript generalised.R   (writes generalised.json beside itself)
# lme4's errors are taken from the full Hessian (vcov with use.hessian); its optimiser is told to
# go on far beyond its defaults. With an observed and an expected information that agree (canonical
# links) its Laplace is ours.
suppressMessages({library(lme4); library(jsonlite)})
set.seed(20)
n <- 480
d <- data.frame(site = rep(1:8, each = 60), person = rep(1:60, each = 8), x = round(rnorm(n), 3),
                wave = rep(0:7, 60) / 4, item = sample(1:9, n, TRUE), time = sample(1:5, n, TRUE))
d$arm <- c("usual", "house")[1 + d$person %% 2]
b <- rnorm(60, 0, 0.8)[d$person] + rnorm(8, 0, 0.5)[d$site]
s <- rnorm(60, 0, 0.5)[d$person]
eta <- b + (0.3 + s) * d$wave + 0.4 * d$x
d$y <- rbinom(n, 1, plogis(eta - 0.3))
d$k <- rpois(n, d$time * exp(0.5 * eta - 0.5))
d$used <- rbinom(n, 7, plogis(eta - 0.5)); d$free <- 7 - d$used
control <- glmerControl(optimizer = "bobyqa", tolPwrss = 1e-13,
                        optCtrl = list(maxfun = 1e5, rhoend = 1e-9),
                        check.conv.grad = "ignore", check.conv.hess = "ignore")
models <- list(
  list("y ~ wave + x + arm + (1 + wave | person)", "binomial", 1),
  list("y ~ wave + x + arm + (1 | site/person)", "binomial", 1),
  list("y ~ wave * arm + (1 | person)", "binomial", 9),
  list("cbind(used, free) ~ wave * x + (1 + x | person) + (1 | item)", "binomial", 1),
  list("k ~ wave + x + arm + offset(log(time)) + (1 | person)", "poisson", 1),
  list("k ~ wave + x + arm + offset(log(time)) + (1 | person)", "poisson", 15),
  list("k ~ wave + x + (1 + wave || person) + (1 | site)", "poisson", 1))
fits <- lapply(models, function(m) {
  fit <- glmer(as.formula(m[[1]]), d, family = m[[2]], nAGQ = m[[3]], control = control)
  v <- as.data.frame(VarCorr(fit))
  list(formula = m[[1]], family = m[[2]], nodes = m[[3]], term = names(fixef(fit)),
       estimate = unname(fixef(fit)), std_error = unname(sqrt(diag(as.matrix(vcov(fit))))),
       loglik = if (m[[3]] == 1) as.numeric(logLik(fit)) else NULL, vcov = v$vcov, group = v$grp)
})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(list(data = d, fits = fits), file.path(here, "generalised.json"), digits = NA,
           auto_unbox = TRUE, dataframe = "columns")
