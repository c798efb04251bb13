# Turnbull curves by survival::survfit, for tests/engines/test_turnbull.py; writes turnbull.json.
# Run: Rscript tests/engines/turnbull.R
library(survival)
library(jsonlite)
set.seed(4)
n <- 80
t <- rexp(n, 0.2); v <- t(apply(matrix(rexp(n * 6, 0.6), n), 1, cumsum))
low <- sapply(seq_len(n), function(i) max(0, v[i, v[i, ] < t[i]]))
high <- sapply(seq_len(n), function(i) min(Inf, v[i, v[i, ] >= t[i]]))
case <- function(low, high) {
  l <- ifelse(low == 0, NA, low); h <- ifelse(is.infinite(high), NA, high)
  f <- survfit(Surv(l, h, type = "interval2") ~ 1)
  list(low = l, high = h, time = f$time, surv = f$surv)
}
weekly <- function(x) ifelse(is.finite(x), round(2 * x) / 2, x)
a <- weekly(low); b <- pmax(weekly(high), a + 0.5)
write_json(list(fine = case(low, high), coarse = case(a, b), software = paste(R.version.string,
  "survival", packageVersion("survival"))), "tests/engines/turnbull.json", digits = NA, na = "null")
