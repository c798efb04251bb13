# Wald tests of terms of an ordinal mixed model by ordinal::clmm (15 nodes), for
# tests/models/test_generalised_anova.py. Run: Rscript ordinal_anova.R (writes JSON beside itself)
suppressMessages({library(ordinal); library(jsonlite)})
options(contrasts = c("contr.sum", "contr.poly"))
set.seed(5)
n <- 480
d <- data.frame(person = rep(1:80, each = 6), x = round(rnorm(n), 3))
d$arm <- c("usual", "house", "clinic")[1 + d$person %% 3]
d$site <- sample(c("north", "south"), n, TRUE)
eta <- .5 * d$x + .6 * (d$arm == "house") * (d$site == "south") + rnorm(80)[d$person]
d$grade <- findInterval(eta + rlogis(n), c(-1, .4, 1.5))
d$g <- factor(d$grade, ordered = TRUE)
wald <- function(text, data) {
  fit <- suppressWarnings(clmm(as.formula(text), data, nAGQ = 15, control = clmm.control(gradTol = 1e-7)))
  b <- fit$beta; V <- vcov(fit)[names(b), names(b)]
  at <- attr(model.matrix(update(formula(terms(fit)), NULL ~ . - (1 | person)), data), "assign")[-1]
  sapply(split(seq_along(b), at), function(i) drop(b[i] %*% solve(V[i, i]) %*% b[i]))
}
both <- wald("g ~ arm * site + x + (1 | person)", d)
main <- wald("g ~ arm + site + x + (1 | person)", d)
here <- dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE)[1]))
write_json(list(data = d[c("person", "x", "arm", "site", "grade")], both = unname(both),
                main = unname(main)), file.path(here, "ordinal_anova.json"), digits = NA,
           auto_unbox = TRUE, dataframe = "columns")
