# States and transitions by survival; writes multistate.json.
# Data: survival::mgus2 (entry, progression, death; every second person), and made-up paths with
# initial states, late entries, returns and ties (seed below).
# Run: Rscript tests/models/multistate.R
library(survival)
library(jsonlite)
control <- coxph.control(eps = 1e-12, iter.max = 50, toler.chol = 1e-14)
m <- mgus2[seq(1, nrow(mgus2), 2), ]
d <- tmerge(m[, c("id", "age", "sex")], m, id = id, death = event(futime, death), pcm = event(ptime, pstat))
d <- subset(d, tstart < tstop)
d$state <- ifelse(d$pcm == 1, 1, ifelse(d$death == 1, 2, 0))
d$male <- as.integer(d$sex == "M")
d$sex <- as.character(d$sex)
d$ev <- factor(d$state, 0:2, c("censor", "pcm", "death"))
at <- c(36, 100, 240)
read <- function(f, at) {
  s <- summary(f, times = at, extend = TRUE)
  list(p = s$pstate, se = s$std.err)
}
time_in <- function(f, tau) {
  t <- summary(f, rmean = tau, scale = 1)$table
  list(names = colnames(t), table = unname(t))
}
f <- survfit(Surv(tstart, tstop, ev) ~ 1, d[d$sex == "F", ], id = id)
show <- function(c) list(names = names(coef(c)), beta = unname(coef(c)), robust = c$var,
                         naive = c$naive.var, loglik = c$loglik[2])
cox <- coxph(Surv(tstart, tstop, ev) ~ age + male, d, id = id, control = control)
common <- coxph(list(Surv(tstart, tstop, ev) ~ male, 1:2 + 1:3 + 2:3 ~ age / common), d, id = id, control = control)
new <- data.frame(age = c(60, 80), male = c(1, 0))
breslow <- coxph(Surv(tstart, tstop, ev) ~ age + male, d, id = id, control = control, ties = "breslow")
# survfit takes Breslow's hazard increments also for Efron's ties, so compare where both have them
predicted <- survfit(breslow, newdata = new)
k <- findInterval(at, predicted$time)

set.seed(7)
rows <- list()
for (i in 1:60) {
  t <- if (i %% 2) 0 else sample(1:3, 1); s <- sample(c("abstinent", "using"), 1)
  for (step in 1:5) {
    end <- t + sample(1:5, 1)
    to <- sample(c("none", setdiff(c("abstinent", "using", "dead"), s)), 1, prob = c(4, 4, 1))
    rows[[length(rows) + 1]] <- data.frame(id = i, start = t, stop = end, to = to, from = s)
    if (to == "dead") break
    if (to != "none") s <- to
    t <- end
  }
}
r <- do.call(rbind, rows)
r$ev <- factor(r$to, c("none", "abstinent", "using", "dead"))
g <- survfit(Surv(start, stop, ev) ~ 1, r, id = id, istate = from)
zero <- r[r$id %% 2 == 1, ]
z <- survfit(Surv(start, stop, ev) ~ 1, zero, id = id, istate = from)
out <- list(mgus = d[c("id", "sex", "age", "male", "tstart", "tstop", "state")], at = at,
            female = read(f, at), female_time = time_in(f, 240), cox = show(cox), common = show(common), pstate = predicted$pstate[k, , ],
            made = r[c("id", "start", "stop", "to", "from")], made_at = c(2, 6, 12), made_states = g$states,
            made_found = read(g, c(2, 6, 12)), made_p0 = g$p0, zero_found = read(z, c(2, 6, 12)), made_time = time_in(g, 12),
            software = paste(R.version.string, "survival", packageVersion("survival")))
write_json(out, "tests/models/multistate.json", digits = NA, auto_unbox = TRUE)
print(out$female_time$names); print(dim(predicted$pstate)); print(names(coef(common))); print(g$states);print(g$p0)
