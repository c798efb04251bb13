# Values of survival and cmprsk for eighteen further cases; writes survival_cases.json.
# Data: survival::cgd, veteran, bladder2, pbc, lung, heart, mgus2, with invented weights and entry.
# Run: Rscript tests/models/survival_cases.R
suppressMessages({library(survival); library(cmprsk); library(jsonlite)})
control <- coxph.control(eps = 1e-12, iter.max = 60, toler.chol = 1e-14)
named <- function(x) as.list(x)
errors <- function(m) sqrt(diag(m))
text <- function(d) { for (v in names(d)) if (is.factor(d[[v]])) d[[v]] <- as.character(d[[v]]); d }

d <- text(cgd[, c("id", "treat", "age", "weight", "tstart", "tstop", "status", "sex", "hos.cat",
                  "enum", "center")])
names(d)[names(d) == "hos.cat"] <- "hos"
d$hos[grepl("Amsterdam", d$hos)] <- "Europe - other"
d$w <- round(0.4 + (d$id %% 9) / 5, 2)
d$count <- 1 + d$id %% 3

# 1 weights, strata, start and stop, persons' robust errors
f1 <- coxph(Surv(tstart, tstop, status) ~ treat + age + weight + strata(hos), d, weights = w,
            cluster = id, control = control)
zph <- function(m, g) { z <- cox.zph(m, g)$table; list(chisq = unname(z[, 1]), p = unname(z[, 3])) }
c1 <- list(beta = unname(coef(f1)), robust = errors(f1$var), model = errors(f1$naive.var),
           loglik = f1$loglik, score = f1$score, wald = f1$wald.test,
           concordance = unname(f1$concordance["concordance"]), c_se = unname(f1$concordance["std"]),
           martingale = unname(resid(f1)), deviance = unname(resid(f1, "deviance")),
           dfbeta = unname(resid(f1, "dfbeta", weighted = TRUE)),
           dfbeta_plain = unname(resid(f1, "dfbeta", weighted = FALSE)),
           dfbetas = unname(resid(f1, "dfbetas", weighted = TRUE)),
           score_rows = unname(resid(f1, "score")),
           schoenfeld = unname(resid(f1, "schoenfeld")),
           by_person = unname(rowsum(resid(f1, "dfbeta", weighted = TRUE), d$id)))
# 2 proportionality: strata, start and stop, a factor of two columns, four transforms
f2 <- coxph(Surv(tstart, tstop, status) ~ treat * age + weight + strata(hos), d, control = control)
c2 <- lapply(c(km = "km", identity = "identity", rank = "rank", log = "log"), function(g) zph(f2, g))
# 3 count weights, Breslow, offset, no robust errors; survival curves of new people
d$off <- round(d$weight / 100, 2)
f3 <- coxph(Surv(tstart, tstop, status) ~ treat + age + offset(off), d, weights = count,
            ties = "breslow", control = control)
c3 <- list(beta = unname(coef(f3)), se = errors(f3$var), loglik = f3$loglik)
# 4 Kaplan-Meier with entry and weights by group
v <- text(veteran)
v$start <- pmin(v$time - 1, (seq_len(nrow(v)) * 7) %% 31)
v$w <- round(0.3 + (seq_len(nrow(v)) %% 8) / 4, 2)
k4 <- survfit(Surv(start, time, status) ~ trt, v, weights = w, conf.type = "log-log")
s4 <- summary(k4, times = c(20, 60, 120, 250))
k5 <- survfit(Surv(start, time, status) ~ trt, v, conf.type = "log-log")
s5 <- summary(k5, times = c(20, 60, 120, 250))
q5 <- quantile(survfit(Surv(time, status) ~ trt, v, conf.type = "log-log"), c(0.25, 0.5, 0.75))
c4 <- list(weighted = list(surv = s4$surv, se = s4$std.err, low = s4$lower, high = s4$upper,
                           risk = s4$n.risk),
           plain = list(surv = s5$surv, se = s5$std.err, low = s5$lower, high = s5$upper,
                        cumhaz = s5$cumhaz, cumhaz_se = s5$std.chaz),
           quantile = lapply(q5, unname))
# 5 log-rank family with strata and four groups
lr <- function(rho) { s <- survdiff(Surv(time, status) ~ celltype + strata(trt), v, rho = rho); s$chisq }
c5 <- list(rho0 = lr(0), rho1 = lr(1), rho_half = lr(0.5))
# 6 Fine-Gray with effects that change with time, and in steps
m <- mgus2[complete.cases(mgus2[, c("age", "sex", "hgb", "mspike")]), ]
m <- data.frame(time = ifelse(m$pstat == 0, m$futime, m$ptime),
                cause = ifelse(m$pstat == 1, 1, ifelse(m$death == 1, 2, 0)),
                age = m$age / 10, male = as.numeric(m$sex == "M"), mspike = m$mspike)[seq(1, 1300, 3), ]
g6 <- with(m, crr(time, cause, cbind(age, male, mspike), cbind(mspike), function(t) log(t),
                  gtol = 1e-12, maxiter = 60))
c6 <- list(beta = unname(g6$coef), se = unname(sqrt(diag(g6$var))), loglik = g6$loglik)
g6b <- with(m, crr(time, cause, cbind(age, male, mspike), cengroup = male, gtol = 1e-12, maxiter = 60))
c6$groups <- unname(g6b$coef)  # its errors change when everybody is there twice, as two groups
# 7 penalised splines
l <- lung[complete.cases(lung[, c("age", "sex", "ph.karno", "wt.loss")]),
          c("time", "status", "age", "sex", "ph.karno", "wt.loss", "inst")]
l <- l[complete.cases(l), ]
names(l)[c(5, 6)] <- c("karno", "loss")
tight <- coxph.control(eps = 1e-12, iter.max = 60, outer.max = 60, toler.chol = 1e-14)
f7 <- coxph(Surv(time, status) ~ sex + pspline(karno, df = 3, eps = 1e-9), l, control = tight)
c7 <- list(sex = unname(coef(f7)["sex"]), se = sqrt(f7$var[1, 1]), loglik = f7$loglik[2], df = f7$df)
# 8 recurrent events by number
b <- text(bladder2); b$rx <- b$rx - 1
b <- b[b$enum <= 4, ]
pt <- coxph(Surv(start, stop, event) ~ rx + number + size + strata(enum), b, cluster = id, control = control)
pg <- coxph(Surv(stop - start, event) ~ rx + number + size + strata(enum), b, cluster = id, control = control)
ag <- coxph(Surv(start, stop, event) ~ rx + number + size, b, cluster = id, control = control)
both <- function(f) list(beta = unname(coef(f)), se = errors(f$var), loglik = f$loglik[2])
wl <- text(bladder); wl$rx <- wl$rx - 1
fw <- coxph(Surv(stop, event) ~ rx + number + size + strata(enum), wl, cluster = id, control = control)
c8 <- list(total = both(pt), gap = both(pg), ag = both(ag), wlw = both(fw))
# 9 interval-censored AFT with weights and a scale by stratum
a <- v
a$low <- ifelse(a$time > 30, floor(a$time / 30) * 30, NA)
a$high <- ifelse(a$status == 1, (floor(a$time / 30) + 1) * 30, NA)
a$low <- ifelse(is.na(a$high) & is.na(a$low), a$time, a$low)
sc <- survreg.control(rel.tolerance = 1e-13, maxiter = 100)
aft <- function(dist) {
  f <- survreg(Surv(low, high, type = "interval2") ~ karno + trt, a, weights = count, dist = dist, control = sc)
  list(beta = unname(coef(f)), scale = f$scale, se = unname(errors(f$var)), loglik = f$loglik)
}
a$count <- 1 + seq_len(nrow(a)) %% 3
c9 <- lapply(c(weibull = "weibull", loglogistic = "loglogistic", lognormal = "lognormal", exponential = "exponential"), aft)
fs <- survreg(Surv(time, status) ~ karno + strata(trt), a, control = sc)
c9$strata <- list(beta = unname(coef(fs)), scale = unname(fs$scale), loglik = fs$loglik[2], se = unname(errors(fs$var)))
fr <- survreg(Surv(time, status) ~ karno + trt, a, weights = w, control = sc)
# survreg(robust = TRUE) leaves the weights out of the residuals that it sums
c9$robust <- list(beta = unname(coef(fr)), model = unname(errors(fr$var)), se = unname(errors(crossprod(
  rowsum(residuals(fr, "dfbeta", weighted = TRUE), a$celltype)))))
# 10 frailty with start and stop and strata; frailty of persons with few rows
f10 <- coxph(Surv(tstart, tstop, status) ~ treat + age + frailty(id, eps = 1e-10, sparse = FALSE) + strata(sex), d, control = tight)
c10 <- list(beta = unname(coef(f10)[1:2]), se = errors(f10$var)[1:2], theta = f10$history[[1]]$theta,
            loglik = f10$history[[1]]$c.loglik)
# 11 interaction with a stratum
l$e <- ifelse(l$karno < 80, "low", "high"); l$s <- ifelse(l$sex == 1, "m", "f")
f11 <- coxph(Surv(time, status == 2) ~ age * strata(s) + loss, l, control = control)
f11b <- coxph(Surv(time, status == 2) ~ e * strata(s) + loss, l, control = control)
c11 <- list(beta = named(coef(f11)), se = errors(f11$var), loglik = f11$loglik, zph = zph(f11, "km"),
            factor = list(beta = named(coef(f11b)), se = errors(f11b$var)))
# 12 concordance: strata, start and stop, weights, persons; pairs by time
cc <- function(k) unname(c(k$concordance, sqrt(k$var)))
d$x <- round(d$age / 7) - round(d$weight / 20)
c12 <- list(rows = cc(concordance(Surv(tstart, tstop, status) ~ x + strata(hos), d, weights = w, cluster = id, reverse = TRUE)),
            S = cc(concordance(Surv(time, status) ~ karno, v, timewt = "S")),
            SG = cc(concordance(Surv(time, status) ~ karno, v, timewt = "S/G", weights = w)),
            I = cc(concordance(Surv(time, status) ~ karno + strata(trt), v, timewt = "I")))
# 13 restricted means, and a curve with clusters
t13 <- summary(survfit(Surv(time, status) ~ trt, v), rmean = 200)$table[, c("rmean", "se(rmean)")]
k13 <- summary(survfit(Surv(time, status) ~ trt, v, cluster = celltype, conf.type = "log"), times = c(30, 100, 200))
c13 <- list(rmst = unname(t13), cluster = list(surv = k13$surv, se = k13$std.err, low = k13$lower))
# 14 Aalen-Johansen with entry and weights
p <- mgus2; p$t <- ifelse(p$pstat == 0, p$futime, p$ptime)
p$cause <- ifelse(p$pstat == 1, 1, ifelse(p$death == 1, 2, 0))
p$entry <- ifelse(p$t > 60, (p$id * 13) %% 40, 0); p <- p[p$t > 0, ][seq(1, 1300, 4), ]
p$w <- round(0.5 + (p$id %% 5) / 3, 2)
p <- text(p[, c("id", "entry", "t", "cause", "sex", "w")])
fa <- function(k) { s <- summary(k, times = c(60, 120, 240))
  list(p = s$pstate[, 2:3], se = s$std.err[, 2:3]) }
c14 <- list(plain = fa(survfit(Surv(entry, t, factor(cause)) ~ sex, p, id = id)),
            weighted = fa(survfit(Surv(entry, t, factor(cause)) ~ sex, p, id = id, weights = w)))
# 15 curves of new people with strata and weights, and the mean number of events
new <- data.frame(treat = c("placebo", "rIFN-g"), age = c(10, 30), weight = c(35, 60), hos = c("US:other", "US:NIH"))
s15 <- survfit(f1, newdata = new, conf.type = "log-log")
at <- function(i) { s <- summary(s15[i], times = c(50, 150, 300)); list(surv = c(s$surv), se = c(s$std.err), low = c(s$lower)) }
mc <- survfit(Surv(tstart, tstop, status) ~ treat, d, id = id)
sm <- summary(mc, times = c(100, 200, 300))
c15 <- list(strata = names(s15$strata), one = at(1), two = at(2), mean = list(value = sm$cumhaz, se = sm$std.chaz))
# 16 robust errors by row without weights, and few clusters
f16 <- coxph(Surv(time, status) ~ karno + celltype, v, robust = TRUE, control = control)
c16 <- list(se = errors(f16$var), model = errors(f16$naive.var), rscore = f16$rscore, wald = f16$wald.test,
            concordance = unname(f16$concordance[6:7]))
# 17 times that differ by rounding only; exact ties with strata
r <- text(v[1:60, ]); r$time <- round(r$time / 10) / 10 + rep(c(0, 1e-12), 30); r$x <- r$karno / 10
f17 <- coxph(Surv(time, status) ~ x + strata(trt), r, ties = "exact", control = control)
f17b <- coxph(Surv(time, status) ~ x + strata(trt), r, control = control)
c17 <- list(exact = both(f17), efron = both(f17b))
# 18 Turnbull
k18 <- survfit(Surv(low, high, type = "interval2") ~ 1, a)
c18 <- list(time = k18$time, surv = k18$surv)
out <- list(cgd = d, veteran = v, mgus = m, lung = l, bladder2 = b, bladder = wl, interval = a, progress = p, ties = r,
            c1 = c1, c2 = c2, c3 = c3, c4 = c4, c5 = c5, c6 = c6, c7 = c7, c8 = c8, c9 = c9, c10 = c10,
            c11 = c11, c12 = c12, c13 = c13, c14 = c14, c15 = c15, c16 = c16, c17 = c17, c18 = c18,
            software = paste(R.version.string, "survival", packageVersion("survival"), "cmprsk", packageVersion("cmprsk")))
write_json(out, "tests/models/survival_cases.json", digits = NA, auto_unbox = TRUE, dataframe = "columns", na = "null")
