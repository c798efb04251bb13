# Models of recurrent events by survival: bladder (WLW), bladder2 (AG, PWP), cgd; writes recurrent.json.
# Run: Rscript tests/models/recurrent.R
library(survival)
library(jsonlite)
control <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
show <- function(m) list(beta = unname(coef(m)), robust = m$var, naive = m$naive.var,
                         loglik = m$loglik[2], nevent = m$nevent, names = names(coef(m)))
b2 <- bladder2[bladder2$enum < 5, c("id", "rx", "size", "number", "start", "stop", "event", "enum")]
bl <- bladder
one <- function(f, d, ...) show(coxph(f, d, cluster = id, control = control, ...))
gap <- b2
gap$gap <- gap$stop - gap$start
fits <- list(
  ag = one(Surv(start, stop, event) ~ rx + size + number, b2),
  ag_breslow = one(Surv(start, stop, event) ~ rx + size + number, b2, ties = "breslow"),
  pwp_total = one(Surv(start, stop, event) ~ rx + size + number + strata(enum), b2),
  pwp_gap = one(Surv(gap, event) ~ rx + size + number + strata(enum), gap),
  pwp_gap_by = one(Surv(gap, event) ~ (rx + size + number):strata(enum), gap),
  wlw = one(Surv(stop, event) ~ rx + size + number + strata(enum), bl),
  wlw_by = one(Surv(stop, event) ~ (rx + size + number):strata(enum), bl),
  wlw_by_breslow = one(Surv(stop, event) ~ (rx + size + number):strata(enum), bl, ties = "breslow"))
d <- cgd[, c("id", "treat", "age", "sex", "center", "tstart", "tstop", "status", "enum")]
for (v in c("treat", "sex", "center")) d[[v]] <- as.character(d[[v]])
fits$cgd_ag <- one(Surv(tstart, tstop, status) ~ treat + age, d)
fits$cgd_pwp_sex <- one(Surv(tstart, tstop, status) ~ treat + age + strata(enum, sex), d)
at <- c(100, 200, 300)
mcf <- function(s) { k <- findInterval(at, s$time); list(cumhaz = s$cumhaz[k], se = s$std.chaz[k]) }
curves <- list(
  placebo = mcf(survfit(Surv(tstart, tstop, status) ~ 1, d[d$treat == "placebo", ], id = id, robust = TRUE)),
  active = mcf(survfit(Surv(tstart, tstop, status) ~ 1, d[d$treat != "placebo", ], id = id, robust = TRUE)))
score <- coxph(Surv(tstart, tstop, status) ~ treat, d, cluster = id, ties = "breslow")
out <- list(bladder2 = b2, bladder = bl[c("id", "rx", "size", "number", "stop", "event", "enum")], cgd = d,
            fits = fits, at = at, curves = curves, rscore = score$rscore,
            software = paste(R.version.string, "survival", packageVersion("survival")))
write_json(out, "tests/models/recurrent.json", digits = NA, auto_unbox = TRUE)
