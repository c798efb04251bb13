# The lowest REML criterion of a fit whose search begins beside a saddle: lme4's own criterion,
# searched from many starts; lmer() itself stops at the saddle. Writes mixed_saddle.json.
# The data are those of tests/models/test_mixed_saddle.py, written by it as CSV:
#   python -m tests.models.test_mixed_saddle saddle.csv && Rscript mixed_saddle.R saddle.csv
library(lme4); library(jsonlite)
d <- read.csv(commandArgs(TRUE)[1])
f <- y ~ arm + within + mean + w + within:w + (1 + within | house)
criterion <- lmer(f, d, devFunOnly = TRUE)
low <- Inf
for (a in seq(0, .5, .05)) for (b in seq(-.7, .7, .05)) {
  start <- c(a, b, .1)
  for (turn in 1:3) {
    o <- optim(start, function(t) if (t[1] < 0 || t[3] < 0) 1e9 else criterion(t),
               control = list(reltol = 1e-14, maxit = 5000))
    start <- o$par
  }
  low <- min(low, o$value)
}
write_json(list(lowest = low, lmer = REMLcrit(lmer(f, d))), "mixed_saddle.json",
           auto_unbox = TRUE, digits = 14)
