# Accelerated failure time models by survival::survreg for tests/models/test_aft.py; writes aft.json.
# Data: survival::lung, with events known exactly, and rounded to intervals.
# Run: Rscript tests/models/aft.R
library(survival)
library(jsonlite)
tight <- survreg.control(rel.tolerance = 1e-13, maxiter = 200)
d <- lung[!is.na(lung$ph.ecog) & !is.na(lung$inst), c("inst", "time", "status", "age", "sex", "ph.ecog")]
d$sex <- c("m", "f")[d$sex]
d$status <- d$status - 1
d$ecog <- d$ph.ecog; d$ph.ecog <- NULL
d$low <- ifelse(d$status == 1, 60 * floor((d$time - 1) / 60), d$time)
d$high <- ifelse(d$status == 1, d$low + 60, NA)
d$low[d$low == 0] <- NA
exact <- seq_len(nrow(d)) %% 5 == 0 & d$status == 1
d$low[exact] <- d$high[exact] <- d$time[exact]
d$code <- ifelse(is.na(d$high), 0, ifelse(is.na(d$low), 2, ifelse(d$low == d$high, 1, 3)))
d$first <- ifelse(is.na(d$low), d$high, d$low)
d$seen <- as.numeric(d$time > 100)  # type left: known exactly after day 100, else before it
d$late <- pmax(d$time, 100)
d$w <- 1 + d$inst %% 3
d$o <- d$age / 100
new <- data.frame(age = c(50, 70), sex = c("m", "f"), ecog = c(1, 0), o = c(0.5, 0.7))
one <- function(formula, dist, weights = NULL, curve = TRUE) {
  m <- if (is.null(weights)) survreg(as.formula(formula), d, dist = dist, control = tight)
    else survreg(as.formula(formula), d, dist = dist, weights = w, control = tight)
  out <- list(formula = formula, dist = dist, term = names(coef(m)), theta = unname(c(coef(m),
      if (m$df > length(coef(m))) log(m$scale))), V = unname(vcov(m)), loglik = m$loglik, aic = AIC(m),
      bic = BIC(m), deviance = if (is.null(weights)) unname(resid(m, "deviance")))
  if (curve) {
    q <- predict(m, new, type = "quantile", p = c(0.25, 0.5, 0.9), se.fit = TRUE)
    out$quantile <- unname(q$fit); out$quantile_se <- unname(q$se.fit)
  }
  out
}
right <- "Surv(time, status) ~ age + sex + ecog"
two <- 'Surv(low, high, type = "interval2") ~ age + sex'
fits <- list(
  one(right, "weibull"), one(right, "exponential"), one(right, "rayleigh"),
  one(right, "loglogistic"), one(right, "lognormal"),
  one("Surv(time, status) ~ age * sex + strata(ecog)", "weibull", curve = FALSE),
  one("Surv(time, status) ~ age + strata(sex)", "loglogistic"),
  one("Surv(time, status) ~ age + sex + offset(o)", "weibull"),
  one("Surv(time, status) ~ 0 + sex", "lognormal"),
  one("Surv(time, status) ~ 1", "weibull"),
  one(two, "weibull"), one(two, "loglogistic"), one(two, "lognormal"),
  one('Surv(first, high, code, type = "interval") ~ age + sex', "lognormal"),
  one('Surv(late, seen, type = "left") ~ age + sex', "weibull"),
  one("Surv(time, status) ~ age + sex + cluster(inst)", "weibull"),
  one(two, "lognormal", TRUE))
a <- anova(survreg(Surv(time, status) ~ age + sex + ecog, d, dist = "weibull", control = tight))
write_json(list(data = d, new = new, fits = fits, anova1 = a$Deviance[-1],
                software = paste(R.version.string, "survival", packageVersion("survival"))),
           "tests/models/aft.json", digits = NA, auto_unbox = TRUE, na = "null")
