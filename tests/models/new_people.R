# Residuals and curves of new people as survival gives them, for tests/models/test_new_people.py.
# Run: Rscript new_people.R > new_people.json
library(survival)
library(jsonlite)
control <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
d <- heart[, c("start", "stop", "event", "age", "surgery", "transplant", "id")]
d$transplant <- as.integer(as.character(d$transplant))
d$w <- 0.5 + (d$id %% 5) / 4
m <- coxph(Surv(start, stop, event) ~ age + surgery + transplant, d, control = control)
path <- data.frame(start = c(0, 30, 0), stop = c(30, 200, 100), event = 0,
                   age = c(2, 2, -5), surgery = c(0, 0, 1), transplant = c(0, 1, 0), id = c(1, 1, 2))
curve <- function(s) list(time = s$time, surv = s$surv, se = s$std.err * s$surv,
                          low = s$lower, high = s$upper)
f <- survfit(m, newdata = path, id = id)
r <- coxph(Surv(start, stop, event) ~ age + transplant, d, weights = w, cluster = id,
           control = control)
new <- data.frame(age = 3, transplant = 1)
g <- summary(survfit(r, newdata = new, conf.type = "log-log"), times = c(20, 100))
k <- coxph(Surv(start, stop, event) ~ age + transplant, d, cluster = id, control = control)
out <- list(
  data = d, path = path, along = curve(f), strata = unname(f$strata),
  robust = list(surv = g$surv, se = g$std.err, low = g$lower, high = g$upper),
  dfbetas = unname(resid(k, "dfbetas")), dfbeta_by = unname(resid(k, "dfbeta", collapse = d$id)),
  partial = unname(resid(k, "partial")),
  martingale_by = unname(resid(k, "martingale", collapse = d$id)),
  deviance_by = unname(resid(k, "deviance", collapse = d$id)),
  weighted_dfbeta = unname(resid(r, "dfbeta", weighted = TRUE)),
  scaled = unname(resid(m, "scaledsch")),
  software = paste(R.version.string, "survival", packageVersion("survival")))
cat(toJSON(out, digits = NA, auto_unbox = TRUE, matrix = "rowmajor"))
