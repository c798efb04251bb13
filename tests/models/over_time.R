# Constrained and unconstrained means by nlme's gls, REML, a covariance without a pattern.
# over_time.csv: the rows of trial() in test_over_time with a value.
library(jsonlite)
library(nlme)
d <- read.csv("over_time.csv")
d$w <- factor(d$wave)
for (k in c(0, 3, 6)) d[[paste0("a", k)]] <- d$arm * (d$wave == k)
ask <- function(f) {
  m <- gls(f, d, correlation = corSymm(form = ~ as.integer(w) | pid),
           weights = varIdent(form = ~ 1 | w), method = "REML",
           control = glsControl(tolerance = 1e-10, msTol = 1e-12, opt = "nlminb"))
  b <- coef(m)
  list(log_likelihood = as.numeric(logLik(m)), a3 = b[["a3"]], a6 = b[["a6"]],
       a0 = if ("a0" %in% names(b)) b[["a0"]] else 0)
}
write_json(list(
  constrained = ask(y ~ w * x + a3 + a6), unconstrained = ask(y ~ w * x + a0 + a3 + a6)
), "over_time.json", auto_unbox = TRUE, digits = NA)
