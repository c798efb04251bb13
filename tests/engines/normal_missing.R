# Normal moments of incomplete rows by lavaan (saturated, full information), and Little's
# statistic from them by its formula; normal_missing.json. Data: airquality; three waves made here.
# Run: Rscript tests/engines/normal_missing.R
suppressMessages({library(lavaan); library(jsonlite)})
moments <- function(d) {
  v <- names(d)
  model <- c(outer(v, v, function(a, b) ifelse(match(a, v) <= match(b, v), paste(a, "~~", b), "")),
             paste(v, "~ 1"))
  fit <- sem(paste(model[model != ""], collapse = "\n"), d, missing = "ml", em.h1.tol = 1e-12,
             em.h1.iter.max = 50000)
  h <- lavInspect(fit, "sampstat.h1")
  list(mean = as.numeric(h$mean), cov = unclass(h$cov))
}
little <- function(d, m) {
  d <- d[rowSums(!is.na(d)) > 0, ]
  S <- m$cov
  key <- apply(!is.na(d), 1, paste, collapse = "")
  d2 <- 0; df <- -ncol(d)
  for (k in unique(key)) {
    rows <- as.matrix(d[key == k, , drop = FALSE]); o <- !is.na(rows[1, ])
    gap <- colMeans(rows[, o, drop = FALSE]) - m$mean[o]
    d2 <- d2 + nrow(rows) * t(gap) %*% solve(S[o, o]) %*% gap; df <- df + sum(o)
  }
  list(statistic = as.numeric(d2), df = df, patterns = length(unique(key)))
}
set.seed(20261129)
n <- 200; y0 <- rnorm(n); y1 <- .6 * y0 + rnorm(n); y2 <- .5 * y1 + .2 * y0 + rnorm(n)
waves <- data.frame(y0, y1, y2)
waves$y1[runif(n) < plogis(-1 + y0)] <- NA
waves$y2[runif(n) < .3] <- NA
waves$y0[runif(n) < .05] <- NA
air <- airquality
cases <- lapply(list(air = air, waves = waves), function(d) {
  m <- moments(d); c(list(data = d, mean = m$mean, cov = m$cov), little(d, m)) })
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(cases, file.path(here, "normal_missing.json"), digits = NA, auto_unbox = TRUE,
           dataframe = "columns", na = "null")
