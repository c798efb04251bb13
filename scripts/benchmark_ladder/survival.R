# R's turn on the survival ladder: RUNG DATA FORMULA TURNS CALLS. One line of JSON with the best CPU time.
suppressMessages(library(survival))
given <- commandArgs(TRUE)
rung <- given[1]; formula <- as.formula(given[3]); repeats <- as.integer(given[4]); inner <- as.integer(given[5])
names <- scan(sub("bin$", "names", given[2]), "", quiet = TRUE)
values <- readBin(given[2], "double", file.size(given[2]) / 8)
data <- as.data.frame(matrix(values, ncol = length(names), dimnames = list(NULL, names)))
rm(values)
until_converged <- function() coxph(
  update(formula, . ~ . - frailty(site) + frailty(site, eps = 1e-9)), data,
  control = coxph.control(outer.max = 100))
work <- switch(rung,
  lung =, stops =, million = function() coxph(formula, data),
  km = function() survfit(formula, data),
  logrank = function() survdiff(formula, data),
  recurrent = function() coxph(formula, data, cluster = id),
  multistate = function() survfit(
    Surv(start, stop, factor(state)) ~ 1, data, id = id, istate = from),
  frailty = until_converged,
  pairs = function() concordance(formula, data),
  aft = function() survreg(formula, data, dist = "weibull"))
taken <- sapply(seq_len(repeats), function(i) {
  gc(FALSE)
  start <- proc.time()
  for (j in seq_len(inner)) work()
  used <- proc.time() - start
  (used[[1]] + used[[2]]) / inner
})
cat(sprintf('{"R": %.6g}\n', min(taken)))
