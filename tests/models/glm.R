# Values of generalised linear models by R's glm, for tests/models/test_glm.py.
# Run: Rscript glm.R   (writes glm.json beside itself; the data are those of gee.json)
suppressMessages(library(jsonlite))
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
d <- as.data.frame(read_json(file.path(here, "gee.json"), simplifyVector = TRUE)$data)
models <- list(
  list("score ~ x * arm", gaussian()), list("score ~ x + arm", gaussian(), "w"),
  list("used ~ x + arm", binomial()), list("used ~ x + arm", binomial("probit")),
  list("used ~ x", binomial("cloglog")), list("used ~ x + arm", binomial(), "w"),
  list("cbind(days, free) ~ x + arm", binomial()),
  list("count ~ x + arm + offset(exposure)", poisson()), list("count ~ x", poisson(), "w"),
  list("cost ~ x + arm", Gamma("log")), list("cost ~ x", Gamma("inverse")))
fits <- lapply(models, function(m) {
  d$one <- 1; if (length(m) > 2) d$one <- d[[m[[3]]]]
  call <- list(as.formula(m[[1]]), data = d, family = m[[2]],
               control = glm.control(epsilon = 1e-18, maxit = 200))
  if (length(m) > 2) call$weights <- d$one
  f <- do.call(glm, call); s <- summary(f)
  list(formula = m[[1]], family = tolower(m[[2]]$family), link = m[[2]]$link,
       weights = if (length(m) > 2) m[[3]] else NULL, estimate = unname(coef(f)),
       std_error = unname(s$coefficients[, 2]), p_value = unname(s$coefficients[, 4]),
       deviance = deviance(f), null_deviance = f$null.deviance, dispersion = s$dispersion,
       log_likelihood = as.numeric(logLik(f)), aic = AIC(f), bic = BIC(f))
})
write_json(list(fits = fits), file.path(here, "glm.json"), digits = NA, auto_unbox = TRUE, null = "null")
