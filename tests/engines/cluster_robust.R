# Values for test_robust.py: Rscript cluster_robust.R > cluster_robust.json
# Cluster-robust covariances of a linear and a logistic regression (package sandwich), Welch's t,
# and the one-way analysis of variance behind the intraclass correlation.
# In sandwich, HC2 and HC3 of vcovCL equal CR2 and CR3 with the cluster adjustment left on.
suppressMessages({ library(sandwich); library(jsonlite) })
set.seed(1)
n <- 60
g <- rep(1:12, times = c(2, 8, 5, 5, 3, 7, 1, 9, 4, 6, 5, 5))
d <- data.frame(g = g, a = as.numeric(g > 6), x = round(rnorm(n), 3))
d$y <- rbinom(n, 1, 0.4)
d$z <- round(2 + 0.5 * d$a + d$x + rnorm(12)[g] + rnorm(n), 3)
linear <- lm(z ~ x + a, d)
logit <- glm(y ~ x + a, binomial, d, control = list(epsilon = 1e-14))
cl <- function(m, type, adjust) sqrt(diag(vcovCL(m, d$g, type = type, cadjust = adjust)))
values <- function(m) list(
  beta = coef(m), se = sqrt(diag(vcov(m))), loglik = as.numeric(logLik(m)),
  CR0 = cl(m, "HC0", FALSE), CR2 = cl(m, "HC2", TRUE), CR3 = cl(m, "HC3", TRUE))
means <- aggregate(z ~ g + a, d, mean)
w <- t.test(means$z[means$a == 1], means$z[means$a == 0])
tab <- anova(lm(z ~ factor(a) + factor(g), d))
cat(toJSON(list(
  data = d, linear = values(linear), logistic = values(logit),
  linear_HC = sapply(c("HC0", "HC1", "HC2", "HC3"), function(t) sqrt(diag(vcovHC(linear, t)))),
  welch = list(difference = -unname(diff(w$estimate)), se = w$stderr, df = unname(w$parameter)),
  anova = list(between = tab["factor(g)", "Mean Sq"], within = tab["Residuals", "Mean Sq"],
               df = tab[c("factor(g)", "Residuals"), "Df"])
), digits = NA, auto_unbox = TRUE, pretty = TRUE))
