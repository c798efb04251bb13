# Values of nlme (gls, lme) for tests/models/test_mixed_residual.py, converged beyond its defaults.
# Run with Rscript from this folder. The data are made by formula, so that they need no file.
suppressPackageStartupMessages({library(nlme); library(jsonlite)})
person <- rep(1:40, each = 5); wave <- rep(0:4, 40); i <- seq_along(wave)
d <- data.frame(
  person = sprintf("p%02d", person), site = sprintf("s%d", (person - 1) %% 8 + 1), wave = wave,
  arm = c("usual", "house")[(person - 1) %% 2 + 1],
  time = round(wave + 0.2 * sin(i * 2.9), 4), x = round(sin(i * 1.7) + cos(person), 5))
noise <- as.vector(sapply(1:40, function(p) {
  j <- 5 * p + 1:5; e <- 1.1 * (sin(j * j * 0.37) + cos(j^3 * 0.11)); filter(e, 0.5, "recursive") }))
d$y <- round(5 + 0.5 * wave + 0.6 * d$x + (d$arm == "house") * (1 + 0.3 * wave) +
  noise * (1 + 0.15 * wave) + 0.8 * cos(person * person * 1.9) + 0.9 * sin(8 * ((person - 1) %% 8)), 5)
d <- d[-c(3, 17, 18, 40, 77, 101, 102, 103, 140, 155, 160, 164, 165, 180, 195), ]  # dropout, gaps
d$arm <- factor(d$arm); d$person <- factor(d$person); d$site <- factor(d$site)
d$index <- d$wave + 1
L <- lmeControl(tolerance = 1e-12, msTol = 1e-14, msMaxIter = 2000, maxIter = 2000, opt = "nlminb",
  niterEM = 100, msMaxEval = 5000)
f <- y ~ wave * arm + x
values <- function(m, beta = if (inherits(m, "lme")) fixef(m) else coef(m), more = list()) {
  c(list(loglik = as.numeric(logLik(m)), aic = AIC(m), estimate = unname(beta),
    std_error = unname(sqrt(diag(vcov(m)))), sigma = m$sigma, npar = attr(logLik(m), "df"),
    normalised = unname(as.numeric(resid(m, type = "normalized"))[1:6])), more)
}
rho <- function(m) unname(coef(m$modelStruct$corStruct, unconstrained = FALSE))
ratio <- function(m) unname(coef(m$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE))
# gls stops early; its own likelihood is maximised here over fixed structures, to 1e-12
polish <- function(start, correlation, ratios = NULL, k = length(start), method = "REML") {
  refit <- function(u) gls(f, d, method = method, correlation = correlation(u[seq_len(k)]),
    weights = if (!is.null(ratios)) ratios(exp(tail(u, length(u) - k))))
  loss <- function(u) { m <- try(refit(u), silent = TRUE)
    if (inherits(m, "try-error")) 1e10 else -as.numeric(logLik(m)) }
  u <- optim(start, loss, method = "BFGS", control = list(reltol = 1e-11, maxit = 300))$par
  for (step in 1:3) u <- u - solve(numDeriv::hessian(loss, u), numDeriv::grad(loss, u))
  m <- refit(u); values(m, more = list(u = u, parameters = attr(logLik(m), "df") + length(start)))
}
none <- function(u) NULL
ar <- function(u) corAR1(tanh(u), form = ~wave | person, fixed = TRUE)
car <- function(u) corCAR1(plogis(u), form = ~time | person, fixed = TRUE)
sym <- function(u) corCompSymm(tanh(u), form = ~1 | person, fixed = TRUE)
free <- function(u) {
  C <- diag(5); C[lower.tri(C)] <- u; C <- C / sqrt(rowSums(C^2)); R <- C %*% t(C)
  corSymm(R[lower.tri(R)], form = ~index | person, fixed = TRUE) }
waves <- function(r) varIdent(form = ~1 | wave, fixed = setNames(r, 1:4))
arms <- function(r) varIdent(form = ~1 | arm, fixed = setNames(r, levels(d$arm)[levels(d$arm) != d$arm[1]]))
both <- lme(f, d, random = ~1 | person, correlation = corAR1(form = ~wave | person), control = L)
nested <- lme(f, d, random = ~1 | site / person, correlation = corCAR1(form = ~time | site / person),
  control = L)
above <- lme(f, d, random = ~1 | site / person, weights = varIdent(form = ~1 | arm), control = L)
sds <- function(m) unname(as.numeric(VarCorr(m)[, "StdDev"][VarCorr(m)[, "StdDev"] != ""]))
write_json(list(
  version = paste(R.version.string, "nlme", packageVersion("nlme")), data = d,
  ar1 = polish(0.5, ar), ar1ml = polish(0.5, ar, method = "ML"), car1 = polish(0, car),
  cs = polish(0.3, sym), csh = polish(c(0.3, 0, 0, 0, 0), sym, waves, 1),
  arh = polish(c(0.3, 0, 0, 0, 0), ar, waves, 1), sex = polish(c(0.3, 0), ar, arms, 1),
  het = polish(0, none, arms, 0),
  us = polish(c(rep(0.3, 10), rep(0.1, 4)), free, waves, 10),
  usml = polish(c(rep(0.3, 10), rep(0.1, 4)), free, waves, 10, "ML"),
  both = values(both, more = list(rho = rho(both), sd = sds(both))),
  nested = values(nested, more = list(rho = rho(nested), sd = sds(nested))),
  above = values(above, more = list(ratio = ratio(above), sd = sds(above)))),
  "mixed_residual.json", digits = 15, auto_unbox = TRUE, dataframe = "columns", pretty = FALSE)
