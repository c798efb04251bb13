# Discrete-time models by glm on person-period rows, for tests/models/test_discrete.py; writes
# discrete.json. Data: survival::lung in periods that end at the days below.
# Run: Rscript tests/models/discrete.R
library(survival)
library(jsonlite)
ends <- c(90, 180, 270, 360, 540, 720)
d <- lung[!is.na(lung$ph.ecog), c("time", "status", "age", "sex", "ph.ecog")]
names(d)[5] <- "ecog"; d$status <- d$status - 1
d$w <- 1 + d$age %% 2
long <- do.call(rbind, lapply(seq_len(nrow(d)), function(i) {
  r <- d[i, ]
  inside <- if (r$status == 1) sum(ends < r$time) + 1 else sum(ends <= r$time)
  k <- seq_len(min(inside, length(ends)))
  if (length(k)) data.frame(r[rep(1, length(k)), ], period = k, end = ends[k],
                            y = as.numeric(r$status == 1 & k == inside))
}))
tight <- glm.control(epsilon = 1e-14, maxit = 100)
one <- function(formula, link, weights = NULL) {
  m <- if (is.null(weights)) glm(as.formula(formula), binomial(link), long, control = tight)
    else glm(as.formula(formula), binomial(link), long, weights = w, control = tight)
  list(link = link, weighted = !is.null(weights), beta = unname(coef(m)), V = unname(vcov(m)),
       loglik = if (is.null(weights)) as.numeric(logLik(m)), aic = AIC(m), bic = BIC(m))
}
fits <- list(factor = one("y ~ 0 + factor(period) + age + sex + ecog", "cloglog"),
             logit = one("y ~ 0 + factor(period) + age + sex + ecog", "logit"),
             log = one("y ~ log(period) + age + sex", "cloglog"),
             moving = one("y ~ 0 + factor(period) + age + sex + sex:log(end)", "logit"),
             weighted = one("y ~ period + age + sex", "cloglog", TRUE))
write_json(list(data = d, ends = ends, rows = nrow(long), fits = fits, software = R.version.string),
           "tests/models/discrete.json", digits = NA, auto_unbox = TRUE, na = "null")
