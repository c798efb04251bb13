# Values of poly() and ns() for tests/models/test_design.py; run with Rscript from this folder.
library(jsonlite); library(splines)
x <- c(0.3, 1.1, 2.4, 2.9, 3.3, 4.8, 5.2, 6.7, 7.1, 9.6)
new <- c(-1, 0.3, 5, 12)
p <- poly(x, 3); s <- ns(x, df = 4)
write_json(list(x = x, new = new, poly = unclass(p)[, ], poly_new = predict(p, new)[, ],
                ns = unclass(s)[, ], ns_new = predict(s, new)[, ], version = R.version.string),
           "basis.json", digits = 17, auto_unbox = TRUE, pretty = TRUE)
