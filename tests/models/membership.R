# Multiple membership by lme4: the transposed random-effects design replaced by the weights.
# membership.csv: rows of residents() in test_membership (pid, arm, x, y); membership_w.csv: their
# weights, one column a house.
library(jsonlite)
library(lme4)
d <- read.csv("membership.csv")
W <- as.matrix(read.csv("membership_w.csv"))
# a grouping with as many levels as houses, and a start of the right shape; then Zt is replaced
d$g <- factor(rep_len(seq_len(ncol(W)), nrow(d)))
parts <- lFormula(y ~ arm + x + (1 | g), d, REML = TRUE)
Zt <- as(t(W), "CsparseMatrix")
dimnames(Zt) <- dimnames(parts$reTrms$Zt)
parts$reTrms$Zt <- Zt
f <- do.call(mkLmerDevfun, parts)
o <- optimizeLmer(f, optimizer = "bobyqa", control = list(rhoend = 1e-10))
m <- mkMerMod(environment(f), o, parts$reTrms, fr = parts$fr)
write_json(list(
  beta = unname(fixef(m)), se = unname(sqrt(diag(as.matrix(vcov(m))))),
  tau2 = VarCorr(m)$g[1, 1], sigma2 = sigma(m)^2, criterion = REMLcrit(m),
  effects = ranef(m)$g[, 1]
), "membership.json", auto_unbox = TRUE, digits = NA)
