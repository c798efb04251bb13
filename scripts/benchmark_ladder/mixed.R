# R's turn on the mixed ladder: RUNG CSV CONTENDER FORMULA. One line of JSON with the best CPU time.
suppressMessages({library(lme4)})
given <- commandArgs(TRUE)
rung <- given[1]; contender <- given[3]; formula <- as.formula(given[4])
data <- read.csv(given[2])
if (rung == "e") for (x in c("service", "studage", "lectage", "s", "d", "ds")) data[[x]] <- factor(data[[x]])
work <- switch(contender,
  lme4 = if (rung == "logit") function() glmer(formula, data, binomial) else function() lmer(formula, data),
  lmerTest = function() coef(summary(lmerTest::lmer(formula, data))),
  "lmerTest+pbkrtest" = function() coef(summary(lmerTest::lmer(formula, data), ddf = "Kenward-Roger")),
  glmmTMB = if (rung == "logit") function() glmmTMB::glmmTMB(formula, data, binomial)
            else function() glmmTMB::glmmTMB(formula, data, REML = TRUE))
small <- rung %in% c("a", "b")
inner <- if (small && contender == "lme4") 10 else 1
taken <- sapply(seq_len(if (!small) 1 else if (contender == "lme4") 5 else 2), function(i) {
  gc(FALSE)
  start <- proc.time()
  for (j in seq_len(inner)) suppressWarnings(suppressMessages(work()))
  used <- proc.time() - start
  (used[[1]] + used[[2]]) / inner
})
cat(sprintf('{"%s": %.6g}\n', contender, min(taken)))
