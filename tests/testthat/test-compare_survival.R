skip_if_not_installed("survival")

followed <- with_seed_of(1, {
  group <- rep(c("A", "B", "C"), each = 30)
  age <- rnorm(90, 60, 8)
  true <- rexp(90, c(A = 0.2, B = 0.4, C = 0.9)[group] * exp(0.03 * (age - 60)))
  end <- runif(90, 1, 6)
  data.frame(group, age, time = pmin(true, end), event = as.integer(true <= end),
             row.names = paste0("P", 1:90))
})

test_that("figures are those of survival", {
  found <- compare_survival("group", "time", "event", covariates = ~ age, samples = followed)
  Surv <- survival::Surv  # nolint: object_name_linter.
  rank <- survival::survdiff(Surv(time, event) ~ group, followed)
  expect_equal(found$logrank[["statistic"]], rank$chisq)
  cox <- survival::coxph(Surv(time, event) ~ group + age, followed)
  expect_equal(found$hazards$hazard_ratio, unname(exp(coef(cox))))
  expect_equal(cbind(found$hazards$lower, found$hazards$upper),
               unname(summary(cox)$conf.int[, 3:4]))
  expect_equal(found$hazards$p_value, unname(summary(cox)$coefficients[, 5]))
  expect_identical(found$hazards$term, c("B against A", "C against A", "age"))
  alone <- survival::coxph(Surv(time, event) ~ age, followed)
  expect_equal(found$likelihood_ratio[["p_value"]], anova(alone, cox)[2, 4])
  zph <- survival::cox.zph(cox)$table
  expect_equal(found$proportional$p_value, unname(zph[, "p"]))
  expect_equal(found$concordance[["estimate"]], unname(summary(cox)$concordance[1]))
  fit <- survival::survfit(Surv(time, event) ~ group, followed)
  expect_equal(found$curves$survival[found$curves$time > 0], fit$surv)
  table <- summary(fit, rmean = found$restrict)$table
  expect_equal(found$groups$median, unname(table[, "median"]))
  expect_equal(found$groups$restricted_mean, unname(table[, "rmean"]))
  expect_equal(found$restrict, min(tapply(followed$time, followed$group, max)))
  expect_identical(tidy(found), found$hazards)
  expect_equal(glance(found)$p_value, found$logrank[["p_value"]])
})

test_that("samples are found by name, and those without data are left out", {
  groups <- stats::setNames(followed$group, rownames(followed))
  shuffled <- followed[90:1, ]
  whole <- compare_survival(followed$group, followed$time, followed$event)
  expect_equal(compare_survival(groups, "time", "event", samples = shuffled)$logrank,
               whole$logrank)
  shuffled$time[3:5] <- NA
  part <- compare_survival(groups, "time", "event", samples = shuffled)
  expect_setequal(part$left_out, rownames(shuffled)[3:5])
  expect_equal(part$logrank,
               compare_survival("group", "time", "event", samples = shuffled[-(3:5), ])$logrank)
})

test_that("numbers at risk and curves are drawn", {
  found <- compare_survival("group", "time", "event", samples = followed)
  drawn <- ggplot2::ggplot_build(plot(found, times = c(0, 1, 2)))$data
  texts <- Filter(function(data) "label" %in% names(data), drawn)
  risk <- texts[[1L]]
  expect_setequal(risk$label[risk$x == 1], as.vector(tapply(followed$time >= 1, followed$group,
                                                           sum)))
  expect_identical(risk$label[risk$x == 0], rep(30, 3))
})

test_that("bad input is named", {
  none <- transform(followed, event = 0L)
  zero <- followed
  zero$time[4] <- 0
  expect_snapshot(error = TRUE, {
    compare_survival("group", "time", "event", samples = none)
    compare_survival("group", "time", "event", samples = zero)
    compare_survival("group", "time", "event", samples = followed[1:30, ])
    compare_survival("group", "tyme", "event", samples = followed)
    compare_survival("group", "time", "age", samples = followed)
    compare_survival("group", "time", "event", ~ sex, samples = followed)
    compare_survival(followed$group, followed$time[-1], followed$event)
    plot(compare_survival("group", "time", "event", samples = followed), times = -1)
  })
  expect_warning(compare_survival("group", "time", "event", samples = followed[c(1:5, 31:90), ]),
                 class = "unalloy_warning_few_events")
})

test_that("it prints", {
  expect_snapshot(compare_survival("group", "time", "event", "age", samples = followed))
})

test_that("prognosis is a Cox model per feature", {
  values <- with_seed_of(2, matrix(rnorm(4 * 90), 4, dimnames = list(letters[1:4],
                                                                    rownames(followed))))
  values["b", ] <- values["b", ] - 0.8 * log(followed$time)
  values["d", ] <- 1
  found <- test_prognosis(values, "time", "event", "age", samples = followed)
  cox <- survival::coxph(survival::Surv(time, event) ~ scale(values["b", ]) + age, followed)
  expect_equal(found$table$hazard_ratio[2], unname(exp(coef(cox)[1])))
  alone <- survival::coxph(survival::Surv(time, event) ~ age, followed)
  expect_equal(found$table$p_value[2], anova(alone, cox)[2, 4])
  expect_identical(found$table$feature[which.min(found$table$p_value)], "b")
  expect_identical(is.na(found$table$p_value), c(FALSE, FALSE, FALSE, TRUE))
  expect_equal(found$table$p_adjusted, p.adjust(found$table$p_value, "BH"))
  expect_snapshot(found)
  expect_identical(nrow(plot(found)$data), 3L)
})
