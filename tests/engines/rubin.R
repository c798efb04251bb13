# Rubin's rules by mice and mitml, on four completed versions of nhanes2 and of a made table.
# Run: Rscript rubin.R > rubin.json   (mice 3.15.0, mitml 0.4.5)
suppressPackageStartupMessages({library(mice); library(mitml); library(jsonlite)})
imp <- mice(nhanes2, m = 6, maxit = 5, seed = 7, printFlag = FALSE)
long <- complete(imp, "long")
test <- function(x) as.numeric(x$result)
rows <- function(p) { q <- p$pooled; s <- summary(p, conf.int = TRUE)
  list(term = as.character(s$term), estimate = s$estimate, se = s$std.error, df = s$df,
       p = s$p.value, low = s$`2.5 %`, high = s$`97.5 %`, riv = q$riv, lambda = q$lambda, fmi = q$fmi,
       within = q$ubar, between = q$b, total = q$t, dfcom = q$dfcom) }
linear <- with(imp, lm(chl ~ age + bmi)); linear0 <- with(imp, lm(chl ~ bmi))
set.seed(3)
made <- data.frame(x = rnorm(200), g = factor(sample(c("a", "b", "c"), 200, TRUE)))
made$y <- rbinom(200, 1, plogis(0.4 * made$x + 0.5 * (made$g == "c")))
made$x[runif(200) < 0.25] <- NA
imp2 <- mice(made, m = 5, maxit = 5, seed = 8, printFlag = FALSE)
binary <- with(imp2, glm(y ~ x + g, family = binomial, epsilon = 1e-15, maxit = 60)); binary0 <- with(imp2, glm(y ~ x, family = binomial, epsilon = 1e-15, maxit = 60))
d2lr <- mitml::testModels(as.mitml.result(linear), as.mitml.result(linear0), method = "D2", use = "likelihood")
# D3 by hand: mice's own refits the intercept at the pooled coefficients; here all are held.
held <- function(fits, b, family) sapply(fits, function(f) { z <- model.frame(f); z$eta <- drop(model.matrix(f) %*% b)
  if (family == "gaussian") logLik(lm(as.formula(paste(names(z)[1], "~ 0 + offset(eta)")), z))
  else logLik(glm(as.formula(paste(names(z)[1], "~ 0 + offset(eta)")), family = binomial, data = z)) })
by_hand <- function(a, b, k, family) { m <- length(a$analyses); own <- function(x) sapply(x$analyses, logLik)
  gain <- mean(2 * (own(a) - own(b)))
  at <- mean(2 * (held(a$analyses, pool(a)$pooled$estimate, family) - held(b$analyses, pool(b)$pooled$estimate, family)))
  r <- (m + 1) / (k * (m - 1)) * (gain - at); v <- k * (m - 1)
  c(at / (k * (1 + r)), k, 4 + (v - 4) * (1 + (1 - 2 / v) / r)^2, NA, r) }
dev <- function(x) x$deviances
out <- list(
  data = list(imp = long$.imp, age = as.character(long$age), bmi = long$bmi,
              chl = long$chl),
  made = as.list(complete(imp2, "long")[c(".imp", "x", "g", "y")]),
  lm = rows(pool(linear)), glm = rows(pool(binary)), infinite = rows(pool(linear, dfcom = Inf)),
  lm_D1 = test(D1(linear, linear0)), lm_D2 = test(D2(linear, linear0)), lm_D3 = by_hand(linear, linear0, 2, "gaussian"),
  mice_D3 = test(D3(linear, linear0)), mice_deviances = dev(D3(linear, linear0)),
  lm_D1_one = test(D1(linear, with(imp, lm(chl ~ age)))),
  lm_D1_large = as.numeric(mitml::testModels(as.mitml.result(linear), as.mitml.result(linear0), method = "D1")$test),
  lm_D2_lr = as.numeric(d2lr$test),
  glm_D1 = test(D1(binary, binary0)), glm_D2 = test(D2(binary, binary0)), glm_D3 = by_hand(binary, binary0, 2, "binomial"))
cat(toJSON(out, digits = NA, auto_unbox = TRUE))
