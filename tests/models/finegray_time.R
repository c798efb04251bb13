# Fine-Gray models with effects by functions of time (cmprsk: cov2, tf); writes finegray_time.json.
# Data: survival::mgus2 in years, every third person, progression (1) against death (2).
# Run: Rscript tests/models/finegray_time.R
library(survival)
library(cmprsk)
library(jsonlite)
d <- data.frame(time = ceiling(with(mgus2, ifelse(pstat == 0, futime, ptime)) / 12) + 1,
                cause = with(mgus2, ifelse(pstat == 0, 2 * death, 1)),
                age = mgus2$age, male = as.integer(mgus2$sex == "M"), mspike = mgus2$mspike)
d <- na.omit(d[seq(1, nrow(d), 3), ])
x <- as.matrix(d[c("age", "mspike")])
one <- function(cov2, tf, cause = 1) {
  m <- crr(d$time, d$cause, x, cov2, tf, failcode = cause, gtol = 1e-12, maxiter = 100)
  list(beta = unname(m$coef), var = m$var, loglik = m$loglik)
}
out <- list(data = d, log = one(d$mspike, function(t) log(t)), linear = one(d$age, function(t) t, 2),
            steps = one(cbind(d$mspike, d$mspike), function(t) cbind(t > 5, t > 12)),
            software = paste(R.version.string, "cmprsk", packageVersion("cmprsk")))
write_json(out, "tests/models/finegray_time.json", digits = NA, auto_unbox = TRUE)
