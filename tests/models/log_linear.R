# Log-linear quasi-likelihood with R's glm; writes log_linear.json beside this script.
library(jsonlite)
set.seed(1)
n <- 60
x <- round(rnorm(n), 3); arm <- rep(0:1, n / 2)
count <- rnbinom(n, size = 1, mu = exp(1 + 0.4 * arm - 0.3 * x))
money <- round(rgamma(n, shape = 0.7, scale = 900 * exp(0.5 * arm + 0.2 * x)), 2)
days <- rbinom(n, 30, plogis(0.3 + 0.5 * arm + rnorm(n)))
part <- function(f) list(beta = unname(coef(f)), covariance = unname(summary(f)$cov.unscaled))
ctl <- glm.control(epsilon = 1e-300, maxit = 60)
out <- list(x = x, arm = arm, count = count, money = money, days = days,
  poisson = part(glm(count ~ arm + x, poisson, control = ctl)),
  gamma = part(glm(money ~ arm + x, Gamma("log"), control = ctl)),
  fraction = part(glm(days / 30 ~ arm + x, quasibinomial, control = ctl)))
dir <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(out, file.path(dir, "log_linear.json"), digits = NA, auto_unbox = TRUE)
