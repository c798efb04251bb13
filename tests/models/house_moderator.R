# Kinds of houses as moderators by lmerTest and pbkrtest: F and Kenward-Roger's denominator df.
# house_moderator.csv: the rows of uneven() in test_house_moderator, houses' columns joined.
library(jsonlite)
library(lmerTest)
library(pbkrtest)
d <- read.csv("house_moderator.csv")
d$mean <- ave(d$x, d$house)
d$within <- d$x - d$mean
w <- tapply(d$w, d$house, function(v) v[1])
d$w <- d$w - mean(w)
kr <- function(full, term) {
  restricted <- update(full, as.formula(paste(". ~ . -", term)))
  k <- KRmodcomp(full, restricted)$stats
  list(f = k$Fstat, df = k$ddf)
}
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10))
effect <- function(by) {
  kr(lmer(as.formula(paste("y ~ arm *", by, "+ z + (1 | house)")), d, control = tight),
     paste0("arm:", by))
}
slope <- function(by) {
  kr(lmer(as.formula(paste("y ~ arm + within *", by, "+ mean + z + (1 + within | house)")), d,
          control = tight), paste0("within:", by))
}
write_json(list(
  effect_w = effect("w"), effect_kind = effect("kind"), slope_w = slope("w"),
  slope_kind = slope("kind")
), "house_moderator.json", auto_unbox = TRUE, digits = NA)
