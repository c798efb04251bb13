# The partially nested model by glmmTMB; the latent spread between houses by lme4.
# nested.csv, latent.csv: the tables of test_clustered_trial, people alone numbered from 1000.
library(jsonlite)
library(glmmTMB)
library(lme4)
d <- read.csv("nested.csv")
m <- glmmTMB(y ~ arm + x + (0 + arm | house), dispformula = ~ factor(arm), REML = TRUE, data = d)
fixed <- summary(m)$coefficients$cond
disp <- fixef(m)$disp # log variances
b <- read.csv("latent.csv")
g <- glmer(used ~ arm + (1 | house), data = b, family = binomial, nAGQ = 25,
           control = glmerControl(optimizer = "bobyqa", tolPwrss = 1e-10))
p <- confint(profile(g, which = "theta_", devtol = 1e-6))
write_json(list(
  beta_arm = fixed["arm", 1], beta_x = fixed["x", 1],
  house = VarCorr(m)$cond$house[1, 1],
  residual_usual = exp(disp[[1]]), residual_compared = exp(disp[[1]] + disp[[2]]),
  sigma = sqrt(VarCorr(g)$house[1, 1]), sigma_low = p[1, 1], sigma_high = p[1, 2]
), "clustered_trial.json", auto_unbox = TRUE, digits = NA)
