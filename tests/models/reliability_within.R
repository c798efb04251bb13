# Omega of deviations within people: a two-level factor model by lavaan, the level of people
# saturated; reliability_within.json. Data: 80 people of 5 waves, five items, made here and stored.
# Run: Rscript tests/models/reliability_within.R
suppressMessages({library(lavaan); library(jsonlite)})
set.seed(77)
people <- 80; waves <- 5; n <- people * waves
lambda <- c(.9, .8, .7, .6, .5)
pid <- rep(1:people, each = waves)
level <- sapply(c(1, .6, .8, .3, .9), function(l) l * rnorm(people)[pid] + rnorm(people, 0, .5)[pid])
change <- rnorm(n)
d <- data.frame(pid, level + sapply(lambda, function(l) l * change + rnorm(n, 0, .7)))
names(d) <- c("pid", paste0("y", 1:5))
y <- paste0("y", 1:5)
between <- paste(outer(y, y, function(a, b) ifelse(a <= b, paste(a, "~~", b), ""))[
  outer(y, y, "<=")], collapse = "\n")
model <- paste0("level: 1\nf =~ NA*y1 + ", paste0("l", 1:5, "*", y, collapse = " + "), "\nf ~~ 1*f\n",
  paste0(y, " ~~ e", 1:5, "*", y, collapse = "\n"), "\nlevel: 2\n", between, "\nomega := (",
  paste0("l", 1:5, collapse = "+"), ")^2/((", paste0("l", 1:5, collapse = "+"), ")^2+",
  paste0("e", 1:5, collapse = "+"), ")")
fit <- sem(model, d, cluster = "pid")
p <- parameterEstimates(fit); o <- p[p$op == ":=", ]
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(list(data = d, omega = o$est, se = o$se), file.path(here, "reliability_within.json"),
           digits = NA, auto_unbox = TRUE, dataframe = "columns")
cat(o$est, o$se, "\n")
