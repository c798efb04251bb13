# Pooled estimates after mice on its own data sets nhanes2 and boys (older than 8 years).
# Run: Rscript imputation.R > imputation.json   (mice 3.15.0; some minutes)
# The data are stored beside the estimates, with within- and between-variance, so that ours are
# compared within the Monte Carlo error of both.
suppressPackageStartupMessages({library(mice); library(jsonlite)})
pooled <- function(imp, call) { q <- pool(with(imp, eval(call)))$pooled
  list(term = as.character(q$term), estimate = q$estimate, within = q$ubar, between = q$b, m = q$m[1]) }
d <- nhanes2; d$hyp <- factor(d$hyp)
a <- mice(d, m = 400, maxit = 10, seed = 11, printFlag = FALSE)
b <- boys[boys$age > 8, c("age", "hgt", "wgt", "hc", "gen", "reg")]; rownames(b) <- NULL
b$gen <- factor(as.integer(b$gen) >= 4, labels = c("early", "late"))
e <- mice(b, m = 200, maxit = 10, seed = 12, printFlag = FALSE)
f <- mice(b, m = 200, maxit = 10, seed = 13, printFlag = FALSE, method = c("", "norm", "norm", "norm", "logreg", "polyreg"))
text <- function(x) { x[] <- lapply(x, function(v) if (is.factor(v)) as.character(v) else v); as.list(x) }
cat(toJSON(list(
  nhanes = text(d), boys = text(b), reg = levels(b$reg),
  nhanes_pmm = pooled(a, quote(lm(chl ~ age + bmi + hyp))),
  boys_pmm = pooled(e, quote(lm(wgt ~ age + hgt + hc + gen + reg))),
  boys_norm = pooled(f, quote(lm(wgt ~ age + hgt + hc + gen + reg))),
  boys_logistic = pooled(e, quote(glm(gen == "late" ~ age + hgt + wgt, family = binomial)))),
  digits = NA, auto_unbox = TRUE, na = "null"))
