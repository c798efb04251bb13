# Maximum likelihood of the models that imputation draws from: glm, polr, multinom, glm.nb.
# Run: Rscript impute_category.R > impute_category.json   (MASS 7.3, nnet 7.3)
suppressPackageStartupMessages({library(MASS); library(nnet); library(jsonlite)})
set.seed(5); n <- 300; x <- rnorm(n); z <- rbinom(n, 1, 0.4)
y2 <- rbinom(n, 1, plogis(-0.3 + 0.8 * x - 0.5 * z))
y4 <- as.integer(cut(x - 0.7 * z + rlogis(n), c(-Inf, -1, 0.2, 1.5, Inf))) - 1
y3 <- apply(cbind(0, 0.4 + x, -0.2 - 0.6 * x + z) + matrix(-log(-log(runif(3 * n))), n), 1, which.max) - 1
count <- rnbinom(n, mu = exp(0.5 + 0.4 * x - 0.3 * z), size = 1.7)
g <- glm(y2 ~ x + z, family = binomial, epsilon = 1e-14)
o <- polr(factor(y4) ~ x + z, Hess = TRUE, control = list(reltol = 1e-15, maxit = 1000))
k <- multinom(y3 ~ x + z, Hess = TRUE, reltol = 1e-15, maxit = 1000, trace = FALSE)
p <- glm(count ~ x + z, family = poisson, epsilon = 1e-14)
b <- glm.nb(count ~ x + z, control = glm.control(epsilon = 1e-14, maxit = 100))
se <- function(f) sqrt(diag(vcov(f)))
cat(toJSON(list(x = x, z = z, y2 = y2, y3 = y3, y4 = y4, count = count,
  logistic = list(beta = coef(g), se = se(g)),
  ordered = list(beta = c(o$zeta, coef(o)), se = se(o)[c("0|1", "1|2", "2|3", "x", "z")]),
  nominal = list(beta = c(t(coef(k))), se = c(t(summary(k)$standard.errors))),
  poisson = list(beta = coef(p), se = se(p)),
  negative_binomial = list(beta = coef(b), se = se(b), alpha = 1 / b$theta, se_theta = b$SE.theta)),
  digits = NA, auto_unbox = TRUE))
