# Two-stage least squares with AER and sandwich errors, on the trial of test_instrument.houses().
library(jsonlite)
d <- read.csv("houses.csv")
library(AER)
library(sandwich)
m <- ivreg(score ~ moved + age | arm + age, data = d)
hc0 <- sqrt(sandwich(m)[2, 2])
cr0 <- sqrt(vcovCL(m, cluster = ~house, type = "HC0", cadjust = FALSE)[2, 2])
write_json(list(effect = coef(m)[[2]], se_HC0 = hc0, se_CR0 = cr0), "instrument.json",
           auto_unbox = TRUE, digits = NA)
