# The log hazard ratio of age over time, lung data: scaled Schoenfeld residuals of cox.zph on the
# time scale, a natural spline with an intercept and 4 degrees of freedom in all.
suppressMessages({library(survival); library(splines); library(jsonlite)})
d <- na.omit(lung[c("time", "status", "age", "sex", "ph.karno")])
d$event <- as.integer(d$status == 2)
fit <- coxph(Surv(time, event) ~ age + sex + ph.karno, d, ties = "efron")
z <- cox.zph(fit, transform = "identity")
r <- residuals(fit, "scaledsch")
t <- as.numeric(rownames(residuals(fit, "schoenfeld")))
at <- seq(quantile(t, 0.05), quantile(t, 0.95), length.out = 41)
s <- ns(t, df = 3)
B <- cbind(1, s); P <- cbind(1, predict(s, at))
inv <- solve(crossprod(B))
nd <- length(t)
out <- lapply(colnames(r), function(x) {
  y <- drop(P %*% inv %*% crossprod(B, r[, x]))
  list(estimate = y, spread = sqrt(nd * vcov(fit)[x, x] * rowSums((P %*% inv) * P)))
})
names(out) <- names(coef(fit))
stopifnot(all.equal(unname(r), unname(z$y)))
write(toJSON(list(data = d[c("time", "event", "age", "sex", "ph.karno")], time = at, smooth = out),
             digits = 15, auto_unbox = TRUE), "schoenfeld.json")
