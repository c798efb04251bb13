# Concordance as survival gives it, for tests/models/test_concordance.py.
# Run: Rscript concordance.R > concordance.json
library(survival)
d <- veteran
n <- function(x) format(x, digits = 17)
one <- function(k, ...) {
  a <- concordance(Surv(time, status) ~ karno, d, timewt = k, ...)
  sprintf('    "%s": [%s, %s]', k, n(a$concordance), n(sqrt(a$var)))
}
kinds <- sapply(c("n", "S", "S/G", "n/G2", "I"), one)
u <- concordance(Surv(time, status) ~ karno, d, timewt = "n/G2", ymax = 200)
fits <- list(coxph(Surv(time, status) ~ karno, d), coxph(Surv(time, status) ~ age, d))
both <- concordance(fits[[1]], fits[[2]])
V <- vcov(both)
# a cluster is a cell type here: a check of the arithmetic, not a design
cl <- concordance(Surv(time, status) ~ karno + strata(trt), d, cluster = d$celltype)
within <- sapply(c("S", "S/G", "I"), function(k) {
  a <- concordance(Surv(time, status) ~ karno + strata(celltype), d, timewt = k)
  sprintf('    "%s": [%s, %s]', k, n(a$concordance), n(sqrt(a$var)))
})
cat("{\n  \"kinds\": {\n", paste(kinds, collapse = ",\n"), "\n  },\n", sep = "")
cat("  \"within\": {\n", paste(within, collapse = ",\n"), "\n  },\n", sep = "")
cat(sprintf('  "uno_200": [%s, %s],\n', n(u$concordance), n(sqrt(u$var))))
cat(sprintf('  "two": [%s, %s],\n', n(both$concordance[1]), n(both$concordance[2])))
cat(sprintf('  "covariance": [%s, %s, %s],\n', n(V[1, 1]), n(V[1, 2]), n(V[2, 2])))
cat(sprintf('  "clustered": [%s, %s]\n}\n', n(cl$concordance), n(sqrt(cl$var))))
