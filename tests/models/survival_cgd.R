# Values of survival for weights, clusters, delayed entry and new people; writes survival_cgd.json.
# Data: survival::cgd, infections in chronic granulomatous disease, (start, stop] rows.
# Run: Rscript tests/models/survival_cgd.R
library(survival)
library(jsonlite)
control <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
d <- cgd[, c("id", "treat", "age", "weight", "tstart", "tstop", "status", "sex")]
d$treat <- as.character(d$treat)
d$sex <- as.character(d$sex)
d$w <- round(0.5 + (d$id %% 7) / 4, 2)
fit <- coxph(Surv(tstart, tstop, status) ~ treat + age, d, weights = w, cluster = id,
             control = control)
strat <- coxph(Surv(tstart, tstop, status) ~ treat + age + strata(sex), d, control = control)
breslow <- coxph(Surv(tstart, tstop, status) ~ treat + age, d, ties = "breslow", control = control)
new <- data.frame(treat = c("placebo", "rIFN-g"), age = c(10, 30))
at <- c(50, 150, 300)
curve <- function(m, newdata) {
  s <- summary(survfit(m, newdata = newdata), times = at)
  list(surv = s$surv, se = s$std.err)
}
km <- summary(survfit(Surv(tstart, tstop, status) ~ treat, d, weights = w, id = id), times = at)
kp <- summary(survfit(Surv(tstart, tstop, status) ~ treat, d, id = id, robust = FALSE), times = at)
plain <- coxph(Surv(tstart, tstop, status) ~ treat + age, d, control = control)
out <- list(
  data = d,
  weighted = list(beta = coef(fit), robust = fit$var, naive = fit$naive.var,
                  loglik = fit$loglik, concordance = unname(fit$concordance["concordance"]),
                  concordance_se = unname(fit$concordance["std"])),
  stratified = list(beta = coef(strat), var = strat$var, loglik = strat$loglik,
                    zph = cox.zph(strat, "km")$table[, 1],
                    martingale = unname(resid(strat)), deviance = unname(resid(strat, "deviance")),
                    score = unname(resid(strat, "score")), dfbeta = unname(resid(strat, "dfbeta")),
                    schoenfeld = unname(resid(strat, "schoenfeld"))),
  breslow = list(beta = coef(breslow), var = breslow$var, curve = curve(breslow, new)),
  efron = list(beta = coef(plain), curve = curve(plain, new)),
  km_plain = list(surv = kp$surv, se = kp$std.err, low = kp$lower),
  software = paste(R.version.string, "survival", packageVersion("survival"))
)
write_json(out, "tests/models/survival_cgd.json", digits = NA, auto_unbox = TRUE)
