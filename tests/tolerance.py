"""Every tolerance of the test suite, each with its reason."""

EXACT = 1e-12  # the same arithmetic in another order: a few ulps of float64
CLOSED_FORM = 1e-10  # a formula on paper against the engine's route to it
CONVERGED = 1e-8  # Newton at 1e-10 in the criterion leaves about this in a coefficient
DERIVATIVE = 1e-6  # central differences with a step of 1e-6 hold six digits
INVARIANCE = 1e-6  # units and origins moved by up to 1e12: conditioning of the raw columns remains
MONTE_CARLO_SES = 4.0  # fixed seeds: a right simulation is further out once in 16,000
SURVFIT_STOPS = 5e-3  # survfit ends Turnbull's iteration with the third digit still moving
R_CONVERGED = 1e-6  # survreg told to go on to 1e-13 in its likelihood: half of those digits
SETTLED = 1e-6  # a batch of refits ends at a Newton decrement of 1e-9
R_DIGITS = 2e-5  # lme4 stops at about 1e-6 of its parameters; df are ratios of their derivatives
HALF_DIGITS = 1e-5  # central differences of a log-likelihood near -1e2: half its digits are left
SPLINE = 1e-6  # lme4 interpolates a profile between steps of a fortieth of its range
PRINTED_3 = 5e-4  # a number printed to three decimals
PRINTED_4 = 5e-5  # a number printed to four decimals
PRINTED_6 = 1e-6  # a number printed to six decimals
ZPH = 1e-5  # the reference cases' own tolerance; the test multiplies Newton's error by the score
WALD_ROUNDED = 0.005  # summary.coxph rounds the Wald statistic to two decimals
ROW_ORDER = 1e-8  # the same sums in another order, through an optimiser: as CONVERGED
LATTICE = 1e-4  # chances integrated over 65,536 lattice points, ours and mvtnorm's
PRINTED_2 = 6e-3  # a number printed to two decimals
WHOLE_DF = 1e-3  # mvtnorm rounds degrees of freedom near 30 to whole numbers, and samples
REFITS = 3e-4  # lme4 refits without a group with its default optimiser: four digits
DRAWN_QUANTILE = 2e-3  # honestdid draws the normal quantile of an interval one unit wide
