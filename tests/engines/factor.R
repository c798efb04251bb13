# One common factor by lavaan and factanal, alpha by psych; factor.json.
# Data: seven answers of 1 to 5 of 300 people with unequal loadings, made here and stored.
# lavaan: omega total of the plain sum, with its delta-method error; factanal: on correlations.
# Run: Rscript tests/engines/factor.R
suppressMessages({library(lavaan); library(psych); library(jsonlite)})
set.seed(20261129)
n <- 300; lambda <- c(.8, .7, .6, .5, .9, .4, .3)
f <- rnorm(n)
raw <- sapply(lambda, function(l) l * f + sqrt(1 - l^2) * rnorm(n))
d <- as.data.frame(apply(round(3 + 1.2 * raw), 2, function(x) pmin(pmax(x, 1), 5)))
d$V7 <- d$V7 * 2                      # items need not be on one scale
i <- 1:7
model <- paste(
  paste0("f =~ NA*V1 + ", paste0("l", i, "*V", i, collapse = " + ")), "f ~~ 1*f",
  paste0("V", i, " ~~ e", i, "*V", i, collapse = "\n"),
  paste0("omega := (", paste0("l", i, collapse = " + "), ")^2 / ((",
         paste0("l", i, collapse = " + "), ")^2 + ", paste0("e", i, collapse = " + "), ")"),
  sep = "\n")
fit <- cfa(model, d)
p <- parameterEstimates(fit)
loading <- p[p$op == "=~", ]; own <- p[p$op == "~~" & p$lhs != "f", ]; omega <- p[p$op == ":=", ]
fa <- factanal(d, 1, control = list(opt = list(factr = 1, pgtol = 0)))
three <- cor(d[1:3])
a <- psych::alpha(d, check.keys = FALSE)$total$raw_alpha
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(list(
  data = d, loadings = loading$est, loading_se = loading$se, uniqueness = own$est,
  uniqueness_se = own$se, omega = omega$est, omega_se = omega$se,
  chisq = unname(fitMeasures(fit, "chisq")), df = unname(fitMeasures(fit, "df")),
  standardised = as.numeric(fa$loadings), standardised_uniqueness = unname(fa$uniquenesses),
  alpha = a), file.path(here, "factor.json"), digits = NA, auto_unbox = TRUE,
  dataframe = "columns")
