# R's turn on the imputation ladder: RUNG DATA M SWEEPS. One line of JSON with the CPU time of mice.
suppressMessages(library(mice))
given <- commandArgs(TRUE)
rung <- given[1]; data <- read.csv(given[2]); m <- as.integer(given[3]); sweeps <- as.integer(given[4])
method <- NULL; predictors <- NULL
if (rung == "clusters") {
  data$cluster <- as.integer(data$cluster)
  predictors <- make.predictorMatrix(data); predictors[, "cluster"] <- -2
  predictors["x", "y"] <- predictors["y", "x"] <- 1
  method <- c("", "2l.norm", "2l.norm")
} else {
  for (column in names(data)) {
    values <- unique(na.omit(data[[column]])); letter <- substr(column, 1, 1)
    if (letter == "o") data[[column]] <- factor(data[[column]], ordered = TRUE)
    else if (letter == "g" || length(values) == 2) data[[column]] <- factor(data[[column]])
  }
}
work <- function() {
  args <- list(data, m = m, maxit = sweeps, seed = 1, printFlag = FALSE)
  if (!is.null(method)) args <- c(args, list(method = method, predictorMatrix = predictors))
  complete(do.call(mice, args), "all")
}
start <- proc.time(); work(); used <- proc.time() - start
cat(sprintf('{"mice": %.6g}\n', used[[1]] + used[[2]]))
