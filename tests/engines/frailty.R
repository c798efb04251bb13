# Shared frailty by survival's coxph with exact matrices and driven to convergence; frailty.json.
# Data: survival::kidney (catheter infections, two a patient), survival::rats (litters of three,
# females). R's default sparse = TRUE leaves off-diagonal blocks out of the errors.
# Run: Rscript tests/engines/frailty.R
library(survival)
library(jsonlite)
control <- coxph.control(eps = 1e-11, iter.max = 200, outer.max = 200, toler.chol = 1e-14)
gamma <- function(formula, d, columns) {
  p <- length(columns)
  h <- coxph(formula, d, control = control)$history[[1]]
  # once more at the best theta: the coefficients that the first leaves belong to the last one tried
  best <<- h$theta
  m <- coxph(update(formula, . ~ . - frailty(g, eps = 1e-10, sparse = FALSE) +
                      frailty(g, theta = best, sparse = FALSE)), d, control = control)
  list(data = d[c("time", "status", columns)], theta = h$theta, loglik = h$c.loglik,
       beta = unname(m$coefficients[1:p]), var = m$var[1:p, 1:p, drop = FALSE],
       omega = unname(m$coefficients[-(1:p)]))
}
k <- transform(kidney, g = id)
r <- transform(rats[rats$sex == "f", ], g = litter)
out <- list(
  kidney = c(gamma(Surv(time, status) ~ age + sex + frailty(g, eps = 1e-10, sparse = FALSE), k,
                   c("age", "sex")), list(group = k$id)),
  rats = c(gamma(Surv(time, status) ~ rx + frailty(g, eps = 1e-10, sparse = FALSE), r, "rx"),
           list(group = r$litter)),
  software = paste(R.version.string, "survival", packageVersion("survival"))
)
write_json(out, "tests/engines/frailty.json", digits = NA, auto_unbox = TRUE)
