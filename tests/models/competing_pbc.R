# Fine-Gray models by survival's weighted rows; writes competing_pbc.json.
# Data: survival::pbc, death against transplantation; times made distinct (survival counts a
# censoring on the day of an event after it, cmprsk and we count both as present).
# Run: Rscript tests/models/competing_pbc.R
library(survival)
library(jsonlite)
control <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
d <- pbc[order(pbc$time, pbc$id), c("time", "status", "age", "bili", "edema")]
d$time <- d$time + seq_len(nrow(d)) / 1000
d$cause <- c(0, 2, 1)[d$status + 1]  # 1 death, 2 transplantation
d$status <- NULL
d$event <- factor(d$cause, 0:2, c("censored", "death", "transplant"))
one <- function(cause) {
  rows <- finegray(Surv(time, event) ~ age + bili + edema, d, etype = cause)
  m <- coxph(Surv(fgstart, fgstop, fgstatus) ~ age + bili + edema, rows, weights = fgwt,
             ties = "breslow", control = control)
  new <- data.frame(age = c(40, 60), bili = c(1, 5), edema = c(0, 0.5))
  s <- summary(survfit(m, newdata = new, ctype = 1), times = c(500, 1500, 3000))
  list(beta = unname(coef(m)), loglik = m$loglik, incidence = 1 - s$surv)
}
out <- list(data = d[c("time", "cause", "age", "bili", "edema")], death = one("death"),
            transplant = one("transplant"),
            software = paste(R.version.string, "survival", packageVersion("survival")))
write_json(out, "tests/models/competing_pbc.json", digits = NA, auto_unbox = TRUE)
