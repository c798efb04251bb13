# Penalised splines and dose-response curves as survival gives them, for tests/models/test_smooth.py.
# Run: Rscript smooth.R > smooth.json
library(survival)
library(jsonlite)
library(splines)
d <- lung[complete.cases(lung[, c("time", "status", "age", "sex", "ph.karno")]),
          c("inst", "time", "status", "age", "sex", "ph.karno")]
d$inst[is.na(d$inst)] <- 99
cc <- coxph.control(eps = 1e-11, iter.max = 100, outer.max = 200)
one <- coxph(Surv(time, status) ~ pspline(age, df = 4, eps = 1e-9) + sex, d, control = cc)
two <- coxph(Surv(time, status) ~ pspline(age, df = 3, eps = 1e-9) +
               pspline(ph.karno, df = 4, eps = 1e-9), d, control = cc)
say <- function(m, n) {
  table <- summary(m)$coefficients
  list(beta = unname(coef(m)), var = m$var, loglik = m$loglik, df = m$df, wald = m$wald.test,
       chisq = unname(table[seq_len(n), "Chisq"]), linear = unname(table[1, 1:2]))
}
ns3 <- coxph(Surv(time, status) ~ ns(age, 3) * sex, d, control = cc)
B <- ns(d$age, 3)
at <- c(45, 60, 75)
P <- predict(B, c(at, 63))
L <- sweep(P[1:3, ], 2, P[4, ])
L <- cbind(L, 0, L * 2) # sex 2
out <- list(data = d, one = say(one, 3), two = say(two, 4), zph = unname(cox.zph(one)$table),
            ns = list(at = at, estimate = drop(L %*% coef(ns3)),
                      se = sqrt(diag(L %*% vcov(ns3) %*% t(L)))),
            software = paste(R.version.string, "survival", packageVersion("survival")))
cat(toJSON(out, digits = NA, auto_unbox = TRUE, matrix = "rowmajor"))
