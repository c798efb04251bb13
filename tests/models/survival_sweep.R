# Values of survival and cmprsk for a sweep over what is asked least; writes survival_sweep.json.
# Data: survival's own, every so many rows, with invented weights and entries; two invented sets.
# Run: Rscript tests/models/survival_sweep.R
suppressMessages({library(survival); library(cmprsk); library(splines); library(jsonlite)})
control <- coxph.control(eps = 1e-12, iter.max = 80, toler.chol = 1e-14, outer.max = 100)
text <- function(d) { for (v in names(d)) if (is.factor(d[[v]])) d[[v]] <- as.character(d[[v]]); d }
some <- function(d, by) d[seq(1, nrow(d), by), ]
errors <- function(m) sqrt(diag(as.matrix(m)))
each <- function(x, f) lapply(setNames(x, x), f)
u <- unname
conf <- c("log-log", "log", "plain"); ties <- c("efron", "breslow", "exact")
V <- list()
# --- data
va <- text(veteran); i <- seq_len(nrow(va))
va$s0 <- pmin(va$time - 1, (i * 11) %% 47); va$w <- round(0.3 + (i %% 8) / 4, 2); va$count <- 1 + i %% 3
va$low <- ifelse(va$time > 25, floor(va$time / 25) * 25, NA)
va$high <- ifelse(va$status == 1, (floor(va$time / 25) + 1) * 25, NA)
va$low <- ifelse(is.na(va$high) & is.na(va$low), va$time, va$low)
exact <- i %% 5 == 0
va$low[exact] <- va$time[exact]; va$high[exact] <- ifelse(va$status[exact] == 1, va$time[exact], NA)
va$off <- round(va$diagtime / 40, 3); va$site <- va$prior + 2 * va$trt
my <- some(text(myeloid), 2)[, c("trt", "futime", "death")]
m <- mgus2; m$t <- ifelse(m$pstat == 0, m$futime, m$ptime)
m$cause <- ifelse(m$pstat == 1, 1, ifelse(m$death == 1, 2, 0)); m$exit <- m$age + pmax(m$futime, 0.5) / 12
m$e0 <- ifelse(m$t > 20, (m$id %% 30) / 2, 0); m$w <- round(0.25 + (m$id %% 7) / 3, 2)
m <- some(text(m), 4)[, c("id", "age", "exit", "sex", "death", "t", "cause", "e0", "w", "hgb", "creat")]
nw <- nwtco[nwtco$rel == 1 | nwtco$in.subcohort == 1, ]
nw$w <- ifelse(nw$rel == 1, 1, 4.8); nw$zero <- ifelse(nw$seqno %% 4 == 0, 0, nw$w); nw$years <- nw$edrel / 365.25
nw <- some(nw, 4)[, c("years", "rel", "histol", "stage", "age", "w", "zero")]
k <- text(kidney)[, c("id", "time", "status", "sex", "age")]
tr <- text(transplant); tr$cause <- u(c(censored = 0, death = 1, ltx = 2, withdraw = 3)[tr$event])
tr$time <- pmax(tr$futime, 0.5); tr$w <- round(0.3 + (seq_len(nrow(tr)) %% 6) / 4, 2); tr$late <- tr$year - 1995
tr$female <- as.numeric(tr$sex == "f")
tr <- some(tr[complete.cases(tr), ], 2)[, c("age", "sex", "abo", "late", "female", "time", "cause", "w")]
cg <- text(cgd); cg$w <- round(0.4 + (cg$id %% 9) / 5, 2); cg$recessive <- as.numeric(cg$inherit != "X-linked")
cg <- cg[, c("id", "center", "treat", "age", "recessive", "steroids", "tstart", "tstop", "status", "w")]
b2 <- bladder2; b2$rx <- b2$rx - 1; b1 <- bladder; b1$rx <- b1$rx - 1
lu <- lung; names(lu) <- gsub("\\.", "_", names(lu)); lu$dead <- lu$status - 1
lu <- lu[, c("inst", "time", "dead", "age", "sex", "ph_ecog", "ph_karno", "wt_loss")]
he <- heart[, c("start", "stop", "event", "age", "year", "surgery", "transplant")]; he$transplant <- as.numeric(he$transplant) - 1
ra <- rats[rats$sex == "f", c("litter", "rx", "time", "status")]
pq <- pbcseq[pbcseq$id <= 90, ]; pq <- pq[order(pq$id, pq$day), ]; last <- !duplicated(pq$id, fromLast = TRUE)
pq$start <- pq$day; pq$stop <- ifelse(last, pmax(pq$futime, pq$day + 1), c(pq$day[-1], 0))
pq$event <- ifelse(last & pq$status == 2, 1, 0); pq <- pq[, c("id", "start", "stop", "event", "bili", "albumin", "age", "trt")]
set.seed(11); n <- 120
aw <- data.frame(start = sample(0:3, n, TRUE), x = round(rnorm(n), 3), z = round(rnorm(n), 1),
                 g = sample(c("\u00fcber 60", "a b", "c\"q"), n, TRUE), h = sample(1:6, n, TRUE))
aw$stop <- aw$start + sample(1:4, n, TRUE); aw$event <- rbinom(n, 1, 0.6); aw$event[aw$h == 6] <- 0
aw$w <- round(runif(n, 0, 2), 2); aw$w[sample(n, 15)] <- 0; aw$off <- round(rnorm(n) / 3, 2); aw$cl <- sample(1:20, n, TRUE)
aw$g <- factor(aw$g, levels = c("a b", "c\"q", "\u00fcber 60"))
gap <- data.frame(start = c(0, 0, 1, 5, 5, 6, 6, 7), stop = c(2, 3, 3, 8, 9, 9, 11, 12), event = c(1, 1, 1, 1, 0, 1, 1, 0))
ms <- tmerge(myeloid[, c("id", "trt", "sex")], myeloid, id = id, death = event(futime, death), sct = event(txtime),
             cr = event(crtime), relapse = event(rltime))
ms$to <- with(ms, ifelse(death == 1, 4, ifelse(relapse == 1, 3, ifelse(sct == 1, 2, ifelse(cr == 1, 1, 0)))))
ms <- text(ms[ms$id %% 4 == 0, c("id", "trt", "sex", "tstart", "tstop", "to")]); ms$w <- round(0.5 + (ms$id %% 5) / 4, 2)
# --- curves
four <- function(s) list(surv = s$surv, se = s$std.err, low = s$lower, high = s$upper)
V$curve <- each(conf, function(ct) {
  f <- survfit(Surv(futime, death) ~ trt, my, conf.type = ct); q <- quantile(f, c(0.1, 0.25, 0.4, 0.5, 0.9))
  c(four(summary(f, times = c(100, 400, 900, 1500))), lapply(setNames(q, c("q", "ql", "qh")), function(x) c(t(x)))) })
d8 <- data.frame(t = 1:8, e = c(1, 0, 1, 1, 0, 1, 0, 0))
V$flat <- each(conf, function(ct) lapply(quantile(survfit(Surv(t, e) ~ 1, d8, conf.type = ct), c(0.1, 0.25, 0.5, 0.6)), u))
V$even <- lapply(quantile(survfit(Surv(t, e) ~ 1, data.frame(t = 1:6, e = 1)), c(1 / 6, 0.5, 2 / 3)), u)
f <- survfit(Surv(age, exit, death) ~ sex, m); s <- summary(f, times = c(60, 70, 80, 90))
V$truncated <- c(four(s), list(H = s$cumhaz, Hse = s$std.chaz))
V$sampled <- four(summary(survfit(Surv(years, rel) ~ histol, nw, weights = w, conf.type = "log-log"), times = c(1, 3, 6)))
V$zero <- four(summary(survfit(Surv(years, rel) ~ histol, nw[nw$zero > 0, ], weights = zero, conf.type = "log-log"), times = c(1, 3, 6)))
s <- summary(survfit(Surv(time, status) ~ sex, k, cluster = id, conf.type = "log-log"), times = c(10, 50, 150))
V$clustered <- c(four(s), list(H = s$cumhaz, Hse = s$std.chaz))
f <- survfit(Surv(start, stop, event) ~ 1, gap, conf.type = "log-log")
V$gap <- list(time = f$time, risk = f$n.risk, surv = f$surv, H = f$cumhaz, Hse = f$std.chaz)
r <- summary(survfit(Surv(s0, time, status) ~ celltype, va), rmean = 150)$table
V$rmst <- list(mean = u(r[, "rmean"]), se = u(r[, "se(rmean)"]))
# --- tests
kinds <- sort(unique(va$celltype)); pairs <- combn(4, 2)
p <- apply(pairs, 2, function(ij) survdiff(Surv(time, status) ~ celltype + strata(prior, trt), va[va$celltype %in% kinds[ij], ], rho = 0.5)$chisq)
V$pairs <- list(chisq = p, holm = p.adjust(pchisq(p, 1, lower.tail = FALSE), "holm"))
s <- survdiff(Surv(time, status) ~ celltype + strata(prior), va); O <- rowSums(s$obs); E <- rowSums(s$exp)
trend <- function(sc) c(t(O - E) %*% sc)^2 / c(t(sc) %*% s$var %*% sc)
V$trend <- list(even = trend(1:4), odd = trend(c(0, 1, 5, 5)), expected = u(E))
# the exact score test is the log-rank test with hypergeometric variances, also with late entry
V$late <- c(coxph(Surv(s0, time, status) ~ factor(celltype), va, ties = "exact", control = control)$score,
            coxph(Surv(s0, time, status) ~ factor(celltype) + strata(prior), va, ties = "exact", control = control)$score)
# --- competing events
at <- c(30, 100, 400); surv <- function(...) survfit(Surv(time, factor(cause, 0:3)) ~ abo, tr, id = seq_len(nrow(tr)), ...)
st <- function(s) list(p = s$pstate[, 2:4], se = s$std.err[, 2:4], low = s$lower[, 2:4])
trw <- tr$w
V$incidence <- list(plain = st(summary(surv(), times = at, extend = TRUE)),
  weighted = st(summary(survfit(Surv(time, factor(cause, 0:3)) ~ abo, tr, id = seq_len(nrow(tr)), weights = w), times = at, extend = TRUE)))
f <- with(tr, cuminc(time, cause, abo)); tp <- timepoints(f, c(30, 100))
V$martingale <- list(names = rownames(tp$est), est = u(tp$est), var = u(tp$var))
gray <- function(...) u(with(tr, cuminc(time, cause, abo, ...))$Tests[, 1])
V$gray <- list(plain = gray(), rho = gray(rho = 1), strata = gray(strata = tr$sex), both = gray(strata = tr$sex, rho = 1))
s <- summary(survfit(Surv(e0, t, factor(cause)) ~ sex, m, id = id, conf.type = "log"), times = c(20, 60, 120))
V$entry <- list(p = s$pstate[, 2:3], se = s$std.err[, 2:3], low = s$lower[, 2:3])
X <- with(tr, cbind(age, female, late))
V$finegray <- lapply(1:3, function(j) { g <- with(tr, crr(time, cause, X, failcode = j, gtol = 1e-12, maxiter = 80))
  p <- predict(g, rbind(c(30, 1, 2), c(60, 0, 9))); ix <- sapply(at, function(t) sum(p[, 1] <= t))
  list(beta = u(g$coef), se = errors(g$var), loglik = g$loglik, p = c(rbind(0, p)[ix + 1, 2:3])) })
g <- with(tr, crr(time, cause, X, X[, 1, drop = FALSE], sqrt, failcode = 2, gtol = 1e-12, maxiter = 80))
V$varying <- list(beta = u(g$coef), se = errors(g$var))
# --- recurrent events
both <- function(f) list(beta = u(coef(f)), se = errors(f$var), model = errors(f$naive.var), loglik = f$loglik[2])
V$recurrent <- list(
  wlw = both(coxph(Surv(stop, event) ~ rx:strata(enum) + size:strata(enum) + strata(enum), b1, cluster = id, control = control)),
  total = both(coxph(Surv(start, stop, event) ~ rx:strata(enum) + size:strata(enum) + strata(enum), b2, cluster = id, control = control)),
  gap = both(coxph(Surv(stop - start, event) ~ rx:strata(enum) + size:strata(enum) + strata(enum), b2, cluster = id, ties = "breslow", control = control)),
  ag = both(coxph(Surv(tstart, tstop, status) ~ treat + age + recessive + steroids, cg, cluster = id, control = control)),
  lwyy = both(coxph(Surv(tstart, tstop, status) ~ treat + age, cg, cluster = center, weights = w, control = control)))
mean_of <- function(f) { s <- summary(f, times = c(60, 180, 300)); list(mean = s$cumhaz, se = s$std.chaz) }
V$mean <- list(plain = mean_of(survfit(Surv(tstart, tstop, status) ~ recessive, cg, id = id)),
               weighted = mean_of(survfit(Surv(tstart, tstop, status) ~ recessive, cg, id = id, weights = w)))
# --- states: those observed at day 200 start in the state they are in
states <- function(d, ...) { s <- summary(survfit(Surv(tstart, tstop, factor(to, 0:4)) ~ trt, d, id = id, ...), times = c(400, 1200)); list(p = s$pstate, se = s$std.err) }
cur <- ave(ms$to, ms$id, FUN = function(x) { s <- 0; y <- x; for (j in seq_along(x)) { y[j] <- s; if (x[j] > 0) s <- x[j] }; y })
later <- ms; later$cur <- cur; later <- later[later$tstop > 200, ]; later$tstart <- pmax(later$tstart, 200)
names5 <- c("(entry)", "CR", "SCT", "relapse", "death")
s <- summary(survfit(Surv(tstart, tstop, factor(to, 0:4, labels = names5)) ~ trt, later, id = id, istate = factor(cur, 0:4, labels = names5)), times = c(400, 1200))
msw <- survfit(Surv(tstart, tstop, factor(to, 0:4)) ~ trt, ms, id = id, weights = w); sw <- summary(msw, times = c(400, 1200))
V$states <- list(plain = states(ms), weighted = list(p = sw$pstate, se = sw$std.err), later = list(p = s$pstate, se = s$std.err))
cm <- coxph(Surv(tstart, tstop, factor(to, 0:4)) ~ trt, ms, id = id, control = control)
V$transitions <- list(beta = u(coef(cm)), se = errors(cm$var))
# --- times by a law
sc <- survreg.control(rel.tolerance = 1e-13, maxiter = 200); new <- data.frame(karno = c(30, 80), trt = c(1, 2), celltype = c("large", "adeno"))
V$law <- each(c("weibull", "exponential", "lognormal", "loglogistic", "rayleigh"), function(d) {
  f <- survreg(Surv(low, high, type = "interval2") ~ karno + trt + celltype, va, dist = d, control = sc)
  q <- predict(f, new, type = "quantile", p = c(0.1, 0.5, 0.9), se.fit = TRUE)
  list(beta = u(coef(f)), se = u(errors(f$var)), loglik = f$loglik[length(f$loglik)], q = c(t(q$fit)), qse = c(t(q$se.fit))) })
V$scales <- each(c("weibull", "lognormal", "loglogistic"), function(d) {
  g <- survreg(Surv(time, status) ~ karno + trt + offset(off) + strata(celltype), va, dist = d, weights = count, control = sc)
  h <- survreg(Surv(time, status) ~ karno + trt, va, dist = d, cluster = celltype, control = sc)
  list(beta = u(coef(g)), scale = u(g$scale), se = u(errors(g$var)), robust = u(errors(h$var))) })
# --- Cox models
cox <- function(f) list(beta = as.list(coef(f)), se = errors(f$var), loglik = f$loglik, score = f$score, wald = f$wald.test,
                        concordance = u(f$concordance[c("concordance", "std")]))
V$lung <- each(ties, function(t) cox(coxph(Surv(time, dead) ~ age + ph_ecog * sex + wt_loss + strata(inst), lu, ties = t, control = control)))
V$heart <- each(ties, function(t) cox(coxph(Surv(start, stop, event) ~ age + year + surgery * transplant, he, ties = t, control = control)))
V$litters <- each(ties, function(t) cox(coxph(Surv(time, status) ~ rx + strata(litter), ra, ties = t, control = control)))
V$entered <- cox(coxph(Surv(age, exit, death) ~ sex + hgb + sqrt(creat), m, weights = w, cluster = id, control = control))
V$cohort <- cox(coxph(Surv(years, rel) ~ factor(stage) + histol + I(age / 12), nw, weights = w, robust = TRUE, control = control))
V$path <- cox(coxph(Surv(start, stop, event) ~ log(bili) + albumin + age + trt, pq, cluster = id, control = control))
V$heavy <- each(ties[1:2], function(t) cox(coxph(Surv(start, stop, event) ~ x + g, aw, ties = t, control = control)))
V$within <- each(ties, function(t) cox(coxph(Surv(start, stop, event) ~ x + z + offset(off) + strata(h), aw, ties = t, control = control)))
aw1 <- aw[aw$w > 0, ]; wtd <- function(t) coxph(Surv(start, stop, event) ~ x + z + offset(off) + strata(h), aw1, weights = w, cluster = cl, ties = t, control = control)
V$weighted <- each(ties[1:2], function(t) cox(wtd(t)))
V$smooth <- cox(coxph(Surv(time, dead) ~ sex + ns(age, 3), lu, control = control))
RF <- wtd("efron"); rr <- function(ty, ...) u(residuals(RF, ty, ...))
V$residual <- c(lapply(setNames(nm = c("martingale", "deviance", "score")), rr), list(dfbeta = rr("dfbeta", weighted = TRUE),
  dfbetas = rr("dfbetas", weighted = TRUE), schoenfeld = rr("schoenfeld"), scaled_schoenfeld = rr("scaledsch"),
  dfbeta_cluster = u(residuals(RF, "dfbeta", collapse = aw1$cl, weighted = TRUE)), martingale_cluster = u(residuals(RF, "martingale", collapse = aw1$cl))))
zph <- function(f) each(c("km", "identity", "rank", "log"), function(g) u(cox.zph(f, g)$table[, 1]))
V$zph <- list(products = zph(coxph(Surv(time, status) ~ trt + karno * celltype + age + strata(prior), va, control = control)),
  weighted = zph(RF), path = zph(coxph(Surv(start, stop, event) ~ log(bili) + albumin + age + trt, pq, control = control)),
  breslow = zph(coxph(Surv(time, status) ~ trt + karno + celltype, va, ties = "breslow", control = control)))
nd <- data.frame(age = c(40, 65), karno = c(90, 30), celltype = c("large", "squamous"))
V$people <- each(ties[1:2], function(t) { f <- coxph(Surv(time, status) ~ age + karno + strata(celltype), va, ties = t, control = control)
  b <- basehaz(f); list(H = b$hazard, t = b$time, stratum = as.character(b$strata), curves = each(conf, function(ct) { s <- survfit(f, newdata = nd, conf.type = ct)
    lapply(1:2, function(i) lapply(four(summary(s[i], times = c(20, 100, 200))), c)) })) })
f <- coxph(Surv(time, status) ~ trt + karno + celltype + karno:trt, va, control = control)
V$terms <- list(one = anova(f)$Chisq[-1], drop = drop1(f, test = "Chisq")$LRT[-1])
fr <- function(f) list(beta = u(coef(f)), theta = f$history[[1]]$theta, loglik = f$history[[1]]$c.loglik)
V$frailty <- list(rats = fr(coxph(Surv(time, status) ~ rx + frailty(litter, eps = 1e-11), ra, control = control)),
                  kidney = fr(coxph(Surv(time, status) ~ age + sex + frailty(id, eps = 1e-11), k, ties = "breslow", control = control)))
f <- coxph(Surv(time, status) ~ trt + pspline(karno, df = 5, eps = 1e-10) + strata(celltype), va, control = control)
V$pspline <- list(beta = u(coef(f)[1]), loglik = f$loglik[2])
data <- list(veteran = va, myeloid = my, mgus = m, nwtco = nw, kidney = k, transplant = tr, cgd = cg, bladder = b2, lung = lu,
             heart = he, rats = ra, pbcseq = pq, awkward = text(aw), gap = gap, states = ms)
V <- rapply(V, function(x) if (is.table(x)) as.numeric(x) else x, how = "replace")
out <- list(software = paste(R.version.string, "survival", packageVersion("survival"), "cmprsk", packageVersion("cmprsk")), data = data, values = V)
write_json(out, "tests/models/survival_sweep.json", digits = NA, auto_unbox = TRUE, dataframe = "columns", na = "null")
