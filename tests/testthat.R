library(testthat)
library(unalloy)
test_check("unalloy")
