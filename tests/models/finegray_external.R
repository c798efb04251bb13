# Fine-Gray models with a condition that begins at a time of each row's own (survival: finegray, rows
# cut where it begins); writes finegray_external.json. Data: survival::mgus2, every third person,
# times in their order (without ties, which finegray and cmprsk weigh differently), with a law that
# comes into force after 5, 10, 15 … of the 45 units, for some never.
# Run: Rscript tests/models/finegray_external.R
library(survival)
library(jsonlite)
d <- data.frame(time = with(mgus2, ifelse(pstat == 0, futime, ptime)),
                cause = with(mgus2, ifelse(pstat == 0, 2 * death, 1)),
                age = mgus2$age, mspike = mgus2$mspike)
d <- na.omit(d[seq(1, nrow(d), 3), ])
d$time <- rank(d$time, ties.method = "first") / 10
d$law <- 5 * (seq_len(nrow(d)) %% 9)
d$law[d$law == 0] <- NA
one <- function(cause) {
  f <- factor(d$cause, c(0, 1, 2))
  wide <- finegray(Surv(time, f) ~ ., data = cbind(d, f = f), etype = as.character(cause))
  wide$law[is.na(wide$law)] <- Inf
  cut <- wide$fgstart < wide$law & wide$law < wide$fgstop
  first <- transform(wide[cut, ], fgstop = law, fgstatus = 0)
  second <- transform(wide[cut, ], fgstart = law)
  rows <- rbind(wide[!cut, ], first, second)
  rows$inforce <- as.integer(rows$fgstart >= rows$law)
  m <- coxph(Surv(fgstart, fgstop, fgstatus) ~ age + mspike + inforce, rows, weights = fgwt,
             ties = "breslow", control = coxph.control(eps = 1e-12, toler.chol = 1e-13, iter.max = 50))
  list(beta = unname(coef(m)), loglik = m$loglik)
}
out <- list(data = d, progression = one(1), death = one(2),
            software = paste(R.version.string, "survival", packageVersion("survival")))
write_json(out, "tests/models/finegray_external.json", digits = NA, auto_unbox = TRUE, na = "null")
