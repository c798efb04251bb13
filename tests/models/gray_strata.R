# Gray's test within strata and cmprsk's errors of incidence; writes gray_strata.json.
# Data: survival::mgus2 in years (heavy ties), progression (1) against death (2).
# Run: Rscript tests/models/gray_strata.R
library(survival)
library(cmprsk)
library(jsonlite)
d <- data.frame(time = ceiling(with(mgus2, ifelse(pstat == 0, futime, ptime)) / 12),
                cause = with(mgus2, ifelse(pstat == 0, 2 * death, 1)),
                sex = as.character(mgus2$sex), band = as.integer(cut(mgus2$age, c(0, 60, 70, 80, 200))))
d <- d[seq(1, nrow(d), 3), ]
test <- function(...) unname(cuminc(d$time, d$cause, ...)$Tests[, 1])
at <- c(3, 10, 25)
q <- cuminc(d$time, d$cause)
out <- list(data = d, sex = test(d$sex, strata = d$band), band = test(d$band, strata = d$sex, rho = 0.5),
            times = at, est = timepoints(q, at)$est, var = timepoints(q, at)$var,
            software = paste(R.version.string, "cmprsk", packageVersion("cmprsk")))
write_json(out, "tests/models/gray_strata.json", digits = NA, auto_unbox = TRUE)
