# Weighted and clustered curves as survival gives them, for tests/models/test_curve.py.
# Run: Rscript weighted_curve.R > weighted_curve.json
library(survival)
n <- function(x) paste0("[", paste(ifelse(is.finite(x), format(x, digits = 17), "null"), collapse = ", "), "]")
d <- veteran
d$w <- 0.5 + (d$age %% 7) / 5
d$entry <- ifelse(d$time > 20 & d$diagtime > 5, 10, 0)
at <- c(20, 60, 120, 250)
put <- function(name, f, last = FALSE) {
  s <- summary(f, times = at)
  cat(sprintf('  "%s": {"surv": %s, "se": %s, "low": %s, "high": %s, "chaz_se": %s}%s\n', name,
    n(s$surv), n(s$std.err), n(s$lower), n(s$upper), n(s$std.chaz), if (last) "" else ","))
}
cat("{\n")
put("weights", survfit(Surv(time, status) ~ trt, d, weights = w, robust = TRUE, id = seq_len(nrow(d)), conf.type = "log"))
put("cluster", survfit(Surv(time, status) ~ trt, d, cluster = celltype, robust = TRUE, conf.type = "log-log"))
put("both", survfit(Surv(time, status) ~ 1, d, weights = w, cluster = diagtime, robust = TRUE, conf.type = "plain"))
put("entry", survfit(Surv(entry, time, status) ~ trt, d, conf.type = "log"), TRUE)
cat("}\n")
