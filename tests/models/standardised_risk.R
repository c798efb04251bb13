# Values for test_risk.py: Rscript standardised_risk.R > standardised_risk.json
# Standardised risks from a logistic regression (g-computation), delta method on the HC2
# covariance of package sandwich, plus the variation of the people's own predictions.
suppressMessages({ library(sandwich); library(jsonlite) })
set.seed(2)
n <- 120
d <- data.frame(arm = rbinom(n, 1, 0.45), age = round(rnorm(n, 38, 9)), sex = rbinom(n, 1, 0.4))
d$used <- rbinom(n, 1, plogis(-0.4 - 0.8 * d$arm + 0.04 * (d$age - 38) + 0.5 * d$sex))
m <- glm(used ~ arm + age + sex, binomial, d, control = list(epsilon = 1e-14))
V <- vcovHC(m, "HC2")
under <- function(a) { e <- d; e$arm <- a; X <- model.matrix(~ arm + age + sex, e); p <- drop(plogis(X %*% coef(m)))
                       list(p = p, g = colMeans(p * (1 - p) * X)) }
u0 <- under(0); u1 <- under(1); r0 <- mean(u0$p); r1 <- mean(u1$p)
# Influence of each person: HC2 score, and own prediction about the mean.
h <- hatvalues(m); X <- model.matrix(m); mu <- fitted(m)
bread <- solve(t(X) %*% (mu * (1 - mu) * X))
psi <- (X * ((d$used - mu) / sqrt(1 - h))) %*% bread
stopifnot(max(abs(crossprod(psi) / V - 1)) < 1e-8)
effect <- function(c0, c1) {
  i <- psi %*% (c0 * u0$g + c1 * u1$g) + sqrt(n / (n - 1)) * (c0 * (u0$p - r0) + c1 * (u1$p - r1)) / n
  sqrt(sum(i^2))
}
cat(toJSON(list(
  data = d, risk0 = r0, risk1 = r1,
  difference = list(value = r1 - r0, se = effect(-1, 1)),
  ratio = list(value = r1 / r0, se = effect(-1 / r0, 1 / r1)),
  odds_ratio = list(value = r1 / (1 - r1) / (r0 / (1 - r0)),
                    se = effect(-1 / (r0 * (1 - r0)), 1 / (r1 * (1 - r1))))
), digits = NA, auto_unbox = TRUE))
