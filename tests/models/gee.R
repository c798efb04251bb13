# Values of estimating equations by R's geepack, for tests/models/test_gee.py.
# Run: Rscript gee.R   (writes gee.json beside itself)
# geese, not geeglm: geeglm 1.3.9 does not hand its waves on.
suppressMessages({library(geepack); library(jsonlite)})
set.seed(1)
m <- 60; size <- sample(1:5, m, TRUE); id <- rep(1:m, size); n <- length(id)
d <- data.frame(id, wave = unlist(lapply(size, seq_len)), x = round(rnorm(n), 3),
                exposure = round(rnorm(n) / 3, 3), w = sample(1:3, n, TRUE),
                arm = rep(sample(c("house", "usual"), m, TRUE), size))
d$late <- d$wave + (d$wave > 2)   # a wave that nobody has: gaps in time
g <- rep(rnorm(m), size)
d$count <- rpois(n, exp(.5 + .3 * d$x + .4 * g + d$exposure))
d$used <- rbinom(n, 1, plogis(d$x + g)); d$score <- round(d$x + g + rnorm(n), 4)
d$cost <- round(rgamma(n, 3, 3 / exp(.2 * d$x + .3 * g)), 4) + .001
d$days <- rbinom(n, 7, plogis(.5 * d$x + g)); d$free <- 7 - d$days
C <- geese.control(epsilon = 1e-13, maxit = 500)
models <- list(
  list("score ~ x + arm", gaussian(), "exchangeable"), list("score ~ x * arm", gaussian(), "ar1"),
  list("score ~ x + arm", gaussian(), "ar1", waves = "late"),
  list("score ~ x", gaussian(), "unstructured", waves = "wave"),
  list("used ~ x + arm", binomial(), "exchangeable"), list("used ~ x + arm", binomial(), "independence"),
  list("used ~ x + arm", binomial("probit"), "ar1"), list("used ~ x", binomial("cloglog"), "exchangeable"),
  list("used ~ x", binomial(), "exchangeable", weights = "w"),
  list("cbind(days, free) ~ x + arm", binomial(), "exchangeable"),
  list("count ~ x + arm + offset(exposure)", poisson(), "exchangeable"),
  list("count ~ x + offset(exposure)", poisson(), "ar1", weights = "w"),
  list("count ~ x + offset(exposure)", poisson(), "unstructured", waves = "wave"),
  list("cost ~ x + arm", Gamma("log"), "exchangeable"), list("cost ~ x", Gamma("inverse"), "ar1"))
fits <- lapply(models, function(m) {
  d$one <- 1; if (!is.null(m$weights)) d$one <- d[[m$weights]]
  waves <- if (is.null(m$waves)) d$wave else d[[m$waves]]
  if (grepl("cbind", m[[1]])) { d$share <- d$days / 7; d$one <- 7 }
  f <- geese(as.formula(sub("cbind.days, free.", "share", m[[1]])), id = d$id, data = d,
             waves = waves, family = m[[2]], corstr = m[[3]], weights = d$one, control = C)
  list(formula = m[[1]], family = tolower(m[[2]]$family), link = m[[2]]$link, correlation = m[[3]],
       weights = m$weights, time = m$waves, estimate = unname(f$beta),
       robust = unname(sqrt(diag(f$vbeta))), model = unname(sqrt(diag(f$vbeta.naiv))),
       scale = unname(f$gamma), alpha = unname(f$alpha))
})
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(list(data = d, fits = fits), file.path(here, "gee.json"), digits = NA, auto_unbox = TRUE,
           dataframe = "columns", null = "null")
